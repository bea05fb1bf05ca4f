"""The pager: hands out one page's records while the next page is already on its way.

It knows a `Fetch`, which gets the page at a cursor, and nothing of HTTP. The pages are fetched by
one task, the reader's, which lives as long as one iteration and is cancelled and awaited when that
ends, however it ends.

The order of things, with ``prefetch=1``: page 1 arrives; the request for page 2 is sent; page 1 is
handed out. So even a consumer that never awaits anything, and thus never lets the event loop run,
overlaps its work with the server's. What asyncpg calls the prefetch of a cursor is counted in
records there, and in pages here.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Generator
from types import TracebackType
from typing import Generic, TypeVar

from asyncckpt.options import check_count, check_cursor
from asyncckpt.records.base import HasId
from asyncckpt.streams.page import Fetch, Page, Walk, ignore
from asyncckpt.streams.tasks import cancel_and_wait, close_unless_running

__all__ = ["Pager"]

RecordT = TypeVar("RecordT", bound=HasId)
_T = TypeVar("_T")


class Pager(Generic[RecordT]):
    """A list of the API, not yet asked for: iterate over it, or await it.

    Nothing is sent until it is used, and each use starts again from `after`::

        async for checkpoint in pager:
            ...  # every record
        page = await pager  # the first page
        async for page in pager.pages():
            ...  # every page
        async with pager:  # cleaned up by the end of the block
            async for checkpoint in pager:
                break

    An iteration may be left at any moment, by break, exception, cancellation or timeout: the
    request under way is cancelled and its connection freed. For ``break`` that happens as soon as
    Python drops the iteration, which is at once unless something still refers to it; ``async with``
    makes it certain.
    """

    def __init__(
        self,
        fetch: Fetch[RecordT],
        *,
        fetch_one: Fetch[RecordT] | None = None,
        after: str | None = None,
        prefetch: int = 1,
        max_records: int | None = None,
    ) -> None:
        """Made by the `list` methods of the resources; may be made for any other `Fetch`.

        Args:
            fetch: Gets the page after a cursor.
            fetch_one: Gets the one page that is awaited; default: `fetch`.
            after: Start after the record of this id; default: from the beginning.
            prefetch: How many pages to have ready or under way beyond the one in use; default 1,
                0 fetches a page only when it is wanted.
            max_records: Stop after so many records, and fetch no page that would only hold later
                ones; default: no limit.

        Raises:
            TypeError: An argument is of the wrong type.
            ValueError: `prefetch` is negative, or `max_records` or `after` is empty.
        """
        check_count("prefetch", prefetch, least=0)
        if max_records is not None:
            check_count("max_records", max_records, least=1)
        check_cursor(after)
        self._fetch = fetch
        self._fetch_one = fetch_one or fetch
        self._after = after
        self._prefetch = prefetch
        self._max_records = max_records
        self._last_record: RecordT | None = None
        # An iteration that is dropped ends at once, so it is held weakly; its reader ends a few
        # turns of the event loop later, and is held until then.
        self._iterations: weakref.WeakSet[AsyncGenerator[object, None]] = weakref.WeakSet()
        self._readers: set[_Reader[RecordT]] = set()

    @property
    def cursor(self) -> str | None:
        """The `after` that resumes behind the last record handed out; None at the beginning."""
        return self._after if self._last_record is None else self._last_record.id

    def __aiter__(self) -> AsyncGenerator[RecordT, None]:
        """Iterate over all records, page after page, fetching ahead.

        Yields:
            The records in the server's order; checkpoints and jobs come newest first.

        Raises:
            APIError: A page could not be had; all records before it have been yielded.
            PaginationError: The server's cursors lead nowhere.
            RuntimeError: The client is closed.
            Exception: What an `api_key` callable raises.
        """
        return self._tracked(self._iterate_records())

    def pages(self) -> AsyncGenerator[Page[RecordT], None]:
        """Iterate over the pages, fetching ahead.

        Yields:
            The pages in order. With `max_records`, the last one is cut to measure.

        Raises:
            APIError: A page could not be had; all pages before it have been yielded.
            PaginationError: The server's cursors lead nowhere.
            RuntimeError: The client is closed.
            Exception: What an `api_key` callable raises.
        """
        return self._tracked(self._iterate_pages())

    def __await__(self) -> Generator[object, None, Page[RecordT]]:
        """Fetch the first page.

        Returns:
            The page; it knows how to get the next one.

        Raises:
            APIError: The page could not be had.
            RuntimeError: The client is closed.
            Exception: What an `api_key` callable raises.
        """
        return self._first_page().__await__()

    async def __aenter__(self) -> Pager[RecordT]:
        """Enter a block by whose end every iteration begun in it is cleaned up."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End all iterations over this pager; their requests under way are cancelled."""
        await self.aclose()

    async def aclose(self) -> None:
        """End all iterations over this pager, and wait until nothing of them is left."""
        for reader in list(self._readers):
            await reader.aclose()
        for iteration in list(self._iterations):
            await close_unless_running(iteration)

    def _tracked(self, iteration: AsyncGenerator[_T, None]) -> AsyncGenerator[_T, None]:
        self._iterations.add(iteration)
        return iteration

    async def _first_page(self) -> Page[RecordT]:
        page = await Walk(self._fetch_one, self._after, self._max_records).next_page(ignore)
        self._last_record = page.data[-1] if page.data else None
        return page

    async def _iterate_records(self) -> AsyncGenerator[RecordT, None]:
        reader = self._begin()
        try:
            while (page := await reader.next_page()) is not None:
                for record in page.data:
                    self._last_record = record
                    yield record
        finally:
            await self._end(reader)

    async def _iterate_pages(self) -> AsyncGenerator[Page[RecordT], None]:
        reader = self._begin()
        try:
            while (page := await reader.next_page()) is not None:
                if page.data:
                    self._last_record = page.data[-1]
                yield page
        finally:
            await self._end(reader)

    def _begin(self) -> _Reader[RecordT]:
        self._last_record = None
        reader = _Reader(self._fetch, self._after, self._prefetch, self._max_records)
        self._readers.add(reader)
        return reader

    async def _end(self, reader: _Reader[RecordT]) -> None:
        try:
            await reader.aclose()
        finally:
            self._readers.discard(reader)


