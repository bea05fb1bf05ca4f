"""Reduces a curve to what a plot can show, in memory that does not grow with the curve.

Steps are put into buckets of equal width. Of each bucket the first, the lowest, the highest and the
last point are kept. A line through these has the same pixels as one through all points, if a bucket
is not wider than a pixel.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, TypeAlias

import attrs

__all__ = ["Point", "Segment", "Thinned"]

Point: TypeAlias = tuple[int, float]
"""A step, and a value."""

Segment: TypeAlias = tuple[Point, ...]
"""Points to connect by a line, in ascending order; or a single one."""

_BUCKETS: Final = 2000
_MAX_SPACINGS: Final = 200


@attrs.define
class _Bucket:
    first: Point
    lowest: Point
    highest: Point
    last: Point

    def add(self, other: _Bucket) -> None:
        if other.lowest[1] < self.lowest[1]:
            self.lowest = other.lowest
        if other.highest[1] > self.highest[1]:
            self.highest = other.highest
        self.last = other.last

    def points(self) -> list[Point]:
        return sorted({self.first, self.lowest, self.highest, self.last})


class Thinned:
    """A curve to which points are added in ascending order of their steps.

    Args:
        buckets: The number of buckets to keep at least, once there are enough points. There are at
            most twice as many.
    """

    def __init__(self, buckets: int = _BUCKETS) -> None:
        self._least = buckets
        self._width = 1
        self._buckets: list[_Bucket] = []
        self._spacings: Counter[int] = Counter()

    def __bool__(self) -> bool:
        """Return whether there is a point."""
        return bool(self._buckets)

    def add(self, step: int, value: float) -> None:
        """Add a measured value. A step without one is left out."""
        point = (step, value)
        bucket = _Bucket(point, point, point, point)
        if self._buckets:
            self._count_spacing(step - self._buckets[-1].last[0])
        self._append(self._buckets, bucket)
        while len(self._buckets) > 2 * self._least:
            self._width *= 2
            wider: list[_Bucket] = []
            for one in self._buckets:
                self._append(wider, one)
            self._buckets = wider

    def segments(self) -> tuple[Segment, ...]:
        """Return the points that are left, without a line across gaps.

        A gap is where at least one measurement is missing: where the distance between two points is
        twice the usual one or more. So a metric that is measured every hundred steps is a line.
        """
        segments: list[list[Point]] = []
        widest = self._usual_spacing() * 2
        for bucket in self._buckets:
            if not segments or bucket.first[0] - segments[-1][-1][0] >= widest:
                segments.append([])
            segments[-1] += bucket.points()
        return tuple(map(tuple, segments))

    def _append(self, buckets: list[_Bucket], bucket: _Bucket) -> None:
        if buckets and buckets[-1].first[0] // self._width == bucket.first[0] // self._width:
            buckets[-1].add(bucket)
        else:
            buckets.append(bucket)

    def _count_spacing(self, spacing: int) -> None:
        if spacing in self._spacings or len(self._spacings) < _MAX_SPACINGS:
            self._spacings[spacing] += 1

    def _usual_spacing(self) -> int:
        """Return the median; of two in the middle, the greater."""
        before, half = 0, self._spacings.total() // 2
        for spacing, count in sorted(self._spacings.items()):
            before += count
            if before > half:
                return spacing
        return 1
