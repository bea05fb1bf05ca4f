"""What holds for any data, page size, fault, concurrency and moment of leaving.

A stream gives exactly the server's records, each once and those of each job in order, or the first
of them and then an error that the fault table documents. Nothing is left behind. Waits take no
time: the clock is virtual.
"""

import asyncio
import contextlib
import gc
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from unittest import mock

import attrs
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from asyncckpt import APIError, AsyncClient, FanIn, FineTuningJobCheckpoint, Pager, Timeout
from asyncckpt.protocol import retries
from asyncckpt.testing import Sandbox, faults
from asyncckpt.testing.faults import Fault

from support import clock
from support.faults_table import TABLE
from support.leftovers import at_rest, complaints
from support.turns import turns, with_timeout_at

runs = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    # Over real sockets a smaller example may fail another way, and takes its time.
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
GATE = "asyncckpt.transport.gate.monotonic"
DOCUMENTED = {row.error for row in TABLE} - {None}

# Faults that cost no time; what they do alone is in the fault table. None of them sends a page in
# place of another: whether that is noticed depends on which.
QUICK: list[tuple[Fault, ...]] = [
    (faults.Reset("before"),),
    (faults.Reset("headers"),),
    (faults.Reset("body", share=0.3),),
    (faults.CutBody(share=0.9),),
    (faults.CutBody(chunked=True),),
    (faults.CloseAfter(),),
    (faults.Status(500),),
    (faults.Status(502, body="<html>"),),
    (faults.Status(408),),
    (faults.Status(404),),
    (faults.RateLimited(),),
    (faults.RateLimited(retry_after_ms=1),),
    (faults.RateLimited(retry_after="soon"),),
    (faults.NotGzip(),),
    (faults.Html(),),
    (faults.MalformedJSON(),),
    (faults.SetField("data", None),),
    (faults.SetField("data.*.new_field", [1]),),
    (faults.DropField("last_id"),),
    (faults.ReverseFields(), faults.Chunked()),
    (faults.Gzip(),),
    (faults.EmptyPage(),),
    (faults.HeaderBomb(size=20_000),),
    (faults.SlowBody(0.002, pieces=3),),
    (faults.SlowHeaders(0.002, pieces=3),),
]

# Those that a retry, or nothing at all, makes good.
PASSING = [
    variant
    for row in TABLE
    for variant in row.variants
    if variant in QUICK and (row.retried or row.error is None)
] + [(faults.RateLimited(retry_after_ms=1),), (faults.SlowBody(0.002, pieces=3),)]


@attrs.frozen
class Ordered:
    """Faults to inject."""

    variant: tuple[Fault, ...]
    times: int | None
    probability: float
    page: int | None

    def on(self, sandbox: Sandbox) -> None:
        sandbox.inject(
            *self.variant, times=self.times, probability=self.probability, page=self.page
        )


def ordered(variants: list[tuple[Fault, ...]], probability: st.SearchStrategy[float]) -> Any:
    return st.builds(
        Ordered,
        st.sampled_from(variants),
        st.none() | st.integers(1, 4),
        probability,
        st.none() | st.integers(1, 4),
    )


class World:
    """A sandbox and a client of it; neither leaves anything behind."""

    def __init__(self, sizes: list[int], **options: Any) -> None:
        self.sandbox = Sandbox(jobs=0)
        self.options = options
        self.jobs = [self.sandbox.add_job(checkpoints=size, status="succeeded") for size in sizes]

    def served(self, job: str) -> list[str]:
        return [checkpoint["id"] for checkpoint in self.sandbox.checkpoints_of(job)]

    def run(
        self, use: Callable[[AsyncClient], Awaitable[None]], *, eager_tasks: bool = False
    ) -> None:
        with warnings_and_complaints() as messages:
            clock.run(self._run(use, eager_tasks=eager_tasks), monotonic=(GATE,))
            gc.collect()
        assert messages == []

    async def _run(
        self, use: Callable[[AsyncClient], Awaitable[None]], *, eager_tasks: bool
    ) -> None:
        if eager_tasks and sys.version_info >= (3, 12):
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        async with self.sandbox as sandbox:
            async with sandbox.client(**self.options) as client:
                await use(client)
                await at_rest(sandbox, connections=False)
            await at_rest(sandbox)


@contextlib.contextmanager
def warnings_and_complaints() -> Iterator[list[str]]:
    """Collect what asyncio logs, and the warnings that it is too late to raise."""
    with (
        complaints() as messages,
        warnings.catch_warnings(record=True) as caught,
        mock.patch.object(retries, "_FIRST_BACKOFF", 0.0005),
        mock.patch.object(retries, "_LONGEST_BACKOFF", 0.002),
    ):
        warnings.simplefilter("always")
        yield messages
        messages += [str(warning.message) for warning in caught]


