"""Gathering a plot from a server: which jobs, curves, checkpoints, and what if something fails."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from asyncckpt import (
    AsyncClient,
    InternalServerError,
    JobFailure,
    NoCheckpointError,
    NotFoundError,
)
from asyncckpt.export import JobPlot, Plot, plot
from asyncckpt.testing import Sandbox, faults

SUPERVISED, ANOTHER = 0, 6
DOCUMENTED = ("full_valid_loss", "valid_loss", "train_loss")


def points_of(job: JobPlot, metric: str) -> list[tuple[int, float]]:
    return [point for segment in job.curves[metric] for point in segment]


def ids_of(gathered: Plot) -> list[str]:
    return [job.fine_tuning_job_id for job in gathered.jobs]


async def test_one_job_has_its_curves_and_checkpoints(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    id_ = sandbox.job_ids[SUPERVISED]
    gathered = await plot(client, id_)
    steps = await client.fine_tuning.jobs.step_metrics(id_)
    (job,) = gathered.jobs
    # The result file has no full validation loss, only the checkpoints have it.
    assert list(job.curves) == ["valid_loss", "train_loss"]
    assert points_of(job, "valid_loss") == [
        (step.step, step.valid_loss) for step in steps if step.valid_loss is not None
    ]
    assert points_of(job, "train_loss") == [(step.step, step.train_loss) for step in steps]
    assert len(job.curves["valid_loss"]) == len(job.curves["train_loss"]) == 1
    checkpoints = sandbox.checkpoints_of(id_)
    assert job.checkpoints == tuple(
        (
            one["step_number"],
            one["metrics"].get("full_valid_loss", one["metrics"].get("valid_loss")),
        )
        for one in sorted(checkpoints, key=lambda one: one["step_number"])
    )


async def test_the_best_checkpoint_is_that_of_the_ranking(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    for options in ({}, {"metric": "train_loss"}, {"metric": "valid_loss", "mode": "max"}):
        best = await client.fine_tuning.jobs.checkpoints.best(sandbox.job_ids, **options)  # type: ignore[arg-type]
        gathered = await plot(client, sandbox.job_ids, **options)  # type: ignore[arg-type]
        assert gathered.best is not None
        assert (gathered.best.checkpoint, gathered.metric) == (best.checkpoint, best.metric)
        assert gathered.mode == best.mode
        assert gathered.jobs[0].best == (best.checkpoint.step_number, best.value)


async def test_the_best_jobs_are_plotted_by_the_same_curve(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    def best_of(job: str) -> float:
        found = [one["metrics"].get("full_valid_loss") for one in sandbox.checkpoints_of(job)]
        return min(value for value in found if value is not None)

    gathered = await plot(client, client.fine_tuning.jobs.list(), top=3)
    assert ids_of(gathered) == sorted(sandbox.job_ids, key=best_of)[:3]
    assert [job.best and job.best[1] for job in gathered.jobs] == [
        best_of(job.fine_tuning_job_id) for job in gathered.jobs
    ]
    assert gathered.left_out == len(sandbox.job_ids) - 3
    assert [list(job.curves) for job in gathered.jobs] == [["valid_loss"]] * 3


async def test_a_job_that_still_trains_has_a_curve_without_checkpoints(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    sandbox.inject(faults.SetField("data", []), times=None, path="/checkpoints")
    gathered = await plot(client, sandbox.job_ids[SUPERVISED])
    assert (gathered.best, gathered.metric) == (None, "valid_loss")
    assert gathered.jobs[0].checkpoints == ()
    assert gathered.text()


async def test_a_job_without_a_curve_is_drawn_by_its_checkpoints(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    id_ = sandbox.job_ids[SUPERVISED]
    sandbox.inject(faults.Status(404), times=None, path="/content")
    no_events = (faults.SetField("data", []), faults.SetField("has_more", False))
    sandbox.inject(*no_events, times=None, path="/events")
    (job,) = (await plot(client, id_)).jobs
    assert list(job.curves) == list(DOCUMENTED)
    assert points_of(job, "valid_loss") == sorted(
        (one["step_number"], one["metrics"].get("valid_loss"))
        for one in sandbox.checkpoints_of(id_)
    )


async def test_jobs_without_data_are_named(sandbox: Sandbox, client: AsyncClient) -> None:
    good, queued = sandbox.job_ids[SUPERVISED], sandbox.add_job(status="queued")
    gathered = await plot(client, [queued, good])
    assert gathered.without_data == (queued,)
    assert ids_of(gathered) == [good]


async def test_nothing_to_plot_is_an_error(sandbox: Sandbox, client: AsyncClient) -> None:
    queued = sandbox.add_job(status="queued")
    with pytest.raises(NoCheckpointError) as caught:
        await plot(client, queued)
    assert str(caught.value) == (
        "nothing to plot: no training curve has a measured metric, and there is no checkpoint to "
        "rank in 1 job"
    )
    with pytest.raises(NoCheckpointError, match="no training curve has a measured mean_score"):
        await plot(client, sandbox.job_ids[SUPERVISED], metric="mean_score")
    with pytest.raises(NoCheckpointError, match="nothing to plot"):
        await plot(client, [])


async def test_a_metric_that_only_the_curve_has(sandbox: Sandbox, client: AsyncClient) -> None:
    id_ = sandbox.add_job(status="succeeded", method="reinforcement")
    gathered = await plot(client, id_, metric="train_mean_reward")
    (job,) = gathered.jobs
    assert (gathered.mode, list(job.curves)) == ("max", ["train_mean_reward"])


async def test_jobs_without_a_common_metric_need_a_choice(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    first, second = sandbox.job_ids[:2]
    for job, kept in ((first, "train_loss"), (second, "valid_loss")):
        metrics = {"step": 1.0, kept: 0.5}
        sandbox.inject(
            faults.SetField("data.*.metrics", metrics), times=None, path="/checkpoints", job=job
        )
    with pytest.raises(NoCheckpointError, match="choose a metric"):
        await plot(client, [first, second])


async def test_a_failed_job_ends_it(sandbox: Sandbox, client: AsyncClient) -> None:
    with pytest.raises(NotFoundError):
        await plot(client, ["ftjob-unknown", sandbox.job_ids[SUPERVISED]])
    sandbox.inject(faults.Status(400), times=None, path="/content")
    with pytest.raises(Exception, match="400"):
        await plot(client, sandbox.job_ids[SUPERVISED])


async def test_failures_are_collected(sandbox: Sandbox, client: AsyncClient) -> None:
    good, other = sandbox.job_ids[SUPERVISED], sandbox.job_ids[ANOTHER]
    sandbox.inject(faults.Status(400), times=None, path=f"/jobs/{other}/events")
    sandbox.inject(faults.Status(400), times=None, path=f"/jobs/{other}", job=other)
    gathered = await plot(client, ["ftjob-unknown", good, other], on_error="collect")
    failed = [failure.fine_tuning_job_id for failure in gathered.failures]
    assert failed == ["ftjob-unknown", other]
    assert isinstance(gathered.failures[0].error, NotFoundError)
    assert ids_of(gathered) == [good]


async def test_a_failed_curve_leaves_the_checkpoints(sandbox: Sandbox) -> None:
    good = sandbox.job_ids[SUPERVISED]
    seen: list[JobFailure] = []

    async def note(failure: JobFailure) -> None:
        await asyncio.sleep(0)
        seen.append(failure)

    sandbox.inject(faults.Status(500), times=None, path="/content")
    async with sandbox.client(max_retries=0) as client:
        gathered = await plot(client, [good], on_error=note)
    (failure,) = seen
    assert isinstance(failure.error, InternalServerError)
    assert gathered.failures == ()
    (job,) = gathered.jobs
    assert "full_valid_loss" in job.curves
    assert len(job.checkpoints) == 30


async def test_a_generator_of_jobs_is_closed(sandbox: Sandbox, client: AsyncClient) -> None:
    closed = False

    async def jobs() -> AsyncIterator[str]:
        nonlocal closed
        try:
            for job in sandbox.job_ids[:2]:
                yield job
            await asyncio.sleep(0)
            yield "ftjob-unknown"
            yield "ftjob-never-asked-for"
        finally:
            closed = True

    with pytest.raises(NotFoundError):
        await plot(client, jobs(), concurrency=1)
    assert closed


async def test_it_can_be_cancelled(sandbox: Sandbox, client: AsyncClient) -> None:
    sandbox.inject(faults.Hang("before"), times=None, path="/content")
    task = asyncio.ensure_future(plot(client, sandbox.job_ids))
    while not any("/content" in request.path for request in sandbox.requests):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"jobs": 5}, TypeError, "jobs must be"),
        ({"jobs": b"ftjob"}, TypeError, "jobs must be"),
        ({"top": 0}, ValueError, "top must be at least 1"),
        ({"top": 21}, ValueError, "top must be at most 20"),
        ({"concurrency": 0}, ValueError, "concurrency must be at least 1"),
        ({"on_error": "ignore"}, ValueError, "on_error must be"),
        ({"metric": "speed"}, ValueError, "does not tell whether"),
        ({"mode": "min"}, ValueError, "mode belongs to a metric"),
    ],
)
async def test_arguments_are_checked_by_the_call(
    client: AsyncClient, arguments: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        plot(client, **{"jobs": "ftjob-a", **arguments})
