"""The gate: where requests wait for the turn that the pacer gives them."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from time import monotonic

from asyncckpt.protocol.hints import RateLimitHints
from asyncckpt.transport.pacer import Pacer, Ticket

__all__ = ["Gate"]


class Gate:
    """A queue in front of a `Pacer`: first come, first served.

    A refused request that asks again goes behind those that wait already. It makes no difference to
    the throughput, but the probes of a search are then spread over different requests instead of
    using up the attempts of one.

    For one event loop at a time. When it is used under another one, those who waited under the
    last, and what was in flight there, are forgotten; what was learnt is kept.

    Args:
        pacer: What decides; other parts may read its state.
    """

    def __init__(self, pacer: Pacer) -> None:
        self.pacer = pacer
        self._queue: OrderedDict[asyncio.Future[Ticket], None] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._loop: asyncio.AbstractEventLoop | None = None
        self._adopted_at = -math.inf

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return len(self._queue)

    async def enter(self) -> Ticket:
        """Wait for leave to send; hand the ticket to `accepted`, `refused` or `lost` afterwards."""
        ticket = self.enter_at_once()
        if ticket is not None:
            return ticket
        waiter: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()
        self._queue[waiter] = None
        self._admit(monotonic())
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self._queue.pop(waiter, None)
                self._admit(monotonic())
            else:
                self.lost(waiter.result())
            raise

    def enter_at_once(self) -> Ticket | None:
        """Leave to send without waiting; None if there is none at the moment."""
        self._enter_loop()
        now = monotonic()
        if self._queue or self.pacer.delay(now) > 0:
            return None
        return self.pacer.sent(now)

    def accepted(self, ticket: Ticket, hints: RateLimitHints | None = None) -> None:
        """Note any answer but 429."""
        if ticket >= self._adopted_at:
            now = monotonic()
            self.pacer.accepted(ticket, now, hints)
            self._admit(now)

    def refused(self, ticket: Ticket, hints: RateLimitHints | None = None) -> None:
        """Note an answer of 429."""
        if ticket >= self._adopted_at:
            now = monotonic()
            self.pacer.refused(ticket, now, hints)
            self._admit(now)

    def lost(self, ticket: Ticket) -> None:
        """Note that no answer came, or that nothing was sent after all."""
        if ticket >= self._adopted_at:
            now = monotonic()
            self.pacer.lost(ticket, now)
            self._admit(now)

    def _enter_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            return
        self._disarm()
        self._queue.clear()
        if self._loop is not None:
            self.pacer.forget_in_flight()
        self._loop = loop
        self._adopted_at = monotonic()

    def _admit(self, now: float) -> None:
        """Let in whose turn has come, and see that somebody looks again for the others."""
        while self._queue:
            delay = self.pacer.delay(now)
            if delay > 0:
                self._arm(now + delay)
                return
            waiter, _ = self._queue.popitem(last=False)
            if not waiter.done():
                waiter.set_result(self.pacer.sent(now))
        self._disarm()

    def _arm(self, when: float) -> None:
        # A timer that is early looks again; re-arming at every answer would cost more.
        if when < self._timer_at:
            self._disarm()
            if when < math.inf and self._loop is not None:
                self._timer_at = when
                self._timer = self._loop.call_later(when - monotonic(), self._ring)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, math.inf

    def _ring(self) -> None:
        self._timer, self._timer_at = None, math.inf
        self._admit(monotonic())
