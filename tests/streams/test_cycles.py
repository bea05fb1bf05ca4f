"""Cycles in the cursors of a list are found, soon and without keeping all of them."""

from collections.abc import Iterator

from hypothesis import example, given
from hypothesis import strategies as st

from asyncckpt.streams.cycles import CycleDetector

from support.strategies import thorough


def cursors(tail: int, cycle: int) -> Iterator[str]:
    """The cursors of a list that, after `tail` pages, goes round and round."""
    number = 0
    while True:
        yield str(number)
        number = number + 1 if number + 1 < tail + cycle else tail


def found_after(tail: int, cycle: int) -> int:
    """The number of cursors that pass before one is found to be repeated."""
    detector = CycleDetector(None)
    return next(
        count for count, cursor in enumerate(cursors(tail, cycle)) if detector.is_repeated(cursor)
    )


@thorough
@given(st.integers(0, 200), st.integers(1, 2))
@example(1, 1)
@example(3, 2)
def test_cycles_of_one_or_two_pages_are_found_before_any_comes_twice(tail: int, cycle: int) -> None:
    assert found_after(tail, cycle) == tail + cycle


@thorough
@given(st.integers(0, 100), st.integers(1, 60))
def test_cycles_of_any_length_are_found(tail: int, cycle: int) -> None:
    # Brent: the larger of both twice over, and once around.
    assert tail + cycle <= found_after(tail, cycle) <= 2 * max(tail, cycle) + cycle + 1


@thorough
@given(st.integers(1, 60))
def test_cycles_that_begin_at_once_are_found_within_three_rounds(cycle: int) -> None:
    assert found_after(0, cycle) <= 3 * cycle


@thorough
@given(st.lists(st.text(), unique=True))
def test_what_does_not_repeat_is_not_a_cycle(listed: list[str]) -> None:
    detector = CycleDetector(None)
    assert not any(map(detector.is_repeated, listed))


def test_the_cursor_of_the_first_request_counts() -> None:
    assert CycleDetector("a").is_repeated("a")
    assert not CycleDetector(None).is_repeated("a")