def check_error(error: BaseException | None) -> None:
    assert error is None or type(error) in DOCUMENTED


@runs
@given(
    size=st.integers(0, 130),
    limit=st.none() | st.integers(1, 40),
    prefetch=st.integers(0, 4),
    max_records=st.none() | st.integers(1, 140),
    skipped=st.none() | st.integers(0, 129),
    orders=st.lists(ordered(QUICK, st.sampled_from([0.1, 0.5, 1.0])), max_size=3),
    max_retries=st.integers(0, 3),
)
def test_a_list_is_what_the_server_has_or_a_documented_error(
    size: int,
    limit: int | None,
    prefetch: int,
    max_records: int | None,
    skipped: int | None,
    orders: list[Ordered],
    max_retries: int,
) -> None:
    world = World([size], max_retries=max_retries)
    (job,) = world.jobs
    expected = world.served(job)
    after = expected[skipped] if skipped is not None and skipped < size else None
    if after is not None:
        expected = expected[expected.index(after) + 1 :]
    expected = expected[:max_records]
    for order in orders:
        order.on(world.sandbox)

    async def use(client: AsyncClient) -> None:
        seen: list[str] = []
        error: APIError | None = None
        pager = client.fine_tuning.jobs.checkpoints.list(
            job, limit=limit, prefetch=prefetch, max_records=max_records, after=after
        )
        try:
            async for checkpoint in pager:
                seen.append(checkpoint.id)  # noqa: PERF401 - keeps those before an error
        except APIError as caught:
            error = caught
        check_error(error)
        assert seen == expected[: len(seen)]
        assert error is not None or seen == expected
        assert pager.cursor == (seen[-1] if seen else after)

        # What an error cut off can be had later.
        world.sandbox.clear()
        left = None if max_records is None else max_records - len(seen)
        if left != 0:
            rest = client.fine_tuning.jobs.checkpoints.list(
                job, after=pager.cursor, max_records=left
            )
            assert seen + [checkpoint.id async for checkpoint in rest] == expected

    world.run(use)


@runs
@given(
    sizes=st.lists(st.integers(0, 35), max_size=15),
    limit=st.none() | st.integers(1, 20),
    concurrency=st.integers(1, 20),
    in_order=st.booleans(),
    orders=st.lists(ordered(QUICK, st.sampled_from([0.05, 0.3])), max_size=3),
    max_retries=st.integers(0, 3),
    latency=st.sampled_from([0.0, (0.0, 0.003)]),
)
def test_many_lists_are_what_the_server_has_or_documented_errors(
    sizes: list[int],
    limit: int | None,
    concurrency: int,
    in_order: bool,
    orders: list[Ordered],
    max_retries: int,
    latency: Any,
) -> None:
    world = World(sizes, max_retries=max_retries, connection_limit=7)
    world.sandbox.latency = latency
    for order in orders:
        order.on(world.sandbox)

    async def use(client: AsyncClient) -> None:
        stream = client.fine_tuning.jobs.checkpoints.list_many(
            world.jobs, limit=limit, concurrency=concurrency, ordered=in_order, on_error="collect"
        )
        seen: dict[str, list[str]] = {job: [] for job in world.jobs}
        order: list[str] = []
        async for checkpoint in stream:
            seen[checkpoint.fine_tuning_job_id].append(checkpoint.id)
            order.append(checkpoint.fine_tuning_job_id)
        failed = {failure.fine_tuning_job_id: failure.error for failure in stream.failures}
        assert len(failed) == len(stream.failures)
        for job, ids in seen.items():
            check_error(failed.get(job))
            assert ids == world.served(job)[: len(ids)]
            assert job in failed or ids == world.served(job)
        if in_order:
            assert order == sorted(order, key=world.jobs.index)
        progress = stream.progress
        assert progress.jobs_begun == len(world.jobs)
        assert progress.jobs_done + progress.jobs_failed == len(world.jobs)
        assert progress.records == len(order)

    world.run(use)


@runs
@given(
    sizes=st.lists(st.integers(0, 35), max_size=12),
    concurrency=st.integers(1, 12),
    in_order=st.booleans(),
    orders=st.lists(
        st.builds(
            Ordered,
            st.sampled_from(PASSING),
            st.integers(1, 12),
            st.sampled_from([0.05, 0.15]),
            st.none(),
        ),
        max_size=4,
    ),
)
def test_with_enough_retries_nothing_is_missing_or_repeated(
    sizes: list[int], concurrency: int, in_order: bool, orders: list[Ordered]
) -> None:
    # No request can meet more faults than there are; of a reset before the headers it takes two.
    enough = sum(order.times or 0 for order in orders)
    world = World(sizes, max_retries=enough + 1, retry_budget=None)
    for order in orders:
        order.on(world.sandbox)

    async def use(client: AsyncClient) -> None:
        stream = client.fine_tuning.jobs.checkpoints.list_many(
            world.jobs, concurrency=concurrency, ordered=in_order
        )
        seen = [(checkpoint.fine_tuning_job_id, checkpoint.id) async for checkpoint in stream]
        expected = [(job, record) for job in world.jobs for record in world.served(job)]
        assert (seen if in_order else sorted(seen)) == (expected if in_order else sorted(expected))

    world.run(use)


