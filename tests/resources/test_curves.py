"""The training curve of a job, from its result file or from its events."""

import asyncio
from typing import Any

import pytest

from asyncckpt import (
    APIError,
    APIResponseValidationError,
    AsyncClient,
    FineTuningJob,
    NotFoundError,
    StepMetrics,
    converter,
)
from asyncckpt.records.steps import METRICS
from asyncckpt.testing import Clock, Sandbox, faults

from support.servers import answering


def from_events(sandbox: Sandbox, job: str) -> list[StepMetrics]:
    """Return the curve that the events of a job tell, by the shortest way."""
    return [
        StepMetrics(
            data["step"],
            *(data.get(name) for name in METRICS),
            extra={name: data[name] for name in data if name not in (*METRICS, "step")},
        )
        for event in reversed(sandbox.events_of(job))
        if event["type"] == "metrics"
        for data in [dict[str, Any](event["data"] or {})]
    ]


def only(step: StepMetrics, *names: str) -> tuple[Any, ...]:
    return (step.step, *(getattr(step, name) for name in names))


DOCUMENTED = ("train_loss", "train_mean_token_accuracy", "valid_loss", "valid_mean_token_accuracy")


@pytest.mark.parametrize("results", ["csv", "base64"])
@pytest.mark.parametrize("method", ["supervised", "reinforcement"])
async def test_a_result_file_tells_what_the_events_tell(results: Any, method: Any) -> None:
    async with Sandbox(jobs=0, results=results) as sandbox, sandbox.client() as client:
        job = sandbox.add_job(status="succeeded", method=method, checkpoints=5)
        curve = client.fine_tuning.jobs.step_metrics(job)
        steps = [step async for step in curve]
        events = from_events(sandbox, job)
    assert curve.source == "result_file"
    assert {step.source for step in steps} == {"result_file"}
    assert [only(step, *DOCUMENTED) for step in steps] == [
        only(step, *DOCUMENTED) for step in events
    ]
    rewards = [
        {name: value for name, value in step.extra.items() if name != "total_steps"}
        for step in events
    ]
    assert [step.extra for step in steps] == rewards
    assert [request.path.rpartition("/")[2] for request in sandbox.requests] == [job, "content"]


async def test_the_form_of_azure_has_all_seven() -> None:
    async with Sandbox(jobs=1, checkpoints=5) as sandbox:
        base_url = f"{sandbox.azure_url}/v1"
        async with sandbox.client(base_url=base_url) as client:
            steps = await client.fine_tuning.jobs.step_metrics(sandbox.job_ids[0])
        expected = from_events(sandbox, sandbox.job_ids[0])
    assert [only(step, *METRICS) for step in steps] == [only(step, *METRICS) for step in expected]


