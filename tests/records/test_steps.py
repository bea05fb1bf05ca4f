"""The records of training steps, and the numbers that servers send for them."""

import math
from typing import Any

import pytest

from asyncckpt import Metrics, converter
from asyncckpt.records import StepMetrics
from asyncckpt.records.codec import MismatchError
from asyncckpt.records.steps import METRICS, number_from, step_from, to_step


@pytest.mark.parametrize("value", [None, "", "  ", "null", "None", "NaN", "nan", math.nan])
def test_what_says_that_nothing_was_measured(value: object) -> None:
    assert number_from("train_mean_reward", value) is None


@pytest.mark.parametrize("value", [-1, -1.0, "-1", "-1.0", " -1 "])
def test_minus_one_is_no_loss_and_no_accuracy(value: object) -> None:
    assert number_from("valid_loss", value) is None
    assert number_from("full_valid_mean_token_accuracy", value) is None
    assert number_from("train_mean_reward", value) == -1.0


@pytest.mark.parametrize(
    ("value", "number"),
    [(0, 0.0), ("0", 0.0), (" 1.5e-3 ", 0.0015), (-0.5, -0.5), ("inf", math.inf), (3, 3.0)],
)
def test_what_was_measured(value: object, number: float) -> None:
    found = number_from("train_loss", value)
    assert (type(found), found) == (float, number)


@pytest.mark.parametrize("value", [True, [], {}, "high", "1_000", "0x1", "1,5"])
def test_what_is_not_a_number(value: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (the text is the value's)
        number_from("train_loss", value)


@pytest.mark.parametrize("value", [0, "7", 7.0, "1e3"])
def test_a_step_is_a_whole_number(value: Any) -> None:
    assert step_from(value) == int(float(value))


@pytest.mark.parametrize("value", [-1, "", None, 1.5, "x", "inf", True, math.nan])
def test_what_is_not_a_step(value: object) -> None:
    with pytest.raises((ValueError, OverflowError)):
        step_from(value)


def test_the_data_of_an_event_becomes_a_step() -> None:
    step = to_step(
        {
            "step": 300,
            "train_loss": 0.15,
            "valid_loss": -1,
            "train_accuracy": 0.9,
            "total_steps": 300,
            "usage": {"tokens": 3},
            "nothing": None,
        }
    )
    assert step == StepMetrics(
        300,
        train_loss=0.15,
        train_mean_token_accuracy=0.9,
        source="events",
        extra={"total_steps": 300, "usage": {"tokens": 3}},
    )


def test_the_official_name_counts_where_both_are_there() -> None:
    step = to_step({"step": 1, "train_accuracy": 0.1, "train_mean_token_accuracy": 0.9})
    assert step.train_mean_token_accuracy == 0.9
    assert step.extra == {"train_accuracy": 0.1}


@pytest.mark.parametrize(
    ("data", "path"),
    [({}, "step"), ({"step": 1.5}, "step"), ({"step": 1, "valid_loss": "low"}, "valid_loss")],
)
def test_data_of_another_form_is_a_mismatch(data: Any, path: str) -> None:
    with pytest.raises(MismatchError) as caught:
        to_step(data)
    assert caught.value.path == path


def test_the_names_are_those_of_a_checkpoint() -> None:
    named = [field for field in Metrics.__slots__ if field not in ("step", "extra", "__weakref__")]
    assert list(METRICS) == named


def test_a_step_becomes_a_dict_and_comes_back() -> None:
    step = StepMetrics(7, train_loss=0.5, source="result_file", extra={"train_mean_reward": 0.25})
    fields = converter.unstructure(step)
    assert fields == {
        "step": 7,
        "train_loss": 0.5,
        "source": "result_file",
        "train_mean_reward": 0.25,
    }
    assert converter.structure(fields, StepMetrics) == step
    assert hash(converter.structure(fields, StepMetrics)) == hash(step)
