"""Drawing jobs, one at a time, from whatever a caller gives."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from asyncckpt.streams.sources import EXHAUSTED, JobSource


async def later(items: str, closed: list[bool]) -> AsyncIterator[str]:
    try:
        for item in items:
            await asyncio.sleep(0)
            yield item
    finally:
        await asyncio.sleep(0)
        closed.append(True)


def now(items: str, closed: list[bool]) -> Iterator[str]:
    try:
        yield from items
    finally:
        closed.append(True)


KINDS = pytest.mark.parametrize("kind", [now, later])


@KINDS
async def test_jobs_are_drawn_in_order_until_there_are_none(kind: Any) -> None:
    source = JobSource(kind("abc", []))
    assert source.taken == 0
    assert [await source.take() for _ in range(5)] == ["a", "b", "c", EXHAUSTED, EXHAUSTED]
    assert source.taken == 3


@KINDS
async def test_several_tasks_can_draw_at_once(kind: Any) -> None:
    source = JobSource(kind("abcdef", []))
    drawn = await asyncio.gather(*(source.take() for _ in range(6)))
    assert sorted(map(str, drawn)) == list("abcdef")


class Failing:
    def __init__(self) -> None:
        self.asked = 0

    def __iter__(self) -> "Failing":
        return self

    def __next__(self) -> str:
        self.asked += 1
        raise LookupError("mine")


async def test_a_source_that_failed_is_not_asked_again() -> None:
    failing = Failing()
    source = JobSource(failing)
    drawn = await asyncio.gather(*(source.take() for _ in range(3)), return_exceptions=True)
    assert isinstance(drawn[0], LookupError)
    assert drawn[1:] == [EXHAUSTED, EXHAUSTED]
    assert (failing.asked, source.taken) == (1, 0)


async def test_an_async_source_that_raises_stop_iteration_has_not_ended() -> None:
    class Odd:
        def __aiter__(self) -> "Odd":
            return self

        def __anext__(self) -> Any:
            raise StopIteration("mine")

    with pytest.raises(RuntimeError, match="raised StopIteration"):
        await JobSource(Odd()).take()


async def test_an_exception_of_iter_is_raised() -> None:
    class Broken:
        def __iter__(self) -> Iterator[str]:
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await JobSource(Broken()).take()


@KINDS
@pytest.mark.parametrize("drawn", [1, 5])
async def test_a_generator_that_has_begun_is_closed(kind: Any, drawn: int) -> None:
    closed: list[bool] = []
    source = JobSource(kind("abc", closed))
    for _ in range(drawn):
        await source.take()
    await asyncio.gather(source.aclose(), source.aclose())
    assert closed == [True]


@KINDS
async def test_a_generator_that_has_not_begun_is_left_alone(kind: Any) -> None:
    jobs = kind("abc", [])
    await JobSource(jobs).aclose()
    first = await anext(jobs) if kind is later else next(jobs)
    assert first == "a"
    if kind is later:
        await jobs.aclose()


async def test_a_generator_that_is_being_closed_elsewhere_is_left_alone() -> None:
    closed: list[bool] = []
    jobs: Any = later("abc", closed)
    source = JobSource(jobs)
    await source.take()
    # As an event loop does at its end; whichever comes first.
    await asyncio.gather(source.aclose(), jobs.aclose())
    assert closed == [True]
    others: Any = later("abc", closed)
    source = JobSource(others)
    await source.take()
    await asyncio.gather(others.aclose(), source.aclose())
    assert closed == [True, True]


@pytest.mark.parametrize("turns", range(4))
async def test_a_generator_is_closed_even_if_the_closing_is_cancelled(turns: int) -> None:
    closed: list[bool] = []

    async def jobs() -> AsyncIterator[str]:
        try:
            yield "a"
        finally:
            closed.append(True)
            await asyncio.sleep(0)

    source = JobSource(jobs())
    await source.take()
    closing = asyncio.create_task(source.aclose())
    for _ in range(turns):
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    assert closed == [True] or turns == 0


@pytest.mark.parametrize("jobs", ["ftjob-1", b"ftjob-1", 7, None, object()])
def test_jobs_must_be_several(jobs: Any) -> None:
    with pytest.raises(TypeError, match="jobs must be an iterable"):
        JobSource(jobs)
