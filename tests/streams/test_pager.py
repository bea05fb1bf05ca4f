"""The pager, mostly over a list that is made here: no HTTP."""

import asyncio
import contextlib
import gc
import json
import sys
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from asyncckpt import AsyncClient, Page, Pager, PaginationError, Request, Response
from asyncckpt.protocol import retries
from asyncckpt.testing import Sandbox

from support.strategies import thorough

T = TypeVar("T")

RESPONSE = Response(200, CIMultiDict(), b"{}", Request("GET", "https://h/v1"))


@attrs.frozen
class Item:
    id: str


class FailedError(Exception):
    pass


class OddError(BaseException):
    pass


def at_once(on_wire: Callable[[], None]) -> None:
    on_wire()


@attrs.define
class Server:
    """A list of records in pages, and what became of every request for one.

    Its requests take `turns` turns of the event loop to get on the wire and as many to be answered,
    and each waits for `open` in between.
    """

    sizes: Sequence[int]
    turns: int = 1
    failing: int | None = None
    """The page that cannot be had, if any."""
    holding: str | None = None
    """The cursor behind which no page ever comes, if any."""
    resisting: int = 0
    """Turns for which a request under way goes on when it is cancelled."""
    report: Callable[[Callable[[], None]], None] = at_once
    asked: list[str | None] = attrs.field(factory=list)
    on_wire: int = 0
    under_way: int = 0
    cancelled: int = 0
    open: asyncio.Event = attrs.field(factory=asyncio.Event)

    def __attrs_post_init__(self) -> None:
        self.open.set()

    @property
    def ids(self) -> list[str]:
        return [str(number) for number in range(sum(self.sizes))]

    def starts(self) -> list[int]:
        return [sum(self.sizes[:number]) for number in range(len(self.sizes))]

    def pager(self, **options: Any) -> Pager[Item]:
        return Pager(self.fetch, **options)

    async def fetch(self, cursor: str | None, on_wire: Callable[[], None]) -> Page[Item]:
        self.asked.append(cursor)
        self.under_way += 1
        try:
            for _ in range(self.turns):
                await asyncio.sleep(0)
            self.on_wire += 1
            self.report(on_wire)
            await self.open.wait()
            if cursor is not None and cursor == self.holding:
                await asyncio.Event().wait()
            for _ in range(self.turns):
                await asyncio.sleep(0)
            return self.page_after(cursor)
        except asyncio.CancelledError:
            self.cancelled += 1
            for _ in range(self.resisting):
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)
            raise
        finally:
            self.under_way -= 1

    def page_after(self, cursor: str | None) -> Page[Item]:
        start = 0 if cursor is None else int(cursor) + 1
        end = next((end for end in [*self.starts()[1:], sum(self.sizes)] if end > start), start)
        if self.failing is not None and start >= self.starts()[self.failing]:
            raise FailedError(self.failing)
        data = [Item(name) for name in self.ids[start:end]]
        return Page(
            data,
            end < sum(self.sizes),
            data[0].id if data else None,
            data[-1].id if data else None,
            "list",
            response=RESPONSE,
            fetch=lambda after: self.fetch(after, lambda: None),
        )


def scripted(
    pages: dict[str | None, tuple[list[str], bool | None, str | None]],
    asked: list[str | None] | None = None,
) -> Callable[..., Awaitable[Page[Item]]]:
    """A fetch of pages that are written out: records, `has_more`, `last_id`."""

    async def fetch(cursor: str | None, on_wire: Callable[[], None]) -> Page[Item]:
        if asked is not None:
            asked.append(cursor)
        on_wire()
        await asyncio.sleep(0)
        ids, has_more, last_id = pages[cursor]
        data = [Item(name) for name in ids]
        return Page(data, has_more, None, last_id, "list", response=RESPONSE, fetch=fetch_next)

    async def fetch_next(cursor: str) -> Page[Item]:
        return await fetch(cursor, lambda: None)

    return fetch


def sandbox_record() -> dict[str, Any]:
    """A checkpoint as the API sends it."""
    sandbox = Sandbox(jobs=1)
    return dict(sandbox.checkpoints_of(sandbox.job_ids[0])[0])


