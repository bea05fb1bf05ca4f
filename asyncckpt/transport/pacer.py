"""Decides how fast a client may send, from what the server accepts of all its requests.

One idea: **the pace is a measurement, and what follows tests it.** A server that accepted n
requests in the t seconds between two refusals has a limit of n / t. The client sends just below
it. Each refusal is the next measurement.

1. *Start.* Until the first refusal only the number of requests in flight is bounded. It starts at
   10, doubles every few milliseconds until the first response, and then grows with the responses.
2. *Refusal.* The server is closed until it accepts a request again. Single requests are sent as
   probes, after pauses that double up to 4.5 s, so that no outage is followed by a longer silence.
   Responses to what was in flight at the refusal belong to it: they are not refusals again, but
   show which share of the pace was accepted.
3. *Measurement.* When the server accepts again, the client goes on at n / t, less a margin of
   1 / (n + 2): few requests prove little. If the server is open again at once, as no used-up window
   is, the last requests count more than the mean. A long closure before a short one was an outage,
   and does not count as time.
4. *Growth.* The pace is held for half of the time for which the limit has been known. Then it
   grows, slowly at first. A limit that has stood for a minute is tested less often than one of the
   last second, and one that was low for five seconds is left behind within ten.
5. *Noise.* Refusals that have nothing to do with the pace (one bad replica, one job) do not get
   rarer at a lower pace. If the pace has halved over four refusals, and no run of accepted requests
   was longer than those before, going slower was wrong. The client goes back to twice the pace it
   came from, and for some hundred responses tolerates the share of refusals that it saw. Several
   refusals beyond that share end the tolerance.
6. *Room.* A refusal below the known limit, after many accepted requests, means that the limit is
   lower now, perhaps because another client has come. The client takes less than its share of it
   and grows again. The faster of two clients is refused more often, so they meet in the middle.

A request that is told to wait (`Retry-After`) waits that long by itself, whatever the pacer says:
see `asyncckpt.protocol.retries.refusal_delay`. A hint of more than 4.5 s also lets the pauses of
the whole client grow up to the time that the server named. While a window's quota is announced
(`x-ratelimit-*-requests`), no more than `remaining` are in flight, and at 0 nothing is sent until
the reset. `max_requests_per_second` is a separate clock.

Every decision is a function of the events and of the time passed in; `gate` holds what waits.
The module is longer than others because its constants, each with a reason, belong to one state.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final, NamedTuple, TypeAlias

from asyncckpt.protocol.hints import RateLimitHints
from asyncckpt.transport.noise import Noise
from asyncckpt.transport.quota import Quota

__all__ = ["Pacer", "Ticket"]

Ticket: TypeAlias = float
"""Identifies a request to the pacer: the time it was sent."""

_FIRST_FLIGHT: Final = 10.0
"""Requests in flight at the start: half of a common burst limit of 20."""
_WIDENING: Final = 0.004
"""Seconds until the first flight doubles: a server nearby has responded by then, and one that is
200 ms away is sent 160 requests within a tenth of that time."""
_UNHURRIED: Final = 0.020
"""Seconds: with shorter round trips the flight grows more slowly, since nobody waits for it."""
_FIRST_PAUSE: Final = 0.004
"""Seconds before the first probe while nothing is known about the limit: 1 / 250 of a second."""
_LONGEST_PAUSE: Final = 4.5
"""Seconds between two probes of a closed server, so that it is asked at least every 5 s."""
_SHORT_CLOSURE: Final = 2.0
"""Seconds: a first closure of less than this may be that of a window."""
_CUSHION: Final = 1.2
"""Requests left unsent after a refusal, so that jitter does not find the limit exhausted again."""
_CERTAIN: Final = 32
"""Accepted requests: more evidence does not make the margin smaller than 3 %."""
_MANY: Final = 16
"""Accepted requests: enough to tell a lower limit, and the longest hold in requests."""
_RECENT: Final = 8
"""Accepted requests: the fewest that show a recent rate."""
_CAUTION: Final = 1.5
"""How much higher a recent rate is than what is believed of it: it may have been a burst."""
_CLEARLY: Final = 1.1
"""How much higher than the mean a rate has to be to count instead of it."""
_HELD: Final = 0.5
"""The share of a limit's age for which it is not tested again, up to `_LONGEST_HOLD` seconds."""
_LONGEST_HOLD: Final = 30.0
_GROWTH_PER_TRIP: Final = 0.12
"""The largest growth of the pace in the time that a response takes to stop it."""
_REACTION: Final = 0.1
"""Seconds: the least that counts as this time, so that a window of a second is not used up at once
whenever it opens."""
_ROOM: Final = 0.7
"""The share of a limit that is taken when it has turned out lower than it was."""
_CLOSED: Final = 3
"""Refused probes in a row: more of them mean a limit, not noise."""
_HICCUP: Final = 0.010
"""Seconds that an event loop may be late and still catch up."""
_INSTANT: Final = 1e-6


