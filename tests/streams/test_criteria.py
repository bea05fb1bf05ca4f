"""Which values of a metric count, and which of them are better."""

import math

import attrs
import pytest

from asyncckpt import Metrics
from asyncckpt.records import Extra
from asyncckpt.streams.criteria import KNOWN_METRICS, Mode, criterion_of

from support.checkpoints import checkpoint


@pytest.mark.parametrize(
    ("metric", "mode"),
    [
        ("train_loss", "min"),
        ("full_valid_loss", "min"),
        ("valLoss", "min"),
        ("eval/loss", "min"),
        ("LOSS", "min"),
        ("mean_squared_error", "min"),
        ("perplexity", "min"),
        ("valid_mean_token_accuracy", "max"),
        ("train_mean_reward", "max"),
        ("rewards/margins", "max"),
        ("F1Score", "max"),
    ],
)
def test_the_name_says_which_values_are_better(metric: str, mode: Mode) -> None:
    assert criterion_of(metric).mode == mode


@pytest.mark.parametrize("metric", KNOWN_METRICS)
def test_every_metric_of_the_api_has_a_direction(metric: str) -> None:
    assert criterion_of(metric).mode == ("min" if metric.endswith("loss") else "max")


@pytest.mark.parametrize("metric", ["step", "gloss", "kl", "reward_loss", "accuracy_error", "é"])
def test_a_name_that_does_not_say_it_needs_a_mode(metric: str) -> None:
    with pytest.raises(ValueError, match="set the mode to 'min' or 'max'"):
        criterion_of(metric)
    assert criterion_of(metric, "min").mode == "min"
    assert criterion_of(metric, "max").mode == "max"


def test_a_mode_overrides_the_name() -> None:
    assert criterion_of("train_loss", "max").mode == "max"
    assert criterion_of("train_loss", "max").goodness_of(2.0) == 2.0


@pytest.mark.parametrize(
    ("metric", "mode", "error", "says"),
    [
        ("", None, ValueError, "empty"),
        (5, None, TypeError, "int"),
        ("train_loss", "lowest", ValueError, "'lowest'"),
    ],
)
def test_wrong_arguments(metric: str, mode: Mode, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        criterion_of(metric, mode)


@pytest.mark.parametrize(
    "value", [None, math.nan, math.inf, -math.inf, -1.0, -1, True, "0.5", [0.5], 10**400]
)
@pytest.mark.parametrize("metric", ["train_loss", "valid_mean_token_accuracy", "new_loss"])
def test_a_value_that_was_not_measured(metric: str, value: object) -> None:
    metrics = Metrics()
    if metric in KNOWN_METRICS:
        metrics = attrs.evolve(metrics, **{metric: value})
    else:
        metrics = attrs.evolve(metrics, extra=Extra({metric: value}))
    assert criterion_of(metric).value_of(metrics) is None


def test_a_missing_value_was_not_measured() -> None:
    assert criterion_of("train_loss").value_of(Metrics()) is None
    assert criterion_of("new_loss").value_of(Metrics()) is None


@pytest.mark.parametrize("metric", ["mean_reward", "score", "margin"])
def test_a_reward_may_be_negative(metric: str) -> None:
    criterion = criterion_of(metric, "max")
    assert criterion.value_of(checkpoint(extra={metric: -2}).metrics) == -2.0


@pytest.mark.parametrize("value", [0, 0.0, 3, 0.25])
def test_a_loss_of_zero_is_measured(value: float) -> None:
    assert criterion_of("new_loss").value_of(checkpoint(extra={"new_loss": value}).metrics) == value


def test_the_step_is_a_metric_too() -> None:
    assert criterion_of("step", "max").value_of(Metrics(step=7.0)) == 7.0


def test_extra_is_not_a_metric() -> None:
    criterion = criterion_of("extra", "max")
    assert criterion.value_of(checkpoint(extra={"reward": 1.0}).metrics) is None
    assert criterion.value_of(checkpoint(extra={"extra": 1.0}).metrics) == 1.0
