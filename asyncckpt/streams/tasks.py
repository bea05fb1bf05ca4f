"""Ends tasks: cancels them and waits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable


async def cancel_and_wait(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait until the last one is done.

    A caller that is cancelled while it waits keeps waiting, so that no task is left behind, and
    gets its CancelledError afterwards. A task that cancels itself this way does not wait for
    itself.

    Raises:
        asyncio.CancelledError: The caller was cancelled.
    """
    running = _still_running(tasks)
    for task in running:
        task.cancel()
    running -= {asyncio.current_task()}
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


def _still_running(tasks: Iterable[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    return {task for task in tasks if not task.done()}
