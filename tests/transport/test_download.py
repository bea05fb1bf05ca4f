"""Files that are read piece by piece, from servers that do as a test says."""

import asyncio
import contextlib
import gc
import logging
import tracemalloc
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import attrs
import pytest

from asyncckpt import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    AsyncClient,
    AuthenticationError,
    Curve,
    FineTuningJob,
    RateLimitError,
    StepMetrics,
    Timeout,
    hooks,
)
from asyncckpt.records import result_files
from asyncckpt.transport.download import Download
from asyncckpt.transport.session import SessionManager

from support.events import Recorder
from support.exchanges import call
from support.servers import Counted, serving

pytestmark = pytest.mark.usefixtures("short_backoff")

SECRET = "sk-planted/9f8e7d6c"
JOB = FineTuningJob("ftjob-1", 1, "m", "succeeded", "file-0", result_files=["file-1"])
HEADER = b"step,train_loss\n"
WHOLE = HEADER + b"".join(b"%d,0.5\n" % step for step in range(1, 101))


def head(status: int = 200, length: int | None = None, *lines: str) -> bytes:
    all_lines = [f"HTTP/1.1 {status} X", "Content-Type: application/octet-stream", *lines]
    if length is not None:
        all_lines.append(f"Content-Length: {length}")
    return "".join(f"{line}\r\n" for line in [*all_lines, ""]).encode()


def whole(content: bytes = WHOLE) -> bytes:
    return head(200, len(content)) + content


def cut(after: int, content: bytes = WHOLE) -> bytes:
    return head(200, len(content)) + content[:after]


@attrs.define
class Server:
    """Responds to each request with the next of some responses, and closes the connection.

    The last one is repeated. None holds the connection open without a response.
    """

    responses: list[bytes | None]
    counted: Counted = attrs.field(factory=Counted)
    requests: list[str] = attrs.field(factory=list[str])
    gone: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
        response = self.responses[min(len(self.requests), len(self.responses)) - 1]
        try:
            if response is not None:
                writer.write(response)
                await writer.drain()
            if response is None or response.endswith(b"..."):
                await reader.read()
        finally:
            self.gone.set()

    def client(self, **options: Any) -> AsyncClient:
        base_url = f"http://127.0.0.1:{self.counted.port}/v1"
        return AsyncClient(**{"api_key": "sk-1", "base_url": base_url, **options})


@contextlib.asynccontextmanager
async def responding(*responses: bytes | None) -> AsyncIterator[Server]:
    server = Server(list(responses))
    async with serving(server.talk) as server.counted:
        yield server


def curve_of(client: AsyncClient, **options: Any) -> Curve:
    return client.fine_tuning.jobs.step_metrics(JOB, **options)


async def test_a_file_is_requested_as_a_file() -> None:
    async with responding(whole()) as server, server.client() as client:
        assert len(await curve_of(client, extra_query={"a": "b"})) == 100
    (request,) = server.requests
    assert request.startswith("GET /v1/files/file-1/content?a=b HTTP/1.1\r\n")
    assert "\r\nAccept: */*\r\n" in request
    assert "\r\nAuthorization: Bearer sk-1\r\n" in request


@pytest.mark.parametrize("places", [[0], [5], [16], [200], [200, 400], [400, 200], [200, 200]])
async def test_a_cut_file_is_read_again_and_no_step_comes_twice(places: list[int]) -> None:
    async with responding(*map(cut, places), whole()) as server, server.client() as client:
        steps = [step.step async for step in curve_of(client)]
        assert steps == list(range(1, 101))
    assert len(server.requests) == len(places) + 1


async def test_a_file_that_stays_cut_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "asyncckpt")
    async with responding(cut(200)) as server, server.client(max_retries=2) as client:
        with pytest.raises(APIConnectionError) as caught:
            await curve_of(client)
    assert len(server.requests) == 3
    assert caught.value.__notes__ == ["asyncckpt tried 3 times"]
    assert [record.message.partition(" in ")[0] for record in caplog.records] == [
        "APIConnectionError: retry 1 of 2",
        "APIConnectionError: retry 2 of 2",
    ]


async def test_hooks_are_told_of_every_attempt_and_of_the_failure() -> None:
    events = Recorder()
    async with responding(cut(200)) as server, server.client(max_retries=2, hooks=events) as client:
        with pytest.raises(APIConnectionError) as caught:
            await curve_of(client)
    delays = [event.delay for event in events.of(hooks.RetryScheduled)]
    assert len(delays) == 2
    assert all(delays)
    waited = [event.waited for event in events.of(hooks.RequestStarted)]
    assert waited == [0.0, delays[0], sum(delays)]
    failed = events.one(hooks.CallFailed)
    assert (failed.error, failed.attempts) == (caught.value, 3)


