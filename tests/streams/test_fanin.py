"""The lists of many jobs as one stream, over a real server."""

import asyncio
import contextlib
import copy
import gc
import sys
import types
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, NoReturn

import attrs
import pytest
from multidict import CIMultiDict

from asyncckpt import (
    APIError,
    AsyncClient,
    FanIn,
    FineTuningJobCheckpoint,
    InternalServerError,
    JobFailure,
    NotFoundError,
    Page,
    Pager,
    PaginationError,
    Request,
    Response,
)
from asyncckpt.counts import RequestCounts
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


async def read_into(seen: Seen, stream: FanIn[FineTuningJobCheckpoint]) -> None:
    async for record in stream:
        seen.append((record.fine_tuning_job_id, record.id))


@attrs.frozen
class Record:
    id: str


def page_of(name: str, *, more: bool) -> Page[Record]:
    async def no_fetch(cursor: str) -> Page[Record]:
        raise AssertionError(f"asked for the page after {cursor}")

    response = Response(200, CIMultiDict(), b"{}", Request("GET", "https://h/v1"))
    return Page([Record(name)], more, name, name, "list", response=response, fetch=no_fetch)


def fan_in(jobs: Any, fetch_of: Callable[[object], Any], **options: Any) -> FanIn[Record]:
    """A stream over pages that are made here: no HTTP."""
    return FanIn(
        list(jobs) if isinstance(jobs, str) else jobs,
        fetch_of,
        **{
            "concurrency": 3,
            "ordered": False,
            "on_error": "raise",
            "max_records_per_job": None,
            "counts": RequestCounts(),
        }
        | options,
    )


async def read_ids_into(seen: list[str], stream: FanIn[Record]) -> None:
    async for record in stream:
        seen.append(record.id)  # noqa: PERF401 - keeps those before an error


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
        self.is_closing = False
        self.is_closed = False

    def __call__(self) -> Iterator[Any]:
        try:
            for item in self.items:
                self.drawn += 1
                yield item
        finally:
            self.is_closing = self.is_closed = True

    async def asynchronous(self) -> AsyncIterator[Any]:
        try:
            for item in self.items:
                await asyncio.sleep(0)
                self.drawn += 1
                yield item
        finally:
            self.is_closing = True
            await asyncio.sleep(0)
            self.is_closed = True

    def of_kind(self, kind: str) -> Any:
        return self() if kind == "generator" else self.asynchronous()


KINDS = pytest.mark.parametrize("kind", ["generator", "async generator"])

