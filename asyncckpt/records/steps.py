"""Defines the records of a training curve: what was measured at each step.

They are imported on first use, as jobs are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import attrs

from asyncckpt.records.base import NO_EXTRA, Extra, Record, extra_field
from asyncckpt.records.codec import MismatchError

__all__ = ["ALIASES", "METRICS", "Source", "StepMetrics", "number_from", "step_from", "to_step"]

Source: TypeAlias = Literal["result_file", "events"]


@attrs.frozen
class StepMetrics(Record):
    """The metrics of one training step. A metric that was not measured is None.

    Attributes:
        step: The step.
        train_loss: Loss on the training batch.
        train_mean_token_accuracy: Share of its tokens predicted correctly, 0 to 1.
        valid_loss: Loss on a batch of the validation file.
        valid_mean_token_accuracy: Share of its tokens predicted correctly, 0 to 1.
        full_valid_loss: Loss on the whole validation file.
        full_valid_mean_token_accuracy: Share of its tokens predicted correctly, 0 to 1.
        source: Where it comes from: ``"result_file"``, the job's result file, or ``"events"``.
        extra: What else was measured, such as rewards, by name.
    """

    step: int
    train_loss: float | None = None
    train_mean_token_accuracy: float | None = None
    valid_loss: float | None = None
    valid_mean_token_accuracy: float | None = None
    full_valid_loss: float | None = None
    full_valid_mean_token_accuracy: float | None = None
    source: str = "events"
    extra: Extra = extra_field()


METRICS: Final = tuple(attrs.fields_dict(StepMetrics))[1:7]
"""The names of the metrics, in the order of the record's fields."""

ALIASES: Final[Mapping[str, str]] = {
    "train_accuracy": "train_mean_token_accuracy",
    "validation_mean_token_accuracy": "valid_mean_token_accuracy",
}
"""Other names of metrics: the first is OpenAI's in result files, the second Azure's."""

_NOT_MEASURED: Final = frozenset({"", "null", "none", "nan"})


def number_from(name: str, value: object) -> float | None:
    """Convert what a server sends for a metric.

    Args:
        name: The name of the metric.
        value: A number, or a text.

    Returns:
        The number; None for every way of saying that there is none: null, an empty text, ``null``,
        ``NaN``, and -1 for a loss or an accuracy.

    Raises:
        ValueError: It is neither a number nor says that there is none.
    """
    if value is None:
        return None
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in _NOT_MEASURED:
            return None
        if "_" in text:  # a number to Python only
            raise ValueError(text)
        value = float(text)
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(value)
    if math.isnan(value) or (value == -1 and ("loss" in name or "accuracy" in name)):
        return None
    return float(value)


def step_from(value: object) -> int:
    """Convert what a server sends for a step.

    Raises:
        ValueError: It is not a whole number of at least 0.
    """
    number = number_from("step", value)
    if number is None or number < 0 or not number.is_integer():
        raise ValueError(value)
    return int(number)


def to_step(data: Mapping[str, object]) -> StepMetrics:
    """Convert the `data` of a ``metrics`` event.

    Raises:
        MismatchError: The step or a metric is not a number; the path is its name.
    """
    metrics: dict[str, float | None] = {}
    extra: dict[str, object] = {}
    name = "step"
    try:
        step = step_from(data["step"])
        for name, value in data.items():
            metric = ALIASES.get(name, name)
            if metric in METRICS and (metric == name or metric not in data):
                metrics[metric] = number_from(metric, value)
            elif name != "step" and value is not None:
                extra[name] = value
    except (KeyError, ValueError, OverflowError):
        raise MismatchError("Expected a number", name) from None
    return StepMetrics(step, **metrics, source="events", extra=Extra(extra) if extra else NO_EXTRA)
