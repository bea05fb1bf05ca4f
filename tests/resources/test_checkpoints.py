"""The best checkpoints of jobs, over a real server."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from asyncckpt import (
    AsyncClient,
    FineTuningJob,
    FineTuningJobCheckpoint,
    NoCheckpointError,
    NotFoundError,
    PermissionDeniedError,
    Ranked,
)
from asyncckpt.testing import Sandbox, faults

from support.checkpoints import checkpoint, stream_of


def lowest_of(sandbox: Sandbox, jobs: list[str], metric: str = "full_valid_loss") -> list[str]:
    """Checkpoint ids by sorting all that the server has."""
    measured = [
        one for job in jobs for one in sandbox.checkpoints_of(job) if metric in one["metrics"]
    ]
    measured.sort(key=lambda one: (one["metrics"][metric], -one["step_number"]))  # type: ignore[literal-required]
    return [one["id"] for one in measured]


def ids(ranking: list[Ranked]) -> list[str]:
    return [ranked.checkpoint.id for ranked in ranking]


async def test_the_best_of_one_job(sandbox: Sandbox, client: AsyncClient) -> None:
    job = sandbox.job_ids[0]
    best = await client.fine_tuning.jobs.checkpoints.best(job)
    assert best.checkpoint.id == lowest_of(sandbox, [job])[0]
    assert (best.metric, best.rank, best.mode) == ("full_valid_loss", 1, "min")
    assert best.value == best.checkpoint.metrics.full_valid_loss
    assert (best.unranked, best.failures) == ((), ())
    assert best.explain().checkpoints == 30


async def test_a_job_record_is_as_good_as_its_id(sandbox: Sandbox, client: AsyncClient) -> None:
    jobs = client.fine_tuning.jobs
    record = await jobs.retrieve(sandbox.job_ids[0])
    assert await jobs.checkpoints.best(record) == await jobs.checkpoints.best(record.id)


class OfficialRecord:
    """Like the official SDK's, it can be iterated over."""

    def __init__(self, job_id: str) -> None:
        self.id = job_id

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter([("id", self.id)])


