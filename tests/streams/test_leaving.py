"""Whoever leaves a list early leaves nothing behind, however and whenever; long lists stay small.

The exits run in a process of their own, with Python's development mode and warnings as errors, so
that what only shows at the end of a process shows as well. It prints nothing when all is well.
"""

import asyncio
import contextlib
import gc
import itertools
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asyncckpt import APIError, FanIn, Pager
from asyncckpt.resources.jobs import AsyncCheckpoints
from asyncckpt.testing import Sandbox, faults

from support.servers import Talk, serving

RECORDS = 100_000

PROGRAM = '''
import asyncio
import contextlib
import gc
import random
import sys

from asyncckpt.testing import Sandbox

RECORDS = 60
PAGE = 10


def records_of(client, sandbox, kind):
    checkpoints = client.fine_tuning.jobs.checkpoints
    if kind == "list":
        return checkpoints.list(sandbox.job_ids[0], limit=PAGE, prefetch=2)
    return checkpoints.list_many(
        sandbox.job_ids, concurrency=3, limit=PAGE, ordered=kind == "ordered"
    )


async def read(client, sandbox, kind, count=-1, on_last=None, tidy=False):
    """Read `count` records, and then do something."""
    seen = 0
    records = records_of(client, sandbox, kind)
    async with contextlib.AsyncExitStack() as stack:
        if tidy:
            await stack.enter_async_context(records)
        async for record in records:
            seen += 1
            if seen == count and on_last() == "break":
                break


async def by_break(client, sandbox, kind, draw):
    tidy = draw.random() < 0.5
    await read(client, sandbox, kind, draw.randint(1, RECORDS - 1), lambda: "break", tidy)
    return tidy


async def by_exception(client, sandbox, kind, draw):
    def fail():
        raise KeyError("mine")

    tidy = draw.random() < 0.5
    try:
        await read(client, sandbox, kind, draw.randint(1, RECORDS - 1), fail, tidy)
    except KeyError:
        return tidy
    raise AssertionError("the exception was swallowed")


def some_moment(draw, usual):
    return draw.uniform(0, usual)


async def by_cancellation(client, sandbox, kind, draw):
    loop = asyncio.get_running_loop()
    reading = asyncio.create_task(read(client, sandbox, kind))
    loop.call_later(some_moment(draw, USUAL[kind]), reading.cancel)
    try:
        await reading
    except asyncio.CancelledError:
        assert reading.cancelled()
    return True


async def by_timeout(client, sandbox, kind, draw):
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(some_moment(draw, USUAL[kind])):
            await read(client, sandbox, kind)
    return True


async def by_dropping(client, sandbox, kind, draw):
    iteration = aiter(records_of(client, sandbox, kind))
    for _ in range(draw.randint(0, RECORDS - 1)):
        await anext(iteration)
    del iteration
    return False


async def by_closing_the_client(client, sandbox, kind, draw):
    own = sandbox.client()

    async def reading():
        try:
            await read(own, sandbox, kind)
        except RuntimeError as error:
            assert "this client is closed" in str(error), error

    task = asyncio.create_task(reading())
    closing = asyncio.Event()
    asyncio.get_running_loop().call_later(some_moment(draw, USUAL[kind]), closing.set)
    await closing.wait()
    await own.aclose()
    await task
    return True


WAYS = {
    "break": by_break,
    "exception": by_exception,
    "cancellation": by_cancellation,
    "timeout": by_timeout,
    "dropping": by_dropping,
    "closing": by_closing_the_client,
}
KINDS = ("list", "many", "ordered")
USUAL = {}


def is_of_the_server(coroutine):
    code = getattr(coroutine, "cr_code", None)
    return code is not None and (
        "web_protocol" in code.co_filename or code.co_name == "_accept_connection2"
    )


def others():
    """The tasks that are neither the program nor the sandbox."""
    return [
        task
        for task in asyncio.all_tasks()
        if task is not asyncio.current_task()
        and not is_of_the_server(task.get_coro())
    ]


async def at_rest(sandbox, way):
    """Wait until what was left is gone; that it goes is what is shown."""
    try:
        async with asyncio.timeout(10):
            while others() or sandbox.stats.in_flight:
                await asyncio.sleep(0)
    except TimeoutError:
        raise AssertionError(f"{way}: left {others()}, {sandbox.stats}") from None


async def leave(way, times, seed):
    draw = random.Random(f"{seed} {way}")
    loop = asyncio.get_running_loop()
    async with Sandbox(
        jobs=3, checkpoints=RECORDS, statuses=("succeeded",), latency=(0.0, 0.004)
    ) as sandbox:
        async with sandbox.client(connection_limit=8) as client:
            for kind in KINDS:
                began = loop.time()
                await read(client, sandbox, kind)
                USUAL[kind] = loop.time() - began
            for number in range(times):
                kind = KINDS[number % 3]
                if await WAYS[way](client, sandbox, kind, draw):
                    # Nothing is left to be tidied up later.
                    assert not others(), f"{way} of {kind}: left {others()}"
                await at_rest(sandbox, way)
                assert sandbox.stats.connections_open <= 8
            # The client is as good as new.
            seen = 0
            async for record in client.fine_tuning.jobs.checkpoints.list_many(sandbox.job_ids):
                seen += 1
            assert seen == sum(len(sandbox.checkpoints_of(job)) for job in sandbox.job_ids)
        async with asyncio.timeout(10):
            while sandbox.stats.connections_open:
                await asyncio.sleep(0)
    gc.collect()


asyncio.run(leave(sys.argv[1], int(sys.argv[2]), seed=1))
gc.collect()
'''


