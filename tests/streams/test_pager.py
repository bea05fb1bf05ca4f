"""The pager, mostly over a list that is made here: no HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncckpt import AsyncClient, Page, Pager
from asyncckpt.protocol import retries
from asyncckpt.testing import Sandbox

from support.pagers import (
    RESPONSE,
    FailedError,
    Item,
    Server,
    latencies,
    prefetches,
    run,
    scripted,
    sizes,
)
from support.strategies import thorough
from support.turns import turns, until


def sandbox_record() -> dict[str, Any]:
    """A checkpoint as the API sends it."""
    sandbox = Sandbox(jobs=1)
    return dict(sandbox.checkpoints_of(sandbox.job_ids[0])[0])


pytestmark = pytest.mark.usefixtures("nothing_left")


class TestOrder:
    @thorough
    @given(sizes, prefetches, latencies)
    def test_every_record_comes_once_and_in_order(
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

    async def test_awaiting_it_returns_the_first_page(self) -> None:
        server = Server([2, 2, 1])
        pager = server.pager()
        page = await pager
        assert [item.id for item in page.data] == ["0", "1"]
        await turns(5)
        assert (server.asked, pager.cursor) == ([None], "1")
        assert [item.id for item in (await page.get_next_page()).data] == ["2", "3"]
        assert [item.id async for item in page] == server.ids

    async def test_awaiting_it_with_after_and_max_records(self) -> None:
        server = Server([2, 3])
        page = await server.pager(after="1", max_records=2)
        assert [item.id for item in page.data] == ["2", "3"]
        assert (page.has_more, page.last_id, page.first_id) == (True, "3", "2")
        assert [item.id for item in (await page.get_next_page()).data] == ["4"]

    async def test_awaiting_it_can_raise(self) -> None:
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
    async def test_pages_are_prefetched_for_a_consumer_that_never_awaits(
        self, prefetch: int
    ) -> None:
        server = Server([3, 3, 3])
        on_wire = [server.on_wire async for _ in server.pager(prefetch=prefetch)]
        assert on_wire[0] == on_wire[1] == on_wire[2] == 2
        assert on_wire[3:] == [3] * 6

    @pytest.mark.parametrize("prefetch", [0, 1, 2, 3, 10])
    async def test_a_slow_consumer_finds_all_prefetched_pages_ready(self, prefetch: int) -> None:
        server = Server([1] * 8)
        begun = 0
        async for _ in server.pager(prefetch=prefetch):
            begun += 1
            await until(lambda: not server.under_way)
            await turns(10)
            assert len(server.asked) == min(begun + prefetch, 8)

    async def test_pages_that_are_ready_need_no_wait_for_a_response(self) -> None:
        server = Server([1] * 6)
        pages = server.pager(prefetch=2).pages()
        await anext(pages)
        await until(lambda: len(server.asked) == 3 and not server.under_way)
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
            await until(lambda: len(reports) == 2)
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
    async def test_a_fetch_can_report_never_or_twice(
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
    async def test_a_fetch_can_report_late(self, prefetch: int) -> None:
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

    async def test_a_fetch_can_return_without_suspending(self) -> None:
        server = Server([1] * 50, turns=0)
        async for item in server.pager(prefetch=3):
            assert len(server.asked) <= min(int(item.id) + 1 + 3, 50)
        assert len(server.asked) == 50

    async def test_a_page_does_not_wait_for_the_rate_limit_of_the_next_request(self) -> None:
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
