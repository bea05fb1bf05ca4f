"""The lists of many jobs as one stream, over a real server."""

import asyncio
import copy
import sys
import types
from typing import Any

import pytest

from asyncckpt import (
    AsyncClient,
)
from asyncckpt.testing import Sandbox, faults
from asyncckpt.testing.limiters import Concurrency, FixedWindow, Hints, TokenBucket

from support import clock
from support.fanins import (
    BOTH,
    KINDS,
    Source,
    by_job,
    many,
    one_by_one,
    read,
    served,
    settled,
)
from support.turns import turns, until

GATE = "asyncckpt.transport.gate.monotonic"

pytestmark = pytest.mark.usefixtures("short_backoff")


@BOTH
@pytest.mark.parametrize("concurrency", [1, 2, 3, 12, 50])
async def test_every_record_comes_once_and_each_job_in_order(
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


async def test_records_come_as_they_arrive_unless_an_order_is_wanted(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    slow, quick = sandbox.job_ids[:2]
    sandbox.inject(faults.Hang(), path=slow)
    async with many(client, [slow, quick], concurrency=2) as stream:
        async for checkpoint in stream:
            assert checkpoint.fine_tuning_job_id == quick
            break


@BOTH
@pytest.mark.parametrize(
    "form", ["tuple", "dict keys", "iterator", "generator", "async generator", "records", "pager"]
)
async def test_jobs_can_come_from_any_iterable(
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
async def test_without_jobs_there_are_no_records(
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


@BOTH
@KINDS
@pytest.mark.parametrize(("concurrency", "records"), [(1, 1), (2, 30), (4, 1), (10, 1)])
async def test_jobs_are_drawn_no_further_ahead_than_documented(
    ordered: bool, kind: str, concurrency: int, records: int, sandbox: Sandbox, client: AsyncClient
) -> None:
    jobs = [sandbox.add_job(checkpoints=records, status="succeeded") for _ in range(40)]
    source = Source(jobs)
    stream = many(client, source.of_kind(kind), ordered=ordered, concurrency=concurrency)
    assert source.taken == 0
    left = dict.fromkeys(jobs, records)
    async for record in stream:
        await settled(sandbox)
        # Besides the one that is being handed out.
        ahead = source.taken - sum(not count for count in left.values()) - 1
        assert ahead <= max(2, concurrency * 3 // 2)
        left[record.fine_tuning_job_id] -= 1
        if source.taken > 20:
            break
    assert source.taken > 20


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
async def test_it_uses_its_full_concurrency(
    ordered: bool, sandbox: Sandbox, client: AsyncClient
) -> None:
    sandbox.inject(faults.Hang(), times=None)
    reading = asyncio.create_task(
        read(many(client, sandbox.job_ids, ordered=ordered, concurrency=5))
    )
    await until(lambda: sandbox.stats.in_flight == 5)
    await turns(100)
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


async def test_jobs_may_be_records_of_another_package(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    jobs = [types.SimpleNamespace(id=job_id) for job_id in sandbox.job_ids]
    assert by_job(await read(many(client, jobs))) == by_job(served(sandbox))


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


@pytest.mark.parametrize(
    ("jobs", "message"),
    [("ftjob-abc", "use list()"), (7, "not int"), (None, "not NoneType")],
)
def test_an_argument_that_is_not_several_jobs_is_rejected(jobs: Any, message: str) -> None:
    client = AsyncClient(api_key="sk-1")
    with pytest.raises(TypeError, match="jobs must be") as caught:
        many(client, jobs)
    assert message in str(caught.value)


async def test_a_single_record_is_rejected(sandbox: Sandbox, client: AsyncClient) -> None:
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
def test_a_rate_limit_loses_no_job(limiter: Any, hints: Hints, ordered: bool) -> None:
    async def main() -> None:
        async with Sandbox(jobs=0, latency=0.001) as sandbox:
            jobs = [sandbox.add_job(checkpoints=20, status="succeeded") for _ in range(100)]
            sandbox.limit(copy.deepcopy(limiter), hints)
            async with sandbox.client() as client:
                stream = many(client, jobs, ordered=ordered, concurrency=50)
                seen = await read(stream)
            assert by_job(seen) == by_job(served(sandbox, jobs))
            progress = stream.progress
            assert progress.refused == sandbox.stats.refused
            assert progress.requests == sandbox.stats.requests == 200 + progress.refused
            assert progress.waited > 0 or not progress.refused

    clock.run(main(), monotonic=(GATE,))


def test_the_rate_limit_of_the_client_applies_to_all_jobs() -> None:
    async def main() -> None:
        async with Sandbox() as sandbox:
            async with sandbox.client(max_requests_per_second=200) as client:
                await read(many(client, sandbox.job_ids, concurrency=12))
            times = [request.at for request in sandbox.requests]
        # The first few may be sent at once.
        assert len(times) > 30
        assert times[-1] - times[0] >= (len(times) - 5) / 200

    clock.run(main(), monotonic=(GATE,))