async def pour(items: AsyncIterator[Item], into: list[str], *, pause: int = 0) -> None:
    async for item in items:
        into.append(item.id)
        await turns(pause)


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def settle(condition: Callable[[], bool]) -> None:
    """Let the event loop run until the condition holds; fail if it never does."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0)
    pytest.fail("never came about")


async def watched(main: Callable[[], Awaitable[T]]) -> T:
    """Run `main`, and assert that it leaves no task and no complaint of asyncio's behind."""
    complaints: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    before = asyncio.all_tasks()
    try:
        result = await main()
        # A few turns: those that asyncio needs to be done with an iteration that was dropped.
        await turns(5)
        strays = asyncio.all_tasks() - before
        assert not strays
        gc.collect(1)
        await asyncio.sleep(0)
    finally:
        loop.set_exception_handler(None)
    assert not complaints
    return result


def run(main: Callable[[], Awaitable[T]]) -> T:
    """`watched` in an event loop of its own: for the many examples of one test."""
    return asyncio.run(watched(main))


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    """Fail a test that leaves a task or a complaint of asyncio's behind."""
    complaints: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    before = asyncio.all_tasks()
    yield
    await turns(5)
    strays = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not strays
    gc.collect(1)
    await asyncio.sleep(0)
    assert not complaints


sizes = st.lists(st.integers(1, 4), min_size=1, max_size=8)
prefetches = st.integers(0, 3)
latencies = st.integers(0, 3)


class TestOrder:
    @thorough
    @given(sizes, prefetches, latencies)
    def test_every_record_once_and_in_order(
        self, sizes: list[int], prefetch: int, latency: int
    ) -> None:
        async def main() -> None:
            server = Server(sizes, latency)
            pager = server.pager(prefetch=prefetch)
            assert [item.id async for item in pager] == server.ids
            assert server.asked == [None, *(str(start - 1) for start in server.starts()[1:])]
            assert pager.cursor == server.ids[-1]

        run(main)

    @thorough
    @given(sizes, prefetches, latencies)
    def test_pages(self, sizes: list[int], prefetch: int, latency: int) -> None:
        async def main() -> None:
            server = Server(sizes, latency)
            pager = server.pager(prefetch=prefetch)
            last_ids = []
            async for page in pager.pages():
                assert pager.cursor == page.last_id == page.data[-1].id
                last_ids.append((len(page.data), page.has_more))
            assert last_ids == [(size, True) for size in sizes[:-1]] + [(sizes[-1], False)]

        run(main)

    @pytest.mark.parametrize("prefetch", [0, 1, 5])
    async def test_an_empty_list(self, prefetch: int) -> None:
        server = Server([0])
        pager = server.pager(prefetch=prefetch)
        assert [item async for item in pager] == []
        assert [len(page.data) async for page in pager.pages()] == [0]
        assert (pager.cursor, server.asked) == (None, [None, None])

    @pytest.mark.parametrize("prefetch", [0, 1, 5])
    async def test_pages_without_records_are_skipped(self, prefetch: int) -> None:
        asked: list[str | None] = []
        fetch = scripted(
            {
                None: ([], True, "x"),
                "x": (["a", "b"], True, None),
                "b": ([], True, "y"),
                "y": (["c"], None, None),
                "c": ([], None, None),
            },
            asked,
        )
        pager = Pager(fetch, prefetch=prefetch)
        assert [item.id async for item in pager] == ["a", "b", "c"]
        assert asked == [None, "x", "b", "y", "c"]
        assert pager.cursor == "c"

    async def test_nothing_is_sent_before_it_is_used(self) -> None:
        server = Server([2, 2])
        pager = server.pager()
        iterations = (aiter(pager), pager.pages())
        await turns(5)
        assert server.asked == []
        await pager.aclose()
        del iterations

    async def test_awaited_it_is_the_first_page(self) -> None:
        server = Server([2, 2, 1])
        pager = server.pager()
        page = await pager
        assert [item.id for item in page.data] == ["0", "1"]
        await turns(5)
        assert (server.asked, pager.cursor) == ([None], "1")
        assert [item.id for item in (await page.get_next_page()).data] == ["2", "3"]
        assert [item.id async for item in page] == server.ids

    async def test_awaited_with_after_and_max_records(self) -> None:
        server = Server([2, 3])
        page = await server.pager(after="1", max_records=2)
        assert [item.id for item in page.data] == ["2", "3"]
        assert (page.has_more, page.last_id, page.first_id) == (True, "3", "2")
        assert [item.id for item in (await page.get_next_page()).data] == ["4"]

    async def test_awaiting_may_fail(self) -> None:
        pager = Server([1], failing=0).pager()
        for _ in range(2):
            with pytest.raises(FailedError):
                await pager
        assert pager.cursor is None


