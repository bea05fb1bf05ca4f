"""What a watch remembers of the items that it has handed out."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncckpt.streams import seen as module
from asyncckpt.streams.seen import WINDOW, Seen, digest_of


def filled(times: list[int]) -> Seen:
    seen = Seen()
    for number, time in enumerate(times):
        seen.add(digest_of(str(number)), time)
    return seen


def test_an_id_becomes_eight_characters() -> None:
    assert digest_of("ftckpt_1") != digest_of("ftckpt_2")
    assert {len(digest_of(name)) for name in ("", "x" * 1000, "\ud800", "größe")} == {8}


@given(st.lists(st.integers(-5, 300), max_size=600))
def test_every_item_is_known_and_newer_ones_are_not(times: list[int]) -> None:
    times.sort()
    seen = filled(times)
    assert all(seen.has(digest_of(str(number)), time) for number, time in enumerate(times))
    newest = max(times, default=0)
    assert not seen.has(digest_of("other"), newest + 1)
    assert not seen.has(digest_of("other"), newest) or not times


@given(st.lists(st.integers(0, 10_000), min_size=1, unique=True, max_size=400))
def test_what_is_kept_does_not_grow_with_the_list(times: list[int]) -> None:
    assert len(filled(sorted(times))) <= 2 * WINDOW


def test_a_late_item_is_new_if_it_is_newer_than_the_newest_that_are_kept() -> None:
    seen = filled([10 * number for number in range(1000)])
    late = 10 * (1000 - WINDOW) + 5
    assert not seen.has(digest_of("late"), late)
    seen.add(digest_of("late"), late)
    assert seen.has(digest_of("late"), late)
    assert seen.has(digest_of("too late"), 5)


def test_items_of_one_second_are_told_apart() -> None:
    seen = filled([7] * 1000)
    assert len(seen) == 1000
    assert not seen.has(digest_of("other"), 7)


def test_the_items_of_one_second_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEPT", 500)
    seen = filled([7] * 2000)
    assert len(seen) <= 500 + WINDOW
    assert seen.has(digest_of("0"), 7)
    assert not seen.has(digest_of("other"), 8)


def test_an_item_that_is_added_twice_counts_once() -> None:
    seen = Seen()
    seen.add(digest_of("a"), 1)
    seen.add(digest_of("a"), 1)
    assert len(seen) == 1


@given(st.lists(st.integers(-(2**40), 2**40), max_size=300), st.integers(0, 5))
def test_a_copy_through_json_knows_the_same(times: list[int], spread: int) -> None:
    times = sorted(time // 10**spread for time in times)
    seen = filled(times)
    copy = Seen.from_json(json.loads(json.dumps(seen.to_json())))
    assert copy.floor == seen.floor
    assert copy.to_json() == seen.to_json()
    for number, time in enumerate(times):
        assert copy.has(digest_of(str(number)), time)
        assert copy.has(digest_of("other"), time) == seen.has(digest_of("other"), time)


@pytest.mark.parametrize(
    "state",
    [
        None,
        {},
        [],
        ["1"],
        [1.5],
        [None, 1],
        [None, "1", "AAAAAAAA"],
        [None, True, "AAAAAAAA"],
        [None, 1, 5],
        [None, 1, "AAAAAAA"],
        [None, 1, "ééééAAAA"],
        [None, 1, "".join(digest_of(str(number)) for number in range(10_100))],
    ],
    ids=range(12),
)
def test_a_malformed_state_is_an_error(state: object) -> None:
    with pytest.raises(ValueError, match=r"^a list has"):
        Seen.from_json(state)


def test_a_state_may_be_as_long_as_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEPT", 500)
    digests = "".join(digest_of(str(number)) for number in range(500 + WINDOW))
    assert len(Seen.from_json([None, 1, digests])) == 500 + WINDOW
    with pytest.raises(ValueError, match="^a list has too many items$"):
        Seen.from_json([None, 1, digests + digest_of("more")])
