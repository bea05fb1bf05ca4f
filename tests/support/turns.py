"""Turns of the event loop, in place of seconds: they do not depend on how busy the machine is."""

import asyncio
from collections.abc import Callable


async def turns(number: int) -> None:
    """Let the event loop run a number of times."""
    for _ in range(number):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    """Let the event loop run until the condition holds; raise if it never does."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)
