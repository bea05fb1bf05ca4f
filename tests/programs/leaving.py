"""Leaves streams early, in one way and often; raises if anything is left behind.

Run as a program: the way to leave, and how often. It prints nothing.
"""

import asyncio
import contextlib
import gc
import logging
import random
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from asyncckpt import AsyncClient, CheckpointWatch, FanIn, FineTuningJobCheckpoint, Pager
from asyncckpt.testing import Sandbox

from support.leftovers import at_rest, is_not_about_speed, strays

RECORDS = 60
PAGE = 10
KINDS = ("list", "many", "ordered", "watch")
USUAL: dict[str, float] = {}
"""Seconds that it usually takes to read a stream to its end."""
KEPT: list[Any] = []

Stream = Pager[FineTuningJobCheckpoint] | FanIn[FineTuningJobCheckpoint] | CheckpointWatch


def stream_of(client: AsyncClient, sandbox: Sandbox, kind: str) -> Stream:
    checkpoints = client.fine_tuning.jobs.checkpoints
    if kind == "list":
        return checkpoints.list(sandbox.job_ids[0], limit=PAGE, prefetch=2)
    if kind == "watch":
        return checkpoints.watch(sandbox.job_ids)
    return checkpoints.list_many(
        sandbox.job_ids, concurrency=3, limit=PAGE, ordered=kind == "ordered"
    )


async def read(stream: Stream, count: int = -1, *, in_block: bool = False) -> None:
    """Read `count` records, or all of them."""
    async with stream if in_block else contextlib.nullcontext():
        async for _ in stream:
            count -= 1
            if count == 0:
                break


async def by_break(stream: Stream, draw: random.Random, usual: float) -> bool:
    in_block = draw.random() < 0.5
    await read(stream, draw.randint(1, RECORDS - 1), in_block=in_block)
    return in_block


async def by_exception(stream: Stream, draw: random.Random, usual: float) -> bool:
    in_block = draw.random() < 0.5
    count = draw.randint(1, RECORDS - 1)

    async def fail() -> None:
        nonlocal count
        async with stream if in_block else contextlib.nullcontext():
            async for _ in stream:
                count -= 1
                if count == 0:
                    raise KeyError("mine")

    try:
        await fail()
    except KeyError:
        return in_block
    raise AssertionError("the exception was swallowed")


async def by_cancellation(stream: Stream, draw: random.Random, usual: float) -> bool:
    reading = asyncio.create_task(read(stream))
    asyncio.get_running_loop().call_later(draw.uniform(0, usual), reading.cancel)
    await asyncio.wait([reading])
    assert reading.cancelled() or reading.exception() is None
    return True


async def by_timeout(stream: Stream, draw: random.Random, usual: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(draw.uniform(0, usual)):
            await read(stream)
    return True


async def by_dropping(stream: Stream, draw: random.Random, usual: float) -> bool:
    iteration = aiter(stream)
    for _ in range(draw.randint(0, RECORDS - 1)):
        await anext(iteration)
    del iteration
    return False


async def by_closing(stream: Stream, draw: random.Random, usual: float) -> bool:
    return await closed_by(stream.aclose, stream, draw.uniform(0, usual))


async def closed_by(close: Callable[[], Awaitable[None]], stream: Stream, seconds: float) -> bool:
    reading = asyncio.create_task(read(stream))
    await asyncio.sleep(seconds)
    await close()
    await asyncio.wait([reading])
    error = reading.exception()
    assert error is None or (isinstance(error, RuntimeError) and "closed" in str(error)), error
    return True


async def by_leaking(stream: Stream, draw: random.Random, usual: float) -> bool:
    """Leave something behind, which must be noticed."""
    iteration = aiter(stream)
    await anext(iteration)
    KEPT.extend([iteration, asyncio.create_task(asyncio.Event().wait())])
    return False


WAYS: dict[str, Callable[[Stream, random.Random, float], Awaitable[bool]]] = {
    "break": by_break,
    "exception": by_exception,
    "cancellation": by_cancellation,
    "timeout": by_timeout,
    "dropping": by_dropping,
    "closing": by_closing,
    "leaking": by_leaking,
}
"""Each returns whether everything is cleaned up at once; otherwise that may take a few turns."""


async def leave_once(
    way: str, kind: str, client: AsyncClient, sandbox: Sandbox, draw: random.Random
) -> bool:
    if way != "closing the client":
        return await WAYS[way](stream_of(client, sandbox, kind), draw, USUAL[kind])
    own = sandbox.client()
    return await closed_by(own.aclose, stream_of(own, sandbox, kind), draw.uniform(0, USUAL[kind]))


async def leave(way: str, times: int) -> None:
    draw = random.Random(way)
    loop = asyncio.get_running_loop()
    async with Sandbox(
        jobs=3, checkpoints=RECORDS, statuses=("succeeded",), latency=(0.0, 0.004)
    ) as sandbox:
        async with sandbox.client(connection_limit=8) as client:
            for kind in KINDS:
                began = loop.time()
                await read(stream_of(client, sandbox, kind))
                USUAL[kind] = loop.time() - began
            for number in range(times):
                kind = KINDS[number % len(KINDS)]
                if await leave_once(way, kind, client, sandbox, draw):
                    assert not strays(), f"{way} of {kind}: left {strays()}"
                await at_rest(sandbox, connections=False, seconds=0.2 if way == "leaking" else 30)
                assert sandbox.stats.connections_open <= 8
            # The client still works.
            seen = 0
            async for _ in client.fine_tuning.jobs.checkpoints.list_many(sandbox.job_ids):
                seen += 1
            assert seen == sum(len(sandbox.checkpoints_of(job)) for job in sandbox.job_ids)
        await at_rest(sandbox)
    gc.collect()


if __name__ == "__main__":
    logging.getLogger("asyncio").addFilter(is_not_about_speed)
    asyncio.run(leave(sys.argv[1], int(sys.argv[2])))
    gc.collect()
