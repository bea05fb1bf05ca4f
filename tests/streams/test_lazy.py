"""The records of a page are created when they are first read."""

import copy
import pickle
from collections.abc import Sequence

import attrs
import pytest

from asyncckpt.records.base import HasId
from asyncckpt.streams.lazy import LazyRecords

from support.pagers import Item


@attrs.define
class Factory:
    """Creates records, and counts the calls."""

    calls: int = 0

    def __call__(self, parsed: Sequence[HasId]) -> list[Item]:
        self.calls += 1
        return [Item(one.id.upper()) for one in parsed]


@pytest.fixture
def factory() -> Factory:
    return Factory()


@pytest.fixture
def lazy(factory: Factory) -> LazyRecords[Item]:
    return LazyRecords([Item("a"), Item("b")], factory)


def test_records_are_created_once(lazy: LazyRecords[Item], factory: Factory) -> None:
    assert factory.calls == 0
    assert lazy.get() == [Item("A"), Item("B")]
    assert lazy.get() is lazy.get()
    assert factory.calls == 1


def test_the_parsed_objects_are_dropped(lazy: LazyRecords[Item]) -> None:
    assert lazy.parsed == [Item("a"), Item("b")]
    lazy.get()
    assert lazy.parsed is lazy.get()


def test_a_part_is_created_later_and_alone(lazy: LazyRecords[Item], factory: Factory) -> None:
    part = lazy.of(lazy.parsed[:1])
    assert isinstance(part, LazyRecords)
    assert factory.calls == 0
    assert part.get() == [Item("A")]


def test_a_part_of_created_records_has_the_same_ones(lazy: LazyRecords[Item]) -> None:
    made = lazy.get()
    part = lazy.of(lazy.parsed[1:])
    assert isinstance(part, list)
    assert part[0] is made[1]


def test_copies_and_pickles_are_lists(lazy: LazyRecords[Item]) -> None:
    copied = copy.deepcopy(lazy)
    assert copied == lazy.get()
    assert copied[0] is not lazy.get()[0]
    assert pickle.loads(pickle.dumps(lazy)) == lazy.get()
