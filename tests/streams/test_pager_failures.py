"""Pages that cannot be had, and lists that break off or go in cycles."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncckpt import Page, Pager, PaginationError

from support.pagers import (
    FailedError,
    Item,
    Server,
    latencies,
    pour,
    prefetches,
    run,
    scripted,
    sizes,
)
from support.strategies import thorough
from support.turns import turns, until

pytestmark = pytest.mark.usefixtures("nothing_left")


class OddError(BaseException):
    pass


class TestFailures:
    @thorough
    @given(sizes, prefetches, latencies, latencies, st.data())
    def test_the_records_before_a_failure_come_first(
        self, sizes: list[int], prefetch: int, latency: int, pause: int, data: st.DataObject
    ) -> None:
        failing = data.draw(st.integers(0, len(sizes) - 1))

        async def main() -> None:
            server = Server(sizes, latency, failing)
            pager = server.pager(prefetch=prefetch)
            came: list[str] = []
            with pytest.raises(FailedError):
                await pour(aiter(pager), came, pause=pause)
            assert came == server.ids[: sum(sizes[:failing])]
            assert pager.cursor == (came[-1] if came else None)
            assert len(server.asked) == failing + 1
            # The cursor leads on from there, once the page can be had.
            server.failing = None
            assert came + [item.id async for item in server.pager(after=pager.cursor)] == server.ids

        run(main)

    async def test_a_pager_can_be_tried_again(self) -> None:
        server = Server([1, 1], failing=1)
        pager = server.pager()
        with pytest.raises(FailedError):
            _ = [item async for item in pager]
        server.failing = None
        assert [item.id async for item in pager] == server.ids

    async def test_an_iteration_that_failed_is_over(self) -> None:
        iteration = aiter(Server([1, 1], failing=1).pager())
        await anext(iteration)
        with pytest.raises(FailedError):
            await anext(iteration)
        with pytest.raises(StopAsyncIteration):
            await anext(iteration)

    async def test_a_failure_that_nobody_waits_for_is_ignored(self) -> None:
        server = Server([1, 1], failing=1)
        async with aclosing(server.pager().pages()) as pages:
            await anext(pages)
            await until(lambda: not server.under_way)
        assert server.cancelled == 0

    @pytest.mark.parametrize("prefetch", [0, 1, 3])
    async def test_an_incomplete_list_raises(self, prefetch: int) -> None:
        fetch = scripted({None: (["a"], True, None), "a": ([], True, None)})
        came: list[str] = []
        with pytest.raises(PaginationError, match="incomplete"):
            await pour(aiter(Pager(fetch, prefetch=prefetch)), came)
        assert came == ["a"]

    @pytest.mark.parametrize("prefetch", [0, 1, 3])
    @pytest.mark.parametrize("before", range(8))
    async def test_a_list_that_repeats_its_last_page_raises(
        self, before: int, prefetch: int
    ) -> None:
        ids = [str(number) for number in range(before + 1)]
        pages: dict[str | None, tuple[list[str], bool | None, str | None]] = {
            after: ([name], True, name) for after, name in zip([None, *ids], ids, strict=False)
        }
        pages[ids[-1]] = ([ids[-1]], True, ids[-1])
        came: list[str] = []
        with pytest.raises(PaginationError) as caught:
            await pour(aiter(Pager(scripted(pages), prefetch=prefetch)), came)
        assert (came, caught.value.cursor) == (ids, ids[-1])

    async def test_a_page_whose_cursor_is_after_raises(self) -> None:
        fetch = scripted({"b": (["a", "b"], True, "b")})
        with pytest.raises(PaginationError) as caught:
            _ = [item async for item in Pager(fetch, after="b")]
        assert caught.value.cursor == "b"

    async def test_a_cancelled_fetch_does_not_leave_the_consumer_waiting(self) -> None:
        async def fetch(cursor: str | None, on_wire: Callable[[], None]) -> Page[Item]:
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await anext(aiter(Pager(fetch)))

    @pytest.mark.parametrize("prefetch", [0, 1])
    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, OddError])
    async def test_any_exception_of_a_fetch_reaches_the_consumer(
        self, kind: type[BaseException], prefetch: int
    ) -> None:
        async def fetch(cursor: str | None, on_wire: Callable[[], None]) -> Page[Item]:
            await asyncio.sleep(0)
            if cursor is None:
                return await scripted({None: (["a"], True, None)})(None, on_wire)
            raise kind("mine")

        came: list[str] = []
        with pytest.raises(kind, match="mine"):
            await pour(aiter(Pager(fetch, prefetch=prefetch)), came)
        assert came == ["a"]

    @pytest.mark.parametrize("prefetch", [0, 1])
    @pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
    async def test_a_stop_signal_of_a_fetch_is_an_error(
        self, kind: type[Exception], prefetch: int
    ) -> None:
        def fetch(cursor: str | None, on_wire: Callable[[], None]) -> Awaitable[Page[Item]]:
            raise kind("mine")

        with pytest.raises(RuntimeError, match="raised"):
            await anext(aiter(Pager(fetch, prefetch=prefetch)))

    async def test_a_first_page_without_a_cursor_is_handed_out(self) -> None:
        pager = Pager(scripted({None: (["a", ""], True, None)}))
        came: list[str] = []
        with pytest.raises(PaginationError, match="incomplete"):
            await pour(aiter(pager), came)
        assert came == ["a", ""]

    @pytest.mark.parametrize("page", [([], True, None), (["a", ""], True, None)])
    async def test_an_awaited_page_without_a_cursor_is_returned(self, page: Any) -> None:
        first = await Pager(scripted({None: page}))
        assert [item.id for item in first.data] == page[0]
        follow = first.iter_pages()
        assert await anext(follow) is first
        for step in (first.get_next_page, lambda: anext(follow)):
            with pytest.raises(PaginationError, match="incomplete"):
                await step()
        with pytest.raises(PaginationError, match="incomplete"):
            first.has_next_page()

    async def test_an_awaited_page_that_leads_to_itself_is_returned(self) -> None:
        first = await Pager(scripted({"b": (["a", "b"], True, "b")}), after="b")
        assert [item.id for item in first.data] == ["a", "b"]
        with pytest.raises(PaginationError, match="pages repeat"):
            await first.get_next_page()

    @pytest.mark.parametrize("prefetch", [0, 1, 3])
    async def test_endless_empty_pages_raise(self, prefetch: int) -> None:
        async def fetch(cursor: str | None, on_wire: Callable[[], None]) -> Page[Item]:
            last_id = str(int(cursor or "0") + 1)
            return await scripted({cursor: ([], True, last_id)})(cursor, on_wire)

        with pytest.raises(PaginationError, match="100 consecutive pages"):
            await anext(aiter(Pager(fetch, prefetch=prefetch)))

    async def test_the_error_is_freed_with_what_refers_to_it(self) -> None:
        gc.collect()
        gc.disable()
        try:
            freed = asyncio.Event()

            class WitnessError(Exception):
                def __del__(self) -> None:
                    freed.set()

            async def fetch(cursor: str | None, on_wire: Callable[[], None]) -> Page[Item]:
                raise WitnessError

            async def consume() -> None:
                try:
                    await anext(aiter(Pager(fetch)))
                except WitnessError:
                    return

            await consume()
            await turns(3)
            assert freed.is_set()
        finally:
            gc.enable()
