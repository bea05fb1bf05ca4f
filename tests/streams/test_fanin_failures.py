"""Failures of a job, of the source of the jobs and of the consumer, over a real server."""

import asyncio
import types
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, NoReturn

import pytest

from asyncckpt import (
    APIError,
    AsyncClient,
    FanIn,
    FineTuningJobCheckpoint,
    InternalServerError,
    JobFailure,
    NotFoundError,
    Page,
    PaginationError,
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
)
from support.turns import turns

pytestmark = pytest.mark.usefixtures("short_backoff")


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
    assert source.taken < 20
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


async def test_the_return_value_of_a_plain_callable_is_ignored(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    counted: Any = iter(range(10)).__next__
    stream = many(client, ["ftjob-a", *sandbox.job_ids], on_error=lambda _: counted())
    assert by_job(await read(stream)) == by_job(served(sandbox))
    assert counted() == 1


@BOTH
async def test_an_exception_of_the_callable_ends_the_stream(
    ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    def give_up(failure: JobFailure) -> None:
        raise KeyError(failure.fine_tuning_job_id) from failure.error

    source = Source(["ftjob-a", *sandbox.job_ids * 20])
    with pytest.raises(KeyError, match="ftjob-a") as caught:
        await read(many(client, source(), ordered=ordered, on_error=give_up, concurrency=2))
    assert isinstance(caught.value.__cause__, NotFoundError)
    assert source.is_closed
    assert source.taken < 30


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
async def test_a_stuck_cursor_is_a_failure(
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
async def test_a_keyboard_interrupt_of_an_id_reaches_the_consumer(ordered: bool) -> None:
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
async def test_any_exception_of_a_source_reaches_the_consumer(
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
async def test_the_stop_signal_of_the_other_kind_of_iterator_is_an_error(
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
async def test_any_exception_of_a_key_callable_reaches_the_consumer(
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
async def test_earlier_pages_of_a_job_come_before_its_exception(
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
async def test_cancelling_a_worker_is_not_an_end(ordered: bool) -> None:
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
@pytest.mark.parametrize("wait", range(4))
async def test_cancelling_workers_before_they_start_is_not_an_end(
    wait: int, ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    reading = asyncio.ensure_future(read(many(client, sandbox.job_ids, ordered=ordered)))
    while not (workers := [task for task in asyncio.all_tasks() if is_worker(task)]):
        await asyncio.sleep(0)
    await turns(wait)
    for worker in workers:
        worker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


def is_worker(task: asyncio.Task[Any]) -> bool:
    return task.get_name() == "asyncckpt-list-many"


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
            await turns(5)
            if job == "b" and cursor is not None:
                raise error
            return page_of(f"{job}{0 if cursor is None else int(cursor[1:]) + 1}", more=True)

        return fetch

    requests: list[object] = []
    stream = fan_in("ab", fetch_of, concurrency=50)
    records = aiter(stream)
    await anext(records)
    await turns(100)
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
    assert source.taken == 2


async def test_a_job_that_comes_after_the_first_failure_is_not_started() -> None:
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
