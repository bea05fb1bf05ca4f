"""Hands out one page's records while the next page is already under way.

The pages of an iteration are fetched by one task, which its reader owns.

With ``prefetch=1`` this is the order: page 1 arrives; the request for page 2 is sent; page 1 is
handed out. So even a consumer that never awaits anything, and thus never lets the event loop run,
overlaps its work with the server's. A prefetch is counted in pages here, not in records as in the
cursors of asyncpg.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Generator
from typing import Generic, TypeVar

from asyncckpt.options import check_count, check_cursor
from asyncckpt.records.base import HasId
from asyncckpt.streams.page import Fetch, Page, PageWalk, cut, ignore, last_record
from asyncckpt.streams.stream import Reader, Stream

__all__ = ["Pager"]

RecordT = TypeVar("RecordT", bound=HasId)


class Pager(Stream, Generic[RecordT]):
    """A list of the API that is not requested yet: iterate over it, or await it.

    Nothing is sent until it is used, and each use starts again from `after`::

        async for checkpoint in pager:
            ...  # every record
        page = await pager  # the first page
        async for page in pager.pages():
            ...  # every page
        async with pager:  # cleaned up at the end of the block
            async for checkpoint in pager:
                break

    An iteration may be left at any moment, by break, exception, cancellation or timeout: the
    request under way is cancelled and its connection freed. For ``break`` that happens as soon as
    Python drops the iteration, which is at once unless something still refers to it; ``async with``
    makes it certain.

    `aclose` and the end of an ``async with`` block close the iterations begun so far: whoever still
    reads from one gets a RuntimeError at the next step. Iterations begun later are not affected.
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
            fetch: Fetches the page after a cursor.
            fetch_one: Fetches the one page that is awaited; default: `fetch`.
            after: Start after the record with this id; default: from the beginning.
            prefetch: How many pages to have ready or under way beyond the one in use; default 1,
                0 fetches a page only when it is wanted.
            max_records: Stop after this many records, and fetch no page that would only hold later
                ones; default: no limit.

        Raises:
            TypeError: An argument is of the wrong type.
            ValueError: `prefetch` is negative, `max_records` is below 1, or `after` is empty.
        """
        super().__init__()
        check_count("prefetch", prefetch, least=0)
        if max_records is not None:
            check_count("max_records", max_records, least=1)
        check_cursor(after)
        self._fetch = fetch
        self._fetch_one = fetch_one or fetch
        self._after = after
        self._prefetch = prefetch
        self._max_records = max_records
        self._last_record: HasId | None = None

    @property
    def cursor(self) -> str | None:
        """The `after` that continues after the last record handed out; None at the beginning."""
        return self._after if self._last_record is None else self._last_record.id

    def __aiter__(self) -> AsyncGenerator[RecordT, None]:
        """Iterate over all records, page after page, fetching ahead.

        Yields:
            The records in the server's order; checkpoints and jobs come newest first.

        Raises:
            APIError: A page could not be fetched; all records before it have been yielded.
            PaginationError: The server's cursors lead nowhere.
            RuntimeError: The client is closed, or this iteration was.
            Exception: What an `api_key` callable raises.
        """
        return self._iterate_records(self._new_reader())

    def pages(self) -> AsyncGenerator[Page[RecordT], None]:
        """Iterate over the pages, fetching ahead.

        Yields:
            The pages in order. With `max_records`, the last one is cut to that many records.

        Raises:
            APIError: A page could not be fetched; all pages before it have been yielded.
            PaginationError: The server's cursors lead nowhere.
            RuntimeError: The client is closed, or this iteration was.
            Exception: What an `api_key` callable raises.
        """
        return self._iterate_pages(self._new_reader())

    def __await__(self) -> Generator[object, None, Page[RecordT]]:
        """Fetch the first page.

        Returns:
            The page. It can fetch the next one, and that is also when a cursor that leads nowhere
            is an error.

        Raises:
            APIError: The page could not be fetched.
            RuntimeError: The client is closed.
            Exception: What an `api_key` callable raises.
        """
        return self._first_page().__await__()

    async def _first_page(self) -> Page[RecordT]:
        page = cut(await self._fetch_one(self._after, ignore), self._max_records)
        self._last_record = last_record(page)
        return page

    async def _iterate_records(self, reader: _PageReader[RecordT]) -> AsyncGenerator[RecordT, None]:
        self._last_record = None
        try:
            while (page := await reader.next_page()) is not None:
                for record in page.data:
                    self._last_record = record
                    yield record
                    if reader.is_closed:
                        reader.check_open()
        finally:
            await reader.aclose()

    async def _iterate_pages(
        self, reader: _PageReader[RecordT]
    ) -> AsyncGenerator[Page[RecordT], None]:
        self._last_record = None
        try:
            while (page := await reader.next_page()) is not None:
                self._last_record = last_record(page) or self._last_record
                yield page
        finally:
            await reader.aclose()

    def _new_reader(self) -> _PageReader[RecordT]:
        walk = PageWalk(self._fetch, after=self._after, max_records=self._max_records)
        return self._track(_PageReader(walk, self._prefetch))


class _PageReader(Reader, Generic[RecordT]):
    """Reads pages ahead of one consumer.

    Its task may have sent as many requests as the consumer has asked for pages, and `prefetch`
    more. A page is handed over when it is there *and* the task has done all that it may: sent the
    next request, or found that it must wait.
    """

    def __init__(self, walk: PageWalk[RecordT], prefetch: int) -> None:
        super().__init__()
        self._walk = walk
        self._prefetch = prefetch
        self._ready: deque[Page[RecordT]] = deque()
        self._failure: BaseException | None = None
        self._asked = 0
        self._sent = 0
        self._settled = False
        self._page_wanted = _Signal()
        self._page_there = _Signal()
        self._task: asyncio.Task[None] | None = None

    async def next_page(self) -> Page[RecordT] | None:
        """Return the next page; None at the end of the list.

        Raises:
            RuntimeError: The reader is closed, before or while it waits for the page.
            BaseException: Whatever kept the page from coming.
        """
        self._asked += 1
        if self._task is None:
            self.check_open()
            self._task = self._start(self._read(), "asyncckpt-prefetch")
            # A task that is cancelled before its first step never gets to settle by itself.
            self._task.add_done_callback(lambda _: self._settle())
        elif self._page_wanted.is_awaited and self._may_send():
            self._settled = False
            self._page_wanted.set()
        task = self._task
        while not (self._settled and self._ready) and not task.done():
            await self._page_there.wait()
        self.check_open()
        if self._ready:
            return self._ready.popleft()
        # If somebody else cancelled the task, this raises CancelledError.
        await task
        if self._failure is None:
            return None
        failure, self._failure = self._failure, None
        try:
            raise failure
        finally:
            # The traceback refers to this frame; this breaks the cycle.
            del failure

    async def aclose(self) -> None:
        """Cancel what is under way, and wait until it is gone."""
        try:
            await super().aclose()
        finally:
            self._ready.clear()
            # Their tracebacks refer to this object; this breaks the cycles.
            self._task = self._failure = None

    def _may_send(self) -> bool:
        return self._sent < self._asked + self._prefetch

    def _settle(self) -> None:
        self._settled = True
        self._page_there.set()

    async def _read(self) -> None:
        try:
            await self._read_pages()
        except asyncio.CancelledError:
            raise
        except BaseException as failure:
            # Also one that would end the event loop if it left this task: it is the consumer's.
            self._failure = failure
        finally:
            self._settle()

    async def _read_pages(self) -> None:
        while not self._walk.is_over and not self.is_closed:
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