async def test_a_job_without_a_result_file_has_events(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    job = sandbox.add_job(status="running", checkpoints=3)
    curve = client.fine_tuning.jobs.step_metrics(job)
    assert await curve == from_events(sandbox, job)
    assert curve.source == "events"


async def test_a_file_that_is_gone_is_as_good_as_none(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    job = sandbox.add_job(status="succeeded", checkpoints=3)
    sandbox.inject(faults.Status(404), path="/content")
    curve = client.fine_tuning.jobs.step_metrics(job)
    assert await curve == from_events(sandbox, job)
    assert curve.source == "events"


@pytest.mark.parametrize("status", ["succeeded", "running"])
async def test_a_record_is_not_requested_again(
    status: Any, sandbox: Sandbox, client: AsyncClient
) -> None:
    job = sandbox.add_job(status=status, checkpoints=3)
    record = converter.structure(sandbox.jobs[0], FineTuningJob)
    assert await client.fine_tuning.jobs.step_metrics(record)
    asked = {request.path.rpartition("/")[2] for request in sandbox.requests}
    assert asked == ({"content"} if status == "succeeded" else {"events"})
    assert job == record.id


async def test_a_curve_starts_again_with_each_use(sandbox: Sandbox, client: AsyncClient) -> None:
    job = sandbox.add_job(status="running", checkpoints=1)
    curve = client.fine_tuning.jobs.step_metrics(job)
    before = await curve
    sandbox.add_checkpoint(job)
    after = await curve
    assert after[: len(before)] == before
    assert len(after) == 2 * len(before)


async def test_a_live_job_is_followed_from_events_to_its_file() -> None:
    clock = Clock(speed=0)
    async with Sandbox(jobs=0, clock=clock) as sandbox, sandbox.client() as client:
        job = sandbox.add_live_job(epochs=3, steps_per_epoch=10, validating=5, queued=5)
        curve = client.fine_tuning.jobs.step_metrics(job)
        assert (await curve, curve.source) == ([], "events")
        clock.advance(25)
        assert ([step.step for step in await curve], curve.source) == (
            list(range(1, 16)),
            "events",
        )
        clock.advance(1_000)
        assert (len(await curve), curve.source) == (30, "result_file")


async def test_an_unknown_job(client: AsyncClient) -> None:
    with pytest.raises(NotFoundError):
        await client.fine_tuning.jobs.step_metrics("ftjob-none")


@pytest.mark.parametrize(
    "fault",
    [
        faults.Status(503),
        faults.RateLimited(retry_after=0.01),
        faults.Reset("body"),
        faults.CutBody(),
        faults.CutBody(chunked=True),
        faults.CloseAfter(),
        faults.Chunked(),
        faults.Gzip(),
        faults.Redirect(),
    ],
    ids=repr,
)
@pytest.mark.parametrize("source", ["result_file", "events"])
async def test_a_passing_fault_does_not_show(
    fault: Any, source: str, sandbox: Sandbox, client: AsyncClient
) -> None:
    status: Any = "succeeded" if source == "result_file" else "running"
    job = sandbox.add_job(status=status, checkpoints=3)
    wanted = await client.fine_tuning.jobs.step_metrics(job)
    sandbox.inject(fault, times=2, path="/content" if source == "result_file" else "/events")
    curve = client.fine_tuning.jobs.step_metrics(job)
    assert await curve == wanted
    assert curve.source == source


@pytest.mark.parametrize("places", [1, 11, 30])
async def test_leaving_early_leaves_nothing(
    places: int, sandbox: Sandbox, client: AsyncClient
) -> None:
    for status in ("succeeded", "running"):
        job = sandbox.add_job(status=status, checkpoints=3)  # type: ignore[arg-type]
        async with client.fine_tuning.jobs.step_metrics(job) as curve:
            async for step in curve:
                if step.step == places:
                    break
        sandbox.inject(faults.Hang(), path="/content" if status == "succeeded" else "/events")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(aiter(client.fine_tuning.jobs.step_metrics(job))), 0.02)


def event(step: Any, at: int, loss: Any, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"ftevent-{step}-{at}-{loss}",
        "created_at": at,
        "level": "info",
        "message": "",
        "type": "metrics",
        "data": {"step": step, "train_loss": loss},
        **fields,
    }


async def curve_of(*events: dict[str, Any], backwards: bool = False) -> list[tuple[int, Any]]:
    def answer(target: str) -> tuple[int, Any]:
        if not target.partition("?")[0].endswith("/events"):
            return 404, {"error": {"message": "no"}}
        data = list(reversed(events)) if backwards else list(events)
        return 200, {"data": data, "has_more": False}

    job = FineTuningJob("ftjob-1", 1, "m", "running", "file-0")
    async with answering(answer) as server, server.client() as client:
        steps = await client.fine_tuning.jobs.step_metrics(job)
    return [(step.step, step.train_loss) for step in steps]


@pytest.mark.parametrize("backwards", [False, True])
async def test_events_in_either_order_and_the_last_of_a_step_counts(backwards: bool) -> None:
    told = [
        event(2, 14, 0.2),
        event(3, 13, 0.3),
        event(1, 12, 0.15),
        event(1, 12, 0.1),
        event(2, 11, 0.9),
        event(1, 10, "NaN"),
    ]
    assert await curve_of(*told, backwards=backwards) == [(1, 0.15), (2, 0.2), (3, 0.3)]


async def test_events_without_a_step_are_left_out() -> None:
    told = [
        event(2, 5, 0.2),
        event(1, 4, 0.1, type="message"),
        event(1, 3, 0.1, data=None),
        event(1, 2, 0.1, data={"train_loss": 0.1}),
        event(1, 1, None),
    ]
    assert await curve_of(*told) == [(1, None), (2, 0.2)]


@pytest.mark.parametrize(("step", "loss", "path"), [(1, "low", "train_loss"), (0.5, 1, "step")])
async def test_an_event_without_numbers_is_an_error(step: Any, loss: Any, path: str) -> None:
    with pytest.raises(APIResponseValidationError, match="Expected a number") as caught:
        await curve_of(event(2, 2, 0.2), event(step, 1, loss))
    assert caught.value.path == f"$.data[1].data.{path}"
    assert caught.value.__cause__ is caught.value.__context__ is None


async def test_a_file_whose_id_is_a_path_is_not_requested(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    job = FineTuningJob("ftjob-1", 1, "m", "succeeded", "f", result_files=["../jobs"])
    with pytest.raises(APIError, match="an id that is not one"):
        await client.fine_tuning.jobs.step_metrics(job)
    assert sandbox.requests == []


def test_what_is_not_a_job(client: AsyncClient) -> None:
    jobs: Any = client.fine_tuning.jobs
    for wrong in (5, None, ["ftjob-1"], StepMetrics(1)):
        with pytest.raises(TypeError, match="an id or a FineTuningJob"):
            jobs.step_metrics(wrong)
    with pytest.raises(ValueError, match="fine_tuning_job_id"):
        jobs.step_metrics("a/b")
    with pytest.raises(TypeError, match="max_retries"):
        jobs.step_metrics("ftjob-1", max_retrys=1)
