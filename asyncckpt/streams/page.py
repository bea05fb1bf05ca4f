"""Defines a page of a list, and the rules for requesting the next page.

The API reference describes `after`, `has_more`, `first_id` and `last_id`, but not what a client
should do if they contradict each other. These are the rules of this package:

1. ``has_more: false`` ends the list, even if the page has a cursor.
2. The cursor of the next page (`after`) is the id of the last record. If there is no record, or the
   id is empty, it is the `last_id` of the page.
3. If the server does not send `has_more`, a page without new records ends the list. Such a server
   may also ignore the cursor, and repeat the list. So records up to the one that the cursor names,
   and those of the page before, are not new, and are removed from the page.
4. ``has_more: true`` without a cursor is a `PaginationError`, because the list may be incomplete.
   The page itself is valid: it is returned, and the next step raises the error.
5. A page with the same cursor as an earlier page is a `PaginationError`. The page is not returned,
   because its last record was returned before. Brent's cycle detection finds it: one earlier cursor
   is kept for comparison, and replaced by the newest after 1, 2, 4, 8, … pages. The last two
   cursors are compared too. So a cycle of one or two pages is found before any record is returned
   twice. A longer cycle is found later. The memory use is constant.
6. After `MAX_EMPTY_PAGES` consecutive pages without records, the next step raises a
   `PaginationError`.
7. If the server rejects a cursor that it sent before, this is a `CursorExpiredError`; or the list
   is started again, see `asyncckpt.streams.restarts`.
"""

# The functions and classes of this module use private attributes of `Page`.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence, Set
from typing import Generic, TypeAlias, TypeVar, cast

import attrs

from asyncckpt.errors import APIStatusError, PaginationError
from asyncckpt.messages import Response
from asyncckpt.records.base import NO_EXTRA, Extra, HasId
from asyncckpt.streams.cycles import CycleDetector
from asyncckpt.streams.lazy import LazyRecords
from asyncckpt.streams.page_errors import (
    MAX_EMPTY_PAGES,
    no_cursor,
    repeated_cursor,
    too_many_empty_pages,
)
from asyncckpt.streams.restarts import Restarts, expired_cursor

__all__ = [
    "MAX_EMPTY_PAGES",
    "Fetch",
    "LazyRecords",
    "OnWire",
    "Page",
    "PageInfo",
    "PageWalk",
    "ignore",
    "last_record",
    "truncated",
]


RecordT = TypeVar("RecordT", bound=HasId)

OnWire: TypeAlias = Callable[[], None]
"""Called when a request has been sent, and also before it waits for the rate limit or a retry."""

Fetch: TypeAlias = Callable[[str | None, OnWire], Awaitable["Page[RecordT]"]]
"""Fetches the page after a cursor; None is the beginning of the list."""


def ignore() -> None:
    """Do nothing; an `OnWire` for callers that only wait for the response."""


@attrs.frozen
class PageInfo:
    """The query parameters of the next page, as in the official SDK."""

    params: Mapping[str, str]


