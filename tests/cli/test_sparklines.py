"""The course of a metric in one line."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncckpt.cli.sparklines import ASCII, BLOCKS, Series, sparkline

values = st.lists(st.floats(-1e100, 1e100), max_size=2000)


def series(*numbers: float) -> Series:
    result = Series()
    for number in numbers:
        result.add(number)
    return result


@given(values, st.integers(1, 80))
def test_a_line_is_never_wider_than_asked_for(numbers: list[float], width: int) -> None:
    line = sparkline(series(*numbers).means(width))
    assert len(line) == min(len(numbers), width)
    assert set(line) <= set(BLOCKS)


def test_few_values_are_drawn_as_they_are() -> None:
    assert sparkline(series(1, 3, 2, 8).means(10)) == "▁▃▂█"
    assert sparkline(series(1, 3, 2, 8).means(10), ASCII) == "_-.#"


def test_equal_values_are_drawn_in_the_middle() -> None:
    assert sparkline([5.0, 5.0]) == BLOCKS[4] * 2


def test_a_span_that_is_too_large_for_a_float_is_drawn() -> None:
    assert len(sparkline([-1.7e308, 1.7e308])) == 2


@pytest.mark.parametrize("count", [100, 511, 512, 513, 1024, 5000, 100_000])
def test_a_falling_curve_falls_at_any_length_in_bounded_memory(count: int) -> None:
    falling = Series()
    for step in range(count):
        falling.add(math.exp(-step / count))
    means = falling.means(40)
    assert len(means) == 40
    assert all(earlier > later for earlier, later in pairwise(means))
    assert means[0] > 0.95
    assert means[-1] < 0.4
    assert len(falling._means) < 512
    assert len(falling._rest) <= falling._values_per_mean


def test_nothing_is_drawn_without_values() -> None:
    assert sparkline(series().means(10)) == ""