# Records.


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
async def test_jobs_without_records_are_skipped(
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


# How far it fetches ahead.


@BOTH
@KINDS
@pytest.mark.parametrize(("concurrency", "records"), [(1, 1), (2, 30), (4, 1), (10, 1)])
async def test_jobs_are_drawn_no_further_ahead_than_documented(
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
async def test_it_uses_all_of_its_concurrency(
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
async def test_jobs_are_listed_in_turn(
    ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    jobs = [sandbox.add_job(checkpoints=30, status="succeeded") for _ in range(30)]
    seen = await read(many(client, jobs, ordered=ordered, concurrency=6))
    first_asked = [request.job_id for request in sandbox.requests if request.page == 1]
    assert first_asked == jobs
    # Nobody is overtaken by many who came later.
    finished = list(by_job(seen[::-1]))[::-1]
    assert max(abs(finished.index(job) - place) for place, job in enumerate(jobs)) <= 12


# Failures.


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
async def test_failures_are_passed_to_the_callable(
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


async def test_what_a_plain_callable_returns_is_ignored(
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


class Odd(str):
    """An id whose methods raise."""

    def fail(self, *_: object) -> NoReturn:
        raise LookupError("mine")

    __str__ = __repr__ = __len__ = __iter__ = __format__ = fail  # type: ignore[assignment]
    isprintable = encode = fail  # type: ignore[assignment]


class WithoutId:
    """A record whose id cannot be read."""

    @property
    def id(self) -> str:
        raise LookupError("mine")


class WithOddId:
    """A record whose id is no string and cannot be shown."""

    def __init__(self) -> None:
        self.id = self

    def __str__(self) -> str:
        raise LookupError("mine")

    __repr__ = __str__


@BOTH
@pytest.mark.parametrize(("bad", "kind"), [("a/b", ValueError), ("", ValueError), (7, TypeError)])
async def test_a_malformed_id_is_a_failure_of_that_job(
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
@pytest.mark.parametrize(
    "bad",
    [
        WithoutId(),
        WithOddId(),
        Odd("a/b"),
        "\udc80\n" * 2**20,
        types.SimpleNamespace(id=[0] * 9999),
    ],
    ids=["without id", "with odd id", "odd", "long", "list"],
)
async def test_an_id_that_cannot_be_read_is_a_failure_of_that_job(
    bad: Any, ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    jobs = [*sandbox.job_ids[:3], bad, *sandbox.job_ids[3:]]
    stream = many(client, jobs, ordered=ordered, on_error="collect")
    assert by_job(await read(stream)) == by_job(served(sandbox))
    (failure,) = stream.failures
    (note,) = failure.error.__notes__
    for text in (failure.fine_tuning_job_id, note):
        assert type(text) is str
        assert text.isprintable()
        assert len(text) < 2500
    assert stream.progress.jobs_failed == 1


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
async def test_an_id_that_interrupts_the_program_is_raised_to_the_consumer(ordered: bool) -> None:
    class Job:
        @property
        def id(self) -> str:
            raise KeyboardInterrupt("mine")

    stream = fan_in([Job()], lambda _: None, ordered=ordered, on_error="collect")
    with pytest.raises(KeyboardInterrupt, match="mine"):
        await read_ids_into([], stream)
    assert stream.failures == ()


class OddError(BaseException):
    pass


def source_that_raises(kind: str, jobs: Sequence[str], error: BaseException) -> Any:
    """An iterator of some kind that gives jobs, and then raises."""
    left = list(jobs)

    class Jobs:
        def __iter__(self) -> "Jobs":
            return self

        def __next__(self) -> str:
            if not left:
                raise error
            return left.pop(0)

    class LaterJobs:
        def __aiter__(self) -> "LaterJobs":
            return self

        async def __anext__(self) -> str:
            await asyncio.sleep(0)
            if not left:
                raise error
            return left.pop(0)

    return Jobs() if kind == "iterator" else LaterJobs()


ERRORS = [
    KeyboardInterrupt("mine"),
    SystemExit("mine"),
    GeneratorExit("mine"),
    asyncio.CancelledError("mine"),
    OddError("mine"),
]


@BOTH
@pytest.mark.parametrize("kind", ["iterator", "async iterator"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("jobs", [0, 1, 6])
async def test_whatever_a_source_raises_is_raised_to_the_consumer(
    jobs: int, error: BaseException, kind: str, ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    begun = sandbox.job_ids[:jobs]
    source = source_that_raises(kind, begun, error)
    seen: Seen = []
    with pytest.raises(type(error)) as caught:
        await read_into(seen, many(client, source, ordered=ordered, concurrency=3))
    assert caught.value is error
    # The jobs that were drawn before are listed to their end.
    assert by_job(seen) == by_job(served(sandbox, begun))


@BOTH
@pytest.mark.parametrize(
    ("kind", "error"),
    [("iterator", StopAsyncIteration("mine")), ("async iterator", StopIteration("mine"))],
    ids=["iterator", "async iterator"],
)
async def test_the_end_signal_of_the_other_kind_of_source_is_no_end(
    kind: str, error: Exception, ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    begun = sandbox.job_ids[:3]
    seen: Seen = []
    source = source_that_raises(kind, begun, error)
    with pytest.raises(RuntimeError, match="raised Stop") as caught:
        await read_into(seen, many(client, source, ordered=ordered, on_error="collect"))
    assert caught.value.__cause__ is error
    assert by_job(seen) == by_job(served(sandbox, begun))


@BOTH
@pytest.mark.parametrize("error", [*ERRORS, LookupError("mine")], ids=lambda e: type(e).__name__)
async def test_whatever_a_key_callable_raises_is_raised_to_the_consumer(
    error: BaseException, ordered: bool, sandbox: Sandbox, leaks: None
) -> None:
    async def key() -> str:
        await asyncio.sleep(0)
        raise error

    async with sandbox.client(api_key=key) as client:
        stream = many(client, sandbox.job_ids, ordered=ordered, on_error="collect")
        with pytest.raises(type(error)):
            await read(stream)
    assert stream.failures == ()


@BOTH
@pytest.mark.parametrize("error", [*ERRORS, LookupError("mine")], ids=lambda e: type(e).__name__)
async def test_pages_of_a_job_come_before_what_ends_the_stream(
    error: BaseException, ordered: bool
) -> None:
    def fetch_of(job: object) -> Any:
        async def fetch(cursor: str | None, on_wire: Callable[[], None]) -> Page[Record]:
            await asyncio.sleep(0)
            if cursor is not None and job == "b":
                raise error
            return page_of(f"{job}{0 if cursor is None else int(cursor[1:]) + 1}", more=True)

        return fetch

    seen: list[str] = []
    stream = fan_in("abc", fetch_of, ordered=ordered, max_records_per_job=9)
    with pytest.raises(type(error)) as caught:
        await read_ids_into(seen, stream)
    assert caught.value is error
    assert "b0" in seen
    if ordered:
        assert seen == [f"a{number}" for number in range(9)] + ["b0"]


@BOTH
async def test_a_worker_that_is_cancelled_from_elsewhere_is_no_end(ordered: bool) -> None:
    def fetch_of(job: object) -> Any:
        async def fetch(cursor: str | None, on_wire: Callable[[], None]) -> Page[Record]:
            await asyncio.sleep(0)
            if job == "b":
                workers[job] = asyncio.current_task()
                await asyncio.Event().wait()
            return page_of(str(job), more=False)

        return fetch

    workers: dict[object, asyncio.Task[Any] | None] = {}
    seen: list[str] = []
    reading = asyncio.ensure_future(read_ids_into(seen, fan_in("abc", fetch_of, ordered=ordered)))
    while "b" not in workers:
        await asyncio.sleep(0)
    worker = workers["b"]
    assert worker is not None
    worker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert seen[:1] == ["a"]


@BOTH
@pytest.mark.parametrize("turns", range(4))
async def test_workers_that_are_cancelled_before_they_begin_are_no_end(
    turns: int, ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    reading = asyncio.ensure_future(read(many(client, sandbox.job_ids, ordered=ordered)))
    while not (workers := [task for task in asyncio.all_tasks() if is_worker(task)]):
        await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    for worker in workers:
        worker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


def is_worker(task: asyncio.Task[Any]) -> bool:
    return task.get_name() == "asyncckpt-list-many"


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


@BOTH
async def test_closing_while_another_task_waits_for_a_record(
    ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    sandbox.inject(faults.Hang(), page=2, times=None)
    source = Source(sandbox.job_ids)
    stream = many(client, source.asynchronous(), ordered=ordered, concurrency=3)
    seen: Seen = []
    reading = asyncio.ensure_future(read_into(seen, stream))
    async with asyncio.timeout(10):
        while sandbox.stats.in_flight < 3 or not seen:
            await asyncio.sleep(0)
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
    assert (source.drawn, sandbox.stats.requests) == (0, 0)


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
    async with asyncio.timeout(10):
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
async def test_on_error_may_close_the_stream(
    ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    async def close(failure: JobFailure) -> None:
        await stream.aclose()

    stream = many(client, ["ftjob-unknown"], ordered=ordered, on_error=close)
    with pytest.raises(RuntimeError, match="closed"):
        await read(stream)


@BOTH
async def test_the_source_may_close_the_stream(
    ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    async def jobs() -> AsyncIterator[str]:
        yield sandbox.job_ids[0]
        await stream.aclose()
        yield sandbox.job_ids[1]

    stream = many(client, jobs(), ordered=ordered)
    async with asyncio.timeout(10):
        with pytest.raises(RuntimeError, match="closed"):
            await read(stream)


@BOTH
async def test_the_first_failure_stops_the_other_jobs(ordered: bool) -> None:
    def fetch_of(job: object) -> Any:
        async def fetch(cursor: str | None, on_wire: Callable[[], None]) -> Page[Record]:
            begun.append(job)
            if job == "a":
                await asyncio.sleep(0)
                raise APIError("mine")
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(job)
                raise
            raise AssertionError("the event is never set")

        return fetch

    begun: list[object] = []
    cancelled: list[object] = []
    with pytest.raises(APIError, match="mine") as caught:
        await read_ids_into([], fan_in("abcdef", fetch_of, ordered=ordered))
    assert caught.value.fine_tuning_job_id == "a"
    assert sorted(begun) == ["a", *sorted(cancelled)]  # type: ignore[type-var]
    assert len(begun) <= 3


@pytest.mark.parametrize("error", [APIError("mine"), LookupError("mine")])
async def test_the_first_failure_stops_the_other_jobs_before_it_is_raised(
    error: Exception,
) -> None:
    def fetch_of(job: object) -> Any:
        async def fetch(cursor: str | None, on_wire: Callable[[], None]) -> Page[Record]:
            requests.append(job)
            for _ in range(5):
                await asyncio.sleep(0)
            if job == "b" and cursor is not None:
                raise error
            return page_of(f"{job}{0 if cursor is None else int(cursor[1:]) + 1}", more=True)

        return fetch

    requests: list[object] = []
    stream = fan_in("ab", fetch_of, concurrency=50)
    records = aiter(stream)
    await anext(records)
    for _ in range(100):
        await asyncio.sleep(0)
    # The failure waits in the queue; the other job was cancelled meanwhile.
    assert len(requests) <= 6
    with pytest.raises(type(error), match="mine"):
        _ = [record async for record in records]


async def test_the_first_failure_in_order_lets_the_jobs_before_it_end() -> None:
    def fetch_of(job: object) -> Any:
        async def fetch(cursor: str | None, on_wire: Callable[[], None]) -> Page[Record]:
            requests.append(job)
            await asyncio.sleep(0)
            if job == "b":
                raise APIError("mine")
            number = 0 if cursor is None else int(cursor[1:]) + 1
            return page_of(f"{job}{number}", more=number < 20)

        return fetch

    requests: list[object] = []
    seen: list[str] = []
    source = Source("abcdef")
    with pytest.raises(APIError, match="mine"):
        await read_ids_into(seen, fan_in(source(), fetch_of, ordered=True, concurrency=2))
    assert seen == [f"a{number}" for number in range(21)]
    assert set(requests) == {"a", "b"}
    assert source.drawn == 2


async def test_a_job_that_comes_after_the_first_failure_is_not_begun() -> None:
    failed = asyncio.Event()

    def fetch_of(job: object) -> Any:
        async def fetch(cursor: str | None, on_wire: Callable[[], None]) -> Page[Record]:
            requests.append(job)
            if job == "b":
                for _ in range(5):
                    # The third worker waits for the source by then.
                    await asyncio.sleep(0)
                asyncio.get_running_loop().call_soon(failed.set)
                raise APIError("mine")
            await failed.wait()
            await asyncio.sleep(0)
            return page_of(str(job), more=False)

        return fetch

    async def jobs() -> AsyncIterator[str]:
        yield "a"
        yield "b"
        await failed.wait()
        yield "c"

    requests: list[object] = []
    seen: list[str] = []
    with pytest.raises(APIError, match="mine"):
        await read_ids_into(seen, fan_in(jobs(), fetch_of, ordered=True))
    assert seen == ["a"]
    assert requests == ["a", "b"]


@BOTH
@pytest.mark.parametrize("in_block", [False, True])
@pytest.mark.parametrize("kind", ["generator", "async generator", "pager"])
def test_a_stream_that_is_open_in_another_generator_when_the_loop_ends(
    kind: str, in_block: bool, ordered: bool
) -> None:
    complaints: list[object] = []
    kept: list[AsyncIterator[Record]] = []
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

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        for _ in range(5):
            kept.append(outer())
            await anext(kept[-1])

    asyncio.run(main())
    assert complaints == []
    if kind != "pager":
        assert [source.is_closed for source in sources] == [True] * 5
    kept.clear()
    gc.collect()
    assert complaints == []


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
    async with asyncio.timeout(5):
        await stream.aclose()
    assert asyncio.all_tasks() == before
    assert requests == ["a"]


@BOTH
@KINDS
@pytest.mark.parametrize("way", ["cancel", "close"])
async def test_at_whatever_turn_of_the_loop_it_is_left(way: str, kind: str, ordered: bool) -> None:
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
        for _ in range(len(outcomes) + 1):
            await asyncio.sleep(0)
        if way == "cancel":
            reading.cancel()
        else:
            await stream.aclose()
        (error,) = await asyncio.gather(reading, return_exceptions=True)
        assert asyncio.all_tasks() == before
        # The cancellation may have been thrown into the cleanup of the source itself.
        assert source.is_closing or not source.drawn
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
@pytest.mark.parametrize("turns", range(6))
async def test_leaving_that_is_cancelled_again_leaves_nothing(
    turns: int, kind: str, ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    sandbox.inject(faults.Hang(), page=2, times=None)
    source = Source(sandbox.job_ids)
    stream = many(client, source.of_kind(kind), ordered=ordered, concurrency=3)
    reading = asyncio.ensure_future(read(stream))
    async with asyncio.timeout(10):
        while sandbox.stats.in_flight < 3:
            await asyncio.sleep(0)
    reading.cancel()
    for _ in range(turns):
        await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    drawn = source.drawn
    await settled(sandbox)
    assert source.drawn == drawn
    # The cancellation may have been thrown into the cleanup of the source itself.
    assert source.is_closing


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
    with pytest.raises(RuntimeError, match="already iterated over"):
        await read(stream)
    begun = many(client, sandbox.job_ids, ordered=ordered)
    async with begun:
        await anext(aiter(begun))
        with pytest.raises(RuntimeError, match="already iterated over"):
            aiter(begun)


# Arguments and progress.


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
def test_invalid_options_raise_at_the_call(option: Any, error: type[Exception]) -> None:
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
    ("limiter", "hints", "ordered"),
    [
        (TokenBucket(200, 20), Hints(), False),
        (TokenBucket(200, 20), Hints(), True),
        (TokenBucket(200, 20), Hints(retry_after=None), False),
        (FixedWindow(40, 0.2), Hints(retry_after=None, ratelimit=True), False),
        (Concurrency(5), Hints(retry_after=None), False),
    ],
    ids=["bucket", "bucket in order", "bucket without hints", "window", "concurrency"],
)
async def test_a_rate_limit_loses_no_job(
    limiter: Any,
    hints: Hints,
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
