"""Maps a plot to a grid of character cells: where its curves are, and where a label fits."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterable
from typing import Final

import attrs

from asyncckpt.export.canvas import DASHED, DOTTED, SOLID, Canvas, Dashes
from asyncckpt.export.plots import JobPlot, Plot
from asyncckpt.export.thinning import Point

__all__ = ["Raster", "Scale", "dashes_of"]

_STYLES: Final = (SOLID, DOTTED, DASHED)


def dashes_of(number: int) -> Dashes:
    """Return how the line with a number is drawn."""
    return _STYLES[number % len(_STYLES)]


@attrs.frozen
class Scale:
    """Maps values to dots.

    Attributes:
        low: The lowest value.
        high: The highest value, which is greater.
        dots: The number of dots.
    """

    low: float
    high: float
    dots: int

    def dot(self, value: float) -> int:
        """Return the dot of a value, which is between the lowest and the highest."""
        return min(self.dots - 1, max(0, round(self._share(value) * (self.dots - 1))))

    def _share(self, value: float) -> float:
        span = self.high - self.low
        if math.isfinite(span):
            return (value - self.low) / span
        return (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)

    def value(self, share: float) -> float:
        """Return the value at a share of the range, from 0 to 1."""
        return self.low * (1 - share) + self.high * share

    def ticks(self, count: int) -> list[float]:
        """Return round numbers in the range, about as many as `count`."""
        distance = (self.high / 2 - self.low / 2) / count * 2
        if not 0 < distance < math.inf:
            return [self.low, self.high]
        power = 10.0 ** math.floor(math.log10(distance))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor >= 0.75 * distance / power)
        if not 0 < step < math.inf:
            return [self.low, self.high]
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [number * step for number in range(first, last + 1)]


class Raster:
    """The curves and checkpoints of a plot on a canvas.

    Args:
        plot: The plot.
        columns: The width in cells.
        rows: The height in cells.
        ascii_only: See `Canvas`.

    Attributes:
        canvas: The canvas, with the curves.
        x: The scale of the steps.
        y: The scale of the values; its first dot is the lowest.
    """

    def __init__(self, plot: Plot, columns: int, rows: int, *, ascii_only: bool = False) -> None:
        points = list(_points_of(plot))
        self.canvas = Canvas(columns, rows, ascii_only=ascii_only)
        self.x = Scale(*_range(step for step, _ in points), 2 * columns)
        self.y = Scale(*_range(value for _, value in points), 4 * rows)
        # The best job comes first, and is drawn last.
        for index, job in reversed(list(enumerate(plot.jobs))):
            self._draw_curves(None if len(plot.jobs) == 1 else index, job)

    def cell(self, point: Point) -> tuple[int, int]:
        """Return the column and the row of a point."""
        x, y = self._dot(point)
        return x // 2, y // 4

    def place_near(self, point: Point, width: int) -> tuple[int, int] | None:
        """Return the column and the row of free cells near a point.

        Args:
            point: The point.
            width: How many cells are needed, side by side.

        Returns:
            Where they begin; None if no row has enough free cells.
        """
        column, row = self.cell(point)

        def distance(place: tuple[int, int]) -> float:
            start, line = place
            # A cell is twice as high as it is wide. Beside the point is as good as above it.
            return math.hypot((start + width / 2 - column) / 2, 2 * (line - row))

        free = (
            (start, line)
            for line in range(self.canvas.rows)
            for start in range(self.canvas.columns - width + 1)
            if self.canvas.is_free(start, line, width)
        )
        return min(free, key=distance, default=None)

    def _dot(self, point: Point) -> tuple[int, int]:
        step, value = point
        return self.x.dot(step), self.y.dots - 1 - self.y.dot(value)

    def _draw_curves(self, index: int | None, job: JobPlot) -> None:
        for number, segments in reversed(list(enumerate(job.curves.values()))):
            dashes = dashes_of(number if index is None else index)
            for segment in segments:
                dots = [self._dot(point) for point in segment]
                if len(dots) == 1:
                    self.canvas.line(dots[0], dots[0])
                for start, end in itertools.pairwise(dots):
                    self.canvas.line(start, end, dashes)


def _points_of(plot: Plot) -> Iterable[Point]:
    for job in plot.jobs:
        yield from job.checkpoints
        if job.best is not None:
            yield job.best
        for segments in job.curves.values():
            for segment in segments:
                yield from segment


def _range(values: Iterable[float]) -> tuple[float, float]:
    found = list(values)
    low, high = min(found), max(found)
    if low < high:
        return low, high
    around = abs(low) / 10 or 1.0
    return max(low - around, -sys.float_info.max), min(high + around, sys.float_info.max)
