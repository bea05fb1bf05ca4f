"""What a job measures at each of its steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncckpt.testing.digests import digest_of
from asyncckpt.testing.shapes import Method
from asyncckpt.testing.training import Curve, Schedule, Training

from support.strategies import thorough

METHODS: tuple[Method, ...] = ("supervised", "dpo", "reinforcement")


def training(
    method: Method = "supervised", *, validated: bool = True, planned: int = 10
) -> Training:
    schedule = Schedule(every=10, full_every=3, started_at=1_000, spacing=30)
    return Training(
        seed=0,
        job_id="ftjob-1",
        method=method,
        planned=planned,
        validated=validated,
        schedule=schedule,
    )


@thorough
@given(st.binary(min_size=64, max_size=64), st.sampled_from(METHODS))
def test_the_training_loss_falls_and_the_validation_loss_turns(
    digest: bytes, method: Method
) -> None:
    curve = Curve.of(digest, method)
    points = [number / 100 for number in range(101)]
    train = [curve.train_loss(point) for point in points]
    valid = [curve.valid_loss(point) for point in points]
    assert train == sorted(train, reverse=True)
    lowest = valid.index(min(valid))
    assert 40 <= lowest < 100
    assert all(one > other for one, other in zip(valid, train, strict=True))


@thorough
@given(
    st.builds(
        Schedule,
        every=st.integers(1, 100),
        full_every=st.just(1),
        started_at=st.integers(0, 2**31),
        spacing=st.floats(0.1, 1_000),
    ),
    st.integers(0, 10_000),
)
def test_a_step_has_ended_from_its_time_on(schedule: Schedule, step: int) -> None:
    assert schedule.steps_until(schedule.time_after(step)) >= step
    assert schedule.time_of(step) <= schedule.time_after(step) <= schedule.time_of(step) + 1
    assert schedule.steps_until(schedule.started_at - 1) == 0


@pytest.mark.parametrize("planned", [1, 30, 10**6])
def test_a_schedule_ends_within_days_whatever_is_planned(planned: int) -> None:
    schedule = Schedule.of(digest_of(0), planned, 0)
    assert 2 <= schedule.spacing <= 90
    assert schedule.full_every <= planned


def test_a_checkpoint_has_the_metrics_of_its_step() -> None:
    one = training()
    for step in (10, 15):
        digest = one.digest_at(step)
        assert one.metrics(step, digest) == one.metrics(step, one.digest_at(step))
    assert one.metrics(10, one.digest_at(10)) != one.metrics(20, one.digest_at(20))


def test_validation_is_measured_at_some_steps_and_on_the_whole_file_at_fewer() -> None:
    one = training()
    metrics = {step: one.metrics(step, one.digest_at(step)) for step in range(1, 101)}
    assert [step for step in metrics if "valid_loss" in metrics[step]] == list(range(2, 101, 2))
    full = [step for step in metrics if "full_valid_loss" in metrics[step]]
    # The last checkpoint is always validated on the whole file.
    assert full == [30, 60, 90, 100]
    assert all("train_loss" in measured for measured in metrics.values())


def test_without_a_validation_file_nothing_is_validated() -> None:
    one = training(validated=False)
    assert set(one.metrics(100, one.digest_at(100))) == {
        "step",
        "train_loss",
        "train_mean_token_accuracy",
    }


@pytest.mark.parametrize("method", METHODS)
def test_only_reinforcement_has_rewards_and_no_accuracies(method: Method) -> None:
    one = training(method)
    metrics = one.metrics(30, one.digest_at(30))
    rewards = one.rewards(metrics)
    reinforced = method == "reinforcement"
    assert set(rewards) == (
        {"train_mean_reward", "full_validation_mean_reward"} if reinforced else set()
    )
    assert ("train_mean_token_accuracy" in metrics) is not reinforced
    assert all(0 < value < 1 for value in rewards.values())


def test_a_job_without_planned_checkpoints_still_has_a_scale() -> None:
    assert training(planned=0).total_steps == 10
