"""The lists of many jobs as one stream, over a real server."""

import asyncio
import copy
import sys
import types
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest

from asyncckpt import (
    APIError,
    AsyncClient,
    FanIn,
    FineTuningJobCheckpoint,
    InternalServerError,
    JobFailure,
    NotFoundError,
    PaginationError,
)
from asyncckpt.protocol import retries
from asyncckpt.testing import Sandbox, faults
from asyncckpt.testing.limiters import Concurrency, FixedWindow, Hints, TokenBucket

BOTH = pytest.mark.parametrize("ordered", [False, True], ids=["as-they-come", "in-order"])


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "_FIRST_BACKOFF", 0.001)


Seen = list[tuple[str, str]]


def served(sandbox: Sandbox, jobs: Sequence[str] | None = None) -> Seen:
    """All records of some jobs, job after job, as they should be handed out in order."""
    return [
        (job, checkpoint["id"])
        for job in (sandbox.job_ids if jobs is None else jobs)
        for checkpoint in sandbox.checkpoints_of(job)
    ]


def by_job(seen: Seen) -> dict[str, list[str]]:
    """The ids of each job, in the order they came."""
    grouped: dict[str, list[str]] = {}
    for job, record in seen:
        grouped.setdefault(job, []).append(record)
    return grouped


async def read(stream: FanIn[FineTuningJobCheckpoint]) -> Seen:
    return [(record.fine_tuning_job_id, record.id) async for record in stream]


def many(client: AsyncClient, jobs: Any, **options: Any) -> FanIn[FineTuningJobCheckpoint]:
    return client.fine_tuning.jobs.checkpoints.list_many(jobs, **options)


async def settled(sandbox: Sandbox) -> None:
    """Wait until nothing more is asked for."""
    quiet, requests = 0, -1
    async with asyncio.timeout(10):
        while quiet < 100:
            await asyncio.sleep(0)
            is_quiet = sandbox.stats.in_flight == 0 and sandbox.stats.requests == requests
            quiet = quiet + 1 if is_quiet else 0
            requests = sandbox.stats.requests


async def one_by_one(items: Sequence[Any]) -> AsyncIterator[Any]:
    for item in items:
        await asyncio.sleep(0)
        yield item


