"""Where validation turned up, from the checkpoints that were seen and the training curve."""

import itertools
from collections.abc import AsyncIterator

import attrs
import pytest

from asyncckpt import (
    AsyncClient,
    Explanation,
    FineTuningJobCheckpoint,
    Ranked,
    StepMetrics,
)
from asyncckpt.records import Extra
from asyncckpt.streams.criteria import Mode
from asyncckpt.streams.ranking import Selection
from asyncckpt.testing import Sandbox

from support.checkpoints import checkpoint


def explained(
    *checkpoints: FineTuningJobCheckpoint, metric: str | None = None, mode: Mode | None = None
) -> Explanation:
    """What is said about the best of the checkpoints."""
    selection = Selection(1, metric, mode)
    for one in checkpoints:
        selection.add(one)
    (ranked,) = selection.result()
    return ranked.explain()


TURNING = (
    checkpoint(step=100, train_loss=1.0, valid_loss=1.2, full_valid_loss=1.25),
    checkpoint(step=200, train_loss=0.5, valid_loss=0.6),
    checkpoint(step=300, train_loss=0.4, valid_loss=0.55, full_valid_loss=0.5),
    checkpoint(step=400, train_loss=0.3, valid_loss=0.7),
    checkpoint(step=500, train_loss=0.2, valid_loss=0.9, full_valid_loss=0.75),
)


def test_where_validation_turned_up_in_any_order() -> None:
    expected = Explanation(
        fine_tuning_job_id="ftjob-a",
        step=300,
        metric="full_valid_loss",
        value=0.5,
        mode="min",
        best_step=300,
        checkpoints=5,
        last_step=500,
        validation_metric="full_valid_loss",
        lowest=0.5,
        lowest_step=300,
        last=0.75,
        last_measured_step=500,
        last_over_lowest=1.5,
        validation_over_training=0.5 / 0.4,
    )
    for order in itertools.permutations(TURNING):
        assert explained(*order) == expected
    assert expected.turned_up_after == 300
    assert expected.is_overfitting
    assert str(expected) == (
        "Step 300 of job ftjob-a has a full_valid_loss of 0.5, the lowest of its 5 checkpoints. "
        "It turned up afterwards, to 0.75 at step 500, 1.50 times the lowest (a sign of "
        "overfitting: 1.2 or more). At step 300 its validation loss is 1.25 times the training "
        "loss (below 1.5)."
    )


def test_the_other_jobs_do_not_matter() -> None:
    others = [attrs.evolve(one, fine_tuning_job_id="ftjob-b", id="b") for one in TURNING[:1]]
    assert explained(*others, *TURNING) == explained(*TURNING)


def test_a_choice_by_another_metric_is_held_against_the_validation_loss() -> None:
    said = explained(*TURNING, metric="train_loss")
    assert (said.step, said.value, said.best_step) == (500, 0.2, 500)
    assert (said.lowest_step, said.last_over_lowest) == (300, 1.5)
    assert said.validation_over_training == 0.75 / 0.2
    assert str(said) == (
        "Step 500 of job ftjob-a has a train_loss of 0.2, the lowest of its 5 checkpoints. "
        "full_valid_loss turned up after its lowest, 0.5 at step 300, to 0.75 at step 500, 1.50 "
        "times the lowest (a sign of overfitting: 1.2 or more). At step 500 its validation loss is "
        "3.75 times the training loss (a sign of overfitting: 1.5 or more)."
    )


def test_a_validation_loss_that_was_ranked_by_is_the_one_that_is_described() -> None:
    said = explained(*TURNING, metric="valid_loss")
    assert (said.validation_metric, said.lowest, said.last) == ("valid_loss", 0.55, 0.9)


def test_a_validation_loss_that_was_ranked_upwards_is_not_described() -> None:
    said = explained(*TURNING, metric="valid_loss", mode="max")
    assert (said.step, said.best_step) == (100, 100)
    assert (said.validation_metric, said.lowest) == ("full_valid_loss", 0.5)
    assert "the highest of its 5 checkpoints" in str(said)


def test_validation_that_has_not_turned_up() -> None:
    said = explained(*TURNING[:3])
    assert said.turned_up_after is None
    assert said.last_over_lowest == 1.0
    assert not said.is_overfitting
    assert "full_valid_loss has not turned up: it was last measured at step 300." in str(said)


def test_the_last_of_several_lowest_values_counts() -> None:
    records = [checkpoint(step=step, valid_loss=0.5) for step in (1, 2, 3)]
    for order in itertools.permutations(records):
        said = explained(*order)
        assert (said.lowest_step, said.best_step, said.turned_up_after) == (3, 3, None)


