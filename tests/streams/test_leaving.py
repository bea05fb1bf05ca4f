"""Leaving a stream early leaves nothing behind, and long lists need little memory.

The exits run in a process of their own, with Python's development mode and warnings as errors, so
that what only shows at the end of a process shows as well. It prints nothing when all is well.
"""

import asyncio
import contextlib
import gc
import itertools
import json
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asyncckpt import APIError, FanIn, Pager
from asyncckpt.resources.jobs import AsyncCheckpoints
from asyncckpt.testing import Sandbox, faults

from support.programs import Ran, checked_program, run_program
from support.servers import Talk, serving

RECORDS = 100_000


def leave(way: str, times: int) -> Ran:
    """Leave streams in a process of its own, which prints nothing unless it fails."""
    return run_program([*checked_program("leaving.py"), way, str(times)])


@pytest.mark.parametrize("way", ["break", "exception", "cancellation", "timeout", "closing"])
def test_sixty_early_exits_leave_nothing(way: str) -> None:
    assert leave(way, 60) == Ran(0, "", "")


@pytest.mark.parametrize("way", ["dropping", "closing the client"])
def test_thirty_early_exits_leave_nothing(way: str) -> None:
    assert leave(way, 30) == Ran(0, "", "")


def test_a_leak_would_be_seen() -> None:
    ran = leave("leaking", 3)
    assert ran.code == 1
    assert "AssertionError: left" in ran.err


Read = Callable[[AsyncCheckpoints, Sandbox], Awaitable[None]]


async def read_list(checkpoints: AsyncCheckpoints, sandbox: Sandbox) -> None:
    async for _ in checkpoints.list(sandbox.job_ids[0]):
        pass


async def leave_list(checkpoints: AsyncCheckpoints, sandbox: Sandbox) -> None:
    async with checkpoints.list(sandbox.job_ids[0]) as pager:
        async for _ in pager:
            # The second page is there by then, or has failed.
            while sandbox.stats.in_flight or sandbox.stats.requests < 2:
                await asyncio.sleep(0)
            break


async def close_list(checkpoints: AsyncCheckpoints, sandbox: Sandbox) -> None:
    with contextlib.suppress(RuntimeError):
        async with checkpoints.list(sandbox.job_ids[0]) as pager:
            async for _ in pager:
                await pager.aclose()


async def read_pages(checkpoints: AsyncCheckpoints, sandbox: Sandbox) -> None:
    async for page in checkpoints.list(sandbox.job_ids[0]).pages():
        assert page.data


async def read_page_by_page(checkpoints: AsyncCheckpoints, sandbox: Sandbox) -> None:
    page = await checkpoints.list(sandbox.job_ids[0])
    while page.has_next_page():
        page = await page.get_next_page()


def read_many(**options: Any) -> Read:
    async def read(checkpoints: AsyncCheckpoints, sandbox: Sandbox) -> None:
        async for _ in checkpoints.list_many(sandbox.job_ids, **options):
            pass

    return read


async def close_many(checkpoints: AsyncCheckpoints, sandbox: Sandbox) -> None:
    with contextlib.suppress(RuntimeError):
        async with checkpoints.list_many(sandbox.job_ids, concurrency=3) as stream:
            async for _ in stream:
                await stream.aclose()


def read_failing_source(*, ordered: bool) -> Read:
    async def read(checkpoints: AsyncCheckpoints, sandbox: Sandbox) -> None:
        jobs: Any = itertools.chain(sandbox.job_ids[:5], map(int, ["x"]))
        with contextlib.suppress(ValueError):
            async for _ in checkpoints.list_many(jobs, ordered=ordered, on_error="collect"):
                pass

    return read


READS: dict[str, Read] = {
    "list": read_list,
    "left": leave_list,
    "closed": close_list,
    "pages": read_pages,
    "page by page": read_page_by_page,
    "list_many": read_many(),
    "ordered": read_many(ordered=True),
    "collected": read_many(on_error="collect"),
    "closed list_many": close_many,
    "failing source": read_failing_source(ordered=False),
    "failing source in order": read_failing_source(ordered=True),
}