class TestPrefetch:
    @thorough
    @given(sizes, prefetches, latencies, latencies)
    def test_the_next_request_is_on_the_wire_before_a_page_is_handed_out(
        self, sizes: list[int], prefetch: int, latency: int, pause: int
    ) -> None:
        async def main() -> None:
            server = Server(sizes, latency)
            begun = 0
            async for page in server.pager(prefetch=prefetch).pages():
                begun += 1
                assert len(page.data) == sizes[begun - 1]
                # Never more than was asked for and `prefetch` more ...
                assert len(server.asked) <= min(begun + prefetch, len(sizes))
                # ... and never less than one more, whether the consumer awaits or not.
                assert server.on_wire >= min(begun + min(prefetch, 1), len(sizes))
                await turns(pause)
                assert len(server.asked) <= begun + prefetch

        run(main)

    @pytest.mark.parametrize("prefetch", [1, 2, 4])
    async def test_a_consumer_that_never_awaits_overlaps_too(self, prefetch: int) -> None:
        server = Server([3, 3, 3])
        on_wire = [server.on_wire async for _ in server.pager(prefetch=prefetch)]
        assert on_wire[0] == on_wire[1] == on_wire[2] == 2
        assert on_wire[3:] == [3] * 6

    @pytest.mark.parametrize("prefetch", [0, 1, 2, 3, 10])
    async def test_a_consumer_that_takes_its_time_finds_all_of_them_ready(
        self, prefetch: int
    ) -> None:
        server = Server([1] * 8)
        begun = 0
        async for _ in server.pager(prefetch=prefetch):
            begun += 1
            await settle(lambda: not server.under_way)
            await turns(10)
            assert len(server.asked) == min(begun + prefetch, 8)

    async def test_pages_that_are_ready_need_no_wait_for_a_response(self) -> None:
        server = Server([1] * 6)
        pages = server.pager(prefetch=2).pages()
        await anext(pages)
        await settle(lambda: len(server.asked) == 3 and not server.under_way)
        server.open.clear()
        # Both are there, and the request that each makes room for is sent but not answered.
        assert [(await anext(pages)).last_id for _ in range(2)] == ["1", "2"]
        assert server.under_way == 1
        await pages.aclose()

    async def test_without_prefetch_a_page_is_fetched_when_it_is_wanted(self) -> None:
        server = Server([2, 2, 2])
        requests = []
        async for _ in server.pager(prefetch=0):
            await turns(10)
            requests.append((len(server.asked), server.under_way))
        assert requests == [(1, 0), (1, 0), (2, 0), (2, 0), (3, 0), (3, 0)]

    async def test_a_page_waits_until_the_next_request_is_on_the_wire(self) -> None:
        reports: list[Callable[[], None]] = []
        server = Server([1, 1, 1], holding="0", report=reports.append)
        async with aclosing(server.pager().pages()) as pages:

            async def take_one() -> Page[Item]:
                return await anext(pages)

            first = asyncio.create_task(take_one())
            await settle(lambda: len(reports) == 2)
            # Page 1 is there; the request for page 2 does not get through.
            await turns(10)
            assert not first.done()
            reports[1]()
            assert (await first).last_id == "0"

    @pytest.mark.parametrize(
        "report",
        [lambda _: None, lambda on_wire: (on_wire(), on_wire())],
        ids=["never", "twice"],
    )
    @pytest.mark.parametrize("prefetch", [0, 1, 3])
    async def test_a_fetch_may_report_never_or_twice(
        self, report: Callable[[Callable[[], None]], None], prefetch: int
    ) -> None:
        server = Server([2, 2, 2, 2], report=report)
        begun = 0
        ids = []
        async for page in server.pager(prefetch=prefetch).pages():
            begun += 1
            ids += [item.id for item in page.data]
            assert len(server.asked) <= begun + prefetch
        assert ids == server.ids

    @pytest.mark.parametrize("prefetch", [0, 1, 3])
    async def test_a_fetch_may_report_late(self, prefetch: int) -> None:
        reports: list[Callable[[], None]] = []
        server = Server([2, 2, 2, 2], report=reports.append)
        ids = []
        async for item in server.pager(prefetch=prefetch):
            ids.append(item.id)
            for report in reports:
                report()
        for report in reports:
            report()
        assert ids == server.ids

    async def test_a_fetch_may_return_without_suspending(self) -> None:
        server = Server([1] * 50, turns=0)
        async for item in server.pager(prefetch=3):
            assert len(server.asked) <= min(int(item.id) + 1 + 3, 50)
        assert len(server.asked) == 50

    async def test_a_page_does_not_wait_for_the_turn_of_the_next_request(self) -> None:
        async with (
            Sandbox(jobs=1) as sandbox,
            sandbox.client(max_requests_per_second=0.01) as client,
        ):
            pager = client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0])
            async with asyncio.timeout(10), aclosing(aiter(pager)) as records:
                ids = [(await anext(records)).id for _ in range(10)]
            assert ids == [one["id"] for one in sandbox.checkpoints_of(sandbox.job_ids[0])[:10]]
            assert sandbox.stats.requests == 1

    async def test_a_page_does_not_wait_while_the_next_request_pauses_before_a_retry(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(retries, "_FIRST_BACKOFF", 60)
        monkeypatch.setattr(retries, "_LONGEST_BACKOFF", 60)
        records = [
            {**sandbox_record(), "id": name, "fine_tuning_job_id": "ftjob-1"} for name in "ab"
        ]
        body = json.dumps({"object": "list", "data": records, "has_more": True}).encode()

        async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            # Nobody listens any more when the next request is sent.
            server.close()
            head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
            writer.write(head % len(body) + body)
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(answer_once, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with AsyncClient(api_key="sk-1", base_url=url) as client:
            pager = client.fine_tuning.jobs.checkpoints.list("ftjob-1")
            async with asyncio.timeout(10), aclosing(aiter(pager)) as iteration:
                ids = [(await anext(iteration)).id for _ in range(2)]
        assert ids == ["a", "b"]


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

    async def test_the_same_pager_may_be_tried_again(self) -> None:
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
            await settle(lambda: not server.under_way)
        assert server.cancelled == 0

    @pytest.mark.parametrize("prefetch", [0, 1, 3])
    async def test_a_list_that_breaks_off(self, prefetch: int) -> None:
        fetch = scripted({None: (["a"], True, None), "a": ([], True, None)})
        came: list[str] = []
        with pytest.raises(PaginationError, match="incomplete"):
            await pour(aiter(Pager(fetch, prefetch=prefetch)), came)
        assert came == ["a"]

    @pytest.mark.parametrize("prefetch", [0, 1, 3])
    @pytest.mark.parametrize("before", range(8))
    async def test_a_list_that_repeats_its_last_page(self, before: int, prefetch: int) -> None:
        ids = [str(number) for number in range(before + 1)]
        pages: dict[str | None, tuple[list[str], bool | None, str | None]] = {
            after: ([name], True, name) for after, name in zip([None, *ids], ids, strict=False)
        }
        pages[ids[-1]] = ([ids[-1]], True, ids[-1])
        came: list[str] = []
        with pytest.raises(PaginationError) as caught:
            await pour(aiter(Pager(scripted(pages), prefetch=prefetch)), came)
        assert (came, caught.value.cursor) == (ids, ids[-1])

    async def test_a_page_that_leads_back_to_where_it_began(self) -> None:
        fetch = scripted({"b": (["a", "b"], True, "b")})
        with pytest.raises(PaginationError) as caught:
            _ = [item async for item in Pager(fetch, after="b")]
        assert caught.value.cursor == "b"

    async def test_a_fetch_that_is_cancelled_from_elsewhere_leaves_nobody_waiting(self) -> None:
        async def fetch(cursor: str | None, on_wire: Callable[[], None]) -> Page[Item]:
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await anext(aiter(Pager(fetch)))

    @pytest.mark.parametrize("prefetch", [0, 1])
    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, OddError])
    async def test_whatever_a_fetch_raises_is_raised_to_the_consumer(
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
    async def test_a_signal_of_the_end_is_no_end(
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
    async def test_endless_empty_pages(self, prefetch: int) -> None:
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


class TestMaxRecords:
    @thorough
    @given(sizes, prefetches, latencies, st.integers(1, 40), st.booleans())
    def test_stops_exactly_there_and_fetches_nothing_beyond(
        self, sizes: list[int], prefetch: int, latency: int, most: int, by_page: bool
    ) -> None:
        async def main() -> None:
            server = Server(sizes, latency)
            pager = server.pager(prefetch=prefetch, max_records=most)
            if by_page:
                pages = [page async for page in pager.pages()]
                came = [item.id for page in pages for item in page.data]
                assert all(page.data for page in pages)
                for page in pages:
                    assert page.last_id == page.data[-1].id
                    assert page.has_more == (page.last_id != server.ids[-1])
                    assert page.has_next_page() == page.has_more
            else:
                came = [item.id async for item in pager]
            assert came == server.ids[:most]
            assert len(server.asked) == sum(1 for start in server.starts() if start < most)
            assert pager.cursor == came[-1]
            rest = [item.id async for item in server.pager(after=pager.cursor)]
            assert came + rest == server.ids

        run(main)

    async def test_a_cut_page_continues_after_its_last_record(self) -> None:
        server = Server([4, 4])
        (page,) = [page async for page in server.pager(max_records=3).pages()]
        assert [item.id for item in page.data] == ["0", "1", "2"]
        assert (page.first_id, page.last_id, page.has_more) == ("0", "2", True)
        assert page.response is RESPONSE
        assert [item.id for item in (await page.get_next_page()).data] == ["3"]

    async def test_a_last_page_that_is_cut_has_more(self) -> None:
        (page,) = [page async for page in Server([4]).pager(max_records=3).pages()]
        assert (page.has_more, page.last_id) == (True, "2")

    async def test_a_last_page_that_fits_exactly_has_no_more(self) -> None:
        (page,) = [page async for page in Server([4]).pager(max_records=4).pages()]
        assert (page.has_more, page.last_id) == (False, "3")

    async def test_each_iteration_counts_from_zero(self) -> None:
        pager = Server([2, 2]).pager(max_records=3)
        for _ in range(2):
            assert [item.id async for item in pager] == ["0", "1", "2"]


class TestCursor:
    @thorough
    @given(sizes, prefetches, latencies, st.integers(0, 40), st.booleans())
    def test_resumes_after_the_last_record(
        self, sizes: list[int], prefetch: int, latency: int, stop: int, by_page: bool
    ) -> None:
        async def main() -> None:
            server = Server(sizes, latency)
            pager = server.pager(prefetch=prefetch)
            came: list[str] = []
            if by_page:
                async with aclosing(pager.pages()) as pages:
                    while len(came) < stop and (page := await anext(pages, None)) is not None:
                        came += [item.id for item in page.data]
            else:
                async with aclosing(aiter(pager)) as items:
                    while len(came) < stop and (item := await anext(items, None)) is not None:
                        came.append(item.id)
            assert pager.cursor == (came[-1] if came else None)
            resumed = server.pager(after=pager.cursor, prefetch=prefetch)
            assert resumed.cursor == pager.cursor
            assert came + [item.id async for item in resumed] == server.ids

        run(main)

    async def test_a_page_without_records_does_not_move_it(self) -> None:
        pages = {None: (["a"], True, None), "a": ([], True, "x"), "x": (["b"], False, None)}
        pager = Pager(scripted(pages))
        assert [pager.cursor async for _ in pager.pages()] == ["a", "a", "b"]

    @pytest.mark.parametrize("by_page", [False, True])
    async def test_an_iteration_that_fails_at_once_is_back_at_after(self, by_page: bool) -> None:
        server = Server([2, 2])
        pager = server.pager(after="0")
        assert [item.id async for item in pager] == server.ids[1:]
        server.failing = 0
        iteration: AsyncIterator[object] = pager.pages() if by_page else aiter(pager)
        with pytest.raises(FailedError):
            await anext(iteration)
        assert pager.cursor == "0"

    async def test_each_use_starts_again_from_after(self) -> None:
        server = Server([2, 2, 2])
        pager = server.pager(after="0")
        for _ in range(2):
            assert [item.id async for item in pager] == server.ids[1:]
        async for _ in pager:
            break
        assert pager.cursor == "1"
        assert [item.id async for item in pager] == server.ids[1:]
        assert [item.id for item in (await pager).data] == ["1"]

    @thorough
    @given(sizes, prefetches, st.lists(st.booleans(), max_size=40))
    def test_two_iterations_at_once_do_not_mix(
        self, sizes: list[int], prefetch: int, choices: list[bool]
    ) -> None:
        async def main() -> None:
            server = Server(sizes)
            pager = server.pager(prefetch=prefetch)
            came: tuple[list[str], list[str]] = ([], [])
            async with aclosing(aiter(pager)) as one, aclosing(aiter(pager)) as other:
                for choice in choices:
                    if (item := await anext((one, other)[choice], None)) is not None:
                        came[choice].append(item.id)
                        assert pager.cursor == item.id
            for ids, wanted in zip(came, (choices.count(False), choices.count(True)), strict=True):
                assert ids == server.ids[:wanted]

        run(main)

    async def test_two_iterations_in_two_tasks(self) -> None:
        server = Server([2] * 5)
        pager = server.pager()

        async def consume() -> list[str]:
            return [item.id async for item in pager]

        assert await asyncio.gather(consume(), consume()) == [server.ids] * 2


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
    await settle(lambda: not records)
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
    await settle(lambda: asyncio.all_tasks() == {own})


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
    def test_at_whatever_moment_it_is_cancelled(
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
        await settle(lambda: server.cancelled == 1)
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

    async def test_closing_nothing_does_nothing(self) -> None:
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
            await settle(lambda: server.cancelled == 1)
            await settle(lambda: not server.under_way)
            await turns(3)
        finally:
            gc.enable()

    async def test_a_pager_that_is_used_again_keeps_nothing_of_earlier_iterations(self) -> None:
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
            await settle(lambda: not server.under_way)
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
        await settle(lambda: came == ["0"] and server.under_way == 1)
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
        await settle(lambda: server.cancelled == 1)
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
        await settle(closing.done)
        assert asked == [None, "1"]

    async def test_by_what_the_fetch_calls(self) -> None:
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
        complaints: list[object] = []
        kept: list[object] = []
        server = Server([2, 2], holding="1", resisting=resisting)

        async def outer() -> AsyncIterator[object]:
            pager = server.pager(prefetch=prefetch)
            async with pager if in_block else contextlib.nullcontext():
                async for item in pager.pages() if by_page else pager:
                    yield item

        async def main() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: complaints.append(context))
            for _ in range(5):
                kept.append(outer())
                await anext(kept[-1])

        asyncio.run(main())
        assert complaints == []
        assert server.under_way == 0
        kept.clear()
        gc.collect()
        assert complaints == []


class TestArguments:
    @pytest.mark.parametrize(
        ("options", "kind", "message"),
        [
            ({"prefetch": -1}, ValueError, "prefetch must be at least 0"),
            ({"prefetch": 1.0}, TypeError, "prefetch must be an integer"),
            ({"prefetch": None}, TypeError, "prefetch must be an integer"),
            ({"prefetch": True}, TypeError, "prefetch must be an integer"),
            ({"max_records": 0}, ValueError, "max_records must be at least 1"),
            ({"max_records": "5"}, TypeError, "max_records must be an integer"),
            ({"after": ""}, ValueError, "after must be the id of a record"),
            ({"after": 5}, TypeError, "after must be the id of a record"),
        ],
    )
    def test_are_checked_at_the_call(
        self, options: dict[str, Any], kind: type[Exception], message: str
    ) -> None:
        with pytest.raises(kind, match=f"^{message}"):
            Server([1]).pager(**options)

    def test_cursor_begins_with_after(self) -> None:
        assert Server([1]).pager().cursor is None
        assert Server([1]).pager(after="0").cursor == "0"
