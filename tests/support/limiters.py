"""Simulated rate limiters, and a simulated client in front of them.

A discrete-event simulation: no clock, no sleep, no event loop. Every run is fixed by its seed, and
a minute of traffic takes some tens of milliseconds.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from typing import Protocol

import attrs

from asyncckpt.protocol.hints import RateLimitHints
from asyncckpt.transport.pacer import Pacer


class Limiter(Protocol):
    """A server's rule for whom it lets in; `now` is the server's time in seconds."""

    def admits(self, now: float) -> bool:
        """Decide on a request that arrives now, and count it."""
        ...

    def leaves(self, now: float) -> None:
        """Note that an admitted request has been served."""
        ...

    def hints(self, now: float, admitted: bool) -> RateLimitHints | None:
        """What the headers of the answer say."""
        ...

    def ideal(self, requests: int) -> float:
        """Seconds that the limit itself needs for so many requests."""
        ...


@attrs.define
class Unlimited:
    """Admits all."""

    def admits(self, now: float) -> bool:
        return True

    def leaves(self, now: float) -> None: ...

    def hints(self, now: float, admitted: bool) -> RateLimitHints | None:
        return None

    def ideal(self, requests: int) -> float:
        return 0.0


@attrs.define
class TokenBucket(Unlimited):
    """`rate` tokens a second up to `burst`; from `changes_at` on the rate is `changes_to`.

    With `charges_refused` a refused request takes what is left in the bucket.
    """

    rate: float
    burst: float
    retry_after: float | None = None
    announces: bool = False
    changes_at: float = math.inf
    changes_to: float = math.nan
    charges_refused: bool = False
    level: float = attrs.field(init=False)
    at: float = attrs.field(init=False, default=0.0)

    def __attrs_post_init__(self) -> None:
        self.level = self.burst

    def admits(self, now: float) -> bool:
        self.level = min(self.burst, self.level + self._refilled(now) - self._refilled(self.at))
        self.at = now
        if self.level >= 1:
            self.level -= 1
            return True
        if self.charges_refused:
            self.level = 0.0
        return False

    def _refilled(self, now: float) -> float:
        if now <= self.changes_at:
            return self.rate * now
        return self.rate * self.changes_at + self.changes_to * (now - self.changes_at)

    def hints(self, now: float, admitted: bool) -> RateLimitHints | None:
        retry_after = None if admitted else self.retry_after
        if not self.announces:
            return None if retry_after is None else RateLimitHints(retry_after=retry_after)
        reset = (self.burst - self.level) / self.rate
        return RateLimitHints(retry_after, int(self.burst), int(self.level), reset)

    def ideal(self, requests: int) -> float:
        needed = requests - self.burst
        before = self.rate * self.changes_at
        if needed <= before:
            return max(0.0, needed / self.rate)
        return self.changes_at + (needed - before) / self.changes_to


@attrs.define
class FixedWindow(Unlimited):
    """`quota` requests in each window of `seconds`, the first one begun `offset` seconds ago."""

    quota: int
    seconds: float
    announces: bool = False
    retry_after: bool = False
    offset: float = 0.0
    used: int = attrs.field(init=False, default=0)
    window: int = attrs.field(init=False, default=0)

    def admits(self, now: float) -> bool:
        window = math.floor((now + self.offset) / self.seconds)
        if window != self.window:
            self.window, self.used = window, 0
        if self.used < self.quota:
            self.used += 1
            return True
        return False

    def hints(self, now: float, admitted: bool) -> RateLimitHints | None:
        reset = (self.window + 1) * self.seconds - self.offset - now
        retry_after = math.ceil(reset) if self.retry_after and not admitted else None
        if self.announces:
            return RateLimitHints(retry_after, self.quota, self.quota - self.used, reset)
        return None if retry_after is None else RateLimitHints(retry_after=retry_after)

    def ideal(self, requests: int) -> float:
        windows = math.ceil(requests / self.quota) - 1
        return max(0.0, windows * self.seconds - self.offset)


@attrs.define
class SlidingWindow(Unlimited):
    """`quota` requests in any `seconds`; with `charges_refused` the refused ones count too."""

    quota: int
    seconds: float
    charges_refused: bool = False
    log: deque[float] = attrs.field(init=False, factory=deque)

    def admits(self, now: float) -> bool:
        while self.log and self.log[0] <= now - self.seconds:
            self.log.popleft()
        admitted = len(self.log) < self.quota
        if admitted or self.charges_refused:
            self.log.append(now)
        return admitted

    def ideal(self, requests: int) -> float:
        return (math.ceil(requests / self.quota) - 1) * self.seconds


@attrs.define
class ConcurrencyLimit(Unlimited):
    """At most `slots` requests served at a time; `service` is only used for the ideal."""

    slots: int
    service: float
    busy: int = attrs.field(init=False, default=0)

    def admits(self, now: float) -> bool:
        if self.busy >= self.slots:
            return False
        self.busy += 1
        return True

    def leaves(self, now: float) -> None:
        self.busy -= 1

    def ideal(self, requests: int) -> float:
        return requests / self.slots * self.service


@attrs.define
class Run:
    """What came of a simulation; times in seconds, one entry a request sent."""

    sent: list[float] = attrs.field(factory=list)
    accepted: list[float] = attrs.field(factory=list)
    refused: list[float] = attrs.field(factory=list)
    attempts: list[int] = attrs.field(factory=list)
    turnarounds: list[float] = attrs.field(factory=list)
    ideal: float = 0.0
    most_in_flight: int = 0

    @property
    def seconds(self) -> float:
        return max(self.accepted, default=0.0)

    @property
    def over_ideal(self) -> float:
        return self.seconds / self.ideal if self.ideal else math.inf

    @property
    def share_refused(self) -> float:
        return len(self.refused) / len(self.sent)


@attrs.define(eq=False)
class _Request:
    follow_ups: int
    asked_at: float
    attempts: int = 0


@attrs.define
class Simulation:
    """A client of `concurrency` callers, `jobs` jobs of `pages` requests one after the other.

    Args:
        limiter: The server.
        pacer: What is tested.
        latency: Round trip in seconds; each half varies at random by up to `jitter` (a share).
        service: Seconds that the server works on an admitted request, varied likewise.
        timer_lateness: Largest delay of the client's timer, in seconds; event loops round up.
        behind: Whether a refused request goes behind the ones already waiting.
    """

    limiter: Limiter
    pacer: Pacer
    jobs: int = 400
    pages: int = 3
    concurrency: int = 50
    latency: float = 0.001
    jitter: float = 0.2
    service: float = 0.0
    timer_lateness: float = 0.0012
    behind: bool = True
    seed: int = 0
    events: list[tuple[float, int, Callable[[], None]]] = attrs.field(init=False, factory=list)
    queue: deque[_Request] = attrs.field(init=False, factory=deque)
    now: float = attrs.field(init=False, default=0.0)
    serial: int = attrs.field(init=False, default=0)
    jobs_left: int = attrs.field(init=False, default=0)
    timer: float = attrs.field(init=False, default=math.inf)
    random: random.Random = attrs.field(init=False)
    result: Run = attrs.field(init=False, factory=Run)

    def run(self) -> Run:
        """Play until no event is left, and return what happened."""
        self.random = random.Random(self.seed)
        self.result.ideal = self.limiter.ideal(self.jobs * self.pages)
        self.jobs_left = self.jobs
        for _ in range(min(self.concurrency, self.jobs)):
            self._begin_job()
        self._pump()
        while self.events:
            self.now, _, happen = heapq.heappop(self.events)
            happen()
            self._pump()
        return self.result

    def _later(self, seconds: float, happen: Callable[[], None]) -> None:
        self.serial += 1
        heapq.heappush(self.events, (self.now + seconds, self.serial, happen))

    def _begin_job(self) -> None:
        if self.jobs_left:
            self.jobs_left -= 1
            self.queue.append(_Request(self.pages - 1, self.now))

    def _pump(self) -> None:
        while self.queue:
            delay = self.pacer.delay(self.now)
            if delay > 0:
                self._arm(delay)
                return
            self._send(self.queue.popleft())

    def _arm(self, delay: float) -> None:
        if self.now + delay < self.timer:
            self.timer = self.now + delay
            self._later(delay + self.random.uniform(0, self.timer_lateness), self._disarm)

    def _disarm(self) -> None:
        self.timer = math.inf

    def _half(self, seconds: float) -> float:
        return seconds * (1 + self.random.uniform(-self.jitter, self.jitter))

    def _send(self, request: _Request) -> None:
        ticket = self.pacer.sent(self.now)
        request.attempts += 1
        self.result.sent.append(self.now)
        self.result.most_in_flight = max(self.result.most_in_flight, self.pacer.in_flight)
        self._later(self._half(self.latency / 2), lambda: self._arrive(request, ticket))

    def _arrive(self, request: _Request, ticket: float) -> None:
        admitted = self.limiter.admits(self.now)
        hints = self.limiter.hints(self.now, admitted)
        back = self._half(self.latency / 2)
        if not admitted:
            self._later(back, lambda: self._refuse(request, ticket, hints))
            return
        service = self._half(self.service)
        self._later(service, lambda: self.limiter.leaves(self.now))
        self._later(service + back, lambda: self._accept(request, ticket, hints))

    def _accept(self, request: _Request, ticket: float, hints: RateLimitHints | None) -> None:
        self.pacer.accepted(ticket, self.now, hints)
        self.result.accepted.append(self.now)
        self.result.attempts.append(request.attempts)
        self.result.turnarounds.append(self.now - request.asked_at)
        if request.follow_ups:
            self.queue.append(_Request(request.follow_ups - 1, self.now))
        else:
            self._begin_job()

    def _refuse(self, request: _Request, ticket: float, hints: RateLimitHints | None) -> None:
        self.pacer.refused(ticket, self.now, hints)
        self.result.refused.append(self.now)
        if self.behind:
            self.queue.append(request)
        else:
            self.queue.appendleft(request)
