"""A simulation of clients in front of a rate limiter.

A discrete-event simulation: no clock, no sleep, no event loop. Every run is fixed by its seed, and
a minute of traffic takes some tens of milliseconds. The clients use the `Pacer` and the waiting
times of refused requests that the real client uses.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable

import attrs

from asyncckpt.protocol.hints import NO_HINTS, RateLimitHints, rate_limit_hints, within_reason
from asyncckpt.protocol.retries import refusal_delay
from asyncckpt.testing.limiters import Hints, Limiter, Verdict
from asyncckpt.transport.pacer import Pacer, Ticket


@attrs.define
class Run:
    """What one client saw; times in seconds, one entry a request sent."""

    sent: list[float] = attrs.field(factory=list)
    accepted: list[float] = attrs.field(factory=list)
    refused: list[float] = attrs.field(factory=list)
    lost_jobs: int = 0
    most_refusals: int = 0
    done_at: list[float] = attrs.field(factory=list)

    @property
    def seconds(self) -> float:
        return max(self.accepted, default=0.0)

    @property
    def share_refused(self) -> float:
        return len(self.refused) / max(1, len(self.sent))

    def rate(self, start: float, end: float) -> float:
        """Accepted requests a second between two times."""
        return sum(start <= at < end for at in self.accepted) / (end - start)


@attrs.define(eq=False)
class _Request:
    job: int
    follow_ups: int
    refusals: int = 0
    retries: int = 0
    accepted_before: int = 0


@attrs.define(eq=False)
class Simulation:
    """A server behind a network, with the clients that use it.

    Args:
        limiter: The server's limiter.
        hints: The headers of its responses; None for none.
        latency: Round trip in seconds; each half varies at random by up to `jitter` (a share).
        service: Seconds that the server works on an admitted request, varied likewise.
        refused_job: The number of a job that the server always refuses.
        until: When to stop, in seconds, if the clients have not finished before.
    """

    limiter: Limiter
    hints: Hints | None = None
    latency: float = 0.001
    jitter: float = 0.2
    service: float = 0.0
    refused_job: int | None = None
    until: float = math.inf
    seed: int = 0
    now: float = attrs.field(init=False, default=0.0)
    random: random.Random = attrs.field(init=False)
    _events: list[tuple[float, int, Callable[[], None]]] = attrs.field(init=False, factory=list)
    _serial: int = attrs.field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def run(self) -> None:
        """Run until no event is left, or until the end."""
        while self._events and self.now < self.until:
            self.now, _, happen = heapq.heappop(self._events)
            happen()

    def later(self, seconds: float, happen: Callable[[], None]) -> None:
        """Let something happen so many seconds from now."""
        self._serial += 1
        heapq.heappush(self._events, (self.now + seconds, self._serial, happen))

    def varied(self, seconds: float) -> float:
        """Return a length of time with jitter."""
        return seconds * (1 + self.random.uniform(-self.jitter, self.jitter))

    def said(self, verdict: Verdict) -> RateLimitHints:
        """Return what the client reads in the response's headers."""
        if self.hints is None:
            return NO_HINTS
        # As over a network: through the text of the headers.
        return within_reason(rate_limit_hints(dict(self.hints.headers(verdict)), self.now))


@attrs.define(eq=False)
class Client:
    """`concurrency` callers with `jobs` jobs, each of `pages` requests one after the other.

    Args:
        server: What it sends to.
        max_retries: How many waits a request survives that count as retries.
        max_wait: Seconds after which a request that waits fails.
        cpu: Seconds of the client's own work on each request; it does one at a time.
        timer_lateness: Largest delay of the client's timer, in seconds; event loops round up.
        start: When the client starts, in seconds.
    """

    server: Simulation
    pacer: Pacer = attrs.field(factory=Pacer)
    jobs: int = 400
    pages: int = 3
    concurrency: int = 50
    max_retries: float = 6
    max_wait: float = 120.0
    cpu: float = 0.0002
    timer_lateness: float = 0.0012
    start: float = 0.0
    result: Run = attrs.field(init=False, factory=Run)
    _queue: deque[_Request] = attrs.field(init=False, factory=deque)
    _next_job: int = attrs.field(init=False, default=0)
    _timer: float = attrs.field(init=False, default=math.inf)
    _busy_until: float = attrs.field(init=False, default=0.0)

    def __attrs_post_init__(self) -> None:
        self.server.later(self.start, self._begin)

    def _begin(self) -> None:
        for _ in range(min(self.concurrency, self.jobs)):
            self._begin_job()
        self._pump()

    def _begin_job(self) -> None:
        if self._next_job < self.jobs:
            self._queue.append(_Request(self._next_job, self.pages - 1))
            self._next_job += 1

    def _pump(self) -> None:
        now = self.server.now
        while self._queue:
            if now < self._busy_until:
                self._arm(self._busy_until - now, exactly=True)
                return
            delay = self.pacer.delay(now)
            if delay > 0:
                self._arm(delay)
                return
            self._send(self._queue.popleft())

    def _arm(self, delay: float, *, exactly: bool = False) -> None:
        if self.server.now + delay < self._timer:
            self._timer = self.server.now + delay
            late = 0.0 if exactly else self.server.random.uniform(0, self.timer_lateness)
            self.server.later(delay + late, self._ring)

    def _ring(self) -> None:
        self._timer = math.inf
        self._pump()

    def _send(self, request: _Request) -> None:
        server = self.server
        self._busy_until = server.now + self.cpu
        request.accepted_before = self.pacer.accepted_count
        ticket = self.pacer.sent(server.now)
        self.result.sent.append(server.now)
        server.later(server.varied(server.latency / 2), lambda: self._arrive(request, ticket))

    def _arrive(self, request: _Request, ticket: Ticket) -> None:
        server = self.server
        verdict = (
            Verdict(False, 1, 0, 0.0, 1.0)
            if request.job == server.refused_job
            else server.limiter.acquire(server.now)
        )
        hints, back = server.said(verdict), server.varied(server.latency / 2)
        if not verdict.admitted:
            server.later(back, lambda: self._refuse(request, ticket, hints))
            return
        service = server.varied(server.service)
        server.later(service, lambda: server.limiter.release(server.now))
        server.later(service + back, lambda: self._accept(request, ticket, hints))

    def _accept(self, request: _Request, ticket: Ticket, hints: RateLimitHints) -> None:
        now = self.server.now
        self.pacer.accepted(ticket, now, hints)
        self.result.accepted.append(now)
        if request.follow_ups:
            self._queue.append(_Request(request.job, request.follow_ups - 1))
        else:
            self.result.done_at.append(now)
            self._begin_job()
        self._pump()

    def _refuse(self, request: _Request, ticket: Ticket, hints: RateLimitHints) -> None:
        now = self.server.now
        self.pacer.refused(ticket, now, hints)
        self.result.refused.append(now)
        request.refusals += 1
        self.result.most_refusals = max(self.result.most_refusals, request.refusals)
        others_accepted = self.pacer.accepted_count > request.accepted_before
        if hints.retry_after is None and not others_accepted:
            request.retries += 1
        if request.retries > self.max_retries:
            self.result.lost_jobs += 1
            self._begin_job()
        else:
            delay = refusal_delay(hints.retry_after, request.refusals, self.server.random.random())
            self.server.later(delay, lambda: self._ask_again(request))
        self._pump()

    def _ask_again(self, request: _Request) -> None:
        self._queue.append(request)
        self._pump()