def test_without_validation() -> None:
    said = explained(checkpoint(step=7, train_loss=0.5))
    assert said.validation_metric is None
    assert (said.lowest, said.last_over_lowest, said.validation_over_training) == (None, None, None)
    assert said.turned_up_after is None
    assert not said.is_overfitting
    assert str(said) == (
        "Step 7 of job ftjob-a has a train_loss of 0.5, the lowest of its 1 checkpoint. "
        "No validation loss was measured, so overfitting cannot be seen."
    )


def test_a_lower_rank_names_the_best_step_of_its_job() -> None:
    selection = Selection(2)
    for one in TURNING:
        selection.add(one)
    second = selection.result()[1].explain()
    assert (second.step, second.best_step) == (500, 300)
    assert "; the lowest of its 5 checkpoints is at step 300. full_valid_loss turned up" in str(
        second
    )


@pytest.mark.parametrize(
    ("last", "train", "is_overfitting"),
    [
        (1.19, 1.0, False),
        (1.2, 1.0, True),
        (1.0, 0.5, True),
        (1.0, 1 / 1.5, True),
        (1.0, 0.7, False),
    ],
)
def test_the_customary_thresholds(last: float, train: float, is_overfitting: bool) -> None:
    said = explained(
        checkpoint(step=1, valid_loss=1.0, train_loss=train),
        checkpoint(step=2, valid_loss=last, train_loss=train),
    )
    assert said.is_overfitting is is_overfitting


def test_a_loss_of_zero_has_no_ratio() -> None:
    said = explained(
        checkpoint(step=1, valid_loss=0.0, train_loss=0.0), checkpoint(step=2, valid_loss=0.5)
    )
    assert said.turned_up_after == 1
    assert (said.last_over_lowest, said.validation_over_training) == (None, None)
    assert str(said).endswith("It turned up afterwards, to 0.5 at step 2.")


def test_a_checkpoint_without_full_validation_is_compared_by_its_batch() -> None:
    said = explained(
        *TURNING, checkpoint(step=450, train_loss=0.1, valid_loss=0.4), metric="train_loss"
    )
    assert (said.step, said.validation_over_training) == (450, 4.0)


def test_a_job_id_is_shown_safely() -> None:
    assert str(explained(checkpoint("ft\x1b[2J", valid_loss=0.5))).isprintable()


def ranked(*checkpoints: FineTuningJobCheckpoint, metric: str | None = None) -> Ranked:
    """The best of the checkpoints."""
    selection = Selection(1, metric)
    for one in checkpoints:
        selection.add(one)
    return selection.result()[0]


CURVE = tuple(
    StepMetrics(step, train_loss=1 / step, valid_loss=0.3 + abs(step - 222) / 1000)
    for step in range(1, 501)
)


def test_the_curve_says_which_step_was_the_best_and_which_checkpoint_is_the_nearest() -> None:
    said = ranked(*TURNING).explain(CURVE)
    assert said == attrs.evolve(
        explained(*TURNING),
        curve_steps=500,
        curve_metric="valid_loss",  # the curve has no full_valid_loss
        curve_best=0.3,
        curve_best_step=222,
        nearest_step=200,
    )
    assert said.best_step_has_checkpoint is False
    assert str(said) == (
        f"{explained(*TURNING)} On the training curve, valid_loss is lowest at step 222 (0.3), "
        "which has no checkpoint; the nearest is at step 200."
    )


def test_the_order_of_the_curve_does_not_matter() -> None:
    assert ranked(*TURNING).explain(reversed(CURVE)) == ranked(*TURNING).explain(list(CURVE))


def test_the_best_step_of_the_curve_may_have_a_checkpoint() -> None:
    steps = (StepMetrics(step, full_valid_loss=loss) for step, loss in ((300, 0.5), (301, 0.6)))
    said = ranked(*TURNING).explain(steps)
    assert (said.curve_metric, said.curve_best_step) == ("full_valid_loss", 300)
    assert said.best_step_has_checkpoint is True
    assert str(said).endswith(
        "full_valid_loss is lowest at step 300 (0.5), which has a checkpoint."
    )


def test_the_nearest_checkpoint_may_be_the_one_that_was_chosen() -> None:
    said = ranked(*TURNING).explain([StepMetrics(310, full_valid_loss=0.4)])
    assert str(said).endswith("which has no checkpoint; the nearest is this one.")


