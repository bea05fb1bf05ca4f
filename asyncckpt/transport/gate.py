"""Holds requests back until the pacer lets them be sent."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import OrderedDict
from time import monotonic
from typing import TYPE_CHECKING, Final

from asyncckpt.protocol.hints import RateLimitHints
from asyncckpt.transport.pacer import Pacer, Ticket

if TYPE_CHECKING:
    from asyncckpt.hooks import Hooks

__all__ = ["Gate"]

_log: Final = logging.getLogger("asyncckpt")

_LOGGED_PAUSE: Final = 1.0
"""Seconds: shorter pauses of the client are part of finding its pace, and are not logged."""
_NOTED_CHANGE: Final = 0.1
"""The least change of the limit or the pace that is logged or reported, as a share."""


class Gate:
    """A queue in front of a `Pacer`: first come, first served.

    A request that was refused enters again behind those that wait. That makes no difference to the
    throughput, but the probes of a closed server are then different requests, instead of one that
    uses up its attempts.

    Changes of the limit and pauses of the whole client are logged at INFO.

    For one event loop at a time. When it is used under another one, it forgets what waited under
    the last and what was in flight there, and keeps what was learned.

    Args:
        pacer: Decides; others may read its state.
        hooks: Receive changes of pace; None for no hooks.
    """

    def __init__(self, pacer: Pacer, hooks: Hooks | None = None) -> None:
        self.pacer = pacer
        self._hooks = hooks
        self._reported_pace = pacer.rate
        self._queue: OrderedDict[asyncio.Future[Ticket], None] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._loop: asyncio.AbstractEventLoop | None = None
        self._adopted_at = -math.inf
        self._seen_limit: float | None = None
        self._logged_limit = math.inf

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return len(self._queue)

    def is_pausing(self) -> bool:
        """Return whether all requests wait for the server, rather than for the next slot."""
        return self.pacer.is_pausing(monotonic())

    async def enter(self) -> Ticket:
        """Wait for the turn to send; pass the ticket to `accepted`, `refused` or `lost` later."""
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
        """Return a ticket if the request may be sent now; None if it has to wait."""
        self._enter_loop()
        now = monotonic()
        if self._queue or self.pacer.delay(now) > 0:
            return None
        return self.pacer.sent(now)

    def accepted(self, ticket: Ticket, hints: RateLimitHints | None = None) -> None:
        """Note a response other than 429."""
        if ticket >= self._adopted_at:
            now = monotonic()
            self.pacer.accepted(ticket, now, hints)
            if self.pacer.limit != self._seen_limit:
                self._log_limit()
            if self._hooks is not None:
                self._report_pace(self._hooks)
            self._admit(now)

    def refused(self, ticket: Ticket, hints: RateLimitHints | None = None) -> None:
        """Note a response of 429."""
        if ticket >= self._adopted_at:
            now = monotonic()
            self.pacer.refused(ticket, now, hints)
            if self._hooks is not None:
                self._report_pace(self._hooks)
            self._admit(now)

    def lost(self, ticket: Ticket) -> None:
        """Note that no response came, or that nothing was sent after all."""
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
        """Let in the requests whose turn has come, and set the timer for the others."""
        while self._queue:
            delay = self.pacer.delay(now)
            if delay > 0:
                self._arm(now + delay, now)
                return
            waiter, _ = self._queue.popitem(last=False)
            if not waiter.done():
                waiter.set_result(self.pacer.sent(now))
        self._disarm()

    def _arm(self, when: float, now: float) -> None:
        # A timer that is too early looks again; setting it anew at every response would cost more.
        if when < self._timer_at:
            self._disarm()
            if when < math.inf and self._loop is not None:
                if when - now >= _LOGGED_PAUSE and self.pacer.is_pausing(now):
                    _log.info("rate limit: pausing for %.1f s", when - now)
                self._timer_at = when
                self._timer = self._loop.call_later(when - monotonic(), self._ring)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, math.inf

    def _ring(self) -> None:
        self._timer, self._timer_at = None, math.inf
        self._admit(monotonic())

    def _log_limit(self) -> None:
        self._seen_limit = limit = self.pacer.limit
        if limit is not None and abs(limit - self._logged_limit) > _NOTED_CHANGE * limit:
            self._logged_limit = limit
            _log.info("rate limit: sending at most %.3g requests/s", limit)

    def _report_pace(self, hooks: Hooks) -> None:
        before, after = self._reported_pace, 0.0 if self.pacer.is_closed else self.pacer.rate
        if not before or not after:
            has_changed = after != before
        else:
            has_changed = abs(after - before) > _NOTED_CHANGE * before
        if has_changed:
            from asyncckpt.hooks import PaceChanged

            self._reported_pace = after
            hooks.emit(PaceChanged(before=before, after=after))
