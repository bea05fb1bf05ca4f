"""How fast the whole client may send: learnt from the server, shared by all requests.

The rule:

1. Slow start. Until the first 429 only the number of requests in flight is bounded, and the bound
   grows with every answer. A server without a limit is never paced.
2. Search. At the first 429 its limit is used up. Single requests, at doubling intervals, find out
   when it opens again.
3. Refill rate. From then on requests are spaced evenly. What was accepted between two refusals,
   over the time between them, is the rate at which the server refills, to within one request.
   The client goes on just below it. The answers to what was sent before a cut say nothing new.
4. Probe. The rate then creeps up: slowly around what is known, ever faster beyond it, never to
   more than twice what the server has just borne. One refusal ends the probe and is the next
   measurement.
5. Hints. `Retry-After` is obeyed where nothing was accepted for as long as it asks to wait, as with
   a lone request. Otherwise it is tested once: the search may ask earlier. A server that accepts
   earlier is judged by its refill rate from then on, one that does not is believed from then on.
   (RFC 9110, section 10.2.3, has `Retry-After` say how long a client "ought to wait"; RFC 6585
   leaves it to the server how it counts. Whole seconds cannot express a limit of 200 a second.)
   While the announced quota (`remaining`, `reset`) is that of a window, no more than `remaining`
   are in flight, and at 0 nothing is sent until the reset.

Every decision is a function of the events and of the time passed in; what waits stands in `gate`.
The idea of a rate that all requests share is that of the AWS SDKs' adaptive retry mode; the shape
of the probe is that of CUBIC (RFC 9438).
"""

from __future__ import annotations

import math
from typing import TypeAlias

from asyncckpt.protocol.hints import RateLimitHints

__all__ = ["Pacer", "Ticket"]

Ticket: TypeAlias = float
"""What an answer brings back to the pacer: the time its request was sent."""

# In requests: the bound in flight to begin with, low enough for a burst limit of 20.
_FIRST_FLIGHT = 10.0
# Seconds: a round trip shorter than this may take several to double the flight; nobody waits.
_UNHURRIED = 0.020
# Requests: evidence beyond this adds no confidence, or a raised limit would be found too late.
_SURE = 32.0
# Requests left unsent after a refusal, so that jitter does not find the bucket empty at once.
_CUSHION = 2.0
# Seconds: how much an event loop may be late and still catch up.
_HICCUP = 0.010
_INSTANT = 1e-6


class _Quota:
    """The quota that the server announces: a window's, or a bucket's that refills all the time.

    The end of a window stays where it is. A bucket is full again the later the more is taken.
    """

    def __init__(self) -> None:
        self.remaining: float = math.inf
        self.resets_at = -math.inf
        self.refill_rate: float | None = None
        self._longest_reset = 0.0
        self._moves = 0

    @property
    def is_window(self) -> bool:
        # One move can be a late answer of the window before.
        return self._moves < 3

    def heard(self, now: float, hints: RateLimitHints) -> None:
        remaining, reset = hints.remaining, hints.reset
        if remaining is None or reset is None:
            return
        self._longest_reset = max(self._longest_reset, reset)
        moved = now + reset > self.resets_at + self._longest_reset / 2
        if moved and now < self.resets_at:
            self._moves += 1
        if moved or now >= self.resets_at:
            self.resets_at, self._longest_reset, self.remaining = now + reset, reset, remaining
        else:
            self.remaining = min(self.remaining, remaining)
        if not self.is_window and reset > 0 and hints.limit is not None and hints.limit > remaining:
            self.refill_rate = (hints.limit - remaining) / reset


