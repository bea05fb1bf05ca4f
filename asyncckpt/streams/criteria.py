"""Compares checkpoints by the value of a metric, of which less or more is better."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import attrs

from asyncckpt.records.checkpoints import Metrics

if TYPE_CHECKING:
    from asyncckpt.records.steps import StepMetrics

__all__ = ["KNOWN_METRICS", "Criterion", "Mode", "criterion_of", "number_of"]

Mode: TypeAlias = Literal["min", "max"]
"""Whether the lowest or the highest value of a metric is the best."""

KNOWN_METRICS: Final = tuple(
    field.name for field in attrs.fields(Metrics) if field.name not in {"step", "extra"}
)
"""The metrics that the API documents."""

_FIELDS: Final = frozenset({"step", *KNOWN_METRICS})
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_BETTER_DOWN: Final = frozenset({"loss", "losses", "error", "errors", "perplexity"})
_BETTER_UP: Final = frozenset({"accuracy", "accuracies", "reward", "rewards", "score", "scores"})
_MAY_BE_NEGATIVE: Final = frozenset({"reward", "rewards", "score", "scores"})


@attrs.frozen
class Criterion:
    """A metric, and which of its values are better.

    Attributes:
        metric: The name of the metric.
        mode: Whether the lowest or the highest value is the best.
        may_be_negative: Whether a value below 0 is a measured one. Servers write -1 for a loss or
            an accuracy that was not measured.
    """

    metric: str
    mode: Mode
    may_be_negative: bool

    def value_of(self, metrics: Metrics | StepMetrics) -> float | None:
        """Return the value, or None if it was not measured.

        A value that is missing, null, not a number, NaN or infinite was not measured; nor was one
        below 0, unless `may_be_negative`.
        """
        name = self.metric
        found: object = getattr(metrics, name) if name in _FIELDS else metrics.extra.get(name)
        # Nearly all values, without the calls below; NaN compares as false.
        if type(found) is float and 0.0 <= found < math.inf:
            return found
        value = number_of(found)
        return None if value is None or (value < 0 and not self.may_be_negative) else value

    def goodness_of(self, value: float) -> float:
        """Return a number that is the greater the better `value` is."""
        return value if self.mode == "max" else -value


def criterion_of(metric: str, mode: Mode | None = None) -> Criterion:
    """Return how to compare checkpoints by a metric.

    Args:
        metric: The name of the metric: any key of `metrics`.
        mode: Whether the lowest or the highest value is the best. Default: the name says it. A
            loss, error or perplexity is better if it is lower; an accuracy, reward or score if it
            is higher.

    Returns:
        The criterion.

    Raises:
        TypeError: `metric` is not a string.
        ValueError: `mode` is an unknown one, or None and the name does not tell; or `metric` is
            empty.
    """
    if not isinstance(metric, str):
        raise TypeError(f"metric must be the name of a metric, not {type(metric).__name__}")
    if not metric:
        raise ValueError("metric must be the name of a metric, not an empty string")
    words = {word.lower() for word in _WORD.findall(metric)}
    is_down, is_up = not words.isdisjoint(_BETTER_DOWN), not words.isdisjoint(_BETTER_UP)
    if mode is None:
        if is_down == is_up:
            raise ValueError(
                f"the name {metric!r} does not tell whether lower or higher values are better: "
                "set the mode to 'min' or 'max'"
            )
        mode = "max" if is_up else "min"
    if mode not in ("min", "max"):
        raise ValueError(f"mode must be 'min' or 'max', not {mode!r}")
    may_be_negative = not is_down and (not is_up or not words.isdisjoint(_MAY_BE_NEGATIVE))
    return Criterion(metric, mode, may_be_negative)


def number_of(value: object) -> float | None:
    """Return `value` as a finite number, or None if it is not one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
