"""How far a list is read to find what is new in it."""

from collections.abc import Sequence

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncckpt.streams.reading import OVERLAP, Order, Place, Reading, ReadingCursor, Step
from asyncckpt.streams.seen import Seen, digest_of


@attrs.frozen
class Item:
    id: str
    time: int


def place_of(item: Item) -> Place:
    return Place(item.time)


def items(*times: int) -> list[Item]:
    return [Item(f"item-{time}", time) for time in times]


def seen(*times: int) -> Seen:
    known = Seen()
    for item in items(*times):
        known.add(digest_of(item.id), item.time)
    return known


def reading(
    known: Sequence[int] = (),
    *,
    learned: Order = Order.UNKNOWN,
    cursor: ReadingCursor | None = None,
    thorough: bool = False,
) -> Reading[Item]:
    return Reading(seen(*known), place_of, learned=learned, cursor=cursor, thorough=thorough)


def test_reading_stops_at_a_known_item_of_a_list_that_is_newest_first() -> None:
    reads = reading([1, 2, 3])
    assert reads.add(items(6, 5, 4)) is Step.CONTINUE
    assert reads.add(items(3, 2)) is Step.STOP
    assert reads.oldest_first() == items(4, 5, 6)
    assert reads.order() is Order.NEWEST_FIRST
    assert reads.cursor() is None


def test_a_known_item_before_a_new_one_does_not_stop_reading() -> None:
    assert reading([1, 2, 5]).add(items(6, 5, 4)) is Step.CONTINUE


def test_a_thorough_reading_stops_after_a_page_of_known_items_only() -> None:
    reads = reading([1, 2, 3, 4], thorough=True)
    assert reads.add(items(5, 4, 3)) is Step.CONTINUE
    assert reads.add(items(2, 1)) is Step.STOP


@pytest.mark.parametrize("times", [(3,), (1, 2, 3), (1, 3, 2), (3, 1, 2), (3, 3, 3)])
def test_reading_goes_on_where_the_page_does_not_show_an_order(times: tuple[int, ...]) -> None:
    assert reading([1, 2, 3]).add(items(*times)) is Step.CONTINUE


def test_an_order_that_was_learned_helps_where_the_page_does_not_show_it() -> None:
    known = [1, 2, 3]
    assert reading(known, learned=Order.NEWEST_FIRST).add(items(3)) is Step.STOP
    assert reading(known, learned=Order.OLDEST_FIRST).add(items(3)) is Step.CONTINUE
    reads = reading(known, learned=Order.NEWEST_FIRST)
    assert reads.add(items(2, 3)) is Step.CONTINUE
    assert reads.add(items(1)) is Step.CONTINUE
    assert reads.order() is Order.UNKNOWN


def test_an_order_counts_over_all_pages() -> None:
    reads = reading([1, 2, 3, 4])
    assert reads.add(items(2)) is Step.CONTINUE
    assert reads.add(items(3)) is Step.CONTINUE
    assert reads.add(items(4, 1)) is Step.CONTINUE


def test_an_empty_page_does_not_stop_reading() -> None:
    assert reading(learned=Order.NEWEST_FIRST).add([]) is Step.CONTINUE


def test_an_item_that_comes_twice_is_found_once() -> None:
    reads = reading()
    reads.add(items(3, 2))
    reads.add(items(2, 1))
    assert reads.oldest_first() == items(1, 2, 3)


def test_a_list_that_is_oldest_first_is_continued_near_its_end() -> None:
    reads = reading()
    reads.add(items(*range(100)))
    cursor = reads.cursor()
    assert cursor is not None
    assert cursor.after == f"item-{99 - OVERLAP}"
    again = reading(range(100), learned=Order.OLDEST_FIRST, cursor=cursor)
    assert again.add(items(*range(100 - OVERLAP, 103))) is Step.CONTINUE
    assert again.oldest_first() == items(100, 101, 102)
    moved = again.cursor()
    assert moved is not None
    assert moved.after == f"item-{102 - OVERLAP}"


def test_a_cursor_stays_where_it_is_while_nothing_is_new() -> None:
    reads = reading()
    reads.add(items(*range(OVERLAP + 1)))
    cursor = reads.cursor()
    assert cursor is not None
    again = reading(range(OVERLAP + 1), learned=Order.OLDEST_FIRST, cursor=cursor)
    again.add(items(*range(1, OVERLAP + 1)))
    assert again.cursor() == cursor


def test_a_short_list_is_read_from_its_beginning() -> None:
    reads = reading()
    reads.add(items(*range(OVERLAP)))
    assert reads.order() is Order.OLDEST_FIRST
    assert reads.cursor() is None


@pytest.mark.parametrize("page", [(), (1, 2, 3), (8, 9)])
def test_a_cursor_that_does_not_lead_to_the_expected_item_restarts_the_reading(
    page: tuple[int, ...],
) -> None:
    cursor = ReadingCursor("item-6", digest_of("item-7"))
    reads = reading(range(8), learned=Order.OLDEST_FIRST, cursor=cursor)
    assert reads.add(items(*page)) is Step.RESTART


@given(st.lists(st.integers(0, 5), max_size=20), st.booleans())
def test_new_items_come_in_ascending_order_and_those_of_one_time_as_they_happened(
    times: list[int], is_reversed: bool
) -> None:
    times.sort()
    happened = [Item(str(number), time) for number, time in enumerate(times)]
    reads = reading()
    reads.add(happened[::-1] if is_reversed else happened)
    if is_reversed or len({*times}) > 1:
        assert reads.oldest_first() == happened
