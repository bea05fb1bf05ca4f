"""Leaving and closing the iterations of a pager leaves nothing behind."""

import asyncio
import contextlib
import gc
import sys
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncckpt import Page, Pager

from support.leftovers import end_a_loop_with_open
from support.pagers import (
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


async def leave_by_break(pager: Pager[Item], records: int) -> None:
    async with aclosing(aiter(pager)) as items:
        async for _ in items:
            records -= 1
            if not records:
                break


async def leave_by_break_in_a_block(pager: Pager[Item], records: int) -> None:
    async with pager:
        async for _ in pager:
            records -= 1
            if not records:
                break


async def leave_by_return(pager: Pager[Item], records: int) -> None:
    async def consume() -> None:
        nonlocal records
        async with pager:
            async for _ in pager.pages():
                return

    await consume()


async def leave_by_exception(pager: Pager[Item], records: int) -> None:
    async def consume() -> None:
        nonlocal records
        async with pager:
            async for _ in pager:
                records -= 1
                _ = 1 / records

    with pytest.raises(ZeroDivisionError):
        await consume()


async def leave_by_cancellation(pager: Pager[Item], records: int) -> None:
    async def consume() -> None:
        nonlocal records
        async with pager:
            async for _ in pager:
                records -= 1
                if not records:
                    await asyncio.Event().wait()

    task = asyncio.create_task(consume())
    await until(lambda: not records)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def leave_by_timeout(pager: Pager[Item], records: int) -> None:
    async def consume() -> None:
        nonlocal records
        async with pager, asyncio.timeout(None) as timeout:
            async for _ in pager:
                records -= 1
                if not records:
                    timeout.reschedule(asyncio.get_running_loop().time())
                    await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await consume()


async def leave_by_aclose(pager: Pager[Item], records: int) -> None:
    async def consume() -> None:
        nonlocal records
        async for _ in pager:
            records -= 1
            if not records:
                await pager.aclose()

    with pytest.raises(RuntimeError, match="closed"):
        await consume()
    assert not records


async def leave_by_async_with(pager: Pager[Item], records: int) -> None:
    async with pager as entered:
        assert entered is pager
        items, pages = aiter(pager), pager.pages()
        await anext(pages)
        for _ in range(records):
            await anext(items)
    for iteration in (items, pages):
        with pytest.raises(RuntimeError, match="closed"):
            await anext(iteration)


async def leave_by_dropping(pager: Pager[Item], records: int) -> None:
    async for _ in pager:
        records -= 1
        if not records:
            break
    # Python has dropped the iteration, and asyncio closes it in a task of its own.
    await asyncio.sleep(0)
    own = asyncio.current_task()
    await until(lambda: asyncio.all_tasks() == {own})


WAYS = [
    leave_by_break,
    leave_by_break_in_a_block,
    leave_by_return,
    leave_by_exception,
    leave_by_cancellation,
    leave_by_timeout,
    leave_by_aclose,
    leave_by_async_with,
    leave_by_dropping,
]


class TestLeavingEarly:
    @pytest.mark.parametrize("leave", WAYS, ids=lambda leave: leave.__name__)
    def test_leaves_nothing_behind(
        self, leave: Callable[[Pager[Item], int], Awaitable[None]]
    ) -> None:
        @thorough
        @given(sizes, prefetches, latencies, st.integers(0, 3), st.data())
        def check(
            sizes: list[int], prefetch: int, latency: int, resisting: int, data: st.DataObject
        ) -> None:
            records = data.draw(st.integers(1, sum(sizes)))

            async def main() -> None:
                server = Server(sizes, latency, resisting=resisting)
                await leave(server.pager(prefetch=prefetch), records)
                assert server.under_way == 0

            run(main)

        check()

    @pytest.mark.parametrize("leave", WAYS, ids=lambda leave: leave.__name__)
    @pytest.mark.parametrize("resisting", [0, 7])
    async def test_cancels_the_request_under_way_and_waits_for_it(
        self, leave: Callable[[Pager[Item], int], Awaitable[None]], resisting: int
    ) -> None:
        server = Server([2, 2], holding="1", resisting=resisting)
        await leave(server.pager(), 1)
        assert server.under_way == 0
        assert server.cancelled == server.asked.count("1") == server.asked.count(None)

    @thorough
    @given(sizes, prefetches, latencies, st.integers(0, 3), st.integers(0, 60), st.booleans())
    def test_cancellation_at_any_moment(
        self,
        sizes: list[int],
        prefetch: int,
        latency: int,
        resisting: int,
        moment: int,
        by_page: bool,
    ) -> None:
        async def main() -> None:
            server = Server(sizes, latency, resisting=resisting)
            pager = server.pager(prefetch=prefetch)
            came: list[str] = []

            async def consume() -> None:
                async with pager:
                    if by_page:
                        async for page in pager.pages():
                            came.extend(item.id for item in page.data)
                    else:
                        async for item in pager:
                            came.append(item.id)
                            await asyncio.sleep(0)

            task = asyncio.create_task(consume())
            await turns(moment)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert server.under_way == 0
            assert came == server.ids[: len(came)]
            assert pager.cursor == (came[-1] if came else None)
            assert came + [item.id async for item in server.pager(after=pager.cursor)] == server.ids

        run(main)

    async def test_a_cancellation_is_not_swallowed_while_a_fetch_resists(self) -> None:
        server = Server([1, 1], holding="0", resisting=20)
        pager = server.pager()

        async def consume() -> None:
            async with pager:
                await anext(aiter(pager))

        task = asyncio.create_task(consume())
        await until(lambda: server.cancelled == 1)
        # The consumer waits for the fetch, which resists: to be cancelled again changes nothing.
        for _ in range(3):
            assert not task.done()
            assert server.under_way == 1
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert server.under_way == 0

    async def test_a_timeout_while_a_page_is_awaited(self) -> None:
        server = Server([1, 1])
        server.open.clear()
        came: list[str] = []
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pour(aiter(server.pager()), came), 0.01)
        assert came == []
        assert (server.cancelled, server.under_way) == (1, 0)

    async def test_closing_an_unused_pager_does_nothing(self) -> None:
        pager = Server([1, 1]).pager()
        await pager.aclose()
        await pager.aclose()
        assert [item.id async for item in pager] == ["0", "1"]
        await pager.aclose()

    @pytest.mark.skipif(
        sys.implementation.name != "cpython", reason="others drop things when they like"
    )
    async def test_a_dropped_iteration_ends_without_the_garbage_collector(self) -> None:
        server = Server([1, 1], holding="0")
        gc.collect()
        gc.disable()
        try:
            async for _ in server.pager():
                break
            await until(lambda: server.cancelled == 1)
            await until(lambda: not server.under_way)
            await turns(3)
        finally:
            gc.enable()

    async def test_a_reused_pager_keeps_nothing_of_earlier_iterations(self) -> None:
        server = Server([2, 2])
        pager = server.pager()
        gc.collect()
        gc.disable()
        try:
            kept: list[weakref.ref[Any]] = []
            async for page in pager.pages():
                kept.append(weakref.ref(page))
                del page
            async for _ in pager:
                break
            iterations: list[Any] = [aiter(pager) for _ in range(100)]
            for iteration in iterations[::2]:
                await anext(iteration)
            for iteration in iterations:
                kept.append(weakref.ref(iteration.ag_frame.f_locals["reader"]))
            del iterations, iteration
            await until(lambda: not server.under_way)
            await turns(5)
            assert [one() for one in kept] == [None] * 102
        finally:
            gc.enable()

    async def test_an_iteration_that_was_never_begun_leaves_nothing(self) -> None:
        server = Server([1])
        pager = server.pager()
        iterations = [aiter(pager), pager.pages()]
        del iterations
        await turns(3)
        await pager.aclose()
        assert server.asked == []

    def test_an_iteration_left_open_when_the_loop_ends(self) -> None:
        left: list[object] = []

        async def main() -> Server:
            server = Server([1, 1], holding="0")
            iteration = aiter(server.pager())
            await anext(iteration)
            left.append(iteration)
            return server

        assert asyncio.run(main()).under_way == 0


