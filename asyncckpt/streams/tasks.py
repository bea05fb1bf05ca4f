"""How the owner of a task, or of an iteration, ends it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Iterable


async def cancel_and_wait(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait until the last one is done.

    A caller that is cancelled while it waits goes on waiting, so that none is left behind, and is
    told afterwards.

    Raises:
        asyncio.CancelledError: The caller was cancelled.
    """
    running = _still_running(tasks)
    for task in running:
        task.cancel()
    cancelled: asyncio.CancelledError | None = None
    while running:
        try:
            # Unlike `await task`, this raises CancelledError for the caller's cancellation only.
            _, running = await asyncio.wait(running)
        except asyncio.CancelledError as error:
            cancelled = error
            running = _still_running(running)
    if cancelled is not None:
        raise cancelled


async def close_unless_running(iteration: AsyncGenerator[object, None]) -> None:
    """Close an iteration, unless another task is waiting in it right now.

    That one ends by itself, when what it waits for has been closed.
    """
    if inspect.isasyncgen(iteration) and not iteration.ag_running:
        await iteration.aclose()


def _still_running(tasks: Iterable[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    return {task for task in tasks if not task.done()}
