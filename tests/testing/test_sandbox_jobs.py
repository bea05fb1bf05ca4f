"""The jobs of a sandbox, as tests read and change them."""

from typing import Any

import pytest

from asyncckpt.testing import Clock, Sandbox

START = 1_800_000_000


@pytest.fixture
def clock() -> Clock:
    return Clock(speed=0, start=START)


@pytest.fixture
def live(clock: Clock) -> Sandbox:
    return Sandbox(jobs=2, clock=clock)


def test_a_sandbox_may_have_some_from_the_start(clock: Clock) -> None:
    box = Sandbox(jobs=2, live=5, clock=clock)
    assert len(box.job_ids) == 7
    assert [job["status"] for job in box.jobs[:5]] == ["validating_files"] * 5
    clock.advance(1_000)
    assert [job["status"] for job in box.jobs[:5]] == [
        "succeeded",
        "succeeded",
        "succeeded",
        "failed",
        "succeeded",
    ]
    assert [len(box.checkpoints_of(job)) for job in box.job_ids[:3]] == [5] * 3
    with pytest.raises(TypeError, match="live"):
        Sandbox(live="all")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"epochs": 0}, ValueError),
        ({"steps_per_epoch": 0}, ValueError),
        ({"seconds_per_step": 0}, ValueError),
        ({"keep_epochs": 0}, ValueError),
        ({"validating": -1}, ValueError),
        ({"queued": 1.5}, TypeError),
        ({"outcome": "paused"}, ValueError),
    ],
)
def test_a_wrong_number_is_refused(options: Any, error: type[Exception], live: Sandbox) -> None:
    with pytest.raises(error, match=next(iter(options))):
        live.add_live_job(**options)


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(ValueError, match="profile is 'openapi'; give one of .*'openai'"):
        Sandbox(profile="openapi")  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["checkpoints_of", "events_of", "add_checkpoint", "finish"])
def test_an_unknown_job_is_refused(method: str) -> None:
    with pytest.raises(KeyError, match="the sandbox has no job 'ftjob-no'"):
        getattr(Sandbox(jobs=1), method)("ftjob-no")


def test_an_added_job_is_the_newest_and_as_requested() -> None:
    box = Sandbox(jobs=1, checkpoints=7)
    usual = box.add_job()
    special = box.add_job(
        checkpoints=3,
        status="failed",
        method="dpo",
        metadata={"team": "search"},
        validation=False,
    )
    assert box.job_ids[:2] == [special, usual]
    assert [len(box.checkpoints_of(job)) for job in (special, usual)] == [3, 7]
    job = box.jobs[0]
    assert (job["status"], job["method"]["type"]) == ("failed", "dpo")
    assert (job["metadata"], job["validation_file"]) == ({"team": "search"}, None)
    for checkpoint in box.checkpoints_of(special):
        assert not {"valid_loss", "full_valid_loss"} & set(checkpoint["metrics"])


def test_a_live_job_is_as_requested(live: Sandbox, clock: Clock) -> None:
    job = live.add_live_job(
        epochs=2,
        steps_per_epoch=3,
        seconds_per_step=5,
        validating=7,
        queued=11,
        method="reinforcement",
        metadata={"team": "search"},
    )
    statuses = [live.jobs[0]["status"]]
    for seconds in (7, 11, 30):
        clock.advance(seconds)
        statuses.append(live.jobs[0]["status"])
    assert statuses == ["validating_files", "queued", "running", "running"]
    assert [checkpoint["step_number"] for checkpoint in live.checkpoints_of(job)] == [6, 3]
    assert live.jobs[0]["method"]["type"] == "reinforcement"
    assert live.jobs[0]["metadata"] == {"team": "search"}


def test_the_times_of_a_live_job_come_from_the_seed(clock: Clock) -> None:
    def start_of_training(seed: int) -> int:
        box = Sandbox(jobs=0, seed=seed, clock=Clock(speed=0, start=START))
        box.add_live_job()
        while box.jobs[0]["status"] != "running":
            box.clock.advance(1)
        return int(box.clock()) - START

    waits = [start_of_training(seed) for seed in range(20)]
    assert waits == [start_of_training(seed) for seed in range(20)]
    assert len(set(waits)) > 5
    assert all(5 + 10 <= wait <= 14 + 39 for wait in waits)