async def take_records(pager: Pager[Item], came: list[str]) -> None:
    async for item in pager:
        came.append(item.id)
        await asyncio.sleep(0)


async def take_pages(pager: Pager[Item], came: list[str]) -> None:
    async for page in pager.pages():
        came.extend(item.id for item in page.data)
        await asyncio.sleep(0)


class TestClosing:
    """Closing an iteration never looks like the end of the list."""

    @pytest.mark.parametrize("take", [take_records, take_pages])
    @pytest.mark.parametrize("prefetch", [0, 1])
    async def test_while_another_task_waits_for_a_page(
        self, take: Callable[[Pager[Item], list[str]], Awaitable[None]], prefetch: int
    ) -> None:
        server = Server([1, 1], holding="0")
        pager = server.pager(prefetch=prefetch)
        came: list[str] = []
        task = asyncio.ensure_future(take(pager, came))
        await until(lambda: came == ["0"] and server.under_way == 1)
        await turns(5)
        await pager.aclose()
        assert (server.cancelled, server.under_way) == (1, 0)
        with pytest.raises(RuntimeError, match="closed"):
            await task
        assert came == ["0"]

    @thorough
    @given(sizes, prefetches, latencies, st.integers(0, 60), st.booleans())
    def test_at_any_moment(
        self, sizes: list[int], prefetch: int, latency: int, moment: int, by_page: bool
    ) -> None:
        async def main() -> None:
            server = Server(sizes, latency)
            pager = server.pager(prefetch=prefetch)
            came: list[str] = []
            take = take_pages if by_page else take_records
            task = asyncio.ensure_future(take(pager, came))
            await turns(moment)
            await pager.aclose()
            assert server.under_way == 0
            seen = list(came)
            (failure,) = await asyncio.gather(task, return_exceptions=True)
            if not moment:
                # The other task had not begun: this iteration is a new one.
                assert (failure, came) == (None, server.ids)
            elif failure is None:
                assert came == server.ids
            else:
                assert isinstance(failure, RuntimeError)
                assert came == seen == server.ids[: len(came)]

        run(main)

    async def test_between_two_records(self) -> None:
        pager = Server([3]).pager()
        items = aiter(pager)
        assert (await anext(items)).id == "0"
        await pager.aclose()
        with pytest.raises(RuntimeError, match="closed"):
            await anext(items)

    async def test_after_the_last_record(self) -> None:
        pager = Server([1]).pager()
        items = aiter(pager)
        await anext(items)
        await pager.aclose()
        with pytest.raises(RuntimeError, match="closed"):
            await anext(items)

    @pytest.mark.parametrize("kind", ["records", "pages"])
    async def test_before_the_first_step(self, kind: str) -> None:
        server = Server([1])
        pager = server.pager()
        iteration: AsyncIterator[object] = aiter(pager) if kind == "records" else pager.pages()
        await pager.aclose()
        with pytest.raises(RuntimeError, match="closed"):
            await anext(iteration)
        assert server.asked == []

    async def test_before_the_first_step_of_its_task(self) -> None:
        server = Server([1, 1])
        pager = server.pager()
        items = aiter(pager)
        first = asyncio.ensure_future(items.__anext__())
        await turns(1)
        # The consumer has begun; the task that fetches for it has not.
        await pager.aclose()
        with pytest.raises(RuntimeError, match="closed"):
            await first
        assert server.asked == []

    async def test_a_later_iteration_is_not_affected(self) -> None:
        server = Server([1, 1])
        pager = server.pager()
        old = aiter(pager)
        await anext(old)
        await pager.aclose()
        assert [item.id async for item in pager] == server.ids
        with pytest.raises(RuntimeError, match="closed"):
            await anext(old)

    async def test_closes_every_iteration_even_if_it_is_cancelled(self) -> None:
        server = Server([1, 1], holding="0", resisting=5)
        pager = server.pager()
        iterations = [aiter(pager) for _ in range(3)]
        for iteration in iterations:
            await anext(iteration)
        closing = asyncio.create_task(pager.aclose())
        await until(lambda: server.cancelled == 1)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert (server.cancelled, server.under_way) == (3, 0)

    async def test_a_fetch_that_swallows_its_cancellation_fetches_no_more(self) -> None:
        asked: list[str | None] = []

        async def fetch(cursor: str | None, on_wire: Callable[[], None]) -> Page[Item]:
            asked.append(cursor)
            if cursor is not None:
                on_wire()
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()
            last_id = str(len(asked))
            return await scripted({cursor: ([last_id], True, last_id)})(cursor, on_wire)

        pager = Pager(fetch)
        iteration = aiter(pager)
        await anext(iteration)
        closing = asyncio.create_task(pager.aclose())
        await until(closing.done)
        assert asked == [None, "1"]

    async def test_from_inside_the_fetch(self) -> None:
        async def fetch(cursor: str | None, on_wire: Callable[[], None]) -> Page[Item]:
            await pager.aclose()
            await asyncio.Event().wait()
            raise AssertionError("the event is never set")

        pager = Pager(fetch)
        with pytest.raises(RuntimeError, match="closed"):
            await anext(aiter(pager))


class TestEndOfLoop:
    """`asyncio.run` closes all async generators at its end, side by side."""

    @pytest.mark.parametrize("by_page", [False, True])
    @pytest.mark.parametrize("in_block", [False, True])
    @pytest.mark.parametrize("prefetch", [0, 1])
    @pytest.mark.parametrize("resisting", [0, 3])
    def test_a_pager_that_is_open_in_another_generator(
        self, by_page: bool, in_block: bool, prefetch: int, resisting: int
    ) -> None:
        server = Server([2, 2], holding="1", resisting=resisting)

        async def outer() -> AsyncIterator[object]:
            pager = server.pager(prefetch=prefetch)
            async with pager if in_block else contextlib.nullcontext():
                async for item in pager.pages() if by_page else pager:
                    yield item

        end_a_loop_with_open(outer)
        assert server.under_way == 0
