"""Turns of the event loop, in place of seconds: they do not depend on how busy the machine is."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def turns(number: int) -> None:
    """Let the event loop run a number of times."""
    for _ in range(number):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Let the event loop run until the condition holds; fail if it does not within some seconds."""
    # The clock of the loop may be virtual, which stands still as long as something is ready.
    deadline = time.perf_counter() + seconds
    while not condition():
        assert time.perf_counter() < deadline, "the condition did not come true"
        await asyncio.sleep(0)


async def with_timeout_at(moment: Coroutine[Any, Any, None], work: Awaitable[T]) -> T:
    """Await `work` under a timeout that expires when `moment` returns."""
    async with asyncio.timeout(None) as timeout:

        async def expire() -> None:
            await moment
            timeout.reschedule(asyncio.get_running_loop().time())

        expiring = asyncio.create_task(expire())
        try:
            return await work
        finally:
            expiring.cancel()
            await asyncio.wait([expiring])
