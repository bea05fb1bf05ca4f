"""What is left when everything should have ended: tasks, connections, and complaints of asyncio."""

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from asyncckpt.testing import Sandbox

from support.turns import turns, until


def belongs_to_sandbox(task: asyncio.Task[Any]) -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and (
        Path(code.co_filename).match("aiohttp/web_*.py")
        or code.co_name == "_accept_connection2"  # asyncio's own, of a server
    )


def strays(before: Collection[asyncio.Task[Any]] = ()) -> list[asyncio.Task[Any]]:
    """All tasks but the current one, those of a sandbox, and those that ran before."""
    return [
        task
        for task in asyncio.all_tasks()
        if task is not asyncio.current_task()
        and task not in before
        and not belongs_to_sandbox(task)
    ]


async def at_rest(sandbox: Sandbox, *, connections: bool = True, seconds: float = 30) -> None:
    """Wait until no task and no request is left, nor a connection unless that may stay open.

    A sandbox learns of a closed socket some turns of the event loop later.
    """
    stats = sandbox.stats

    def is_busy() -> object:
        return strays() or stats.in_flight or (connections and stats.connections_open)

    try:
        await until(lambda: not is_busy(), seconds)
    except AssertionError:
        raise AssertionError(f"left: {strays()} {stats}") from None


class _Complaints(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def is_not_about_speed(record: logging.LogRecord) -> bool:
    """A filter for what asyncio logs in its debug mode when the machine is busy."""
    return not record.msg.startswith("Executing %s took")


@contextlib.contextmanager
def complaints() -> Iterator[list[str]]:
    """Collect what asyncio logs, such as "Task exception was never retrieved"."""
    handler = _Complaints()
    handler.addFilter(is_not_about_speed)
    logger = logging.getLogger("asyncio")
    logger.addHandler(handler)
    try:
        yield handler.messages
    finally:
        logger.removeHandler(handler)


@contextlib.asynccontextmanager
async def nothing_left() -> AsyncGenerator[None, None]:
    """Fail if the block leaves a task behind, or something that asyncio logs."""
    before = asyncio.all_tasks()
    with complaints() as complained:
        yield
        # asyncio closes an iteration that was dropped in a task of its own.
        await turns(5)
        left = strays(before)
        assert not left, f"tasks left running: {left}"
        gc.collect(1)
        await asyncio.sleep(0)
    assert not complained


def end_a_loop_with_open(generator: Callable[[], AsyncIterator[object]]) -> None:
    """End an event loop while some async generators are open; fail if asyncio logs anything.

    `asyncio.run` closes all of them at the same time.
    """
    kept: list[AsyncIterator[object]] = []

    async def main() -> None:
        for _ in range(5):
            kept.append(generator())
            await anext(kept[-1])

    with complaints() as complained:
        asyncio.run(main())
        kept.clear()
        gc.collect()
    assert complained == []