WAYS = ["break", "drop", "exception", "cancel", "timeout", "close the client", "close the stream"]
KINDS = ["records", "pages", "page by page", "page", "many", "in order", "many from a pager"]

Stream = Pager[FineTuningJobCheckpoint] | FanIn[FineTuningJobCheckpoint]


def stream_of(client: AsyncClient, kind: str, jobs: list[str], concurrency: int) -> Stream:
    checkpoints = client.fine_tuning.jobs.checkpoints
    if kind in {"many", "in order", "many from a pager"}:
        return checkpoints.list_many(
            client.fine_tuning.jobs.list(limit=2) if kind == "many from a pager" else jobs,
            concurrency=concurrency,
            ordered=kind == "in order",
            on_error="collect",
        )
    return checkpoints.list(jobs[0], prefetch=concurrency % 4)


async def records_of(stream: Any, kind: str) -> AsyncIterator[FineTuningJobCheckpoint]:
    """The records of a stream, by one of the ways to read it."""
    if kind == "pages":
        async for page in stream.pages():
            for record in page.data:
                yield record
    elif kind == "page by page":
        page = await stream
        while True:
            for record in page.data:
                yield record
            if not page.has_next_page():
                return
            page = await page.get_next_page()
    else:
        async for record in await stream if kind == "page" else stream:
            yield record


@settings(runs, max_examples=100)
@given(
    sizes=st.lists(st.integers(1, 45), min_size=1, max_size=6),
    way=st.sampled_from(WAYS),
    kind=st.sampled_from(KINDS),
    concurrency=st.integers(1, 6),
    moment=st.integers(0, 400),
    orders=st.lists(ordered(QUICK, st.sampled_from([0.1, 0.5])), max_size=2),
    hanging=st.booleans(),
    in_block=st.booleans(),
    eager_tasks=st.booleans(),
)
def test_leaving_at_any_moment_skips_no_record_and_leaves_nothing(
    sizes: list[int],
    way: str,
    kind: str,
    concurrency: int,
    moment: int,
    orders: list[Ordered],
    hanging: bool,
    in_block: bool,
    eager_tasks: bool,
) -> None:
    world = World(sizes, max_retries=2, timeout=Timeout(total=20))
    for order in orders:
        order.on(world.sandbox)
    if hanging and way in {"cancel", "timeout", "close the client", "close the stream"}:
        world.sandbox.inject(faults.Hang(), page=2, times=None)
    seen: dict[str, list[str]] = {job: [] for job in world.jobs}

    async def read(stream: Stream) -> None:
        count = 0
        async with stream if in_block else contextlib.nullcontext():
            async for checkpoint in records_of(stream, kind):
                seen[checkpoint.fine_tuning_job_id].append(checkpoint.id)
                count += 1
                if way in {"break", "drop"} and count > moment % 60:
                    break
                if way == "exception" and count > moment % 60:
                    raise KeyError(count)

    async def use(client: AsyncClient) -> None:
        stream = stream_of(client, kind, world.jobs, concurrency)
        with contextlib.suppress(APIError, KeyError, TimeoutError, asyncio.CancelledError):
            if way == "timeout":
                await with_timeout_at(turns(moment), read(stream))
            elif way in {"cancel", "close the client", "close the stream"}:
                reading = asyncio.create_task(read(stream))
                await turns(moment)
                if way == "close the stream":
                    # An iteration that begins later is not affected.
                    await asyncio.sleep(0)
                    await stream.aclose()
                elif way == "close the client":
                    await client.aclose()
                if way == "cancel" or (
                    way == "close the stream" and kind in {"page", "page by page"}
                ):
                    # Pages that were awaited are no iteration of the pager.
                    reading.cancel()
                    await reading
                await check_closed(reading, stream)
            else:
                await read(stream)
        for job, ids in seen.items():
            assert ids == world.served(job)[: len(ids)]

    async def check_closed(reading: asyncio.Task[None], stream: Stream) -> None:
        """A stream that was closed ends in an error, unless it had come to its end."""
        (error,) = await asyncio.gather(reading, return_exceptions=True)
        if isinstance(error, RuntimeError):
            assert "closed" in str(error)
        elif error is not None:
            raise error
        elif not (isinstance(stream, FanIn) and stream.failures):
            listed = world.jobs if isinstance(stream, FanIn) else world.jobs[:1]
            assert [seen[job] for job in listed] == [world.served(job) for job in listed]

    world.run(use, eager_tasks=eager_tasks)
