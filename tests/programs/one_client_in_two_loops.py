"""Use one client in two event loops, one after the other; print nothing if all is well.

Arguments: how the first loop leaves the client, and how the second one does.
"""

import asyncio
import logging
import socket
import sys
from collections.abc import Awaitable, Callable

from asyncckpt import AsyncClient
from asyncckpt.testing import Sandbox

from support.leftovers import is_not_about_speed

SILENT = socket.create_server(("127.0.0.1", 0))
"""Connections to it are made, and no response arrives."""
KEPT: list[object] = []
TASKS: list[asyncio.Task[object]] = []


async def at_rest(client: AsyncClient, sandbox: Sandbox) -> None:
    pass


async def in_the_middle(client: AsyncClient, sandbox: Sandbox) -> None:
    async for _ in client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[1]):
        break


async def with_an_open_iteration(client: AsyncClient, sandbox: Sandbox) -> None:
    records = aiter(client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[1]))
    KEPT.append(records)
    await anext(records)


async def with_a_task(client: AsyncClient, sandbox: Sandbox) -> None:
    there = client.with_options(base_url=f"http://127.0.0.1:{SILENT.getsockname()[1]}")
    retrieve = there.fine_tuning.jobs.retrieve
    TASKS.append(asyncio.create_task(retrieve("ftjob-x")))
    for _ in range(100):
        await asyncio.sleep(0)


async def in_the_middle_of_many(client: AsyncClient, sandbox: Sandbox) -> None:
    async for _ in client.fine_tuning.jobs.checkpoints.list_many(sandbox.job_ids):
        break


async def closed(client: AsyncClient, sandbox: Sandbox) -> None:
    await client.aclose()


WAYS: dict[str, Callable[[AsyncClient, Sandbox], Awaitable[None]]] = {
    "at rest": at_rest,
    "in the middle": in_the_middle,
    "with an open iteration": with_an_open_iteration,
    "with a task": with_a_task,
    "in the middle of many": in_the_middle_of_many,
    "closed": closed,
}


async def use(client: AsyncClient, sandbox: Sandbox, way: str) -> None:
    records = client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0])
    assert len([record.id async for record in records]) == 30
    await WAYS[way](client, sandbox)


logging.getLogger("asyncio").addFilter(is_not_about_speed)
with SILENT, Sandbox(jobs=2, checkpoints=30, statuses=["succeeded"]) as box:
    shared = box.client(max_retries=0)
    for leaving in sys.argv[1:]:
        asyncio.run(use(shared, box, leaving))
    assert all(task.cancelled() for task in TASKS)
