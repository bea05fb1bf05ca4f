"""Draws the course of a metric in one line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Final

__all__ = ["ASCII", "BLOCKS", "Series", "sparkline"]

BLOCKS: Final = "▁▂▃▄▅▆▇█"
ASCII: Final = "_.-:=+*#"
"""For terminals whose encoding has no blocks."""

_MAX_MEANS: Final = 512


class Series:
    """The values of a metric in their order, however many.

    Means of neighbouring values are kept, at most 512.
    """

    def __init__(self) -> None:
        self._means: list[float] = []
        self._values_per_mean = 1
        self._rest: list[float] = []

    def add(self, value: float) -> None:
        """Add the next value; it is finite."""
        self._rest.append(value)
        if len(self._rest) < self._values_per_mean:
            return
        self._means.append(fmean(self._rest))
        self._rest.clear()
        if len(self._means) == _MAX_MEANS:
            pairs = zip(self._means[::2], self._means[1::2], strict=True)
            self._means = [fmean(pair) for pair in pairs]
            self._values_per_mean *= 2

    def means(self, count: int) -> list[float]:
        """Return the course of the series as at most `count` values."""
        values = [*self._means, *([fmean(self._rest)] if self._rest else [])]
        total = len(values)
        if total <= count:
            return values
        return [
            fmean(values[total * number // count : total * (number + 1) // count])
            for number in range(count)
        ]


def sparkline(values: Sequence[float], levels: str = BLOCKS) -> str:
    """Return one character for each value, from the lowest level to the highest.

    Args:
        values: The values, all of them finite.
        levels: The characters, the lowest first.
    """
    if not values:
        return ""
    lowest = min(values)
    span = max(values) - lowest
    if not 0 < span < math.inf:
        return levels[len(levels) // 2] * len(values)
    top = len(levels) - 1
    return "".join(levels[round((value - lowest) / span * top)] for value in values)
