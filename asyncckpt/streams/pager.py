"""Yields the records of one page while the next page is being fetched.

One task fetches the pages of an iteration. The reader of the iteration owns it.

With ``prefetch=1`` the order is: page 1 arrives, the request for page 2 is sent, the records of
page 1 are yielded. The request is sent first because a consumer that awaits nothing does not let
the event loop run. So the server works on page 2 while such a consumer processes page 1.

`prefetch` is a number of pages, unlike the `prefetch` of asyncpg's cursors, which counts records.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, Generic, TypeVar

from asyncckpt.options import check_count, check_cursor
from asyncckpt.records.base import HasId
from asyncckpt.streams.page import Fetch, Page, PageWalk, ignore, last_record, truncated
from asyncckpt.streams.restarts import OnExpiredCursor, check_on_expired_cursor
from asyncckpt.streams.stream import Reader, Stream

if TYPE_CHECKING:
    from asyncckpt.streams.observer import StreamHooks, StreamObserver

__all__ = ["Pager"]

RecordT = TypeVar("RecordT", bound=HasId)


class Pager(Stream, Generic[RecordT]):
    """A list of the API: iterate over it, or await its first page.

    Nothing is sent until the pager is used. Each use starts again from `after`::

        async for checkpoint in pager:
            ...  # every record
        page = await pager  # the first page
        async for page in pager.pages():
            ...  # every page
        async with pager:  # cleaned up at the end of the block
            async for checkpoint in pager:
                break

    You can leave an iteration at any time, by break, exception, cancellation or timeout. This
    cancels the request in progress and releases its connection. After ``break``, this happens as
    soon as Python deletes the iterator: immediately, unless something else refers to it. ``async
    with`` guarantees it.

    `aclose` and the end of an ``async with`` block close the iterations started so far: their next
    step raises RuntimeError. Later iterations are not affected.
    """

    def __init__(
        self,
        fetch: Fetch[RecordT],
        *,
        fetch_one: Fetch[RecordT] | None = None,
        after: str | None = None,
        prefetch: int = 1,
        max_records: int | None = None,
        on_expired_cursor: OnExpiredCursor = "raise",
        hooks: StreamHooks | None = None,
    ) -> None:
        """Create a pager. The `list` methods of the resources do this.

        Args:
            fetch: Fetches the page after a cursor.
            fetch_one: Fetches the page for `await`; default: `fetch`.
            after: Start after the record with this id; default: from the beginning.
            prefetch: The number of pages to fetch ahead of the current one; default 1; 0 turns
                prefetching off.
            max_records: Stop after this many records, and request no page beyond them; default: no
                limit.
            on_expired_cursor: What an iteration does if the server no longer knows a cursor:
                ``"raise"``, the default, or ``"restart"``; see `AsyncCheckpoints.list`.
            hooks: The hooks of the client; default: no hooks.

        Raises:
            TypeError: An argument has the wrong type.
            ValueError: `prefetch` is negative, `max_records` is below 1, `after` is empty, or
                `on_expired_cursor` is something else.
        """
        super().__init__(hooks)
        check_count("prefetch", prefetch, least=0)
        if max_records is not None:
            check_count("max_records", max_records, least=1)
        check_cursor(after)
        check_on_expired_cursor(on_expired_cursor)
        self._fetch = fetch
        self._fetch_one = fetch_one or fetch
        self._after = after
        self._prefetch = prefetch
        self._max_records = max_records
        self._restarts = on_expired_cursor == "restart"
        self._last_record: HasId | None = None

    @property
    def cursor(self) -> str | None:
        """The id of the last record yielded. Pass it as `after` to continue there later.

        Before the first record, it is the `after` of this pager; None is the beginning of the list.
        """
        return self._after if self._last_record is None else self._last_record.id

    def __aiter__(self) -> AsyncGenerator[RecordT, None]:
        """Iterate over all records, and prefetch pages.

        Yields:
            The records, in the server's order.

        Raises:
            APIError: A page could not be fetched; all records before it have been yielded.
            PaginationError: The server says that there are more records, but its cursors do not
                lead to them.
            CursorExpiredError: The server no longer knows a cursor.
            RuntimeError: The client or this iteration is closed.
            Exception: Any exception of an `api_key` callable.
        """
        return self._iterate_records(self._new_reader())

    def pages(self) -> AsyncGenerator[Page[RecordT], None]:
        """Iterate over the pages, and prefetch them.

        Yields:
            The pages, in order. With `max_records`, the last page is truncated.

        Raises:
            APIError: A page could not be fetched; all pages before it have been yielded.
            PaginationError: The server says that there are more records, but its cursors do not
                lead to them.
            CursorExpiredError: The server no longer knows a cursor.
            RuntimeError: The client or this iteration is closed.
            Exception: Any exception of an `api_key` callable.
        """
        return self._iterate_pages(self._new_reader())

    def __await__(self) -> Generator[object, None, Page[RecordT]]:
        """Fetch the first page.

        Returns:
            The page; `Page.get_next_page` fetches the next one.

        Raises:
            APIError: The page could not be fetched.
            RuntimeError: The client is closed.
            Exception: Any exception of an `api_key` callable.
        """
        return self._first_page().__await__()

    async def _first_page(self) -> Page[RecordT]:
        page = truncated(await self._fetch_one(self._after, ignore), self._max_records)
        self._last_record = last_record(page)
        if (observer := self._new_observer()) is not None:
            observer.page_delivered(page)
        return page

    async def _iterate_records(self, reader: _PageReader[RecordT]) -> AsyncGenerator[RecordT, None]:
        self._last_record = None
        async with reader:
            while (page := await reader.next_page()) is not None:
                for record in page.data:
                    self._last_record = record
                    yield record
                    if reader.is_closed:
                        reader.check_open()

    async def _iterate_pages(
        self, reader: _PageReader[RecordT]
    ) -> AsyncGenerator[Page[RecordT], None]:
        self._last_record = None
        async with reader:
            while (page := await reader.next_page()) is not None:
                self._last_record = last_record(page) or self._last_record
                yield page

    def _new_reader(self) -> _PageReader[RecordT]:
        walk = PageWalk(
            self._fetch,
            after=self._after,
            max_records=self._max_records,
            restarts=self._restarts,
        )
        return self._track(_PageReader(walk, self._prefetch, self._new_observer()))


class _PageReader(Reader, Generic[RecordT]):
    """Fetches pages ahead of one consumer.

    After n calls of `next_page`, the task may have sent n + `prefetch` requests. `next_page`
    returns a page only when the task is idle: it waits for the next response, for the rate limiter,
    or for permission to send another request. So the next request is sent first.
    """

    def __init__(
        self, walk: PageWalk[RecordT], prefetch: int, observer: StreamObserver | None
    ) -> None:
        super().__init__(observer)
        self._walk = walk
        self._prefetch = prefetch
        self._ready: deque[Page[RecordT]] = deque()

        self._wanted = 0
        self._sent = 0
        self._is_idle = False
        self._task_signal = _Signal()
        self._consumer_signal = _Signal()
        self._task: asyncio.Task[None] | None = None

    async def next_page(self) -> Page[RecordT] | None:
        """Return the next page; None after the last one.

        Raises:
            RuntimeError: The reader was closed, before or during this call.
            BaseException: Any exception of the walk.
        """
        self._wanted += 1
        if self._task is None:
            self.check_open()
            self._task = self._start(self._read(), "asyncckpt-prefetch")
            # A `finally` in the task would not run if it is cancelled before its first step.
            self._task.add_done_callback(lambda _: self._set_idle())
        elif self._task_signal.is_awaited and self._may_send():
            self._is_idle = False
            self._task_signal.set()
        task = self._task
        while not (self._is_idle and self._ready) and not task.done():
            await self._consumer_signal.wait()
        self.check_open()
        if self._ready:
            page = self._ready.popleft()
            if self._observer is not None:
                self._observer.page_delivered(page)
            return page
        # This raises CancelledError if other code has cancelled the task.
        await task
        self._raise_failure()
        return None

    async def _close(self) -> None:
        try:
            await super()._close()
        finally:
            self._ready.clear()
            # Its traceback refers to this object; this breaks the reference cycle.
            self._task = None

    def _may_send(self) -> bool:
        return self._sent < self._wanted + self._prefetch

    def _set_idle(self) -> None:
        self._is_idle = True
        self._consumer_signal.set()

    async def _read(self) -> None:
        try:
            await self._read_pages()
        except asyncio.CancelledError:
            raise
        except BaseException as failure:
            # A KeyboardInterrupt or SystemExit must not leave the task, because that would end the
            # event loop. The consumer raises it.
            self._failure = failure
        finally:
            self._set_idle()

    async def _read_pages(self) -> None:
        while not self._walk.is_over and not self.is_closed:
            if not self._may_send():
                self._set_idle()
                await self._task_signal.wait()
            self._is_idle = False
            self._sent += 1
            self._ready.append(await self._walk.next_page(self._set_idle))


class _Signal:
    """Wakes one waiting task; `set` does nothing if no task is waiting."""

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
