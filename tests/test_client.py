"""The client, its session and its credentials, over real sockets and under several event loops."""

import asyncio
import contextlib
import copy
import io
import json
import logging
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from asyncckpt import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AsyncClient,
    AuthenticationError,
    NotFoundError,
    OpenAIError,
    Timeout,
)
from asyncckpt.protocol import retries
from asyncckpt.testing import Sandbox, faults

from support.servers import serving, tunnel_to

KEY = "sk-planted/9f8e7d6c+5b4a="
ENVIRONMENT = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID")


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)


async def ids_of(client: AsyncClient, job: str, **options: Any) -> list[str]:
    pager = client.fine_tuning.jobs.checkpoints.list(job, **options)
    return [checkpoint.id async for checkpoint in pager]


def served(sandbox: Sandbox, job: str) -> list[str]:
    return [checkpoint["id"] for checkpoint in sandbox.checkpoints_of(job)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


# The environment.


async def test_all_settings_may_come_from_the_environment(
    sandbox: Sandbox, leaks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", sandbox.api_key)
    monkeypatch.setenv("OPENAI_BASE_URL", sandbox.base_url)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    async with AsyncClient() as client:
        assert await ids_of(client, sandbox.job_ids[0]) == served(sandbox, sandbox.job_ids[0])
    for request in sandbox.requests:
        assert request.headers["openai-organization"] == "org-1"
        assert request.headers["openai-project"] == "proj-1"


async def test_arguments_come_before_the_environment(
    sandbox: Sandbox, leaks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ENVIRONMENT:
        monkeypatch.setenv(name, "http://wrong.invalid")
    async with AsyncClient(
        api_key=sandbox.api_key, base_url=sandbox.base_url, organization="org-2", project="proj-2"
    ) as client:
        await client.fine_tuning.jobs.list()
    (request,) = sandbox.requests
    assert request.headers["openai-organization"] == "org-2"
    assert request.headers["openai-project"] == "proj-2"


@pytest.mark.parametrize("value", [None, ""])
def test_no_key_is_said_at_once(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is not None:
        monkeypatch.setenv("OPENAI_API_KEY", value)
    with pytest.raises(OpenAIError, match="OPENAI_API_KEY.*Sandbox"):
        AsyncClient()


def test_a_bad_key_of_the_environment_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    with pytest.raises(ValueError, match="OPENAI_API_KEY") as caught:
        AsyncClient()
    assert KEY not in "".join(traceback.format_exception(caught.value))


PAGE = {"object": "list", "data": [], "has_more": False}


@pytest.mark.parametrize(
    ("base_url", "asked"),
    [
        (None, "https://api.openai.com/v1/fine_tuning/jobs?"),
        ("https://example.test", "https://example.test/fine_tuning/jobs?"),
        ("https://example.test/", "https://example.test/fine_tuning/jobs?"),
        ("https://example.test/a/b/", "https://example.test/a/b/fine_tuning/jobs?"),
        ("http://example.test:8080/v1", "http://example.test:8080/v1/fine_tuning/jobs?"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1/fine_tuning/jobs?"),
        (
            "https://example.test/v1?a=1&b=2",
            "https://example.test/v1/fine_tuning/jobs?a=1&b=2&",
        ),
    ],
)
async def test_base_urls(base_url: str | None, asked: str, mocked: Any) -> None:
    mocked.get(f"{asked}limit=5", payload=PAGE)
    async with AsyncClient(api_key="sk-1", base_url=base_url) as client:
        page = await client.fine_tuning.jobs.list(limit=5)
    assert page.data == []
    ((_, url),) = mocked.requests
    assert str(url) == f"{asked}limit=5"


async def test_a_mocked_error_is_an_error(mocked: Any) -> None:
    mocked.get(
        "https://api.openai.com/v1/fine_tuning/jobs/ftjob-x",
        status=404,
        payload={"error": {"message": "No such job.", "code": "gone"}},
    )
    async with AsyncClient(api_key="sk-1") as client:
        with pytest.raises(NotFoundError, match="No such job") as caught:
            await client.fine_tuning.jobs.retrieve("ftjob-x")
    assert caught.value.code == "gone"


# Credentials.


class Keys:
    """An api_key callable that hands out one key after another, and counts."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys
        self.asked = 0

    async def __call__(self) -> str:
        key = self.keys[min(self.asked, len(self.keys) - 1)]
        self.asked += 1
        await asyncio.sleep(0)
        return key


async def test_a_callable_is_asked_once_for_many_requests(sandbox: Sandbox, leaks: None) -> None:
    keys = Keys(sandbox.api_key)
    async with sandbox.client(api_key=keys) as client:
        await asyncio.gather(*(ids_of(client, job) for job in sandbox.job_ids))
    assert keys.asked == 1
    assert sandbox.stats.answers.keys() == {200}


@pytest.mark.parametrize("when", ["at first", "after a refusal"])
async def test_a_callable_that_never_answers_is_waited_for_once(
    when: str, sandbox: Sandbox, leaks: None
) -> None:
    asked = 0

    async def key() -> str:
        nonlocal asked
        asked += 1
        if when == "after a refusal" and asked == 1:
            return "sk-expired"
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    async with sandbox.client(api_key=key, max_wait=0.05) as client:
        with pytest.raises(APITimeoutError, match="returned no key within max_wait"):
            await ids_of(client, sandbox.job_ids[0])
    assert asked == (1 if when == "at first" else 2)


async def test_fifty_refusals_at_once_ask_for_one_new_key(sandbox: Sandbox, leaks: None) -> None:
    keys = Keys("sk-old-key", "sk-new-key")
    sandbox.api_key = "sk-old-key"
    sandbox.latency = 0.01
    async with sandbox.client(api_key=keys, max_retries=0) as client:
        job = sandbox.job_ids[0]
        await ids_of(client, job)
        sandbox.api_key = "sk-new-key"
        lists = await asyncio.gather(*(ids_of(client, job) for _ in range(50)))
    assert lists == [served(sandbox, job)] * 50
    assert sandbox.stats.answers[401] > 1
    assert keys.asked == 2


@pytest.mark.parametrize("kind", [LookupError, TimeoutError])
async def test_what_the_callable_raises_comes_out(
    kind: type[Exception], sandbox: Sandbox, leaks: None
) -> None:
    async def sealed() -> str:
        raise kind("the vault is sealed")

    async with sandbox.client(api_key=sealed) as client:
        with pytest.raises(kind, match="sealed"):
            await ids_of(client, sandbox.job_ids[0])
    assert sandbox.requests == []


async def test_a_callable_that_is_not_async_is_refused(sandbox: Sandbox, leaks: None) -> None:
    not_async: Any = lambda: KEY  # noqa: E731
    async with sandbox.client(api_key=not_async) as client:
        with pytest.raises(TypeError, match="api_key callable must be async") as caught:
            await ids_of(client, sandbox.job_ids[0])
    assert not [text for text in all_that_shows(caught.value) if KEY in text]


async def test_azure_in_one_call(
    sandbox: Sandbox, leaks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    async with AsyncClient(
        base_url=f"{sandbox.azure_url}?api-version=2024-10-21",
        default_headers={"api-key": sandbox.api_key},
    ) as client:
        job = sandbox.job_ids[0]
        assert await ids_of(client, job) == served(sandbox, job)
        page = await client.fine_tuning.jobs.checkpoints.list(job)
    assert (page.first_id, page.last_id, page.has_more) == (None, None, True)
    for request in sandbox.requests:
        assert request.query["api-version"] == "2024-10-21"
        assert "authorization" not in request.headers


@pytest.mark.parametrize("header", ["api-key", "API-Key", "Authorization", "authorization"])
@pytest.mark.parametrize("place", ["client", "with_options", "call"])
async def test_the_environments_key_is_not_sent_beside_other_credentials(
    header: str, place: str, sandbox: Sandbox, leaks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        body = json.dumps(PAGE).encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    credentials = {header: "of-another-provider"}
    async with (
        serving(answer) as server,
        AsyncClient(
            base_url=f"http://127.0.0.1:{server.port}",
            default_headers=credentials if place == "client" else None,
        ) as client,
    ):
        asking = client.with_options(default_headers=credentials if place == "with_options" else {})
        await asking.fine_tuning.jobs.list(extra_headers=credentials if place == "call" else None)
    (head,) = heads
    assert KEY not in head
    assert head.count("of-another-provider") == 1


@pytest.mark.parametrize("place", ["with_options", "call"])
async def test_credentials_in_headers_take_the_place_of_others(
    place: str, sandbox: Sandbox, client: AsyncClient
) -> None:
    first = client.with_options(default_headers={"Authorization": "Bearer of-one-provider"})
    azure = {"api-key": "of-another-provider"}
    asking = first.with_options(default_headers=azure if place == "with_options" else {})
    with pytest.raises(AuthenticationError):
        await asking.fine_tuning.jobs.list(extra_headers=azure if place == "call" else None)
    (request,) = sandbox.requests
    assert "authorization" not in request.headers
    assert "api-key" in request.headers


async def test_headers_are_sent_once_each(sandbox: Sandbox, leaks: None) -> None:
    heads: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        body = json.dumps(PAGE).encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()

    async with (
        serving(answer) as server,
        AsyncClient(
            api_key="sk-1",
            base_url=f"http://127.0.0.1:{server.port}",
            default_headers={
                "user-agent": "ours",
                "ACCEPT": "application/problem+json",
                "accept-encoding": "identity",
                "host": "virtual.example",
                "X-Umlaut": "ä",
            },
        ) as client,
    ):
        await client.fine_tuning.jobs.list(extra_headers={"User-AGENT": "this call's"})
    names = [line.partition(":")[0].lower() for line in heads[0].strip().split("\r\n")[1:]]
    assert sorted(names) == sorted(set(names))
    assert "this call's" in heads[0]
    assert "problem+json" in heads[0]
    assert "identity" in heads[0]
    assert "virtual.example" in heads[0]
    assert "ä" in heads[0]


# Options.


async def test_with_options_shares_the_connections(sandbox: Sandbox, leaks: None) -> None:
    job = sandbox.job_ids[0]
    async with sandbox.client() as client:
        other = client.with_options(
            organization="org-3", default_headers={"X-Tag": "t"}, default_query={"q": "1"}
        )
        await client.fine_tuning.jobs.checkpoints.list(job)
        await other.fine_tuning.jobs.checkpoints.list(job)
        await client.fine_tuning.jobs.checkpoints.list(job)
    assert sandbox.stats.connections == 1
    plain, changed, again = sandbox.requests
    assert changed.headers["openai-organization"] == "org-3"
    assert changed.headers["x-tag"] == "t"
    assert changed.query == {"q": "1"}
    assert plain.headers == again.headers
    assert plain.query == again.query == {}
    assert not {"openai-organization", "x-tag"} & plain.headers.keys()


@pytest.mark.parametrize("scope", ["organization", "project"])
async def test_with_options_can_do_without_an_organization(
    scope: str, sandbox: Sandbox, leaks: None
) -> None:
    options: dict[str, Any] = {scope: "ours"}
    header = f"openai-{scope}"
    async with sandbox.client(**options, default_headers={"X-Tag": "t"}) as client:
        await client.fine_tuning.jobs.list()
        await client.with_options(**{scope: ""}).fine_tuning.jobs.list()
        await client.with_options().fine_tuning.jobs.list()
    with_it, without, again = sandbox.requests
    assert with_it.headers[header] == again.headers[header] == "ours"
    assert header not in without.headers
    assert without.headers["x-tag"] == "t"


async def test_with_options_changes_the_key_and_the_place(sandbox: Sandbox, leaks: None) -> None:
    job = sandbox.job_ids[0]
    async with sandbox.client(api_key="sk-wrong") as client:
        with pytest.raises(AuthenticationError):
            await ids_of(client, job)
        right = client.with_options(api_key=sandbox.api_key)
        assert await ids_of(right, job) == served(sandbox, job)
        elsewhere = right.with_options(base_url=f"{sandbox.origin}/elsewhere")
        with pytest.raises(NotFoundError):
            await ids_of(elsewhere, job)
        assert elsewhere.base_url == f"{sandbox.origin}/elsewhere"
        assert client.base_url == right.base_url == sandbox.base_url


async def test_with_options_changes_how_a_request_is_made(sandbox: Sandbox, leaks: None) -> None:
    job = sandbox.job_ids[0]
    order = sandbox.inject(faults.Status(500), times=None)
    async with sandbox.client(max_retries=0) as client:
        with pytest.raises(APIError):
            await ids_of(client, job)
        assert order.hits == 1
        with pytest.raises(APIError):
            await ids_of(client.with_options(max_retries=1), job)
        assert order.hits == 3
        order.stop()
        small = client.with_options(max_body_bytes=100)
        with pytest.raises(APIError, match="max_body_bytes, 100 bytes"):
            await ids_of(small, job)
        assert await ids_of(client, job) == served(sandbox, job)


async def test_closing_one_closes_both(sandbox: Sandbox, leaks: None) -> None:
    client = sandbox.client()
    other = client.with_options(max_retries=1)
    await other.aclose()
    assert client.is_closed
    with pytest.raises(RuntimeError, match="closed"):
        await ids_of(client, sandbox.job_ids[0])


async def test_the_connection_limit_is_kept(sandbox: Sandbox, leaks: None) -> None:
    sandbox.latency = 0.005
    async with sandbox.client(connection_limit=3) as client:
        await asyncio.gather(*(ids_of(client, job) for job in sandbox.job_ids))
    assert sandbox.stats.max_in_flight == 3
    assert sandbox.stats.connections == 3


async def test_a_lent_sessions_limit_is_kept(sandbox: Sandbox, leaks: None) -> None:
    sandbox.latency = 0.005
    connector = aiohttp.TCPConnector(limit=2)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        sandbox.client(session=session) as client,
    ):
        await asyncio.gather(*(ids_of(client, job) for job in sandbox.job_ids))
    assert sandbox.stats.max_in_flight == 2


# Timeouts.


@pytest.mark.parametrize(
    ("timeout", "message"),
    [
        (Timeout(total=0.1, read=None), "No complete response within 0.1 s"),
        (Timeout(total=None, read=0.1), "The server was silent for 0.1 s"),
        (0.1, "0.1 s"),
    ],
)
@pytest.mark.parametrize("place", ["client", "call", "with_options"])
async def test_timeouts_of_client_and_call(
    timeout: Any, message: str, place: str, sandbox: Sandbox, leaks: None
) -> None:
    sandbox.inject(faults.Hang(), times=None)
    given = {"timeout": timeout}
    async with sandbox.client(max_retries=0, **(given if place == "client" else {})) as client:
        asking = client.with_options(**given) if place == "with_options" else client
        with pytest.raises(APITimeoutError, match=message):
            await ids_of(asking, sandbox.job_ids[0], **(given if place == "call" else {}))


async def test_a_call_may_wait_longer_than_its_client(sandbox: Sandbox, leaks: None) -> None:
    job = sandbox.job_ids[0]
    sandbox.latency = 0.1
    async with sandbox.client(timeout=0.02, max_retries=0) as client:
        with pytest.raises(APITimeoutError):
            await ids_of(client, job)
        assert len(await ids_of(client, job, timeout=None, max_records=10)) == 10


async def test_a_dripping_body_is_within_the_read_timeout(sandbox: Sandbox, leaks: None) -> None:
    job = sandbox.job_ids[0]
    sandbox.inject(faults.SlowBody(0.3, pieces=30))
    async with sandbox.client(timeout=Timeout(read=0.25), max_retries=0) as client:
        assert await ids_of(client, job) == served(sandbox, job)


# Closing.


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
        lambda: ids_of(client, job),
        lambda: pager.__aiter__().__anext__(),
        lambda: checkpoints.list(job)._first_page(),
        lambda: aiter(checkpoints.list_many([job])).__anext__(),
        lambda: client.fine_tuning.jobs.retrieve(job),
        page.get_next_page,
        lambda: ids_of(client.with_options(max_retries=1), job),
    ):
        with pytest.raises(RuntimeError, match="this client is closed"):
            await use()
    assert sandbox.stats.requests == 1


async def test_a_client_that_was_never_used_closes(leaks: None) -> None:
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
async def test_aclose_ends_what_is_under_way(
    trouble: str, sandbox: Sandbox, leaks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    troubles = Trouble(sandbox, monkeypatch)
    is_under_way = getattr(troubles, trouble)()
    client = sandbox.client(**troubles.options)
    lists = [asyncio.create_task(ids_of(client, job)) for job in sandbox.job_ids[:5]]
    await until(is_under_way)
    async with asyncio.timeout(5):
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
    assert seen == served(sandbox, sandbox.job_ids[0])[:10]


async def test_a_cancelled_task_stays_cancelled_though_the_client_is_closed(
    sandbox: Sandbox, leaks: None
) -> None:
    sandbox.inject(faults.Hang(), times=None)
    client = sandbox.client()
    listing = asyncio.create_task(ids_of(client, sandbox.job_ids[0]))
    await until(lambda: sandbox.stats.in_flight == 1)
    listing.cancel()
    await client.aclose()
    with pytest.raises(asyncio.CancelledError):
        await listing


async def test_a_task_may_close_the_client_that_it_waits_for(sandbox: Sandbox, leaks: None) -> None:
    async def key() -> str:
        await client.aclose()
        return sandbox.api_key

    client = sandbox.client(api_key=key)
    async with asyncio.timeout(5):
        with pytest.raises(RuntimeError, match="this client is closed"):
            await ids_of(client, sandbox.job_ids[0])


async def test_a_lent_session_is_never_closed(sandbox: Sandbox, leaks: None) -> None:
    job = sandbox.job_ids[0]
    async with aiohttp.ClientSession() as session:
        for _ in range(2):
            async with sandbox.client(session=session) as client:
                assert await ids_of(client, job) == served(sandbox, job)
            assert client.is_closed
            assert not session.closed
        assert sandbox.stats.connections == 1

        sandbox.inject(faults.Hang())
        client = sandbox.client(session=session)
        listing = asyncio.create_task(ids_of(client, job))
        await until(lambda: sandbox.stats.in_flight == 1)
        await client.aclose()
        with pytest.raises(RuntimeError, match="this client is closed"):
            await listing
        assert not session.closed
        async with session.get(sandbox.origin) as answer:
            assert answer.status == 404


async def test_a_lent_session_that_is_closed_says_so(sandbox: Sandbox, leaks: None) -> None:
    session = aiohttp.ClientSession()
    await session.close()
    async with sandbox.client(session=session) as client:
        with pytest.raises(RuntimeError, match="closed"):
            await ids_of(client, sandbox.job_ids[0])


async def test_a_lent_session_may_be_of_any_kind(sandbox: Sandbox, leaks: None) -> None:
    job = sandbox.job_ids[0]
    async with (
        aiohttp.ClientSession(
            raise_for_status=True,
            headers={"X-Session": "1"},
            timeout=aiohttp.ClientTimeout(total=0.0001),
        ) as session,
        sandbox.client(session=session) as client,
    ):
        assert await ids_of(client, job) == served(sandbox, job)
        with pytest.raises(NotFoundError):
            await ids_of(client, "ftjob-none")
    assert sandbox.requests[0].headers["x-session"] == "1"


@pytest.mark.parametrize(
    "option",
    [
        {"connection_limit": 3},
        {"ssl": False},
        {"trust_env": True},
        {"trace_configs": [aiohttp.TraceConfig()]},
    ],
)
async def test_options_of_a_session_do_not_go_with_a_lent_one(option: Any) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ValueError, match="cannot be combined with session"):
            AsyncClient(api_key="sk-1", session=session, **option)


# What the session may be told.


def test_traces_are_checked_at_the_call() -> None:
    with pytest.raises(TypeError, match="trace_configs must be aiohttp.TraceConfig objects, not"):
        AsyncClient(api_key="sk-1", trace_configs=[5])  # type: ignore[list-item]


async def test_traces_see_every_request(sandbox: Sandbox, leaks: None) -> None:
    job = sandbox.job_ids[0]
    urls: list[str] = []

    async def on_start(_: Any, __: Any, params: aiohttp.TraceRequestStartParams) -> None:
        urls.append(str(params.url))

    config = aiohttp.TraceConfig()
    config.on_request_start.append(on_start)
    async with sandbox.client(trace_configs=[config]) as client:
        assert await ids_of(client, job) == served(sandbox, job)
    assert len(urls) == sandbox.stats.requests == 3
    assert all(url.startswith(sandbox.base_url) for url in urls)


async def test_a_proxy_of_the_environment_is_used_only_if_trusted(
    sandbox: Sandbox, leaks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = sandbox.origin.removeprefix("http://").split(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines.append(head.partition(b"\r\n")[0].decode())
                far_writer.write(head.replace(sandbox.origin.encode(), b"", 1))
                answer = await far_reader.readuntil(b"\r\n\r\n")
                length = int(answer.lower().partition(b"content-length: ")[2].split(b"\r")[0])
                writer.write(answer + await far_reader.readexactly(length))
                await writer.drain()
        finally:
            far_writer.close()

    job = sandbox.job_ids[0]
    async with serving(proxy) as server:
        for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.port}")
        async with sandbox.client() as client:
            assert await ids_of(client, job) == served(sandbox, job)
        assert lines == []
        async with sandbox.client(trust_env=True) as client:
            assert await ids_of(client, job) == served(sandbox, job)
    assert len(lines) == 3
    assert all(line.startswith(f"GET {sandbox.base_url}/fine_tuning/") for line in lines)


async def test_a_trusted_environment_adds_no_credentials(
    sandbox: Sandbox, leaks: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login nobody password of-another-service\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    job = sandbox.job_ids[0]
    async with sandbox.client(trust_env=True) as client:
        assert await ids_of(client, job) == served(sandbox, job)
        with pytest.raises(AuthenticationError):
            await client.fine_tuning.jobs.list(extra_headers={"api-key": "of-azure"})
    assert "authorization" not in sandbox.requests[-1].headers


async def test_tls_may_be_told_whom_to_trust(
    sandbox: Sandbox, leaks: None, caplog: pytest.LogCaptureFixture
) -> None:
    import ssl

    caplog.set_level("CRITICAL", logger="asyncio")
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    job = sandbox.job_ids[0]
    async with serving(tunnel_to(sandbox), server_side) as server:
        url = f"https://127.0.0.1:{server.port}/v1"
        for tls in (trusting, False):
            async with sandbox.client(base_url=url, ssl=tls) as client:
                assert await ids_of(client, job) == served(sandbox, job)
        async with sandbox.client(base_url=url) as client:
            with pytest.raises(APIConnectionError, match="ertificate"):
                await ids_of(client, job)


# The next page is asked for before this one is handed out, also to those who never await.


@pytest.fixture
def far_sandbox() -> Iterator[Sandbox]:
    """A sandbox in a thread and an event loop of its own."""
    sandbox = Sandbox(jobs=1, checkpoints=50)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(sandbox.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield sandbox
    asyncio.run_coroutine_threadsafe(sandbox.aclose(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.mark.parametrize("kind", ["own", "lent", "traced"])
async def test_a_consumer_that_never_awaits_overlaps_too(kind: str, far_sandbox: Sandbox) -> None:
    job = far_sandbox.job_ids[0]

    def is_asked(page: int) -> bool:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            if any(request.page == page for request in far_sandbox.requests):
                return True
            time.sleep(0.001)
        return False

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
                assert is_asked(page + 2), f"page {page + 2} was not asked for in time"
            number += 1
    assert number == 50


# Event loops.


def run_script(script: str) -> str:
    """Run a program with every check on; return what it printed, which should be nothing."""
    ran = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | {"PYTHONASYNCIODEBUG": "0"},
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def test_no_more_is_imported_than_a_list_of_checkpoints_needs() -> None:
    run_script("""
        import sys
        import asyncckpt

        asyncckpt.AsyncClient(api_key="sk-1").fine_tuning.jobs.checkpoints.list_many(["ftjob-1"])
        on_demand = {"asyncckpt.records.jobs", "asyncckpt.records.conversion", "cattrs", "openai"}
        assert not on_demand & sys.modules.keys()
        assert {"FineTuningJob", "converter"} < set(dir(asyncckpt))
        assert asyncckpt.FineTuningJob.__name__ == "FineTuningJob"
        assert asyncckpt.converter.unstructure(asyncckpt.Metrics(step=1.0)) == {"step": 1.0}
    """)


LOOPS = """
    import asyncio
    import socket
    from asyncckpt.testing import Sandbox, faults

    client = None

    async def run(leave):
        global client
        async with Sandbox(jobs=2, checkpoints=30, port=PORT) as sandbox:
            if client is None:
                client = sandbox.client(max_retries=0)
            checkpoints = client.fine_tuning.jobs.checkpoints
            assert len([c async for c in checkpoints.list(sandbox.job_ids[0])]) == 30
            await leave(sandbox, checkpoints)

    async def at_rest(sandbox, checkpoints):
        pass

    async def in_the_middle(sandbox, checkpoints):
        async for c in checkpoints.list(sandbox.job_ids[1]):
            break

    async def holding_on(sandbox, checkpoints):
        global kept
        kept = aiter(checkpoints.list(sandbox.job_ids[1]))
        await anext(kept)

    async def with_a_task(sandbox, checkpoints):
        global task, silent
        # Connections are made, and nobody answers.
        silent = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        there = client.with_options(base_url=url).fine_tuning.jobs
        task = asyncio.create_task(there.retrieve("ftjob-x"))
        for _ in range(100):
            await asyncio.sleep(0)

    async def many_in_the_middle(sandbox, checkpoints):
        async for c in checkpoints.list_many(sandbox.job_ids):
            break

    async def closing(sandbox, checkpoints):
        await client.aclose()
"""


@pytest.fixture
def free_port() -> int:
    import socket

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@pytest.mark.parametrize(
    "first", ["at_rest", "in_the_middle", "holding_on", "with_a_task", "many_in_the_middle"]
)
@pytest.mark.parametrize("last", ["at_rest", "closing"])
def test_one_client_under_one_loop_after_another(first: str, last: str, free_port: int) -> None:
    script = textwrap.dedent(LOOPS).replace("PORT", str(free_port))
    script += f"asyncio.run(run({first}))\nasyncio.run(run({last}))\n"
    if first == "with_a_task":
        script += "assert task.cancelled()\nsilent.close()\n"
    assert run_script(script) == ""


@pytest.mark.parametrize("number", range(3))
async def test_a_loop_for_each_test(number: int, sandbox: Sandbox, leaks: None) -> None:
    # pytest-asyncio gives each test its own loop; the client outlives them.
    client = _OUTLIVES.setdefault(0, AsyncClient(api_key="sk-sandbox"))
    here = client.with_options(base_url=sandbox.base_url)
    assert await ids_of(here, sandbox.job_ids[0]) == served(sandbox, sandbox.job_ids[0])
    if number == 2:
        await client.aclose()
    else:
        await here._session._bound.finalizer.aclose()  # type: ignore[union-attr]


_OUTLIVES: dict[int, AsyncClient] = {}


async def test_two_loops_at_once_are_refused(far_sandbox: Sandbox) -> None:
    job = far_sandbox.job_ids[0]
    async with far_sandbox.client() as client:
        await ids_of(client, job)

        def elsewhere() -> None:
            with pytest.raises(RuntimeError, match="another running event loop"):
                asyncio.run(ids_of(client, job))

        await asyncio.to_thread(elsewhere)
        assert len(await ids_of(client, job)) == 50


# Secrets.


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """All that the package logs, down to DEBUG."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(message)s %(args)r %(exc_text)s"))
    logger = logging.getLogger("asyncckpt")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield written
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(handler)


def escaped(text: str) -> bytes:
    return json.dumps({"error": {"message": f"wrong: {text}"}}).replace("/", "\\/").encode()


ECHO = f"the key {KEY} is wrong, Bearer {KEY}"
ECHOES: dict[str, list[Any]] = {
    "401": [
        faults.Status(
            401,
            body={"error": {"message": ECHO, "code": KEY, "param": KEY, "type": KEY}},
            headers={"www-authenticate": f'Bearer realm="{KEY}"', "x-request-id": KEY},
        )
    ],
    "401 escaped": [faults.Status(401, body=escaped(KEY))],
    "400 text": [faults.Status(400, body=ECHO)],
    "400 other JSON": [faults.Status(400, body={"detail": [ECHO]})],
    "429": [faults.Status(429, body={"error": {"message": ECHO}})],
    "500": [faults.Status(500, body=ECHO)],
    "500 in a URL": [faults.Status(500, body="/v1?key=sk-planted%2F9f8e7d6c%2B5b4a%3D")],
    "html": [faults.Html(f"<html>{ECHO}")],
    "types": [faults.SetField("data.0.id", {KEY: KEY}), faults.SetField("object", KEY)],
    "names": [faults.SetField(f"data.0.metrics.{KEY}", 1), faults.SetField("data.1.id", 3)],
    "too long": [faults.RawBody(ECHO.encode() * 1000)],
    "no HTTP": [faults.Header(f"bad header {KEY}", KEY)],
    "header bomb": [faults.Header("x-bomb", KEY * 5000)],
    "cut": [faults.CutBody()],
    "redirect": [faults.Redirect(location=f"ftp://{KEY}/{KEY}")],
    "reset": [faults.Reset("before")],
}
WAYS: dict[str, Callable[[], dict[str, Any]]] = {
    "argument": lambda: {"api_key": KEY},
    "callable": lambda: {"api_key": Keys(KEY)},
    "bearer": lambda: {"api_key": None, "default_headers": {"Authorization": f"Bearer {KEY}"}},
    "api-key": lambda: {"api_key": None, "default_headers": {"api-key": KEY}},
    "query": lambda: {"api_key": "sk-1", "default_query": {"code": KEY}},
}


def locals_of_the_package(error: BaseException) -> Iterator[str]:
    """What an error report shows that prints the variables of every frame."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if Path(frame.f_code.co_filename).parent != Path(__file__).parent:
            yield f"{frame.f_code.co_qualname}: {frame.f_locals!r}"


def all_that_shows(error: BaseException) -> Iterator[str]:
    yield from traceback.format_exception(error)
    seen: BaseException | None = error
    while seen is not None:
        yield from locals_of_the_package(seen)
        yield f"{seen!s} {seen!r} {seen.args!r} {getattr(seen, '__notes__', [])!r}"
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    if isinstance(error, APIError):
        yield repr(vars(error))
        yield repr((error.request, error.body, error.code, error.param, error.type))
        copy = pickle.loads(pickle.dumps(error))
        yield repr(vars(copy))
        yield pickle.dumps(error).decode("latin-1")
        response = getattr(error, "response", None)
        if response is not None:
            yield repr((dict(response.headers), response.text, response.request_id, response))


@pytest.mark.parametrize("way", WAYS)
async def test_a_secret_never_shows(
    way: str, sandbox: Sandbox, leaks: None, logged: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "_FIRST_BACKOFF", 0.001)
    shown: list[str] = []
    for name, echo in ECHOES.items():
        sandbox.clear()
        sandbox.inject(*echo, times=None)
        async with sandbox.client(max_retries=1, max_body_bytes=20_000, **WAYS[way]()) as client:
            pager = client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0])
            stream = client.fine_tuning.jobs.checkpoints.list_many(
                sandbox.job_ids[:2], on_error="collect"
            )
            with pytest.raises(APIError) as caught:
                await pager
            assert [seen async for seen in stream] == []
            for error in (caught.value, *(failure.error for failure in stream.failures)):
                shown += (f"{name}: {text}" for text in all_that_shows(error))
            public = (
                client,
                client.with_options(api_key=KEY),
                client.fine_tuning,
                client.fine_tuning.jobs,
                client.fine_tuning.jobs.checkpoints,
                pager,
                stream,
                stream.failures,
                stream.progress,
                vars(client),
                vars(pager),
            )
            shown += (f"{name}: {text!r}" for text in public)
    assert "retry 1 of 1" in logged.getvalue()
    shown.append(logged.getvalue())
    planted = (KEY, KEY.replace("/", "\\/"), "sk-planted%2F9f8e7d6c%2B5b4a%3D")
    leaked = [text for text in shown if any(form in text for form in planted)]
    assert leaked == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["list", "list_many"])
async def test_a_timeout_of_the_callers_shows_no_secret(
    kind: str, way: str, sandbox: Sandbox, leaks: None
) -> None:
    sandbox.inject(faults.Hang(), times=None)
    async with sandbox.client(**WAYS[way]()) as client:
        checkpoints = client.fine_tuning.jobs.checkpoints

        async def read() -> None:
            async with asyncio.timeout(0.05):
                if kind == "list":
                    await checkpoints.list(sandbox.job_ids[0])
                else:
                    async for _ in checkpoints.list_many(sandbox.job_ids):
                        pass

        with pytest.raises(TimeoutError) as caught:
            await read()
    # Early releases of 3.11 name it as the context only.
    refers_to = caught.value.__cause__ or caught.value.__context__
    assert isinstance(refers_to, asyncio.CancelledError)
    assert not [text for text in all_that_shows(caught.value) if KEY in text]


async def test_a_page_shows_no_secret(sandbox: Sandbox, leaks: None) -> None:
    sandbox.api_key = KEY
    async with sandbox.client(default_query={"code": KEY}) as client:
        page = await client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0])
    shown = f"{page!r} {page.response!r} {page.response.request!r} {page.response.request.url}"
    assert KEY not in shown
    assert "code=***" in shown
    assert KEY.encode() not in pickle.dumps(page.response)


async def test_a_key_that_was_replaced_is_still_a_secret(sandbox: Sandbox, leaks: None) -> None:
    # Two requests with the old key: the answer to the first replaces it, the second echoes it.
    first, second = sandbox.job_ids[:2]
    keys = Keys(KEY, sandbox.api_key)
    sandbox.inject(faults.Status(401), job=first)
    sandbox.inject(faults.Status(400, body=ECHO), faults.Latency(0.1), job=second)
    async with sandbox.client(api_key=keys) as client:
        failing = asyncio.create_task(ids_of(client, second))
        await until(lambda: sandbox.stats.in_flight == 1)
        await ids_of(client, first)
        assert keys.asked == 2
        with pytest.raises(APIError) as caught:
            await failing
    assert not [text for text in all_that_shows(caught.value) if KEY in text]


async def test_wrong_arguments_show_no_secret() -> None:
    for make in (
        lambda: AsyncClient(api_key=f"{KEY} "),
        lambda: AsyncClient(api_key=f"{KEY}\r\nx: y"),
        lambda: AsyncClient(base_url=f"https://user:{KEY}@example.test"),
        lambda: AsyncClient(api_key="sk-1", base_url=f"https://example.test:{KEY}/"),
        lambda: AsyncClient(api_key="sk-1", default_headers={"X-Key": f"{KEY}\n"}),
        lambda: AsyncClient(api_key=KEY.encode()),  # type: ignore[arg-type]
    ):
        with pytest.raises((ValueError, TypeError)) as caught:
            make()
        assert KEY not in "".join(traceback.format_exception(caught.value, chain=True)).replace(
            "KEY}", ""
        )


async def test_what_has_a_client_says_that_it_cannot_be_pickled(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    page = await client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0])
    for subject in (client, AsyncClient(api_key=KEY)):
        for duplicate in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="with_options"):
                duplicate(subject)
    with pytest.raises(TypeError, match="pickle .data"):
        pickle.dumps(page)
    assert pickle.loads(pickle.dumps(page.data)) == page.data


async def test_a_changed_copy_is_of_the_same_class() -> None:
    class Ours(AsyncClient):
        """A client with something of its own."""

    ours = Ours(api_key="sk-1")
    ours.note = "kept"  # type: ignore[attr-defined]
    copied = ours.with_options(timeout=3)
    assert type(copied) is Ours
    assert vars(copied)["note"] == "kept"


async def test_a_copy_of_a_page_asks_the_same_client(sandbox: Sandbox, client: AsyncClient) -> None:
    pager = client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0], limit=10)
    page = await pager
    for copied in (copy.copy(page), copy.deepcopy(page), copy.deepcopy(await pager)):
        assert copied.data == page.data
        assert (await copied.get_next_page()).data == (await page.get_next_page()).data