def test_the_curve_is_compared_by_the_metric_of_the_ranking() -> None:
    checkpoints = [checkpoint(step=step, extra={"reward": step / 10}) for step in (10, 20)]
    steps = [
        StepMetrics(step, valid_loss=step, extra=Extra({"reward": -abs(step - 14)}))
        for step in range(1, 20)
    ]
    said = ranked(*checkpoints, metric="reward").explain(steps)
    assert (said.curve_metric, said.curve_best_step, said.nearest_step) == ("reward", 14, 10)
    assert "reward is highest at step 14 (0)" in str(said)


def test_a_validation_loss_of_the_curve_is_better_if_it_is_lower_whatever_the_ranking() -> None:
    best = ranked(checkpoint(step=1, valid_mean_token_accuracy=0.5))
    said = best.explain([StepMetrics(3, valid_loss=2.0), StepMetrics(4, valid_loss=1.0)])
    assert (said.mode, said.curve_metric, said.curve_best_step) == ("max", "valid_loss", 4)
    assert "valid_loss is lowest at step 4 (1)" in str(said)


def test_the_last_of_several_best_steps_of_the_curve_counts() -> None:
    said = ranked(*TURNING).explain([StepMetrics(step, valid_loss=0.1) for step in (7, 9, 8)])
    assert said.curve_best_step == 9


@pytest.mark.parametrize(
    ("metric", "missing"),
    [("full_valid_loss", "validation loss"), ("train_loss", "train_loss")],
)
def test_a_curve_without_the_metric(metric: str, missing: str) -> None:
    steps = [StepMetrics(1, valid_loss=-1.0), StepMetrics(2)]
    said = ranked(*TURNING, metric=metric).explain(steps)
    assert (said.curve_steps, said.curve_metric, said.nearest_step) == (2, None, None)
    assert said.best_step_has_checkpoint is None
    assert str(said).endswith(f"The training curve has no measured {missing}.")


async def test_a_curve_may_be_a_stream_which_is_read_once_and_closed() -> None:
    closed: list[int] = []

    async def curve() -> AsyncIterator[StepMetrics]:
        try:
            for step in CURVE:
                yield step
        finally:
            closed.append(1)

    assert await ranked(*TURNING).explain(curve()) == ranked(*TURNING).explain(CURVE)
    assert closed == [1]

    async def broken() -> AsyncIterator[StepMetrics]:
        try:
            yield CURVE[0]
            yield "ftjob-a"  # type: ignore[misc]
        finally:
            closed.append(2)

    with pytest.raises(TypeError, match="curve must have StepMetrics, not 'ftjob-a'"):
        await ranked(*TURNING).explain(broken())
    assert closed == [1, 2]


def test_a_curve_is_a_curve() -> None:
    best = ranked(*TURNING)
    with pytest.raises(TypeError, match="curve must be an iterable.*not int"):
        best.explain(5)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="curve must have StepMetrics, not 'f'"):
        best.explain("ftjob-a")  # type: ignore[arg-type]


async def test_the_curve_of_a_job(sandbox: Sandbox, client: AsyncClient) -> None:
    jobs = client.fine_tuning.jobs
    job = sandbox.add_job(checkpoints=20, status="succeeded")
    best = await jobs.checkpoints.best(job)
    said = await best.explain(jobs.step_metrics(job))
    steps = await jobs.step_metrics(job)
    assert best.explain(steps) == said
    lowest, step = min((one.valid_loss, one.step) for one in steps if one.valid_loss is not None)
    assert (said.curve_best_step, said.curve_best) == (step, lowest)
    assert said.curve_steps == len(steps)


def test_the_curve_of_a_job_whose_checkpoints_have_no_steps() -> None:
    unknown = attrs.evolve(checkpoint(valid_loss=0.5), step_number=None)
    said = ranked(unknown).explain(CURVE)
    assert (said.curve_best_step, said.nearest_step) == (222, None)
    assert said.best_step_has_checkpoint is None
    assert str(said).endswith("step 222 (0.3); the steps of the checkpoints are not known.")


def test_the_curve_is_compared_in_the_direction_of_the_ranking() -> None:
    selection = Selection(1, "valid_loss", "max")
    selection.add(checkpoint(step=1, valid_loss=0.5))
    steps = [StepMetrics(step, valid_loss=loss) for step, loss in ((1, 0.5), (2, 0.9), (3, 0.1))]
    said = selection.result()[0].explain(steps)
    assert (said.curve_best_step, said.curve_best) == (2, 0.9)
    assert "valid_loss is highest at step 2 (0.9)" in str(said)
