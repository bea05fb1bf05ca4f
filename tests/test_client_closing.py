"""Closing a client, also while its requests are in progress."""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from asyncckpt import (
    AsyncClient,
)
from asyncckpt.protocol import retries
from asyncckpt.testing import Sandbox, faults

from support.listing import list_ids, served_ids
from support.turns import until


async def test_closing_one_closes_both(sandbox: Sandbox, leaks: None) -> None:
    client = sandbox.client()
    other = client.with_options(max_retries=1)
    await other.aclose()
    assert client.is_closed
    with pytest.raises(RuntimeError, match="closed"):
        await list_ids(client, sandbox.job_ids[0])


async def test_nothing_works_after_aclose(sandbox: Sandbox, leaks: None) -> None:
    client = sandbox.client()
    job = sandbox.job_ids[0]
    checkpoints = client.fine_tuning.jobs.checkpoints
    page = await checkpoints.list(job)
    pager = checkpoints.list(job)
    assert not client.is_closed
    await client.aclose()
    await client.aclose()
    await client.close()
    assert client.is_closed
    assert "closed" in repr(client)
    for use in (
        lambda: list_ids(client, job),
        lambda: pager.__aiter__().__anext__(),
        lambda: checkpoints.list(job)._first_page(),
        lambda: aiter(checkpoints.list_many([job])).__anext__(),
        lambda: client.fine_tuning.jobs.retrieve(job),
        page.get_next_page,
        lambda: list_ids(client.with_options(max_retries=1), job),
    ):
        with pytest.raises(RuntimeError, match="this client is closed"):
            await use()
    assert sandbox.stats.requests == 1


async def test_an_unused_client_can_be_closed(leaks: None) -> None:
    await AsyncClient(api_key="sk-1").aclose()
    async with AsyncClient(api_key="sk-1"):
        pass


class Trouble:
    """Ways for requests to be under way for ever, and how to know that they are."""

    def __init__(self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sandbox = sandbox
        self.monkeypatch = monkeypatch
        self.pauses = 0
        self.asked = 0
        self.options: dict[str, Any] = {}

    def on_the_wire(self) -> Callable[[], bool]:
        self.sandbox.inject(faults.Hang(), times=None)
        return lambda: self.sandbox.stats.in_flight == 5

    def in_the_body(self) -> Callable[[], bool]:
        self.sandbox.inject(faults.Hang("body"), times=None)
        return lambda: self.sandbox.stats.answers[200] == 5

    def between_retries(self) -> Callable[[], bool]:
        def pause(retries: int, fraction: float) -> float:
            self.pauses += 1
            return 60.0

        self.sandbox.inject(faults.Status(500), times=None)
        self.monkeypatch.setattr(retries, "backoff", pause)
        return lambda: self.pauses == 5

    def at_the_gate(self) -> Callable[[], bool]:
        self.options["max_requests_per_second"] = 0.01
        self.sandbox.inject(faults.Hang(), times=None)
        return lambda: self.sandbox.stats.in_flight == 1

    def for_a_connection(self) -> Callable[[], bool]:
        self.options["connection_limit"] = 2
        self.sandbox.inject(faults.Hang(), times=None)
        return lambda: self.sandbox.stats.in_flight == 2

    def for_a_key(self) -> Callable[[], bool]:
        async def key() -> str:
            self.asked += 1
            return await asyncio.get_running_loop().create_future()

        self.options["api_key"] = key
        return lambda: self.asked == 1

    def for_a_connect(self) -> Callable[[], bool]:
        # Where `trace_configs` are, all that a connection takes is known.
        begun = 0

        async def on_begin(*_: Any) -> None:
            nonlocal begun
            begun += 1
            await asyncio.get_running_loop().create_future()

        config = aiohttp.TraceConfig()
        config.on_connection_create_start.append(on_begin)
        self.options["trace_configs"] = [config]
        return lambda: begun == 5


TROUBLES = [name for name in vars(Trouble) if not name.startswith("_")]


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_aclose_ends_requests_in_progress(
    trouble: str, sandbox: Sandbox, leaks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    troubles = Trouble(sandbox, monkeypatch)
    is_under_way = getattr(troubles, trouble)()
    client = sandbox.client(**troubles.options)
    lists = [asyncio.create_task(list_ids(client, job)) for job in sandbox.job_ids[:5]]
    await until(is_under_way)
    async with asyncio.timeout(30):
        await client.aclose()
    # Nothing is sent any more, whatever was about to be.
    requests = sandbox.stats.requests
    ended = await asyncio.gather(*lists, return_exceptions=True)
    assert [type(error) for error in ended] == [RuntimeError] * 5
    assert all("this client is closed" in str(error) for error in ended)
    assert sandbox.stats.requests == requests


async def test_a_list_in_use_ends_when_the_client_is_closed(sandbox: Sandbox, leaks: None) -> None:
    sandbox.inject(faults.Hang(), page=2)
    seen: list[str] = []

    async def close_in_the_middle() -> None:
        async for checkpoint in client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0]):
            seen.append(checkpoint.id)
            if len(seen) == 5:
                await client.aclose()

    client = sandbox.client()
    with pytest.raises(RuntimeError, match="this client is closed"):
        await close_in_the_middle()
    # What was there already is handed out.
    assert seen == served_ids(sandbox, sandbox.job_ids[0])[:10]


async def test_a_cancelled_task_stays_cancelled_when_the_client_is_closed(
    sandbox: Sandbox, leaks: None
) -> None:
    sandbox.inject(faults.Hang(), times=None)
    client = sandbox.client()
    listing = asyncio.create_task(list_ids(client, sandbox.job_ids[0]))
    await until(lambda: sandbox.stats.in_flight == 1)
    listing.cancel()
    await client.aclose()
    with pytest.raises(asyncio.CancelledError):
        await listing


async def test_a_task_can_close_the_client_that_it_waits_for(sandbox: Sandbox, leaks: None) -> None:
    async def key() -> str:
        await client.aclose()
        return sandbox.api_key

    client = sandbox.client(api_key=key)
    async with asyncio.timeout(30):
        with pytest.raises(RuntimeError, match="this client is closed"):
            await list_ids(client, sandbox.job_ids[0])
