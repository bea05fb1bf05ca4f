"""The generated events of a job, and their pages."""

import itertools
from typing import Any

import aiohttp
import pytest

from asyncckpt.testing import Sandbox
from asyncckpt.testing.shapes import Status

from support.browser import Browser


def messages(box: Sandbox, job: str) -> list[str]:
    """Return the messages of a job, oldest first."""
    return [event["message"] for event in reversed(box.events_of(job))]


def test_a_job_that_succeeded_tells_its_whole_story() -> None:
    box = Sandbox(jobs=1, checkpoints=2)
    job = box.jobs[0]
    told = messages(box, job["id"])
    training, validation = job["training_file"], job["validation_file"]
    assert told[:4] == [
        f"Created fine-tuning job: {job['id']}",
        f"Validating training file: {training} and validation file: {validation}",
        "Files validated, moving job to queued state",
        "Fine-tuning job started",
    ]
    assert told[-2:] == [
        f"New fine-tuned model created: {job['fine_tuned_model']}",
        "The job has successfully completed",
    ]
    newest, oldest = box.checkpoints_of(job["id"])
    every = oldest["step_number"]
    assert len(told) == 4 + 2 * every + 2 + 2
    assert told[4 + every] == (
        f"Checkpoint created at step {every} with Snapshot ID: "
        f"{oldest['fine_tuned_model_checkpoint']}"
    )
    assert newest["fine_tuned_model_checkpoint"] in told[-3]


def test_there_are_metrics_for_each_step_in_turn() -> None:
    box = Sandbox(jobs=1, checkpoints=3)
    job = box.job_ids[0]
    measured = [event for event in reversed(box.events_of(job)) if event["type"] == "metrics"]
    data: list[Any] = [event["data"] for event in measured]
    total = box.checkpoints_of(job)[0]["step_number"]
    assert [one["step"] for one in data] == list(range(1, total + 1))
    assert {one["total_steps"] for one in data} == {total}
    assert all("train_loss" in one for one in data)
    assert 3 < sum("valid_loss" in one for one in data) < total
    assert measured[-1]["message"] == (
        f"Step {total}/{total}: training loss={data[-1]['train_loss']:.2f}, "
        f"validation loss={data[-1]['valid_loss']:.2f}, "
        f"full validation loss={data[-1]['full_valid_loss']:.2f}"
    )


def test_a_checkpoint_has_the_metrics_of_its_step() -> None:
    box = Sandbox(jobs=3, checkpoints=4)
    for job in box.job_ids:
        data: dict[int, Any] = {
            event["data"]["step"]: event["data"]  # type: ignore[index]
            for event in box.events_of(job)
            if event["type"] == "metrics"
        }
        for checkpoint in box.checkpoints_of(job):
            assert checkpoint["metrics"].items() <= data[checkpoint["step_number"]].items()


def test_reinforcement_has_rewards_that_rise() -> None:
    box = Sandbox(jobs=0)
    job = box.add_job(method="reinforcement", status="succeeded", checkpoints=4)
    data: list[Any] = [event["data"] for event in box.events_of(job) if event["type"] == "metrics"]
    assert data[0]["train_mean_reward"] > data[-1]["train_mean_reward"] > 0
    assert "full_validation_mean_reward" in data[0]
    assert not any("train_mean_token_accuracy" in one for one in data)


@pytest.mark.parametrize(
    ("status", "last", "level"),
    [
        ("validating_files", "Validating training file", "info"),
        ("queued", "Files validated", "info"),
        ("running", "Checkpoint created", "info"),
        ("cancelled", "The job was cancelled", "info"),
        ("failed", "The job failed after checkpoint 2", "error"),
    ],
)
def test_the_newest_event_fits_the_status(status: Status, last: str, level: str) -> None:
    box = Sandbox(jobs=1, checkpoints=2, statuses=[status])
    newest = box.events_of(box.job_ids[0])[0]
    assert newest["message"].startswith(last)
    assert newest["level"] == level


def test_a_job_that_never_started_does_not_say_so_when_it_ends() -> None:
    box = Sandbox(jobs=1, statuses=["queued"])
    job = box.job_ids[0]
    box.finish(job, "cancelled")
    assert messages(box, job)[-2:] == [
        "Files validated, moving job to queued state",
        "The job was cancelled",
    ]


def test_events_are_newest_first_with_ids_of_their_own() -> None:
    box = Sandbox(jobs=3, checkpoints=5)
    for job in box.job_ids:
        events = box.events_of(job)
        assert all(a["created_at"] >= b["created_at"] for a, b in itertools.pairwise(events))
        ids = [event["id"] for event in events]
        assert len(set(ids)) == len(ids)
        assert [events.position_of(event_id) for event_id in ids] == list(range(len(ids)))
        assert events == list(events)
        assert events[-1] == events[len(events) - 1]
        assert events.position_of(ids[0][:-1] + "-") is None
        with pytest.raises(IndexError):
            events[len(events)]


def test_a_million_checkpoints_have_events() -> None:
    box = Sandbox(jobs=1, checkpoints=1_000_000)
    events = box.events_of(box.job_ids[0])
    assert len(events) > 10_000_000
    assert events.position_of(events[7_654_321]["id"]) == 7_654_321


async def test_pages_lead_from_the_first_event_to_the_last() -> None:
    async with Sandbox(jobs=1, checkpoints=3) as box, aiohttp.ClientSession() as session:
        job = box.job_ids[0]
        path, browser = f"/v1/fine_tuning/jobs/{job}/events", Browser(box, session)
        first = (await browser.get(path)).json
        assert first.keys() == {"object", "data", "has_more"}
        assert len(first["data"]) == 20
        seen, page = list(first["data"]), first
        while page["has_more"]:
            page = (await browser.get(path, after=seen[-1]["id"], limit=37)).json
            seen += page["data"]
        assert seen == box.events_of(job)
        unknown = await browser.get(path, after=box.checkpoints_of(job)[0]["id"])
        assert (unknown.status, unknown.error["param"]) == (400, "after")
        assert (await browser.get("/v1/fine_tuning/jobs/ftjob-x/events")).status == 404
        assert (box.requests[0].job_id, box.requests[0].page, box.requests[1].page) == (job, 1, 2)