@attrs.frozen(eq=False, repr=False, match_args=False)
class Page(Generic[RecordT]):
    """One page of a list, as the server sent it.

    Attributes:
        has_more: Whether there are more records after this page; None if the server did not send
            it.
        first_id: The id of the first record; None if the server did not send it.
        last_id: The id of the last record; None if the server did not send it.
        object: Always ``"list"``.
        extra: Fields of the page that this class does not define.
        response: The HTTP response.
        fetch: Fetches the page after a cursor.
        mask: Masks secrets in a text that the server sent, for errors.
        fine_tuning_job_id: The job that all records belong to; None for a list that is not of one
            job.
    """

    __match_args__ = ("data", "has_more", "first_id", "last_id", "object", "extra")

    _data: list[RecordT] | LazyRecords[RecordT] = attrs.field(alias="data")
    has_more: bool | None
    first_id: str | None
    last_id: str | None
    object: str
    extra: Extra = NO_EXTRA
    response: Response = attrs.field(kw_only=True)
    fetch: Callable[[str], Awaitable[Page[RecordT]]] = attrs.field(kw_only=True)
    mask: Callable[[str], str] = attrs.field(default=str, kw_only=True)
    fine_tuning_job_id: str | None = attrs.field(default=None, kw_only=True)

    @property
    def data(self) -> list[RecordT]:
        """The records, in the server's order."""
        return self._data.get() if isinstance(self._data, LazyRecords) else self._data

    @property
    def record_count(self) -> int:
        """The number of records; reading it creates none of them."""
        return len(self._parsed())

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(data={self.data!r}, has_more={self.has_more!r}, "
            f"first_id={self.first_id!r}, last_id={self.last_id!r}, object={self.object!r})"
        )

    def has_next_page(self) -> bool:
        """Return whether there is a page after this one.

        Raises:
            PaginationError: The server says that there are more records, but sent no cursor.
        """
        return self.next_cursor() is not None

    def next_page_info(self) -> PageInfo | None:
        """Return the query parameters of the page after this one; None if there is no cursor.

        As in the official SDK, the last page has them too: use `has_next_page` to find the end.
        """
        cursor = self._cursor()
        return None if cursor is None else PageInfo({"after": cursor})

    def next_cursor(self) -> str | None:
        """Return the `after` of the next page; None if this is the last page.

        Raises:
            PaginationError: The server says that there are more records, but sent no cursor.
        """
        if self._is_last():
            return None
        cursor = self._cursor()
        if cursor is None:
            raise no_cursor(self)
        return cursor

    def _is_last(self) -> bool:
        return self.has_more is False or (self.has_more is None and not self._parsed())

    def _cursor(self) -> str | None:
        parsed = self._parsed()
        return (parsed[-1].id if parsed else None) or self.last_id or None

    def _parsed(self) -> Sequence[HasId]:
        return self._data.parsed if isinstance(self._data, LazyRecords) else self._data

    async def get_next_page(self) -> Page[RecordT]:
        """Fetch the page after this one. The page after the last one has no records.

        Raises:
            RuntimeError: This page has no cursor, or the client is closed.
            PaginationError: The server says that there are more records, but sent no cursor, or the
                next page has the same cursor.
            CursorExpiredError: The server no longer knows the last record of this page.
            APIError: The request failed; see `asyncckpt.errors`.
            Exception: Any exception of an `api_key` callable.
        """
        cursor = self._cursor()
        if cursor is None:
            self.next_cursor()
            raise RuntimeError("there is no page after this one; call page.has_next_page() first")
        try:
            following = await self.fetch(cursor)
        except APIStatusError as error:
            expired = expired_cursor(error, cursor)
            if expired is None:
                raise
            raise expired from None
        following = _new_records(following, cursor, _ids_of(self))
        if following._cursor() == cursor and not following._is_last():
            raise repeated_cursor(cursor, following)
        return following

    async def iter_pages(self) -> AsyncGenerator[Page[RecordT], None]:
        """Iterate over this page and all later ones, without prefetching.

        `Pager.pages` does the same with prefetching.

        Yields:
            This page, then the later ones in order.

        Raises:
            PaginationError: The server says that there are more records, but its cursors do not
                lead to them.
            CursorExpiredError: The server no longer knows the last record that was yielded.
            APIError: A request failed; the pages before it have been yielded.
            RuntimeError: The client is closed.
            Exception: Any exception of an `api_key` callable.
        """
        walk = PageWalk(self._fetch_from_here, after=None, max_records=None)
        while not walk.is_over:
            yield await walk.next_page(ignore)

    async def _fetch_from_here(self, cursor: str | None, _: OnWire) -> Page[RecordT]:
        return self if cursor is None else await self.fetch(cursor)

    async def __aiter__(self) -> AsyncGenerator[RecordT, None]:
        """Iterate over the records of this page and all later ones, as in the official SDK.

        Yields:
            The records, in the server's order.

        Raises:
            Exception: See `iter_pages`.
        """
        async for page in self.iter_pages():
            for record in page.data:
                yield record


def _ids_of(page: Page[RecordT]) -> frozenset[str]:
    """Return the ids by which rule 3 recognizes records: none for a page with `has_more`."""
    if page.has_more is not None:
        return frozenset()
    return frozenset([record.id for record in page._parsed()])


def _new_records(page: Page[RecordT], cursor: str | None, known: Set[str]) -> Page[RecordT]:
    """Return a page with its new records only, by rule 3.

    Args:
        page: The page after `cursor`.
        cursor: The cursor; None for the beginning of the list.
        known: The ids of the page before.
    """
    if page.has_more is not None or cursor is None:
        return page
    parsed = page._parsed()
    start = next((i for i, record in enumerate(parsed, 1) if record.id == cursor), 0)
    return _with_records(page, [record for record in parsed[start:] if record.id not in known])


