"""Values and dots."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncckpt.export.raster import Scale

HUGE = sys.float_info.max


@pytest.mark.parametrize(
    ("value", "dot"), [(1.0, 0), (3.0, 9), (2.0, 4), (1.05, 0), (2.95, 9), (0.0, 0), (4.0, 9)]
)
def test_the_dot_of_a_value(value: float, dot: int) -> None:
    assert Scale(1.0, 3.0, 10).dot(value) == dot


def test_a_range_that_is_too_wide_for_a_float() -> None:
    scale = Scale(-HUGE, HUGE, 11)
    assert [scale.dot(value) for value in (-HUGE, -HUGE / 2, 0.0, HUGE / 2, HUGE)] == [
        0,
        2,
        5,
        8,
        10,
    ]
    assert scale.value(0.5) == 0.0


def test_the_value_at_a_share() -> None:
    assert [Scale(1.0, 3.0, 10).value(share) for share in (0.0, 0.5, 1.0)] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("low", "high", "count", "ticks"),
    [
        (0.0, 10.0, 5, [0, 2, 4, 6, 8, 10]),
        (0.3, 9.7, 2, [5]),
        (-1.0, 1.0, 4, [-1, -0.5, 0, 0.5, 1]),
        (100.0, 1000.0, 4, [200, 400, 600, 800, 1000]),
        (0.0, 5e-324, 4, [0.0, 5e-324]),
    ],
)
def test_ticks_are_round(low: float, high: float, count: int, ticks: list[float]) -> None:
    assert Scale(low, high, 10).ticks(count) == pytest.approx(ticks)


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(1e-9, 1e9), st.integers(1, 12))
def test_ticks_are_in_the_range_and_not_many(low: float, span: float, count: int) -> None:
    scale = Scale(low, max(low + span, low * (1 + 1e-6), low * (1 - 1e-6)), 10)
    if scale.low < scale.high <= HUGE:
        ticks = scale.ticks(count)
        assert len(ticks) <= 2 * count + 1
        slack = (scale.high - scale.low) / 1000
        assert all(scale.low - slack <= tick <= scale.high + slack for tick in ticks)
