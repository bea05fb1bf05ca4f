"""Handles Ctrl-C while an event loop runs: the first cancels the work, the second exits at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from types import FrameType

from asyncckpt.cli import exit_at_once

__all__ = ["run_until_interrupted"]


def run_until_interrupted(main: Callable[[], Coroutine[object, object, None]]) -> None:
    """Run a coroutine in an event loop; Ctrl-C cancels it, and a second Ctrl-C ends the process.

    `asyncio.run` also cancels on Ctrl-C, but only if the SIGINT handler is Python's default, which
    `asyncckpt.cli.main` has replaced.

    Args:
        main: Returns the coroutine.

    Raises:
        KeyboardInterrupt: Ctrl-C has cancelled the coroutine.
        BaseException: Any exception of the coroutine.
    """
    if signal.getsignal(signal.SIGINT) is not exit_at_once:
        asyncio.run(main())
        return
    is_interrupted = False

    async def cancellable() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def cancel(signum: int, frame: FrameType | None) -> None:
            nonlocal is_interrupted
            is_interrupted = True
            signal.signal(signal.SIGINT, exit_at_once)
            loop.call_soon_threadsafe(task.cancel)

        signal.signal(signal.SIGINT, cancel)
        try:
            await main()
        finally:
            signal.signal(signal.SIGINT, exit_at_once)

    try:
        asyncio.run(cancellable())
    except asyncio.CancelledError:
        if not is_interrupted:
            raise
    if is_interrupted:
        raise KeyboardInterrupt
