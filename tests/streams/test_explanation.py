"""Where validation turned up, from the checkpoints that were seen."""

import itertools

import attrs
import pytest

from asyncckpt import Explanation, FineTuningJobCheckpoint
from asyncckpt.streams.criteria import Mode
from asyncckpt.streams.ranking import Selection

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