def run(program: str, *arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        # In development mode asyncio complains of a busy machine.
        env=os.environ | {"PYTHONASYNCIODEBUG": "0"},
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


@pytest.mark.parametrize("way", ["break", "exception", "cancellation", "timeout"])
def test_sixty_early_exits_leave_nothing(way: str) -> None:
    assert run(PROGRAM, way, "60") == ""


@pytest.mark.parametrize("way", ["dropping", "closing"])
def test_what_is_dropped_or_closed_leaves_nothing(way: str) -> None:
    assert run(PROGRAM, way, "30") == ""


def test_a_leak_would_be_seen() -> None:
    broken = PROGRAM.replace(
        "async def by_break(client, sandbox, kind, draw):",
        "KEPT = []\n"
        "async def by_break(client, sandbox, kind, draw):\n"
        "    iteration = aiter(records_of(client, sandbox, kind))\n"
        "    await anext(iteration)\n"
        "    KEPT.append(iteration)\n"
        "    KEPT.append(asyncio.create_task(asyncio.Event().wait()))\n"
        "    return False\n",
    ).replace("asyncio.timeout(10)", "asyncio.timeout(0.2)")
    assert broken != PROGRAM
    with pytest.raises(AssertionError, match="break: left"):
        run(broken, "break", "3")


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
async def test_nothing_is_left_to_the_garbage_collector(
    kind: str, fault: faults.Fault | None, sandbox: Sandbox, leaks: None
) -> None:
    if fault is not None:
        sandbox.inject(fault, page=2, times=None)
    async with sandbox.client(max_retries=0) as client:
        checkpoints = client.fine_tuning.jobs.checkpoints
        await leave_no_garbage(lambda: READS[kind](checkpoints, sandbox))


@pytest.mark.parametrize("kind", ["list", "list_many"])
async def test_nothing_is_left_of_who_was_asking_for_a_key(
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
async def test_nothing_is_left_of_a_key_callable_that_fails(
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
    """Answer every request with a page of a hundred records, in which only the ids are new."""
    record = dict(sandbox.checkpoints_of(sandbox.job_ids[0])[0])
    records = [record | {"id": f"ftckpt_@@@@@@@@_{place}"} for place in range(100)]
    template = json.dumps({"object": "list", "data": records, "has_more": True}).encode()
    pages = itertools.count(10_000_000)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            body = template.replace(b"@@@@@@@@", b"%d" % next(pages))
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