class _Measurement(NamedTuple):
    """How many requests were accepted in how many seconds."""

    accepted: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.accepted / self.seconds

    def at(self, rate: float) -> _Measurement:
        """Return a measurement of another rate, with the same evidence."""
        return _Measurement(self.accepted, self.accepted / rate)


class Pacer:
    """Decides when the next request may be sent. Pure: no clock, no waiting.

    Ask `delay`, then report `sent`, and for each ticket exactly one of `accepted`, `refused` and
    `lost`. Times are monotonic seconds.

    Args:
        max_requests_per_second: A rate never to exceed; after a delay of the event loop, up to
            10 ms of it may be caught up.
        max_in_flight: How many requests may be in flight at once.

    Attributes:
        in_flight: Requests that have no response yet.
        accepted_count: Responses other than 429.
        round_trip: Smoothed seconds from sending to the response; 0.0 before the first.
        limit: The server's limit as last measured, in requests a second; None before.
        is_closed: Whether the server has refused the last request and is being probed.

    Raises:
        ValueError: `max_requests_per_second` is not a positive number.
    """

    def __init__(
        self,
        *,
        max_requests_per_second: float | None = None,
        max_in_flight: float = math.inf,
    ) -> None:
        if max_requests_per_second is not None and not 0 < max_requests_per_second < math.inf:
            raise ValueError(
                f"max_requests_per_second must be a positive number or None, "
                f"not {max_requests_per_second!r}"
            )
        self.in_flight = 0
        self.accepted_count = 0
        self.round_trip = 0.0
        self.limit: float | None = None
        self.is_closed = False
        self._own_interval = 1 / max_requests_per_second if max_requests_per_second else 0.0
        self._own_next_at = -math.inf
        # The number in flight, which is all that is bounded before the first measurement.
        self._max_in_flight = max_in_flight
        self._flight = min(_FIRST_FLIGHT, max_in_flight)
        self._widens_at: float | None = None
        self._peak = 0
        # The pace.
        self._rate: float | None = None
        self._next_at = -math.inf
        self._idle_since = -math.inf
        # The last refusal that counted, and the closure that followed.
        self._cut_at = -math.inf
        self._probes_refused = 0
        self._pause = 0.0
        self._named_at = -math.inf
        self._last_closure = 0.0
        # The measurement under way, and the mean when the last one ended.
        self._since: float | None = None
        self._accepted_since = 0
        self._refused_since = 0
        self._recent: deque[float] = deque(maxlen=2 * _CERTAIN)
        self._busy_since = 0.0
        self._busy_from = 0
        self._surge = 0.0
        self._mean: _Measurement | None = None
        # What is believed since when, and the growth beyond it.
        self._known_since = 0.0
        self._evidence = 1
        self._settled_at = -math.inf
        self._hold_until = 0.0
        self._to_hold = 0
        self._grown = 0
        self._is_guess = False
        self._mean_before_guess = _Measurement(1, 1.0)
        self._saves_up = False
        self._noise = Noise()
        self._quota: Quota | None = None

    @property
    def rate(self) -> float | None:
        """Requests a second that are sent at most; None while nothing limits them."""
        own = 1 / self._own_interval if self._own_interval else math.inf
        rate = min(own, math.inf if self._rate is None else self._rate)
        return None if rate == math.inf else rate

    def delay(self, now: float) -> float:
        """Return the seconds to wait before the next request.

        Returns:
            0.0 to send now, more to ask again after that time, `math.inf` to ask again after the
            next response. A response can make it shorter as well.
        """
        if now < self._next_at or now < self._own_next_at:
            return max(self._next_at, self._own_next_at) - now
        if self.in_flight >= self._flight:
            wait = self._until_wider(now)
            if wait > 0:
                return wait
        quota = self._quota
        if quota is not None and quota.is_used_up(now, self.in_flight):
            return quota.resets_at - now
        return 0.0

    def is_pausing(self, now: float) -> bool:
        """Return whether the whole client waits for the server, rather than for the next slot."""
        quota = self._quota
        return self.is_closed or (quota is not None and quota.is_used_up(now, self.in_flight))

    def sent(self, now: float) -> Ticket:
        """Note that a request is sent, and return what its response has to bring back."""
        if self._own_interval:
            self._own_next_at = max(self._own_next_at, now - _HICCUP) + self._own_interval
        if self.is_closed:
            self._next_at = now + self._pause
            if self._next_at > self._named_at > now:
                self._next_at = self._named_at
            self._pause = min(2 * self._pause, max(_LONGEST_PAUSE, self._named_at - now))
        else:
            if not self.in_flight and self._since is not None:
                # Time in which nobody asked says nothing about the server.
                idle = now - max(self._idle_since, self._next_at)
                if idle > _HICCUP:
                    self._since += idle
            if self._rate is not None:
                self._next_at = max(self._next_at, now - _HICCUP) + 1 / self._rate
        if not self.in_flight and self._since is None:
            # Before the first refusal a measurement begins whenever requests are sent again.
            self._busy_since, self._busy_from = now, self.accepted_count
        self.in_flight += 1
        if self.in_flight > self._peak:  # noqa: PLR1730 (for every request; max() costs more)
            self._peak = self.in_flight
        return now

    def accepted(self, ticket: Ticket, now: float, hints: RateLimitHints | None = None) -> None:
        """Note a response other than 429: the limiter lets a server error through as well."""
        self.in_flight -= 1
        if not self.in_flight:
            self._idle_since = now
        self._widens_at = math.inf
        self.accepted_count += 1
        self.round_trip += (now - ticket - self.round_trip) / min(8, self.accepted_count)
        if hints is not None and hints.remaining is not None:
            self._hear(now, hints, hints.remaining)
        if self._since is not None:
            self._accepted_since += 1
            self._recent.append(now)
        if self._noise.share:
            self._noise.note_response()
        if self.is_closed:
            if ticket > self._cut_at:
                self._open(now)
        elif self._rate is not None:
            if ticket >= self._settled_at:
                self._grow(self._rate, now)
        elif self._flight < 2 * self._peak:
            # The server is not known to allow a flight that was not used.
            growth = 1.0 if self._since is None else 0.7
            if self.round_trip < growth * _UNHURRIED:
                growth = max(0.1, self.round_trip / _UNHURRIED)
            self._flight = min(self._flight + growth, self._max_in_flight)

    def refused(self, ticket: Ticket, now: float, hints: RateLimitHints | None = None) -> None:
        """Note a response of 429."""
        self._leave(now)
        self._widens_at = math.inf
        if hints is not None and hints.remaining is not None:
            self._hear(now, hints, hints.remaining)
        if ticket <= self._cut_at:
            self._refused_since += 1
            return
        if self.is_closed:
            self._probes_refused += 1
            retry_after = None if hints is None else hints.retry_after
            if retry_after is not None and retry_after > _LONGEST_PAUSE:
                self._named_at = now + retry_after
        elif ticket >= self._settled_at and not self._noise.tolerates_refusal():
            self._cut(now)

    def lost(self, ticket: Ticket, now: float) -> None:
        """Note that a request got no response: reset, timed out, cancelled. It says nothing."""
        self._leave(now)

    def forget_in_flight(self) -> None:
        """Count nothing as in flight: these responses will never be reported."""
        self.in_flight = 0

    def _leave(self, now: float) -> None:
        self.in_flight -= 1
        if not self.in_flight:
            self._idle_since = now

    def _until_wider(self, now: float) -> float:
        """Return the seconds until another request may be in flight, as the bound doubles."""
        if self._flight >= self._max_in_flight:
            return math.inf
        if self._widens_at is None:
            self._widens_at = now + _WIDENING
        if now >= self._widens_at:
            self._flight = min(2 * self._flight, self._max_in_flight)
            self._widens_at = None
            return 0.0
        return self._widens_at - now

    def _hear(self, now: float, hints: RateLimitHints, remaining: int) -> None:
        if self._quota is None:
            self._quota = Quota()
        self._quota.hear(now, hints)
        refill_rate = self._quota.refill_rate
        if refill_rate and self._rate is None and remaining <= self.in_flight:
            self._since, self._accepted_since = now, 0
            self.is_closed = False
            self._settle(_Measurement(4, 4 / refill_rate), now)

    def _cut(self, now: float) -> None:
        """End a measurement at a refusal, and find out when the server accepts again."""
        self._surge = 0.0
        if self._since is None:
            self._mean = None
        else:
            elapsed = max(now - self._since, _INSTANT)
            self._mean = _Measurement(max(1, self._accepted_since), elapsed)
            if self._accepted_since >= _RECENT:
                span = max(now - self._recent[-_RECENT], self.round_trip, _INSTANT)
                self._surge = sum(at >= now - span for at in self._recent) / span
        self._since, self._accepted_since, self._refused_since = now, 0, 1
        self._cut_at = now
        self._named_at = -math.inf
        self.is_closed = True
        self._probes_refused = 0
        pause = _FIRST_PAUSE
        if self._rate is not None and self.limit is not None:
            likely = max(math.sqrt(self.limit * self._rate), self._surge)
            pause = _CUSHION / min(self._rate, likely)
        # Not every refusal means a closed server: several probes fit in a long round trip.
        self._pause = min(max(pause, self.round_trip / 8), _LONGEST_PAUSE)
        self._next_at = now + self._pause

    def _open(self, now: float) -> None:
        """Go on, at the pace that was measured: the server accepts again."""
        self.is_closed = False
        closure = now - self._cut_at
        if closure > self._cut_at - self._known_since:
            # Nothing was learned about the limit during an outage.
            self._known_since += closure
        if self._mean is not None:
            self._believe(self._mean, closure, now)
        elif self._is_likely_limit(closure):
            accepted = self.accepted_count - self._busy_from
            mean = accepted / (now - self._busy_since)
            self._settle(_Measurement(_RECENT, _RECENT / mean), now)
        else:
            self._flight = min(max(2.0, self._accepted_since / 2), self._max_in_flight)
            self._settled_at = self._next_at = now
        self._last_closure = closure

    def _is_likely_limit(self, closure: float) -> bool:
        """Return whether what was accepted until the first refusal, and until now, shows a limit.

        After a long closure, an outage is as likely. If most of what was in flight was accepted,
        the refusal may have had other reasons.
        """
        return (
            self.accepted_count - self._busy_from >= _RECENT
            and closure < _SHORT_CLOSURE
            and self._accepted_since < 3 * self._refused_since
        )

    def _believe(self, mean: _Measurement, closure: float, now: float) -> None:
        """Derive the pace from the mean between the last two refusals."""
        pace, run = self._rate, mean.accepted
        was_guess, self._is_guess = self._is_guess, False
        is_below_limit = pace is not None and self.limit is not None and pace <= self.limit
        if was_guess and is_below_limit:
            # Refused before it was exceeded: the mean was right.
            self._saves_up = True
            if run < _RECENT:
                before = self._mean_before_guess
                mean = _Measurement(run + before.accepted, mean.seconds + before.seconds)
        if self._last_closure > 4 * closure:
            # The closure before was an outage, or else this one would be as long.
            mean = mean._replace(seconds=max(mean.seconds - self._last_closure + closure, _INSTANT))
        believed = self._estimate(mean, closure)
        if pace is not None and not self._probes_refused:
            # At more than twice the limit the probe would have been refused as well.
            believed = believed.at(max(believed.rate, pace / 2))
        back = None
        if self._probes_refused > _CLOSED:
            self._noise.forget_runs()
        else:
            back = self._noise.pace_before(run, pace or believed.rate, believed.rate)
        if is_below_limit and not was_guess and run >= _MANY:
            believed = believed.at(_ROOM * believed.rate)
        self._settle(believed, now)
        if back is not None:
            self._rate = back
            self._hold_until, self._to_hold, self._grown = now, 0, _MANY

    def _estimate(self, mean: _Measurement, closure: float) -> _Measurement:
        """Return the mean, or a higher rate where the server was open again at once."""
        pace, in_flight = self._rate, self._accepted_since
        if in_flight >= _RECENT:
            # What was in flight at the refusal shows how much of the pace was too much.
            seen = in_flight / closure
            if pace is not None:
                seen = pace * in_flight / (in_flight + self._refused_since)
            if seen > _CLEARLY * mean.rate:
                return _Measurement(in_flight, in_flight / seen)
        elif self._surge > _CAUTION * mean.rate and self._is_short(closure, self._surge):
            return _Measurement(_RECENT, _RECENT * _CAUTION / self._surge)
        elif (
            pace is not None
            and not self._saves_up
            and mean.accepted >= 4
            and pace > _CLEARLY * mean.rate
            and self._is_short(closure, pace)
        ):
            # A limiter that saves nothing up refuses at its limit, so that the mean is too low. One
            # that saves up refuses late, and the mean is right. Something between them tells.
            self._is_guess, self._mean_before_guess = True, mean
            return mean.at(math.sqrt(mean.rate * pace))
        return mean

    def _is_short(self, closure: float, rate: float) -> bool:
        """Return whether a limit of that rate explains the closure, not a window that ended."""
        return closure < self.round_trip + 10 / rate

    def _settle(self, believed: _Measurement, now: float) -> None:
        """Go on just below a measured rate."""
        rate = believed.rate
        if self.limit is None or not 0.7 < rate / self.limit < 1.4:
            self._known_since = now - believed.seconds
        self.limit = rate
        self._evidence = min(believed.accepted, _CERTAIN)
        self._rate = rate * (1 - 1 / (self._evidence + 2))
        self._flight = self._max_in_flight
        self._settled_at = now
        self._next_at = now + 1 / self._rate
        self._hold_until = now + min((now - self._known_since) * _HELD, _LONGEST_HOLD)
        self._to_hold = min(self._evidence, _MANY)
        self._grown = 0

    def _grow(self, rate: float, now: float) -> None:
        """Raise the pace after an accepted request: slowly at first, fast if little is known."""
        self._to_hold -= 1
        if now < self._hold_until or self._to_hold > 0 or self._next_at < now - _HICCUP / 2:
            # Held, or not used to the full.
            return
        self._grown += 1
        growth = max(min(self._grown, _CERTAIN) / 256, 0.5 / self._evidence)
        in_air = rate * max(1.5 * self.round_trip, _REACTION)
        self._rate = rate * (1 + min(growth, _GROWTH_PER_TRIP / in_air))
