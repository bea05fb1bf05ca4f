"""The session manager: leases, closing, event loops that end."""

from __future__ import annotations

import asyncio
import contextlib
import math
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from asyncckpt import AsyncClient
from asyncckpt.testing import Sandbox, faults
from asyncckpt.transport.session import SessionManager, check_session

from support.turns import turns, until


def manager(session: aiohttp.ClientSession | None = None) -> SessionManager:
    return SessionManager(
        session=session, connection_limit=7, ssl=True, trust_env=False, trace_configs=[]
    )


async def nothing() -> None:
    pass


async def begun(
    session: SessionManager, clean_up: Callable[[], Awaitable[None]] = nothing
) -> asyncio.Task[None]:
    """A task that leases the session until it is cancelled."""
    is_leased = asyncio.Event()

    async def use() -> None:
        async with session.lease():
            is_leased.set()
            try:
                await asyncio.Event().wait()
            finally:
                await clean_up()

    task = asyncio.create_task(use())
    await is_leased.wait()
    return task


async def test_a_lease_gives_the_same_exchange_each_time(leaks: None) -> None:
    session = manager()
    async with session.lease() as first, session.lease() as second:
        assert first is second
    await session.aclose()
    assert session.is_closed


async def test_a_closed_session_leases_nothing(leaks: None) -> None:
    session = manager()
    await session.aclose()
    with pytest.raises(RuntimeError, match="this client is closed"):
        async with session.lease():
            pass


async def test_closing_cancels_what_a_lease_awaits(leaks: None) -> None:
    session = manager()
    task = await begun(session)
    await session.aclose()
    with pytest.raises(RuntimeError, match="this client is closed"):
        await task
    assert not task.cancelling()


async def test_a_failure_while_it_closes_comes_before_the_closing(leaks: None) -> None:
    async def clean_up() -> None:
        raise LookupError("could not clean up")

    session = manager()
    task = await begun(session, clean_up)
    await session.aclose()
    with pytest.raises(LookupError, match="clean up"):
        await task


async def test_closing_waits_until_the_leases_have_ended(leaks: None) -> None:
    cleaned_up: list[bool] = []

    async def clean_up() -> None:
        await turns(10)
        cleaned_up.append(True)

    session = manager()
    task = await begun(session, clean_up)
    await session.aclose()
    assert cleaned_up == [True]
    with pytest.raises(RuntimeError, match="this client is closed"):
        await task


async def test_a_cancellation_by_the_caller_stays_one(leaks: None) -> None:
    session = manager()
    task = await begun(session)
    task.cancel()
    await session.aclose()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_closing_leaves_nothing_for_the_event_loop_to_finish(leaks: None) -> None:
    session = manager()
    async with session.lease():
        pass
    before = asyncio.all_tasks()
    await session.aclose()
    # A generator that is dropped unfinished is closed by a task of the loop.
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_a_task_can_close_the_session_that_it_uses(leaks: None) -> None:
    session = manager()
    async with session.lease():
        await session.aclose()
    assert session.is_closed


async def test_closing_twice_at_once_is_harmless(leaks: None) -> None:
    session = manager()
    async with session.lease():
        pass
    await asyncio.gather(session.aclose(), session.aclose())


async def test_closing_with_a_lent_session_ends_the_requests_and_keeps_the_session(
    sandbox: Sandbox, leaks: None
) -> None:
    sandbox.inject(faults.Hang(), times=None)
    async with aiohttp.ClientSession() as lent:
        client = sandbox.client(session=lent)
        listing = [
            asyncio.ensure_future(client.fine_tuning.jobs.retrieve(job))
            for job in sandbox.job_ids[:3]
        ]
        await until(lambda: sandbox.stats.in_flight == 3)
        await client.aclose()
        for task in listing:
            with pytest.raises(RuntimeError, match="this client is closed"):
                await task
        assert not lent.closed


async def test_an_own_session_has_the_limit_and_keeps_no_cookies(leaks: None) -> None:
    async with Sandbox(jobs=1, host="localhost") as box:
        box.inject(faults.Status(500, headers={"Set-Cookie": "visit=1"}))
        async with box.client(trust_env=True, max_retries=1) as client:
            await client.fine_tuning.jobs.list()
        assert [request.headers.get("cookie") for request in box.requests] == [None, None]
    session = manager()
    connector = (await session.enter_loop()).session.connector
    assert connector is not None
    assert connector.limit == 7
    await session.aclose()