async def test_a_record_that_can_be_iterated_over_is_one_job(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    checkpoints = client.fine_tuning.jobs.checkpoints
    best = await checkpoints.best(OfficialRecord(sandbox.job_ids[0]))
    assert best == await checkpoints.best(sandbox.job_ids[0])


SOURCES: dict[str, Callable[[AsyncClient, list[str]], Any]] = {
    "ids": lambda _, ids: ids,
    "a generator of ids": lambda _, ids: (id_ for id_ in ids),
    "a pager of jobs": lambda client, _: client.fine_tuning.jobs.list(),
    "a stream of checkpoints": lambda client, ids: client.fine_tuning.jobs.checkpoints.list_many(
        ids
    ),
}


@pytest.mark.parametrize("source", SOURCES)
async def test_the_top_of_many_jobs(source: str, sandbox: Sandbox, client: AsyncClient) -> None:
    jobs = sandbox.job_ids
    given = SOURCES[source](client, jobs)
    top = await client.fine_tuning.jobs.checkpoints.top(given, 7)
    assert ids(top) == lowest_of(sandbox, jobs)[:7]
    assert [ranked.rank for ranked in top] == [1, 2, 3, 4, 5, 6, 7]


async def test_all_of_them_if_there_are_fewer(sandbox: Sandbox, client: AsyncClient) -> None:
    jobs = sandbox.job_ids[:2]
    top = await client.fine_tuning.jobs.checkpoints.top(jobs, 1000)
    assert ids(top) == lowest_of(sandbox, jobs)


async def test_a_stream_that_the_caller_filtered(sandbox: Sandbox, client: AsyncClient) -> None:
    checkpoints = client.fine_tuning.jobs.checkpoints
    job = sandbox.job_ids[0]
    early = [one async for one in checkpoints.list(job) if one.step_number <= 1000]
    best = await checkpoints.best(early, metric="valid_loss")
    assert best.checkpoint == min(early, key=lambda one: one.metrics.valid_loss or 0)
    assert await checkpoints.best(stream_of(early), metric="valid_loss") == best
    assert await checkpoints.best(iter(early), metric="valid_loss") == best


async def test_a_metric_that_some_jobs_lack(sandbox: Sandbox, client: AsyncClient) -> None:
    metric = "valid_mean_token_accuracy"
    best = await client.fine_tuning.jobs.checkpoints.best(
        client.fine_tuning.jobs.list(), metric=metric
    )
    lacking = [
        job
        for job in sandbox.job_ids
        if all(metric not in one["metrics"] for one in sandbox.checkpoints_of(job))
    ]
    assert lacking
    assert sorted(best.unranked) == sorted(lacking)
    assert best.mode == "max"


async def test_a_metric_of_tomorrow(sandbox: Sandbox, client: AsyncClient) -> None:
    sandbox.inject(faults.SetField("data.0.metrics.mean_reward", -0.5), times=None)
    top = await client.fine_tuning.jobs.checkpoints.top(
        sandbox.job_ids[:2], 9, metric="mean_reward"
    )
    assert {ranked.value for ranked in top} == {-0.5}


async def test_a_job_that_fails_is_raised(sandbox: Sandbox, client: AsyncClient) -> None:
    checkpoints = client.fine_tuning.jobs.checkpoints
    with pytest.raises(NotFoundError):
        await checkpoints.best(["ftjob-unknown", sandbox.job_ids[0]])


async def test_a_job_that_fails_is_reported(sandbox: Sandbox, client: AsyncClient) -> None:
    checkpoints = client.fine_tuning.jobs.checkpoints
    job = sandbox.job_ids[0]
    best = await checkpoints.best(["ftjob-unknown", job], on_error="collect")
    assert best.checkpoint.id == lowest_of(sandbox, [job])[0]
    (failure,) = best.failures
    assert failure.fine_tuning_job_id == "ftjob-unknown"


async def test_all_jobs_fail(sandbox: Sandbox, client: AsyncClient) -> None:
    sandbox.inject(faults.Status(403), times=None)
    with pytest.raises(NoCheckpointError, match="2 jobs could not be listed: 403: ") as caught:
        await client.fine_tuning.jobs.checkpoints.best(sandbox.job_ids[:2], on_error="collect")
    assert (caught.value.jobs, caught.value.checkpoints, caught.value.failed) == (2, 0, 2)
    assert isinstance(caught.value.__cause__, PermissionDeniedError)


async def test_jobs_without_checkpoints(sandbox: Sandbox, client: AsyncClient) -> None:
    queued = [sandbox.add_job(status="queued") for _ in range(2)]
    with pytest.raises(NoCheckpointError, match="no checkpoint to rank in 2 jobs"):
        await client.fine_tuning.jobs.checkpoints.best(queued)
    with_others = [*queued, sandbox.job_ids[-1]]
    best = await client.fine_tuning.jobs.checkpoints.best(with_others)
    assert best.unranked == ()


async def test_no_jobs(client: AsyncClient) -> None:
    with pytest.raises(NoCheckpointError, match="no checkpoint to rank$"):
        await client.fine_tuning.jobs.checkpoints.best([])


@pytest.mark.parametrize(
    ("arguments", "options", "error", "says"),
    [
        ((5, 1), {}, TypeError, "jobs must be"),
        ((None, 1), {}, TypeError, "jobs must be"),
        ((checkpoint(), 1), {}, TypeError, "not a single checkpoint"),
        (("ftjob-1", 0), {}, ValueError, "n must be at least 1"),
        (("ftjob-1", 1), {"metric": "kl"}, ValueError, "'min' or 'max'"),
        (("ftjob-1", 1), {"mode": "min"}, ValueError, "metric="),
        (("ftjob-1", 1), {"metric": 3}, TypeError, "metric"),
        (("ftjob-1", 1), {"concurrency": 0}, ValueError, "concurrency"),
        (("ftjob-1", 1), {"on_error": "ignore"}, ValueError, "on_error"),
        (("ftjob-1", 1), {"metrics": "train_loss"}, TypeError, "did you mean 'metric'"),
        (("ftjob-1", 1), {"timeout": -1}, ValueError, "timeout"),
    ],
)
async def test_wrong_arguments_are_refused_by_the_call(
    arguments: tuple[Any, ...],
    options: dict[str, Any],
    error: type[Exception],
    says: str,
    sandbox: Sandbox,
    client: AsyncClient,
) -> None:
    checkpoints = client.fine_tuning.jobs.checkpoints
    with pytest.raises(error, match=says):
        checkpoints.top(*arguments, **options)
    if arguments[1]:
        with pytest.raises(error, match=says):
            checkpoints.best(arguments[0], **options)
    assert sandbox.stats.requests == 0


async def test_a_bad_id_is_a_failure_of_its_job(sandbox: Sandbox, client: AsyncClient) -> None:
    checkpoints = client.fine_tuning.jobs.checkpoints
    with pytest.raises(ValueError, match="must not contain"):
        await checkpoints.best("ftjob-a/../b")
    assert sandbox.stats.requests == 0


async def test_jobs_and_checkpoints_cannot_be_mixed(sandbox: Sandbox, client: AsyncClient) -> None:
    checkpoints = client.fine_tuning.jobs.checkpoints
    one = await anext(aiter(checkpoints.list(sandbox.job_ids[0])))
    with pytest.raises(TypeError, match="expected only checkpoints, got 'ftjob-"):
        await checkpoints.best([one, sandbox.job_ids[0]])
    with pytest.raises(TypeError, match="expected only jobs, got the checkpoint ftckpt_"):
        await checkpoints.best([sandbox.job_ids[0], one])


class Source:
    """An async generator of jobs or checkpoints, and whether it was closed."""

    def __init__(self, *items: str | FineTuningJob | FineTuningJobCheckpoint) -> None:
        self.items = items
        self.is_closed = False

    async def stream(self) -> AsyncIterator[Any]:
        try:
            for item in self.items:
                yield item
            raise LookupError("the source broke")
        finally:
            self.is_closed = True


@pytest.mark.parametrize("items", [(), ("ftjob",), (checkpoint(train_loss=1.0),)])
async def test_an_error_of_the_source_is_raised(
    items: tuple[Any, ...], sandbox: Sandbox, client: AsyncClient
) -> None:
    real = [sandbox.job_ids[0] if item == "ftjob" else item for item in items]
    source = Source(*real)
    with pytest.raises(LookupError, match="the source broke"):
        await client.fine_tuning.jobs.checkpoints.best(source.stream())
    assert source.is_closed


async def test_a_generator_is_closed_when_a_job_fails(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    source = Source("ftjob-unknown", *sandbox.job_ids * 9)
    with pytest.raises(NotFoundError):
        await client.fine_tuning.jobs.checkpoints.best(source.stream(), concurrency=1)
    assert source.is_closed


async def test_a_cancelled_ranking_leaves_nothing_behind(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    sandbox.inject(faults.Hang("before"), times=None)
    source = Source(*sandbox.job_ids)
    task = asyncio.create_task(client.fine_tuning.jobs.checkpoints.best(source.stream()))
    while sandbox.stats.in_flight < 5:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.is_closed


async def test_options_reach_the_server(sandbox: Sandbox, client: AsyncClient) -> None:
    await client.fine_tuning.jobs.checkpoints.best(
        sandbox.job_ids[:5], concurrency=2, extra_query={"team": "search"}
    )
    assert sandbox.stats.max_in_flight <= 2
    assert {dict(request.query)["team"] for request in sandbox.requests} == {"search"}


async def test_the_order_of_the_server_does_not_matter(
    client: AsyncClient, sandbox: Sandbox
) -> None:
    checkpoints = client.fine_tuning.jobs.checkpoints
    newest_first = [one async for one in checkpoints.list_many(sandbox.job_ids, ordered=True)]
    expected = await checkpoints.top(newest_first, 20)
    assert await checkpoints.top(newest_first[::-1], 20) == expected
