"""Ids that carry a number."""

from hypothesis import given
from hypothesis import strategies as st

from asyncckpt.testing.digests import digest_of
from asyncckpt.testing.ids import Ids

from support.strategies import thorough

lists = st.binary(min_size=10, max_size=10)
numbers = st.integers(0, 10**9)


@thorough
@given(lists, numbers)
def test_the_number_comes_back(digest: bytes, number: int) -> None:
    ids = Ids("x-", digest)
    made = ids.id_of(number, digest_of(number))
    assert ids.number_of(made) == number
    assert made.startswith("x-")
    assert len(made) == 26


@thorough
@given(lists, st.lists(numbers, min_size=2, max_size=50, unique=True))
def test_no_two_objects_share_an_id(digest: bytes, some: list[int]) -> None:
    ids = Ids("x-", digest)
    same = digest_of("same")
    assert len({ids.id_of(number, same) for number in some}) == len(some)


def test_what_is_no_id_has_no_number() -> None:
    assert Ids("x-", bytes(10)).number_of("x-?") is None
