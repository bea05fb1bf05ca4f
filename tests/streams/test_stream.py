"""What all streams share: closing their iterations from outside."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator

import pytest

from asyncckpt.streams.stream import Reader, Stream


class Counter(Reader):
    """Counts in a task of its own."""

    def __init__(self, name: str, ended: list[str]) -> None:
        super().__init__()
        self.name = name
        self.ended = ended

    def begin(self) -> None:
        self._start(self._count(), "counter")

    async def _count(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.ended.append(self.name)


class Numbers(Stream):
    def __init__(self) -> None:
        super().__init__()
        self.ended: list[str] = []

    def begin(self, name: str) -> Counter:
        reader = self._track(Counter(name, self.ended))
        reader.begin()
        return reader

    async def iterate(self, name: str) -> AsyncIterator[int]:
        reader = self.begin(name)
        try:
            while True:
                yield 1
                reader.check_open()
        finally:
            await reader.aclose()


async def test_the_end_of_a_block_closes_all_iterations() -> None:
    async with Numbers() as numbers:
        readers = [numbers.begin(name) for name in "abc"]
        await asyncio.sleep(0)
        assert not any(reader.is_closed for reader in readers)
    assert all(reader.is_closed for reader in readers)
    assert sorted(numbers.ended) == ["a", "b", "c"]


async def test_closing_goes_through_all_iterations_when_it_is_cancelled() -> None:
    numbers = Numbers()
    readers = [numbers.begin(name) for name in "abc"]
    await asyncio.sleep(0)
    closing = asyncio.create_task(numbers.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert all(reader.is_closed for reader in readers)
    assert sorted(numbers.ended) == ["a", "b", "c"]


async def test_an_open_reader_passes_the_check_and_a_closed_one_does_not() -> None:
    reader = Counter("a", [])
    reader.check_open()
    await reader.aclose()
    with pytest.raises(RuntimeError, match="closed before the end of the list"):
        reader.check_open()


async def test_a_stream_does_not_keep_its_readers() -> None:
    numbers = Numbers()
    gc.disable()
    try:
        reader = numbers.begin("a")
        await asyncio.sleep(0)
        await reader.aclose()
        kept = weakref.ref(reader)
        del reader
        await asyncio.sleep(0)
        assert kept() is None
    finally:
        gc.enable()


def test_an_iteration_that_is_dropped_is_closed_by_the_loop() -> None:
    numbers = Numbers()

    async def main() -> None:
        async for _ in numbers.iterate("a"):
            break
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(main())
    assert numbers.ended == ["a"]