async def test_the_connection_limit_is_that_of_the_connector(leaks: None) -> None:
    assert manager().connection_limit == 7
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=3)) as small,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as unlimited,
    ):
        assert manager(small).connection_limit == 3
        assert manager(unlimited).connection_limit == math.inf
        client = AsyncClient(api_key="sk-sandbox", session=small)
        assert client._endpoint.account.gate.pacer.delay(0.0) == 0.0
        for _ in range(3):
            client._endpoint.account.gate.pacer.sent(0.0)
        assert client._endpoint.account.gate.pacer.delay(0.0) == math.inf


class TestLoopsThatEnd:
    """Nothing is logged, and nothing stays open, when a loop ends while a client is open."""

    def logged(self, main: Any) -> list[dict[str, Any]]:
        contexts: list[dict[str, Any]] = []

        async def watched() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, it: contexts.append(it))
            await main()

        asyncio.run(watched())
        return contexts

    @pytest.mark.parametrize("clients", [1, 3])
    def test_inside_an_async_generator(self, clients: int) -> None:
        async def lifespan(sandbox: Sandbox) -> AsyncIterator[AsyncClient]:
            async with contextlib.AsyncExitStack() as stack:
                for _ in range(clients):
                    client = await stack.enter_async_context(sandbox.client())
                    await client.fine_tuning.jobs.list()
                    yield client

        async def main() -> None:
            async with Sandbox() as sandbox:
                kept = [lifespan(sandbox) for _ in range(4)]
                for generator in kept:
                    for _ in range(clients):
                        await anext(generator)
                # The loop closes them all at the same time.
                asyncio.get_running_loop().kept = kept  # type: ignore[attr-defined]

        assert self.logged(main) == []

    def test_with_a_client_that_nobody_closes(self) -> None:
        async def main() -> None:
            async with Sandbox() as sandbox:
                client = sandbox.client()
                await client.fine_tuning.jobs.list()
                asyncio.get_running_loop().kept = client  # type: ignore[attr-defined]

        assert self.logged(main) == []

    @pytest.mark.parametrize("created", ["before", "after"])
    def test_whichever_generator_the_loop_closes_first(self, created: str) -> None:
        async def main() -> None:
            async with Sandbox() as sandbox:
                client = sandbox.client()

                async def closing() -> AsyncIterator[None]:
                    try:
                        yield
                    finally:
                        await client.aclose()

                generator = closing()
                if created == "before":
                    await anext(generator)
                await client.fine_tuning.jobs.list()
                if created == "after":
                    await anext(generator)
                asyncio.get_running_loop().kept = [client, generator]  # type: ignore[attr-defined]

        assert self.logged(main) == []


class TestArguments:
    def test_a_session_of_another_library(self) -> None:
        with pytest.raises(TypeError, match="^session must be an aiohttp.ClientSession, not str$"):
            check_session("session", True, [])

    @pytest.mark.parametrize("value", [None, "cert.pem", 1])
    def test_tls_that_is_not_a_context(self, value: object) -> None:
        with pytest.raises(TypeError, match="^ssl must be an ssl.SSLContext, True or False, not "):
            check_session(None, value, [])

    def test_traces_that_are_not_aiohttps(self) -> None:
        with pytest.raises(TypeError, match="^trace_configs must be aiohttp.TraceConfig objects"):
            check_session(None, True, [aiohttp.TraceConfig(), "trace"])

    async def test_what_aiohttp_takes(self) -> None:
        async with aiohttp.ClientSession() as session:
            check_session(session, True, [])
        check_session(None, ssl.create_default_context(), [aiohttp.TraceConfig()])


async def test_only_a_task_can_send_a_request(leaks: None) -> None:
    session = manager()
    async with session.lease():
        pass
    raised: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    def enter_without_a_task() -> None:
        entering = session.lease().__aenter__()
        try:
            entering.send(None)
        except BaseException as error:
            raised.set_result(error)

    asyncio.get_running_loop().call_soon(enter_without_a_task)
    with pytest.raises(RuntimeError, match="^requests can only be sent from asyncio tasks$"):
        raise await raised
    await session.aclose()