class Source:
    """Jobs that know how many of them were drawn, and whether they were closed."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = items
        self.drawn = 0
        self.is_closed = False

    def __call__(self) -> Iterator[Any]:
        try:
            for item in self.items:
                self.drawn += 1
                yield item
        finally:
            self.is_closed = True

    async def asynchronous(self) -> AsyncIterator[Any]:
        try:
            for item in self.items:
                await asyncio.sleep(0)
                self.drawn += 1
                yield item
        finally:
            await asyncio.sleep(0)
            self.is_closed = True

    def of_kind(self, kind: str) -> Any:
        return self() if kind == "generator" else self.asynchronous()


KINDS = pytest.mark.parametrize("kind", ["generator", "async generator"])

# What comes out.


@BOTH
@pytest.mark.parametrize("concurrency", [1, 2, 3, 12, 50])
async def test_every_record_once_and_each_job_in_order(
    ordered: bool, concurrency: int, sandbox: Sandbox, client: AsyncClient
) -> None:
    sandbox.latency = (0.0, 0.004)
    jobs = sandbox.job_ids
    seen = await read(many(client, jobs, ordered=ordered, concurrency=concurrency))
    expected = served(sandbox)
    assert by_job(seen) == by_job(expected)
    assert len(seen) == len(expected)
    if ordered or concurrency == 1:
        assert seen == expected
    assert sandbox.stats.max_in_flight <= concurrency


@BOTH
@pytest.mark.parametrize(
    "form", ["tuple", "dict keys", "iterator", "generator", "async generator", "records", "pager"]
)
async def test_jobs_come_from_anywhere(
    form: str, ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    ids = sandbox.job_ids
    records = [job async for job in client.fine_tuning.jobs.list()] if form == "records" else []
    jobs: Any = {
        "tuple": lambda: tuple(ids),
        "dict keys": lambda: dict.fromkeys(ids).keys(),
        "iterator": lambda: iter(ids),
        "generator": lambda: (job for job in ids),
        "async generator": lambda: one_by_one(ids),
        "records": lambda: records,
        "pager": lambda: client.fine_tuning.jobs.list(limit=5),
    }[form]()
    seen = await read(many(client, jobs, ordered=ordered, concurrency=4))
    assert by_job(seen) == by_job(served(sandbox))
    if ordered:
        assert seen == served(sandbox)


@BOTH
@pytest.mark.parametrize("empty", [(), one_by_one(())], ids=["iterable", "async iterable"])
async def test_no_jobs_are_no_records(
    ordered: bool, empty: Any, sandbox: Sandbox, client: AsyncClient
) -> None:
    stream = many(client, empty, ordered=ordered)
    assert await read(stream) == []
    assert stream.progress.jobs_begun == 0
    assert sandbox.stats.requests == 0


@BOTH
async def test_a_job_that_comes_twice_is_listed_twice(
    ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    job = sandbox.job_ids[0]
    seen = await read(many(client, [job] * 3, ordered=ordered))
    assert sorted(seen) == sorted(served(sandbox, [job] * 3))


@BOTH
async def test_jobs_without_records_are_passed_over(
    ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    jobs = [
        sandbox.add_job(checkpoints=count, status="succeeded") for count in (0, 5, 0, 25, 0, 0, 1)
    ]
    seen = await read(many(client, jobs, ordered=ordered, concurrency=2))
    assert by_job(seen) == by_job(served(sandbox, jobs))


@BOTH
async def test_only_the_newest_of_each_job(
    ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    jobs = [job for job in sandbox.job_ids if len(sandbox.checkpoints_of(job)) == 30]
    stream = many(client, jobs, ordered=ordered, limit=5, max_records_per_job=7)
    seen = by_job(await read(stream))
    assert seen == {job: ids[:7] for job, ids in by_job(served(sandbox, jobs)).items()}
    assert sandbox.stats.requests == 2 * len(jobs)
    assert {request.query["limit"] for request in sandbox.requests} == {"5"}


async def test_options_go_with_every_request(sandbox: Sandbox, client: AsyncClient) -> None:
    await read(
        many(client, sandbox.job_ids, extra_headers={"X-Tag": "a"}, extra_query={"tag": "b"})
    )
    assert len(sandbox.requests) > len(sandbox.job_ids)
    for request in sandbox.requests:
        assert request.headers["x-tag"] == "a"
        assert request.query["tag"] == "b"


async def test_two_streams_of_one_client_do_not_mix(sandbox: Sandbox, client: AsyncClient) -> None:
    sandbox.latency = (0.0, 0.002)
    first, second = sandbox.job_ids[:6], sandbox.job_ids[6:]
    seen = await asyncio.gather(
        read(many(client, first, ordered=True)), read(many(client, second, ordered=True))
    )
    assert seen == [served(sandbox, first), served(sandbox, second)]


# How far it runs ahead.


@BOTH
@KINDS
@pytest.mark.parametrize(("concurrency", "records"), [(1, 1), (2, 30), (4, 1), (10, 1)])
async def test_jobs_are_drawn_no_further_ahead_than_said(
    ordered: bool, kind: str, concurrency: int, records: int, sandbox: Sandbox, client: AsyncClient
) -> None:
    jobs = [sandbox.add_job(checkpoints=records, status="succeeded") for _ in range(40)]
    source = Source(jobs)
    stream = many(client, source.of_kind(kind), ordered=ordered, concurrency=concurrency)
    assert source.drawn == 0
    left = dict.fromkeys(jobs, records)
    async for record in stream:
        await settled(sandbox)
        # Besides the one that is being handed out.
        ahead = source.drawn - sum(not count for count in left.values()) - 1
        assert ahead <= max(2, concurrency * 3 // 2)
        left[record.fine_tuning_job_id] -= 1
        if source.drawn > 20:
            break
    assert source.drawn > 20


@BOTH
async def test_a_consumer_that_stops_stops_the_requests(
    ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    jobs = [sandbox.add_job(checkpoints=200, status="succeeded") for _ in range(30)]
    async with many(client, jobs, ordered=ordered, concurrency=4, limit=10) as stream:
        iteration = aiter(stream)
        await anext(iteration)
        await settled(sandbox)
        requests = sandbox.stats.requests
        # Of each job under way, a few pages.
        assert requests <= 4 * 4
        for _ in range(9):
            await anext(iteration)
        assert sandbox.stats.requests == requests
        await anext(iteration)
        await settled(sandbox)
        assert requests < sandbox.stats.requests <= requests + 2


@BOTH
async def test_it_is_as_concurrent_as_it_may_be(
    ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    sandbox.inject(faults.Hang(), times=None)
    reading = asyncio.create_task(
        read(many(client, sandbox.job_ids, ordered=ordered, concurrency=5))
    )
    async with asyncio.timeout(10):
        while sandbox.stats.in_flight < 5:
            await asyncio.sleep(0)
    for _ in range(100):
        await asyncio.sleep(0)
    assert sandbox.stats.max_in_flight == 5
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


@BOTH
async def test_jobs_are_served_in_turn(
    ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    jobs = [sandbox.add_job(checkpoints=30, status="succeeded") for _ in range(30)]
    seen = await read(many(client, jobs, ordered=ordered, concurrency=6))
    first_asked = [request.job_id for request in sandbox.requests if request.page == 1]
    assert first_asked == jobs
    # Nobody is overtaken by many who came later.
    finished = list(by_job(seen[::-1]))[::-1]
    assert max(abs(finished.index(job) - place) for place, job in enumerate(jobs)) <= 12


# What goes wrong.


def fail(sandbox: Sandbox, job: str, page: int = 1) -> None:
    sandbox.inject(faults.Status(500), job=job, page=page, times=None)


@BOTH
async def test_a_failure_is_raised_with_its_job(
    ordered: bool, sandbox: Sandbox, leaks: None
) -> None:
    broken = sandbox.job_ids[5]
    fail(sandbox, broken, page=2)
    source = Source(sandbox.job_ids * 20)
    seen: Seen = []

    async def read_on(stream: FanIn[FineTuningJobCheckpoint]) -> None:
        async for record in stream:
            seen.append((record.fine_tuning_job_id, record.id))

    async with sandbox.client(max_retries=0) as client:
        with pytest.raises(InternalServerError) as caught:
            await read_on(many(client, source(), ordered=ordered, concurrency=3))
    assert caught.value.fine_tuning_job_id == broken
    assert broken in str(caught.value)
    assert source.is_closed
    assert source.drawn < 20
    grouped, expected = by_job(seen), by_job(served(sandbox))
    # The page that was had comes first, and each job's records without a gap.
    assert grouped[broken] == expected[broken][:10]
    assert all(ids == expected[job][: len(ids)] for job, ids in grouped.items())
    if ordered:
        assert seen == served(sandbox, sandbox.job_ids[:5]) + served(sandbox, [broken])[:10]


@BOTH
async def test_failures_are_collected(ordered: bool, sandbox: Sandbox, leaks: None) -> None:
    broken = sandbox.job_ids[2], sandbox.job_ids[7]
    for job in broken:
        fail(sandbox, job, page=2)
    jobs = [*sandbox.job_ids, "ftjob-unknown"]
    async with sandbox.client(max_retries=0) as client:
        stream = many(client, jobs, ordered=ordered, on_error="collect", concurrency=3)
        assert stream.failures == ()
        seen = by_job(await read(stream))
    expected = by_job(served(sandbox))
    for job in broken:
        expected[job] = expected[job][:10]
    assert seen == expected
    assert all(isinstance(failure, JobFailure) for failure in stream.failures)
    failed = [failure.fine_tuning_job_id for failure in stream.failures]
    assert sorted(failed) == sorted([*broken, "ftjob-unknown"])
    if ordered:
        assert failed == [*broken, "ftjob-unknown"]
    kinds = {failure.fine_tuning_job_id: type(failure.error) for failure in stream.failures}
    assert kinds["ftjob-unknown"] is NotFoundError
    assert kinds[broken[0]] is InternalServerError
    for failure in stream.failures:
        assert isinstance(failure.error, APIError)
        assert failure.error.fine_tuning_job_id == failure.fine_tuning_job_id
    assert stream.progress.jobs_failed == 3
    assert stream.progress.jobs_done == len(jobs) - 3


@BOTH
@pytest.mark.parametrize("kind", ["function", "coroutine function"])
async def test_failures_are_told(
    kind: str, ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    told: list[JobFailure] = []

    async def tell_later(failure: JobFailure) -> None:
        await asyncio.sleep(0)
        told.append(failure)

    on_error = told.append if kind == "function" else tell_later
    jobs = ["ftjob-a", *sandbox.job_ids, "ftjob-b"]
    stream = many(client, jobs, ordered=ordered, on_error=on_error)
    assert by_job(await read(stream)) == by_job(served(sandbox))
    assert sorted(failure.fine_tuning_job_id for failure in told) == ["ftjob-a", "ftjob-b"]
    assert stream.failures == ()
    assert stream.progress.jobs_failed == 2


async def test_what_a_plain_callable_returns_is_of_no_matter(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    counted: Any = iter(range(10)).__next__
    stream = many(client, ["ftjob-a", *sandbox.job_ids], on_error=lambda _: counted())
    assert by_job(await read(stream)) == by_job(served(sandbox))
    assert counted() == 1


async def test_jobs_may_be_records_of_another_package(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    jobs = [types.SimpleNamespace(id=job_id) for job_id in sandbox.job_ids]
    assert by_job(await read(many(client, jobs))) == by_job(served(sandbox))


@BOTH
async def test_what_the_callable_raises_ends_the_stream(
    ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    def give_up(failure: JobFailure) -> None:
        raise KeyError(failure.fine_tuning_job_id) from failure.error

    source = Source(["ftjob-a", *sandbox.job_ids * 20])
    with pytest.raises(KeyError, match="ftjob-a") as caught:
        await read(many(client, source(), ordered=ordered, on_error=give_up, concurrency=2))
    assert isinstance(caught.value.__cause__, NotFoundError)
    assert source.is_closed
    assert source.drawn < 30


@BOTH
@pytest.mark.parametrize(("bad", "kind"), [("a/b", ValueError), ("", ValueError), (7, TypeError)])
async def test_an_id_that_is_none_is_that_jobs_failure(
    bad: Any, kind: type[Exception], ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    jobs = [*sandbox.job_ids[:3], bad, *sandbox.job_ids[3:]]
    stream = many(client, jobs, ordered=ordered, on_error="collect")
    assert by_job(await read(stream)) == by_job(served(sandbox))
    (failure,) = stream.failures
    assert type(failure.error) is kind
    assert failure.fine_tuning_job_id == str(bad)
    with pytest.raises(kind, match="fine_tuning_job_id") as caught:
        await read(many(client, jobs, ordered=ordered))
    assert repr(bad) in caught.value.__notes__[0]


@BOTH
async def test_pages_that_lead_nowhere_are_a_failure(
    ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    stuck = sandbox.job_ids[1]
    sandbox.inject(faults.StuckCursor(), job=stuck, times=None)
    stream = many(client, sandbox.job_ids, ordered=ordered, on_error="collect")
    seen = by_job(await read(stream))
    assert [type(failure.error) for failure in stream.failures] == [PaginationError]
    expected = by_job(served(sandbox))
    assert seen == {**expected, stuck: expected[stuck][:10]}


@BOTH
@KINDS
async def test_a_source_that_fails_ends_the_stream(
    kind: str, ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    def some() -> Iterator[str]:
        yield from sandbox.job_ids[:6]
        raise LookupError("the list of jobs is torn")

    async def some_later() -> AsyncIterator[str]:
        for job in some():
            await asyncio.sleep(0)
            yield job

    jobs = some() if kind == "generator" else some_later()
    with pytest.raises(LookupError, match="torn"):
        await read(many(client, jobs, ordered=ordered, concurrency=2, on_error="collect"))


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


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
@BOTH
async def test_eager_tasks_change_nothing(
    ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    if sys.version_info >= (3, 12):
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    jobs = sandbox.job_ids * 50
    stream = many(client, jobs, ordered=ordered, concurrency=400, max_records_per_job=1)
    seen = [checkpoint.fine_tuning_job_id async for checkpoint in stream]
    assert (seen if ordered else sorted(seen)) == (jobs if ordered else sorted(jobs))
    one = client.fine_tuning.jobs.checkpoints.list(jobs[0])
    assert len([checkpoint async for checkpoint in one]) == 30


# Leaving.


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

    if way == "cancel":
        leaving = asyncio.create_task(leave())
        async with asyncio.timeout(10):
            while sandbox.stats.in_flight < 3:
                await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
    elif way == "timeout":
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await leave()
    elif way == "exception":
        with pytest.raises(KeyError, match="mine"):
            await leave()
    elif way == "aclose":
        with pytest.raises(RuntimeError, match="closed"):
            await leave()
    else:
        await leave()
    assert source.is_closed
    drawn, requests = source.drawn, stream.progress.requests
    assert drawn <= 12
    # One that was on the wire may still have to arrive.
    await settled(sandbox)
    assert (source.drawn, stream.progress.requests) == (drawn, requests)
    assert sandbox.stats.requests <= requests


@KINDS
async def test_a_source_that_is_read_to_its_end_is_closed(
    kind: str, sandbox: Sandbox, client: AsyncClient
) -> None:
    source = Source(sandbox.job_ids)
    await read(many(client, source.of_kind(kind)))
    assert source.is_closed
    assert source.drawn == len(sandbox.job_ids)


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

    async with asyncio.timeout(5):
        seen = await read(many(client, Jobs(), concurrency=8))
    assert by_job(seen) == by_job(served(sandbox, sandbox.job_ids[:3]))


async def test_a_stream_that_is_never_read_touches_nothing(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    source = Source(sandbox.job_ids)
    async with many(client, source()) as stream:
        pass
    await stream.aclose()
    assert source.drawn == 0
    assert sandbox.stats.requests == 0


@BOTH
async def test_it_is_read_once(ordered: bool, sandbox: Sandbox, client: AsyncClient) -> None:
    stream = many(client, sandbox.job_ids, ordered=ordered)
    await read(stream)
    with pytest.raises(RuntimeError, match="read before"):
        await read(stream)
    begun = many(client, sandbox.job_ids, ordered=ordered)
    async with begun:
        await anext(aiter(begun))
        with pytest.raises(RuntimeError, match="read before"):
            aiter(begun)


# What it is told, and what it tells.


@pytest.mark.parametrize(
    ("jobs", "message"),
    [("ftjob-abc", "use list()"), (7, "not int"), (None, "not NoneType")],
)
def test_jobs_must_be_several(jobs: Any, message: str) -> None:
    client = AsyncClient(api_key="sk-1")
    with pytest.raises(TypeError, match="jobs must be") as caught:
        many(client, jobs)
    assert message in str(caught.value)


async def test_a_single_record_is_not_several(sandbox: Sandbox, client: AsyncClient) -> None:
    job = await client.fine_tuning.jobs.retrieve(sandbox.job_ids[0])
    with pytest.raises(TypeError, match="use list()"):
        many(client, job)


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ({"concurrency": 0}, ValueError),
        ({"concurrency": True}, TypeError),
        ({"concurrency": 2.0}, TypeError),
        ({"max_records_per_job": 0}, ValueError),
        ({"limit": 0}, ValueError),
        ({"on_error": "ignore"}, ValueError),
        ({"extra_headers": {"a b": "c"}}, ValueError),
    ],
)
def test_wrong_options_are_refused_at_the_call(option: Any, error: type[Exception]) -> None:
    client = AsyncClient(api_key="sk-1")
    with pytest.raises(error):
        many(client, [], **option)


@BOTH
async def test_progress(ordered: bool, sandbox: Sandbox, leaks: None) -> None:
    sandbox.inject(faults.Status(500), job=sandbox.job_ids[3], page=2)
    jobs = [*sandbox.job_ids, "ftjob-unknown"]
    async with sandbox.client() as client:
        stream = many(client, jobs, ordered=ordered, concurrency=3, on_error="collect")
        records = 0
        before = stream.progress
        assert (before.jobs_begun, before.records, before.requests) == (0, 0, 0)
        async for _ in stream:
            records += 1
            now = stream.progress
            # Counted page by page.
            assert records <= now.records < records + 10
            assert before.jobs_begun <= now.jobs_begun <= len(jobs)
            assert before.requests <= now.requests
            assert now.jobs_done + now.jobs_failed <= now.jobs_begun
            before = now
        progress = stream.progress
    assert progress.records == records == len(served(sandbox))
    assert progress.jobs_begun == len(jobs)
    assert progress.jobs_done == len(jobs) - 1
    assert progress.jobs_failed == 1
    assert progress.requests == sandbox.stats.requests
    assert progress.retries == 1
    assert progress.refused == 0


# Rate limits.


@pytest.mark.parametrize(
    ("limiter", "hints", "small_share", "ordered"),
    [
        (TokenBucket(200, 20), Hints(), 0.15, False),
        (TokenBucket(200, 20), Hints(), 0.15, True),
        (TokenBucket(200, 20), Hints(retry_after=None), 0.15, False),
        (FixedWindow(40, 0.2), Hints(retry_after=None, ratelimit=True), 0.15, False),
        # So short requests are over before anything can be learnt of how many are too many.
        (Concurrency(5), Hints(retry_after=None), 0.5, False),
    ],
    ids=["bucket", "bucket in order", "bucket without hints", "window", "concurrency"],
)
async def test_a_rate_limit_loses_no_job(
    limiter: Any,
    hints: Hints,
    small_share: float,
    ordered: bool,
    sandbox: Sandbox,
    leaks: None,
) -> None:
    jobs = [sandbox.add_job(checkpoints=20, status="succeeded") for _ in range(100)]
    sandbox.latency = 0.001
    sandbox.limit(copy.deepcopy(limiter), hints)
    async with sandbox.client() as client:
        stream = many(client, jobs, ordered=ordered, concurrency=50)
        seen = await read(stream)
    assert by_job(seen) == by_job(served(sandbox, jobs))
    assert sandbox.stats.refused <= small_share * sandbox.stats.requests
    progress = stream.progress
    assert progress.refused == sandbox.stats.refused
    assert progress.requests == sandbox.stats.requests == 200 + progress.refused
    assert progress.waited > 0 or not progress.refused


async def test_a_limit_of_the_clients_own(sandbox: Sandbox, leaks: None) -> None:
    async with sandbox.client(max_requests_per_second=200) as client:
        await read(many(client, sandbox.job_ids, concurrency=12))
    times = [request.at for request in sandbox.requests]
    # The first may go at once; after a hiccup of the event loop two or three may catch up.
    assert len(times) > 30
    assert times[-1] - times[0] >= (len(times) - 5) / 200
