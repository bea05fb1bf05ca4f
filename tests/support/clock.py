"""Event loops with a virtual clock: hours pass in milliseconds, and nothing ever waits."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from unittest import mock

from support.leftovers import nothing_left

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Advances the clock where a real selector would wait."""

    now = 1_000.0

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0)
        if events or not timeout:
            return events if timeout is not None else super().select(None)
        self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is virtual."""

    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run(main: Coroutine[Any, Any, T], *, monotonic: tuple[str, ...] = ()) -> T:
    """Run a coroutine under a virtual clock.

    Args:
        main: The coroutine.
        monotonic: Names that are bound to `time.monotonic`, such as
            ``"asyncckpt.transport.gate.monotonic"``.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        now: Callable[[], float] = runner.get_loop().time
        patches = [mock.patch.object(time, "monotonic", now)]
        patches += [mock.patch(name, now) for name in monotonic]
        for patch in patches:
            patch.start()
        try:
            return runner.run(main)
        finally:
            for patch in patches:
                patch.stop()


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test under a virtual clock, and fail if it leaves anything behind."""

    def wrapper(*arguments: Any) -> None:
        async def checked() -> None:
            async with nothing_left():
                await test(*arguments)

        run(checked())

    wrapper.__name__, wrapper.__doc__ = test.__name__, test.__doc__
    return wrapper
