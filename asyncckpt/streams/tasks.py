"""Cancels tasks and waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable


async def cancel_and_wait(tasks: Iterable[asyncio.Task[object]]) -> None:
    """Cancel tasks, and wait until all of them are done.

    If the caller is cancelled meanwhile, it still waits for all tasks, and then raises
    CancelledError. If the caller is one of the tasks, it does not wait for itself.

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
            # Unlike `await task`, this raises CancelledError only if the caller is cancelled.
            _, running = await asyncio.wait(running)
        except asyncio.CancelledError as error:
            cancelled = error
            running = _still_running(running)
    if cancelled is not None:
        raise cancelled


def _still_running(tasks: Iterable[asyncio.Task[object]]) -> set[asyncio.Task[object]]:
    return {task for task in tasks if not task.done()}
