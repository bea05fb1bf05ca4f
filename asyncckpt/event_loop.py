"""What every request asks of its event loop: whether it still is the same, and to end in time.

asyncio's own answers are `asyncio.get_running_loop` and `asyncio.timeout`. Before Python 3.12 the
first makes a system call each time, and the second asks it three times and sets a timer: together a
tenth of what a request for a small page costs.
"""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType

__all__ = ["Deadlines", "HomeLoop"]


class HomeLoop:
    """The event loop that something belongs to.

    Args:
        loop: The running event loop.

    Attributes:
        loop: The same.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._thread = threading.get_ident()

    def is_running_here(self) -> bool:
        """Whether it is the loop that runs the caller."""
        # A thread runs one loop at a time; which thread it is takes no system call.
        if self.loop.is_running() and threading.get_ident() == self._thread:
            return True
        try:
            is_here = asyncio.get_running_loop() is self.loop
        except RuntimeError:
            return False
        if is_here:
            self._thread = threading.get_ident()
        return is_here


class Deadlines:
    """`asyncio.timeout` for many waits that hardly ever take too long, with one timer for all.

    Args:
        loop: The event loop that they wait in.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._pending: set[_Deadline] = set()
        self._timer: asyncio.TimerHandle | None = None

    def within(self, seconds: float | None) -> _Deadline:
        """A block that is cancelled, and raises TimeoutError, if it takes longer; None: never."""
        return _Deadline(self, seconds)

    def close(self) -> None:
        """Leave no timer behind; deadlines that are pending do not come."""
        self._pending.clear()
        self._set_timer(None)

    def add(self, deadline: _Deadline) -> None:
        """For deadlines: a block began."""
        self._pending.add(deadline)
        if self._timer is None or deadline.when < self._timer.when():
            self._set_timer(deadline.when)

    def discard(self, deadline: _Deadline) -> None:
        """For deadlines: the block has ended."""
        self._pending.discard(deadline)

    def _ring(self) -> None:
        now = self.loop.time()
        for deadline in [deadline for deadline in self._pending if deadline.when <= now]:
            self._pending.discard(deadline)
            deadline.expire()
        self._set_timer(min((deadline.when for deadline in self._pending), default=None))

    def _set_timer(self, when: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if when is None else self.loop.call_at(when, self._ring)


class _Deadline:
    """One block; it treats cancellation as `asyncio.timeout` does."""

    __slots__ = ("_deadlines", "_had_cancel_requests", "_has_expired", "_seconds", "_task", "when")

    def __init__(self, deadlines: Deadlines, seconds: float | None) -> None:
        self._deadlines = deadlines
        self._seconds = seconds
        self._has_expired = False

    def __enter__(self) -> None:
        if self._seconds is None:
            return
        loop = self._deadlines.loop
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a deadline needs a task that it can cancel")
        self._task = task
        self._had_cancel_requests = task.cancelling()
        self.when = loop.time() + self._seconds
        self._deadlines.add(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._seconds is None:
            return
        self._deadlines.discard(self)
        if (
            self._has_expired
            and self._task.uncancel() <= self._had_cancel_requests
            and isinstance(error, asyncio.CancelledError)
        ):
            raise TimeoutError from error

    def expire(self) -> None:
        """The time is over."""
        self._has_expired = True
        self._task.cancel()
