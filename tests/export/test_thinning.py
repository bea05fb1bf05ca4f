"""Long curves keep what a plot shows of them, and gaps."""

import math
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from asyncckpt.export.thinning import Point, Thinned

values = st.floats(allow_nan=False, allow_infinity=False)
curves = st.lists(st.tuples(st.integers(0, 10**6), values), unique_by=lambda point: point[0]).map(
    sorted
)


def thinned(points: list[Point], buckets: int = 2000) -> Thinned:
    curve = Thinned(buckets)
    for step, value in points:
        curve.add(step, value)
    return curve


def points_of(curve: Thinned) -> list[Point]:
    return [point for segment in curve.segments() for point in segment]


def steps_of(curve: Thinned) -> list[list[int]]:
    return [[step for step, _ in segment] for segment in curve.segments()]


@given(curves)
def test_a_short_curve_is_kept(points: list[Point]) -> None:
    assert points_of(thinned(points)) == points


@given(curves, st.integers(1, 5))
def test_a_long_curve_keeps_its_ends_and_extremes(points: list[Point], buckets: int) -> None:
    kept = points_of(thinned(points, buckets))
    assert len(kept) <= 2 * buckets * 4
    assert kept == sorted(kept)
    assert set(kept) <= set(points)
    if points:
        assert (kept[0], kept[-1]) == (points[0], points[-1])
        for extreme in (min, max):
            assert extreme(value for _, value in kept) == extreme(value for _, value in points)


def test_memory_does_not_grow_with_the_curve() -> None:
    curve = Thinned(50)
    tracemalloc.start()
    try:
        for step in range(40_000):
            curve.add(step, math.sin(step / 100))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Each of at most 100 buckets has at most four points; 40,000 points need megabytes.
    assert peak < 100_000
    assert len(points_of(curve)) <= 400


def test_a_missing_measurement_makes_a_gap() -> None:
    curve = thinned([(step, 1.0) for step in range(10) if step != 5])
    assert steps_of(curve) == [[0, 1, 2, 3, 4], [6, 7, 8, 9]]


def test_a_metric_that_is_measured_now_and_then_is_a_line() -> None:
    curve = thinned([(step, 1.0) for step in (100, 200, 300, 350)])
    assert steps_of(curve) == [[100, 200, 300, 350]]


def test_two_points_are_a_line_and_one_is_a_point() -> None:
    assert steps_of(thinned([(1, 0.5), (1000, 0.4)])) == [[1, 1000]]
    assert steps_of(thinned([(7, 0.5)])) == [[7]]
    assert steps_of(thinned([])) == []


def test_a_long_curve_keeps_a_wide_gap() -> None:
    curve = thinned([(n, 0.0) for n in (*range(1_000), *range(5_000, 6_000))], buckets=10)
    first, second = curve.segments()
    assert (first[-1][0], second[0][0]) == (999, 5_000)


def test_steps_far_apart_are_kept_apart() -> None:
    # A step may be as large as a server sends it.
    curve = thinned([(10**n, float(n)) for n in range(30)], buckets=3)
    assert points_of(curve)[-1] == (10**29, 29.0)
