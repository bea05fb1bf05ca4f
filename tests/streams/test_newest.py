"""The newest checkpoint of a list in any order."""

import random
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncckpt import FineTuningJobCheckpoint, Page, converter
from asyncckpt.records.checkpoints import age_key, newer_of
from asyncckpt.streams.newest import only_newest
from asyncckpt.streams.page import OnWire, ignore

from support.checkpoints import checkpoint
from support.pagers import RESPONSE, run
from support.records import CHECKPOINT
from support.strategies import thorough


def decoded(**fields: Any) -> FineTuningJobCheckpoint:
    return converter.structure({**CHECKPOINT, **fields}, FineTuningJobCheckpoint)


async def newest_of(
    checkpoints: list[FineTuningJobCheckpoint], size: int = 3
) -> Page[FineTuningJobCheckpoint]:
    asked: list[str | None] = []

    async def fetch(cursor: str | None, on_wire: OnWire) -> Page[FineTuningJobCheckpoint]:
        asked.append(cursor)
        ids = [one.id for one in checkpoints]
        start = 0 if cursor is None else ids.index(cursor) + 1
        more = start + size < len(ids)
        data = checkpoints[start : start + size]
        return Page(data, more, "first", "last", "list", response=RESPONSE, fetch=after)

    async def after(cursor: str) -> Page[FineTuningJobCheckpoint]:
        return await fetch(cursor, ignore)

    page = await only_newest(fetch)(None, ignore)
    assert len(asked) == max(1, -(-len(checkpoints) // size))
    return page


@thorough
@given(st.lists(st.integers(0, 99), unique=True, max_size=12), st.integers(1, 4))
def test_it_is_found_in_any_order(steps: list[int], size: int) -> None:
    async def main() -> None:
        page = await newest_of([checkpoint(step=step) for step in steps], size)
        assert [one.step_number for one in page.data] == ([max(steps)] if steps else [])
        assert (page.has_more, page.has_next_page()) == (False, False)
        assert page.first_id == page.last_id == (page.data[0].id if page.data else None)

    run(main)


def test_age_is_by_step_then_time_then_id() -> None:
    by_age = [
        decoded(id="z", step_number=None, metrics=None, created_at=99),
        decoded(id="a", step_number=5, created_at=7),
        decoded(id="b", step_number=5, created_at=7),
        decoded(id="a", step_number=5, created_at="1970-01-01T00:00:07.25Z"),
        decoded(id="a", step_number=5, created_at="1970-01-01T00:00:07.75Z"),
        decoded(id="a", step_number=5, created_at=8),
        decoded(id="a", step_number=None, metrics={"step": 6.0}, created_at=1),
        decoded(id="a", step_number=7, metrics={"step": 1.0}, created_at=0),
    ]
    shuffled = random.Random(0).sample(by_age, len(by_age))
    assert sorted(shuffled, key=age_key) == by_age


@thorough
@given(st.permutations(range(6)), st.sets(st.integers(0, 5)))
def test_unknown_steps_are_compared_by_time(order: list[int], unknown: set[int]) -> None:
    async def main() -> None:
        checkpoints = [
            attrs.evolve(
                checkpoint(step=number, created_at=1_000 + number),
                step_number=None if number in unknown else number,
            )
            for number in order
        ]
        (newest,) = (await newest_of(checkpoints)).data
        assert newest.created_at == 1_005

    run(main)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"step_number": 2, "created_at": 1}, {"step_number": 1, "created_at": 9}),
        ({"step_number": None, "created_at": 9}, {"step_number": 5, "created_at": 8}),
        ({"step_number": 5, "created_at": 9}, {"step_number": None, "created_at": 8}),
        ({"step_number": 1, "created_at": 9}, {"step_number": 1, "created_at": 8}),
        (
            {"step_number": 1, "created_at": "1970-01-01T00:00:07.75Z"},
            {"step_number": 1, "created_at": "1970-01-01T00:00:07.25Z"},
        ),
        ({"step_number": 1, "id": "b"}, {"step_number": 1, "id": "a"}),
    ],
)
def test_the_newer_one_of_two(one: dict[str, Any], other: dict[str, Any]) -> None:
    newer, older = decoded(**{"metrics": None, **one}), decoded(**{"metrics": None, **other})
    assert newer_of(newer, older) is newer
    assert newer_of(older, newer) is newer