async def test_a_file_is_not_read_again_without_a_budget() -> None:
    async with responding(cut(200)) as server, server.client(retry_budget=0) as client:
        with pytest.raises(APIConnectionError) as caught:
            await curve_of(client)
    assert len(server.requests) == 1
    assert "retry_budget is used up" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    "other",
    [WHOLE.replace(b"\n2,0.5", b"\n2,0.7"), WHOLE[:150], HEADER],
    ids=["changed", "shorter", "empty"],
)
async def test_another_file_in_its_place_is_an_error(other: bytes) -> None:
    async with responding(cut(200), whole(other)) as server, server.client() as client:
        with pytest.raises(APIConnectionError, match="another one"):
            await curve_of(client)
    assert len(server.requests) == 2


async def test_a_file_that_is_longer_the_second_time_is_fine_if_it_begins_the_same() -> None:
    longer = whole(WHOLE + b"101,0.5\n")
    async with responding(cut(200), longer) as server, server.client() as client:
        assert len(await curve_of(client)) == 101


async def test_statuses_have_the_policy_of_every_call() -> None:
    refused = head(429, 0, "Retry-After: 0.001")
    async with responding(head(503, 0), refused, whole()) as server, server.client() as client:
        assert len(await curve_of(client)) == 100
    assert len(server.requests) == 3
    async with responding(head(401, 0)) as server, server.client() as client:
        with pytest.raises(AuthenticationError):
            await curve_of(client)
    assert len(server.requests) == 1
    async with responding(head(429, 0)) as server, server.client(max_retries=0) as client:
        with pytest.raises(RateLimitError):
            await curve_of(client)


async def test_an_endless_error_is_read_as_far_as_it_shows() -> None:
    endless = head(403, None) + b"x" * 300_000 + b"..."
    async with responding(endless) as server, server.client() as client:
        with pytest.raises(APIError, match="403"):
            await curve_of(client)
        await server.gone.wait()


async def test_redirects_are_followed_and_the_key_stays_behind() -> None:
    async with responding(whole()) as other:
        location = f"Location: http://localhost:{other.counted.port}/blob"
        async with responding(head(302, 0, location)) as server, server.client() as client:
            assert len(await curve_of(client)) == 100
    (request,) = other.requests
    assert request.startswith("GET /blob HTTP/1.1")
    assert "sk-1" not in request


@pytest.mark.parametrize(
    ("timeout", "response", "said"),
    [
        (Timeout(total=0.02), None, "0.02 s"),
        (Timeout(total=0.02), cut(200)[:-3] + b"...", "Nothing more of the body within 0.02 s"),
        (Timeout(total=None, read=0.02), cut(200)[:-3] + b"...", "silent for 0.02 s"),
    ],
    ids=["head", "total", "read"],
)
async def test_silence_ends_in_a_timeout(
    timeout: Timeout, response: bytes | None, said: str
) -> None:
    options = {"timeout": timeout, "max_retries": 1}
    async with responding(response) as server, server.client(**options) as client:
        with pytest.raises(APITimeoutError, match=said):
            await curve_of(client)
    assert len(server.requests) == 2


async def test_the_time_of_the_consumer_does_not_count() -> None:
    async with responding(whole()) as server, server.client(timeout=0.05) as client:
        steps: list[StepMetrics] = []
        async for step in curve_of(client):
            if not steps:
                await asyncio.sleep(0.1)
            steps.append(step)
    assert len(steps) == 100
    assert len(server.requests) == 1


@contextlib.asynccontextmanager
async def endless_curve(width: int = 0) -> AsyncIterator[tuple[Curve, Callable[[], int]]]:
    """A curve without an end, and how many steps the server has sent.

    Args:
        width: Bytes in a column that means nothing.
    """
    sent = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head(200, None, "Connection: close") + b"step,note\n")
        while True:
            rows = max(1, 50_000 // (10 + width))
            writer.write(b"".join(b"%d,%s\n" % (sent + row, b"x" * width) for row in range(rows)))
            sent += rows
            await writer.drain()

    async with serving(talk) as counted, Server([], counted).client() as client:
        curve = curve_of(client)
        yield curve, lambda: sent
        await curve.aclose()


async def test_a_slow_consumer_holds_the_server_back() -> None:
    async with endless_curve() as (curve, sent):
        async for _ in curve:
            before = -1
            while sent() != before:
                before = sent()
                for _ in range(200):
                    await asyncio.sleep(0)
            break
    # The buffers of the sockets hold some megabytes.
    assert before < 3_000_000


async def test_memory_does_not_grow_with_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_files, "SORTED_ROWS", 100)
    peaks: list[int] = []
    async with endless_curve(width=5_000) as (curve, _):
        tracemalloc.start()
        try:
            async for step in curve:
                if step.step in (500, 2_500):
                    peaks.append(tracemalloc.get_traced_memory()[1])
                if step.step == 2_500:
                    break
        finally:
            tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