class Pacer:
    """Decides when the next request may go out. Pure: no clock, no waiting.

    Ask `delay`, then report `sent`, and for each ticket exactly one of `accepted`, `refused` and
    `lost`. Times are monotonic seconds.

    Args:
        max_requests_per_second: A rate never to exceed, besides what is learnt; after a delay of
            the event loop up to 10 ms of it may be caught up.
        max_in_flight: How many requests may ever be under way at once.

    Attributes:
        in_flight: Requests sent and not yet answered.
        accepted_count: Answers other than 429.
        round_trip: Smoothed seconds from sending to the answer; 0.0 before the first.

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
        self._least_interval = 1 / max_requests_per_second if max_requests_per_second else 0.0
        self._interval = self._least_interval
        self._next_at = -math.inf
        # Slow start.
        self._max_in_flight = max_in_flight
        self._flight = min(_FIRST_FLIGHT, max_in_flight)
        self._peak = 0
        self._busy_since = 0.0
        self._busy_from = 0
        # The last cut: answers to what was sent before it belong to the same event.
        self._cut_at = -math.inf
        # Search.
        self._searching = False
        self._draining = False
        self._pause = 0.0
        self._probes_refused = 0
        # The refill rate: accepted since when, how sure, and what to fall back on.
        self._rate: float | None = None
        self._sure = 1.0
        self._since = 0.0
        self._accepted_since = 0
        self._counts_from = -math.inf
        self._settled_at = 0.0
        self._accepted_settled = 0
        self._fallback: float | None = None
        self._worth_trying = 1.15
        # Hints.
        self._quota: _Quota | None = None
        self._accepted_at = -math.inf
        self._hinted_until = -math.inf
        self._hints_hold: bool | None = None

    @property
    def rate(self) -> float | None:
        """Requests a second that are sent at most; None while nothing limits them."""
        return 1 / self._interval if self._interval else None

    def delay(self, now: float) -> float:
        """Seconds to wait before the next request.

        Returns:
            0.0 to send now, more to ask again so much later, `math.inf` to ask again after the
            next answer. An answer can make it shorter as well.
        """
        if now < self._next_at:
            return self._next_at - now
        if self.in_flight >= self._flight:
            return math.inf
        quota = self._quota
        if (
            quota is not None
            and now < quota.resets_at
            and self.in_flight >= quota.remaining
            and quota.is_window
        ):
            return quota.resets_at - now
        return 0.0

    def sent(self, now: float) -> Ticket:
        """Note that a request goes out, and return what its answer has to bring back."""
        if self._searching:
            self._next_at = now + max(self._pause, self._least_interval)
        elif self._interval:
            earliest = now - _HICCUP
            if self._next_at < earliest:
                # Nobody asked meanwhile: time that says nothing of the server.
                self._since += earliest - max(self._next_at, self._since)
                self._next_at = earliest
            self._next_at += self._interval
        if not self.in_flight and self._rate is None and not self._searching:
            self._busy_since = now
            self._busy_from = self.accepted_count
        self.in_flight += 1
        self._peak = max(self._peak, self.in_flight)
        return now

    def accepted(self, ticket: Ticket, now: float, hints: RateLimitHints | None = None) -> None:
        """Note any answer but 429: a server error was let in by the limiter as well."""
        self.in_flight -= 1
        self.accepted_count += 1
        self._accepted_at = now
        self.round_trip += (now - ticket - self.round_trip) / min(8, self.accepted_count)
        if hints is not None:
            self._hear(now, hints)
        if ticket > self._counts_from:
            self._accepted_since += 1
        if self._searching:
            if ticket > self._cut_at:
                self._found(now)
        elif self._rate is not None:
            if ticket >= self._settled_at:
                self._probe(self._rate, now)
        elif self._flight < 2 * self._peak:
            # A flight that is not used is not known to be borne.
            growth = min(2.0, (self.accepted_count + 10) / 40)
            growth *= min(1.0, self.round_trip / _UNHURRIED) ** 2
            self._flight = min(self._flight + max(0.1, growth), self._max_in_flight)

    def refused(self, ticket: Ticket, now: float, hints: RateLimitHints | None = None) -> None:
        """Note an answer of 429."""
        self.in_flight -= 1
        if hints is not None:
            self._hear(now, hints)
        if ticket <= self._cut_at:
            if self._draining and self._accepted_since >= 4:
                # Accepted and refused in turns: the drained flight has measured the refill rate.
                self._searching = False
                measured = self._accepted_since / max(now - self._since, _INSTANT)
                self._settle(measured, self._accepted_since, now)
            return
        self._cut_at = now
        self._draining = False
        self._hinted_until = _hinted_until(now, hints)
        if self._searching:
            self._probes_refused += 1
            self._pause *= 2
            self._wait(now)
        elif self._rate is None or self._accepted_since < self._sure / 4:
            self._search(ticket, now)
        else:
            self._measure(self._rate, now)
        if self._hints_hold:
            self._next_at = max(self._next_at, self._hinted_until)

    def lost(self, ticket: Ticket, now: float) -> None:
        """Note that a request got no answer: reset, timed out, cancelled. It says nothing."""
        self.in_flight -= 1

    def forget_in_flight(self) -> None:
        """Count nothing as in flight: their answers will never be reported."""
        self.in_flight = 0

    def _hear(self, now: float, hints: RateLimitHints) -> None:
        if hints.remaining is None:
            return
        if self._quota is None:
            self._quota = _Quota()
        self._quota.heard(now, hints)
        refill_rate = self._quota.refill_rate
        if refill_rate and self._rate is None and hints.remaining <= self.in_flight:
            self._since, self._accepted_since, self._counts_from = now, 0, now
            self._searching = False
            self._settle(refill_rate, 4, now)

    def _search(self, ticket: Ticket, now: float) -> None:
        """Find out when the server accepts again."""
        self._searching = True
        self._probes_refused = 0
        # A refusal may come back sooner than an answer that the server has to work for.
        self._pause = max(2 * (now - ticket), 0.001)
        if self._rate is None:
            self._draining = True
            # Earlier ones may have overtaken the refusal on the way back.
            self._since, self._accepted_since, self._counts_from = now, 0, ticket
        else:
            self._pause = max(self._pause, 1.5 / self._rate)
        self._wait(now)

    def _wait(self, now: float) -> None:
        hinted = self._hinted_until - now
        untested_and_idle = self._hints_hold is None and now - self._accepted_at > hinted
        if hinted > 0 and (untested_and_idle or self._pause > hinted):
            self._next_at = self._hinted_until
        else:
            self._next_at = now + self._pause

    def _found(self, now: float) -> None:
        """End the search: the server accepts again."""
        self._searching = False
        self._draining = False
        if now < self._hinted_until - self.round_trip:
            self._hints_hold = False
        elif self._hinted_until > self._cut_at and self._probes_refused:
            self._hints_hold = True
        if self._rate is None:
            accepted = self.accepted_count - self._busy_from
            if accepted < 4:
                # Too few to tell a rate from; how long the server was closed is not one.
                self._flight = min(2.0, self._max_in_flight)
            else:
                self._settle(accepted / max(now - self._busy_since, _INSTANT), accepted / 10, now)
            self._next_at = now
        else:
            self._probe(self._rate, now)
            self._next_at = now + self._interval

    def _measure(self, rate: float, now: float) -> None:
        """Learn the refill rate from a refusal at the given rate."""
        elapsed = max(now - self._since, _INSTANT)
        accepted: float = self._accepted_since
        measured = min(accepted / elapsed, rate)
        tried = math.sqrt(measured * rate)
        was_closed = self._probes_refused and self._sure >= _SURE
        if self._fallback and accepted <= self._fallback * elapsed + _CUSHION + 2:
            measured, accepted = self._fallback, _SURE
            self._fallback, self._worth_trying = None, 1.3
        elif accepted >= _SURE and tried > self._worth_trying * measured and not was_closed:
            # Far above the mean when refused: a bucket had saved up, or else the mean is too low,
            # as with limits that save nothing and limits just raised. Trying tells them apart.
            self._fallback, measured = measured, tried
        else:
            self._fallback = None
        self._since, self._accepted_since, self._counts_from = now, 0, -math.inf
        self._probes_refused = 0
        self._settle(measured, accepted, now)

    def _settle(self, rate: float, evidence: float, now: float) -> None:
        """Go on just below a rate that so many requests speak for."""
        self._sure = min(max(1.0, evidence), _SURE)
        self._settled_at, self._accepted_settled = now, 0
        self._flight = self._max_in_flight
        self._pace(rate * (1 - 1 / (self._sure + 1)))
        self._next_at = now + _CUSHION / rate

    def _probe(self, rate: float, now: float) -> None:
        """Raise the rate for one more accepted request, along a cubic curve."""
        self._accepted_settled += 1
        # Answers tell of the rate as it was a round trip ago.
        span = 2 * self._sure + rate * self.round_trip
        x = self._accepted_settled / span - 1
        raised = rate * (1 + min(3 * x * x / (self._sure + 1), 1) / span)
        answered_for = now - self._settled_at - self.round_trip
        borne = self._accepted_settled / max(answered_for, 1 / rate)
        self._pace(max(rate, min(raised, 2 * borne)))

    def _pace(self, rate: float) -> None:
        self._rate = rate
        self._interval = max(1 / rate, self._least_interval)


def _hinted_until(now: float, hints: RateLimitHints | None) -> float:
    if hints is None:
        return -math.inf
    if hints.retry_after is not None:
        return now + hints.retry_after
    if hints.remaining == 0 and hints.reset is not None:
        return now + hints.reset
    return -math.inf