def is_ours(garbage: object) -> bool:
    module = str(getattr(garbage, "__module__", None) or type(garbage).__module__)
    return module.startswith("asyncckpt") and not module.startswith("asyncckpt.testing")


@pytest.mark.parametrize("fault", [None, faults.Status(404), faults.Reset(), faults.RawBody(b"[")])
@pytest.mark.parametrize("kind", READS)
async def test_reading_leaves_no_garbage(
    kind: str, fault: faults.Fault | None, sandbox: Sandbox, leaks: None
) -> None:
    if fault is not None:
        sandbox.inject(fault, page=2, times=None)
    async with sandbox.client(max_retries=0) as client:
        checkpoints = client.fine_tuning.jobs.checkpoints
        await leave_no_garbage(lambda: READS[kind](checkpoints, sandbox))


@pytest.mark.parametrize("kind", ["list", "list_many"])
async def test_a_reader_cancelled_while_it_asks_for_a_key_leaves_no_garbage(
    kind: str, sandbox: Sandbox, leaks: None
) -> None:
    asked = asyncio.Event()

    async def key() -> str:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    async with sandbox.client(api_key=key) as client:
        checkpoints = client.fine_tuning.jobs.checkpoints

        async def cancel() -> None:
            reading = asyncio.ensure_future(READS[kind](checkpoints, sandbox))
            await asked.wait()
            reading.cancel()
            await asyncio.wait([reading])

        await leave_no_garbage(cancel)


@pytest.mark.parametrize("kind", ["list", "list_many", "ordered"])
async def test_a_key_callable_that_fails_leaves_no_garbage(
    kind: str, sandbox: Sandbox, leaks: None
) -> None:
    async def key() -> str:
        await asyncio.sleep(0)
        raise LookupError("mine")

    async with sandbox.client(api_key=key) as client:
        checkpoints = client.fine_tuning.jobs.checkpoints

        async def fail() -> None:
            with contextlib.suppress(LookupError):
                await READS[kind](checkpoints, sandbox)

        await leave_no_garbage(fail)


async def leave_no_garbage(read: Callable[[], Awaitable[None]]) -> None:
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        with contextlib.suppress(APIError):
            await read()
        for _ in range(5):
            # What the loop is still to call refers to what has just ended.
            await asyncio.sleep(0)
        gc.collect()
        assert [garbage for garbage in gc.garbage if is_ours(garbage)] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


def endless_pages(sandbox: Sandbox) -> Talk:
    """Respond to every request with a page of a hundred records of the requested job."""
    record = dict(sandbox.checkpoints_of(sandbox.job_ids[0])[0])
    record["fine_tuning_job_id"] = "@job@"
    records = [record | {"id": f"ftckpt_@@@@@@@@_{place}"} for place in range(100)]
    template = json.dumps({"object": "list", "data": records, "has_more": True}).encode()
    pages = itertools.count(10_000_000)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            job = head.split(b"/checkpoints", 1)[0].rpartition(b"/")[2]
            body = template.replace(b"@@@@@@@@", b"%d" % next(pages)).replace(b"@job@", job)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()

    return talk


@pytest.mark.parametrize("kind", ["list", "list_many"])
async def test_a_hundred_thousand_records_pass_through_little_memory(
    kind: str, sandbox: Sandbox, leaks: None
) -> None:
    seen = early = 0
    async with (
        serving(endless_pages(sandbox)) as server,
        sandbox.client(base_url=f"http://127.0.0.1:{server.port}/v1") as client,
    ):
        checkpoints = client.fine_tuning.jobs.checkpoints
        records: Pager[Any] | FanIn[Any] = (
            checkpoints.list("ftjob-1", max_records=RECORDS)
            if kind == "list"
            else checkpoints.list_many(
                (f"ftjob-{number}" for number in range(RECORDS // 1000)),
                concurrency=5,
                max_records_per_job=1000,
            )
        )
        tracemalloc.start()
        try:
            async for _ in records:
                seen += 1
                if seen == RECORDS // 10:
                    early, _ = tracemalloc.get_traced_memory()
                    tracemalloc.reset_peak()
            late, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert seen == RECORDS
    assert late - early < 1 << 20
    assert peak - early < 4 << 20