def _with_records(page: Page[RecordT], kept: Sequence[HasId]) -> Page[RecordT]:
    """Return a page with some of its records only; this does not create records.

    Args:
        page: The page.
        kept: The records, or the parsed objects that become them, in their order.
    """
    if len(kept) == len(page._parsed()):
        return page
    data = page._data
    kept_data = (
        data.of(kept) if isinstance(data, LazyRecords) else cast("list[RecordT]", list(kept))
    )
    first, last = (kept[0].id, kept[-1].id) if kept else (None, None)
    return attrs.evolve(page, data=kept_data, first_id=first, last_id=last)


def last_record(page: Page[RecordT]) -> HasId | None:
    """Return the last record of a page, or the parsed object that becomes it."""
    parsed = page._parsed()
    return parsed[-1] if parsed else None


def truncated(page: Page[RecordT], max_records: int | None) -> Page[RecordT]:
    """Return the page with its first `max_records` records only; None for all.

    This does not create the records.
    """
    parsed = page._parsed()
    if max_records is None or len(parsed) <= max_records:
        return page
    return attrs.evolve(_with_records(page, parsed[:max_records]), has_more=True)


class PageWalk(Generic[RecordT]):
    """Fetches the pages of a list one after the other, by the rules in this module's docstring.

    Args:
        fetch: Fetches the page after a cursor.
        after: Start after the record with this id; None for the beginning.
        max_records: Stop after this many records; None for no limit.
        restarts: Whether to start the list again if a cursor has expired.

    Attributes:
        is_over: Whether the last page has been fetched.
    """

    def __init__(
        self,
        fetch: Fetch[RecordT],
        *,
        after: str | None,
        max_records: int | None,
        restarts: bool = False,
    ) -> None:
        self.is_over = False
        self._fetch = fetch
        self._after = after
        self._records_left = max_records
        self._restarts = Restarts() if restarts else None
        self._start()

    def _start(self) -> None:
        """Go to the beginning of the list."""
        self._cursor = self._after
        self._previous_ids = frozenset[str]()
        self._cycle_detector = CycleDetector(self._after)
        self._empty_pages = 0
        self._new_error: Callable[[], PaginationError] | None = None

    async def next_page(self, on_wire: OnWire) -> Page[RecordT]:
        """Fetch the next page, truncated to the remaining records of `max_records`.

        Raises:
            PaginationError: See rules 4, 5 and 6.
            CursorExpiredError: See rule 7.
            Exception: Any exception of `fetch`.
        """
        while True:
            page = await self._fetch_next(on_wire)
            has_more = not page._is_last()
            if has_more:
                self._follow(page)
            if self._restarts is None:
                break
            is_empty = not page._parsed()
            page = self._undelivered(page, self._restarts, has_more)
            # A page that has only records delivered before is left out, unless it is the last one.
            if is_empty or page._parsed() or not has_more:
                break
        if self._records_left is not None:
            page = truncated(page, self._records_left)
            self._records_left -= len(page._parsed())
        if self._restarts is not None:
            self._restarts.deliver(page._parsed())
        self.is_over = not has_more or self._records_left == 0
        return page

    def _undelivered(
        self, page: Page[RecordT], restarts: Restarts, has_more: bool
    ) -> Page[RecordT]:
        """Return the page without records delivered before a restart."""
        records = restarts.new_among(page._parsed())
        if not has_more:
            restarts.check_end()
        return _with_records(page, records)

    async def _fetch_next(self, on_wire: OnWire) -> Page[RecordT]:
        while True:
            if self._new_error is not None:
                raise self._new_error()
            try:
                page = await self._fetch(self._cursor, on_wire)
            except APIStatusError as error:
                # The cursor of the first request comes from the caller, and may be anything.
                is_own = self._cursor != self._after
                expired = expired_cursor(error, self._cursor) if is_own else None
                if expired is None:
                    raise
                if self._restarts is None:
                    raise expired from None
            else:
                new = _new_records(page, self._cursor, self._previous_ids)
                self._previous_ids = _ids_of(page)
                return new
            self._restarts.begin(expired)
            self._start()

    def _follow(self, page: Page[RecordT]) -> None:
        """Set the cursor or the error of the next step."""
        self._cursor = cursor = page._cursor()
        if cursor is None:
            self._new_error = functools.partial(no_cursor, page)
            return
        if self._cycle_detector.is_repeated(cursor):
            raise repeated_cursor(cursor, page)
        if page._parsed():
            self._empty_pages = 0
            return
        self._empty_pages += 1
        if self._empty_pages == MAX_EMPTY_PAGES:
            self._new_error = functools.partial(too_many_empty_pages, cursor, page)
