"""A client under several event loops, and with a sandbox in another thread."""

import asyncio
import contextlib
import gc
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from asyncckpt.testing import Sandbox

from support.leftovers import complaints
from support.listing import list_ids, served_ids
from support.programs import Ran, checked_program, run_program


@pytest.fixture
def far_sandbox() -> Iterator[Sandbox]:
    """A sandbox in a thread and an event loop of its own."""
    with Sandbox(jobs=1, checkpoints=50) as sandbox:
        yield sandbox


@pytest.mark.parametrize("kind", ["own", "lent", "traced"])
async def test_pages_are_prefetched_for_a_consumer_that_never_awaits(
    kind: str, far_sandbox: Sandbox
) -> None:
    job = far_sandbox.job_ids[0]

    def await_request_for(page: int) -> None:
        """Block the event loop until the server has received the request."""
        deadline = time.monotonic() + 30
        while not any(request.page == page for request in far_sandbox.requests):
            assert time.monotonic() < deadline, f"page {page} was not requested"
            time.sleep(0.001)

    async with contextlib.AsyncExitStack() as stack:
        options: dict[str, Any] = {}
        if kind == "lent":
            options["session"] = await stack.enter_async_context(aiohttp.ClientSession())
        if kind == "traced":
            options["trace_configs"] = [aiohttp.TraceConfig()]
        client = await stack.enter_async_context(far_sandbox.client(**options))
        number = 0
        async for _ in client.fine_tuning.jobs.checkpoints.list(job):
            page, place = divmod(number, 10)
            if place == 0 and page < 4:
                await_request_for(page + 2)
            number += 1
    assert number == 50


@pytest.mark.parametrize(
    "first",
    ["at rest", "in the middle", "with an open iteration", "with a task", "in the middle of many"],
)
@pytest.mark.parametrize("last", ["at rest", "closed"])
def test_one_client_in_one_loop_after_another(first: str, last: str) -> None:
    command = [*checked_program("one_client_in_two_loops.py"), first, last]
    assert run_program(command) == Ran(0, "", "")


@pytest.mark.parametrize("loops", [1, 2, 3])
def test_a_client_outlives_its_loops(loops: int, far_sandbox: Sandbox) -> None:
    client = far_sandbox.client()
    job = far_sandbox.job_ids[0]
    with complaints() as complained:
        for _ in range(loops):
            assert asyncio.run(list_ids(client, job)) == served_ids(far_sandbox, job)
        asyncio.run(client.aclose())
        gc.collect()
    assert complained == []
    assert far_sandbox.stats.connections == loops


async def test_two_loops_at_once_are_rejected(far_sandbox: Sandbox) -> None:
    job = far_sandbox.job_ids[0]
    async with far_sandbox.client() as client:
        await list_ids(client, job)

        def elsewhere() -> None:
            with pytest.raises(RuntimeError, match="another running event loop"):
                asyncio.run(list_ids(client, job))

        await asyncio.to_thread(elsewhere)
        assert len(await list_ids(client, job)) == 50