async def test_leaving_closes_the_connection() -> None:
    async with endless_curve() as (curve, sent):
        async for _ in curve:
            break
        await curve.aclose()
        # The server finds that nobody reads any more, or this never ends.
        before = -1
        while sent() != before:
            before = sent()
            for _ in range(200):
                await asyncio.sleep(0)


@pytest.mark.parametrize("is_lent", [False, True])
async def test_closing_the_client_ends_it_with_an_error(is_lent: bool) -> None:
    async with responding(cut(200)[:-3] + b"...") as server, aiohttp.ClientSession() as lent:
        options: dict[str, Any] = {"session": lent} if is_lent else {}
        async with server.client(**options) as client:
            waiting = asyncio.ensure_future(anext(aiter(curve_of(client))))
            while not server.requests:
                await asyncio.sleep(0)
            for _ in range(20):
                await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="closed"):
            await waiting
        await server.gone.wait()


async def test_a_lent_session_that_its_owner_closes_ends_it_with_an_error() -> None:
    lent = aiohttp.ClientSession()
    # aiohttp does not wake whoever reads from a connection that it closes; the timeout does.
    options: dict[str, Any] = {"session": lent, "timeout": 0.1}
    async with responding(cut(200)[:-3] + b"...") as server, server.client(**options) as client:
        waiting = asyncio.ensure_future(anext(aiter(curve_of(client))))
        while not server.requests:
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        await lent.close()
        with pytest.raises(RuntimeError, match="closed"):
            await waiting
    assert len(server.requests) == 1


async def test_content_that_is_not_a_result_file_is_shown_without_the_key() -> None:
    content = f"loss,key\n1,{SECRET}\n".encode()
    response = head(200, len(content), "x-request-id: req_7") + content
    async with responding(response) as server, server.client(api_key=SECRET) as client:
        with pytest.raises(APIResponseValidationError, match="column `step`") as caught:
            await curve_of(client)
    error = caught.value
    assert error.path == "line 1"
    assert error.request_id == "req_7"
    assert error.response.content.startswith(b"loss,key")
    assert SECRET.encode() not in error.response.content
    assert SECRET not in str(error)


@pytest.mark.parametrize("status", [300, 399, 404])
async def test_only_a_success_is_a_file(status: int) -> None:
    async with responding(head(status, 5) + b"wrong") as server, server.client() as client:
        with pytest.raises(APIStatusError) as caught:
            await curve_of(client)
    response = caught.value.response
    assert (response.status_code, response.content) == (status, b"wrong")


async def test_a_file_must_be_open_to_be_read() -> None:
    session = SessionManager(
        session=None, connection_limit=1, ssl=True, trust_env=False, trace_configs=[]
    )
    with pytest.raises(RuntimeError, match="the file is not open"):
        await Download(session, call()).read()


@pytest.mark.parametrize("responses", [[cut(200)], [head(503, 0)], [None], [whole(b"a,b\n")]])
async def test_no_frame_and_no_cause_shows_a_key(responses: list[bytes | None]) -> None:
    async with responding(*responses) as server:
        options: Any = {"extra_query": {"key": SECRET}, "extra_headers": {"x-key": SECRET}}
        async with server.client(api_key=SECRET, max_retries=1) as client:
            with pytest.raises(APIError) as caught:
                await curve_of(client, timeout=0.02, **options)
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    traceback, seen = error.__traceback__, 0
    while traceback is not None:
        frame = traceback.tb_frame
        if "/asyncckpt/" in frame.f_code.co_filename and "/tests/" not in frame.f_code.co_filename:
            seen += 1
            assert SECRET not in repr(frame.f_locals)
        traceback = traceback.tb_next
    assert seen
    assert SECRET not in f"{error} {error!r} {error.request}"


async def test_a_failure_leaves_no_garbage() -> None:
    async with responding(cut(200)) as server, server.client(max_retries=1) as client:
        with contextlib.suppress(APIConnectionError):
            await curve_of(client)
        gc.collect()
        gc.disable()
        try:
            with contextlib.suppress(APIConnectionError):
                await curve_of(client)
            left = [
                thing
                for thing in gc.get_objects()
                if type(thing).__module__ == "asyncckpt.transport.download"
            ]
            assert left == []
        finally:
            gc.enable()
