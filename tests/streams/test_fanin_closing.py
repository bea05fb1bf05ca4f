"""Leaving and closing a stream of many lists leaves nothing behind."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from asyncckpt import (
    AsyncClient,
    JobFailure,
    Page,
    Pager,
)
from asyncckpt.testing import Sandbox, faults

from support.fanins import (
    BOTH,
    KINDS,
    Record,
    Seen,
    Source,
    by_job,
    fan_in,
    many,
    page_of,
    read,
    read_ids_into,
    read_into,
    served,
    settled,
)
from support.leftovers import end_a_loop_with_open
from support.turns import turns, until, with_timeout_at

pytestmark = pytest.mark.usefixtures("short_backoff")


@BOTH
@pytest.mark.parametrize("on_error", ["raise", "collect"])
async def test_a_client_that_is_closed_ends_the_stream(
    on_error: str, ordered: bool, sandbox: Sandbox, leaks: None
) -> None:
    sandbox.inject(faults.Hang(), page=2, times=None)
    client = sandbox.client()
    source = Source(sandbox.job_ids)
    stream = many(client, source(), ordered=ordered, concurrency=3, on_error=on_error)

    async def close_in_the_middle() -> None:
        async for _ in stream:
            await client.aclose()

    with pytest.raises(RuntimeError, match="this client is closed"):
        await close_in_the_middle()
    assert source.is_closed
    assert stream.failures == ()


@BOTH
@KINDS
@pytest.mark.parametrize("way", ["break", "exception", "cancel", "timeout", "aclose"])
async def test_leaving_closes_the_source_and_draws_nothing_more(
    way: str, kind: str, ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    source = Source(sandbox.job_ids * 50)
    stream = many(client, source.of_kind(kind), ordered=ordered, concurrency=3)

    async def leave() -> None:
        if way in {"cancel", "timeout"}:
            sandbox.inject(faults.Hang(), page=2, times=None)
        async with stream:
            async for _ in stream:
                if way == "break":
                    break
                if way == "exception":
                    raise KeyError("mine")
                if way == "aclose":
                    await stream.aclose()

    def all_hang() -> bool:
        return sandbox.stats.in_flight == 3

    if way == "cancel":
        leaving = asyncio.create_task(leave())
        await until(all_hang)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
    elif way == "timeout":
        with pytest.raises(TimeoutError):
            await with_timeout_at(until(all_hang), leave())
    elif way == "exception":
        with pytest.raises(KeyError, match="mine"):
            await leave()
    elif way == "aclose":
        with pytest.raises(RuntimeError, match="closed"):
            await leave()
    else:
        await leave()
    assert source.is_closed
    drawn, requests = source.taken, stream.progress.requests
    assert drawn <= 12
    # One that was on the wire may still have to arrive.
    await settled(sandbox)
    assert (source.taken, stream.progress.requests) == (drawn, requests)
    assert sandbox.stats.requests <= requests


@BOTH
async def test_closing_while_another_task_waits_for_a_record(
    ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    sandbox.inject(faults.Hang(), page=2, times=None)
    source = Source(sandbox.job_ids)
    stream = many(client, source.asynchronous(), ordered=ordered, concurrency=3)
    seen: Seen = []
    reading = asyncio.ensure_future(read_into(seen, stream))
    await until(lambda: sandbox.stats.in_flight == 3 and seen)
    async with asyncio.timeout(30):
        await stream.aclose()
        assert source.is_closed
        with pytest.raises(RuntimeError, match="closed"):
            await reading
    assert seen


@BOTH
async def test_closing_between_two_records(
    ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    stream = many(client, sandbox.job_ids, ordered=ordered)
    records = aiter(stream)
    await anext(records)
    await stream.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await anext(records)


@BOTH
async def test_closing_before_the_first_step(
    ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    source = Source(sandbox.job_ids)
    stream = many(client, source(), ordered=ordered)
    records = aiter(stream)
    await stream.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await anext(records)
    with pytest.raises(RuntimeError, match="closed"):
        aiter(stream)
    assert (source.taken, sandbox.stats.requests) == (0, 0)


@BOTH
async def test_closing_before_it_is_read(
    ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    stream = many(client, sandbox.job_ids, ordered=ordered)
    await stream.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        aiter(stream)


@BOTH
async def test_closing_while_on_error_is_awaited(
    ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    told = asyncio.Event()
    closed = asyncio.Event()

    async def tell(failure: JobFailure) -> None:
        told.set()
        await closed.wait()

    source = Source(["ftjob-unknown", *sandbox.job_ids * 20])
    stream = many(client, source(), ordered=ordered, on_error=tell, concurrency=2)
    seen: Seen = []
    reading = asyncio.ensure_future(read_into(seen, stream))
    async with asyncio.timeout(30):
        await told.wait()
        before = list(seen)
        await stream.aclose()
        assert source.is_closed
        # It is the consumer's own, and goes on; what it was called for is over.
        closed.set()
        with pytest.raises(RuntimeError, match="closed"):
            await reading
    assert seen == before
    assert stream.progress.jobs_failed == 1


@BOTH
async def test_on_error_can_close_the_stream(
    ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    async def close(failure: JobFailure) -> None:
        await stream.aclose()

    stream = many(client, ["ftjob-unknown"], ordered=ordered, on_error=close)
    with pytest.raises(RuntimeError, match="closed"):
        await read(stream)


@BOTH
async def test_the_source_can_close_the_stream(
    ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    async def jobs() -> AsyncIterator[str]:
        yield sandbox.job_ids[0]
        await stream.aclose()
        yield sandbox.job_ids[1]

    stream = many(client, jobs(), ordered=ordered)
    async with asyncio.timeout(30):
        with pytest.raises(RuntimeError, match="closed"):
            await read(stream)


@BOTH
@pytest.mark.parametrize("in_block", [False, True])
@pytest.mark.parametrize("kind", ["generator", "async generator", "pager"])
def test_a_stream_that_is_open_in_another_generator_when_the_loop_ends(
    kind: str, in_block: bool, ordered: bool
) -> None:
    sources: list[Source] = []

    async def page(cursor: str | None, on_wire: Callable[[], None]) -> Page[Record]:
        await asyncio.sleep(0)
        return page_of(f"job-{0 if cursor is None else int(cursor[4:]) + 1}", more=True)

    def fetch_of(job: object) -> Any:
        async def fetch(cursor: str | None, on_wire: Callable[[], None]) -> Page[Record]:
            await asyncio.sleep(0)
            return page_of(f"{job}{0 if cursor is None else int(cursor[-1]) + 1}", more=True)

        return fetch

    def jobs() -> Any:
        sources.append(Source([str(number) for number in range(100)]))
        return Pager(page) if kind == "pager" else sources[-1].of_kind(kind)

    async def outer() -> AsyncIterator[Record]:
        stream = fan_in(jobs(), fetch_of, ordered=ordered, max_records_per_job=3)
        async with stream if in_block else contextlib.nullcontext():
            async for record in stream:
                yield record

    end_a_loop_with_open(outer)
    if kind != "pager":
        assert [source.is_closed for source in sources] == [True] * 5


@BOTH
async def test_a_source_that_resists_being_closed_gives_no_more_jobs(ordered: bool) -> None:
    def fetch_of(job: object) -> Any:
        async def fetch(cursor: str | None, on_wire: Callable[[], None]) -> Page[Record]:
            requests.append(job)
            await asyncio.sleep(0)
            return page_of(str(job), more=False)

        return fetch

    async def jobs() -> AsyncIterator[str]:
        yield "a"
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        yield "b"

    requests: list[object] = []
    before = asyncio.all_tasks()
    stream = fan_in(jobs(), fetch_of, ordered=ordered)
    records = aiter(stream)
    await anext(records)
    async with asyncio.timeout(30):
        await stream.aclose()
    assert asyncio.all_tasks() == before
    assert requests == ["a"]


@BOTH
@KINDS
@pytest.mark.parametrize("way", ["cancel", "close"])
async def test_leaving_at_any_turn_of_the_loop_leaves_nothing(
    way: str, kind: str, ordered: bool
) -> None:
    def fetch_of(job: object) -> Any:
        async def fetch(cursor: str | None, on_wire: Callable[[], None]) -> Page[Record]:
            await asyncio.sleep(0)
            number = 0 if cursor is None else int(cursor[1:]) + 1
            return page_of(f"{job}{number}", more=number < 3)

        return fetch

    expected = [f"{job}{number}" for job in "abcd" for number in range(4)]
    before = asyncio.all_tasks()
    outcomes: list[type[BaseException] | None] = []
    while not outcomes or outcomes[-1] is not None:
        source = Source("abcd")
        stream = fan_in(source.of_kind(kind), fetch_of, ordered=ordered, concurrency=2)
        seen: list[str] = []
        reading = asyncio.ensure_future(read_ids_into(seen, stream))
        await turns(len(outcomes) + 1)
        if way == "cancel":
            reading.cancel()
        else:
            await stream.aclose()
        (error,) = await asyncio.gather(reading, return_exceptions=True)
        assert asyncio.all_tasks() == before
        # The cancellation may have been thrown into the cleanup of the source itself.
        assert source.is_closing or not source.taken
        assert all(seen.count(one) <= 1 for one in seen)
        for job in "abcd":
            mine = [one for one in seen if one[0] == job]
            assert mine == [f"{job}{number}" for number in range(len(mine))]
        if ordered:
            assert seen == expected[: len(seen)]
        if error is None:
            assert sorted(seen) == expected
        outcomes.append(None if error is None else type(error))
    expected_error = asyncio.CancelledError if way == "cancel" else RuntimeError
    assert set(outcomes[:-1]) == {expected_error}
    assert len(outcomes) > 10


@BOTH
@KINDS
@pytest.mark.parametrize("wait", range(6))
async def test_leaving_that_is_cancelled_again_leaves_nothing(
    wait: int, kind: str, ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    sandbox.inject(faults.Hang(), page=2, times=None)
    source = Source(sandbox.job_ids)
    stream = many(client, source.of_kind(kind), ordered=ordered, concurrency=3)
    reading = asyncio.ensure_future(read(stream))
    await until(lambda: sandbox.stats.in_flight == 3)
    reading.cancel()
    await turns(wait)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    drawn = source.taken
    await settled(sandbox)
    assert source.taken == drawn
    # The cancellation may have been thrown into the cleanup of the source itself.
    assert source.is_closing


@KINDS
async def test_a_source_that_is_read_to_its_end_is_closed(
    kind: str, sandbox: Sandbox, client: AsyncClient
) -> None:
    source = Source(sandbox.job_ids)
    await read(many(client, source.of_kind(kind)))
    assert source.is_closed
    assert source.taken == len(sandbox.job_ids)


async def test_a_source_is_not_asked_again_after_its_end(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    class Jobs:
        """Like a queue, which would wait for ever for an item after the last."""

        def __init__(self) -> None:
            self.left = [None, *sandbox.job_ids[:3]]

        def __aiter__(self) -> "Jobs":
            return self

        async def __anext__(self) -> str:
            await asyncio.sleep(0)
            if not self.left:
                return await asyncio.get_running_loop().create_future()
            job = self.left.pop()
            if job is None:
                raise StopAsyncIteration
            return job

    async with asyncio.timeout(30):
        seen = await read(many(client, Jobs(), concurrency=8))
    assert by_job(seen) == by_job(served(sandbox, sandbox.job_ids[:3]))


async def test_an_unread_stream_draws_and_requests_nothing(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    source = Source(sandbox.job_ids)
    async with many(client, source()) as stream:
        pass
    await stream.aclose()
    assert source.taken == 0
    assert sandbox.stats.requests == 0


@BOTH
async def test_it_can_be_read_only_once(
    ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    stream = many(client, sandbox.job_ids, ordered=ordered)
    await read(stream)
    with pytest.raises(RuntimeError, match="already iterated over"):
        await read(stream)
    begun = many(client, sandbox.job_ids, ordered=ordered)
    async with begun:
        await anext(aiter(begun))
        with pytest.raises(RuntimeError, match="already iterated over"):
            aiter(begun)