class _Reader(Generic[RecordT]):
    """Reads pages ahead of one consumer.

    Its task may have sent as many requests as the consumer has asked for pages, and `prefetch`
    more. A page is handed over when it is there *and* the task has done all that it may: sent the
    next request, or found that it must wait.
    """

    def __init__(
        self,
        fetch: Fetch[RecordT],
        after: str | None,
        prefetch: int,
        max_records: int | None,
    ) -> None:
        self._walk = Walk(fetch, after, max_records)
        self._prefetch = prefetch
        self._ready: deque[Page[RecordT]] = deque()
        self._failure: Exception | None = None
        self._asked = 0
        self._sent = 0
        self._settled = False
        self._is_closed = False
        self._page_wanted = _Signal()
        self._page_there = _Signal()
        self._task: asyncio.Task[None] | None = None

    async def next_page(self) -> Page[RecordT] | None:
        """The next page; None at the end of the list, or when the reader is closed.

        Raises:
            Exception: Whatever kept the page from coming.
        """
        if self._has_been_closed():
            return None
        self._asked += 1
        if self._task is None:
            self._task = asyncio.create_task(self._read(), name="asyncckpt-prefetch")
            # A task that is cancelled before its first step never gets to settle by itself.
            self._task.add_done_callback(lambda _: self._settle())
        elif self._page_wanted.is_awaited and self._may_send():
            self._settled = False
            self._page_wanted.set()
        task = self._task
        while not (self._settled and self._ready) and not task.done():
            await self._page_there.wait()
        if self._ready:
            return self._ready.popleft()
        if self._has_been_closed():
            raise RuntimeError("this iteration was closed while it waited for a page")
        # The task is done; if somebody else cancelled it, this says so.
        await task
        if self._failure is None:
            return None
        failure, self._failure = self._failure, None
        try:
            raise failure
        finally:
            # The traceback refers to this frame; without this the two would keep each other.
            del failure

    async def aclose(self) -> None:
        """Cancel what is under way, and wait until it is gone."""
        self._is_closed = True
        self._ready.clear()
        if self._task is not None:
            await cancel_and_wait([self._task])
        # Their tracebacks refer to this object; without this they would keep each other.
        self._task = self._failure = None

    def _has_been_closed(self) -> bool:
        return self._is_closed

    def _may_send(self) -> bool:
        return self._sent < self._asked + self._prefetch

    def _settle(self) -> None:
        self._settled = True
        self._page_there.set()

    async def _read(self) -> None:
        try:
            await self._read_pages()
        except Exception as failure:
            self._failure = failure
        finally:
            self._settle()

    async def _read_pages(self) -> None:
        while not self._walk.is_over:
            if not self._may_send():
                self._settle()
                await self._page_wanted.wait()
            self._settled = False
            self._sent += 1
            self._ready.append(await self._walk.next_page(self._settle))


class _Signal:
    """Wakes one waiter; setting it when nobody waits does nothing."""

    def __init__(self) -> None:
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_awaited(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def set(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
