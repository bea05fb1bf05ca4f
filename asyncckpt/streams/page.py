"""Defines a page of a list, and the rules for requesting the next page.

The API reference describes `after`, `has_more`, `first_id` and `last_id`, but not what a client
should do if they contradict each other. These are the rules of this package:

1. ``has_more: false`` ends the list, even if the page has a cursor.
2. The cursor of the next page (`after`) is the id of the last record. If there is no record, or the
   id is empty, it is the `last_id` of the page.
3. If the server does not send `has_more`, a page without records ends the list.
4. ``has_more: true`` without a cursor is a `PaginationError`, because the list may be incomplete.
   The page itself is valid: it is returned, and the next step raises the error.
5. A page with the same cursor as an earlier page is a `PaginationError`. The page is not returned,
   because its last record was returned before. Brent's cycle detection finds it: one earlier cursor
   is kept for comparison, and replaced by the newest after 1, 2, 4, 8, … pages. The last two
   cursors are compared too. So a cycle of one or two pages is found before any record is returned
   twice. A longer cycle is found later. The memory use is constant.
6. After `MAX_EMPTY_PAGES` consecutive pages without records, the next step raises a
   `PaginationError`.
"""

# The functions and classes of this module use private attributes of `Page`.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import copy
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Final, Generic, TypeAlias, TypeVar

import attrs

from asyncckpt.errors import PaginationError
from asyncckpt.messages import Request, Response
from asyncckpt.records.base import NO_EXTRA, Extra, HasId
from asyncckpt.streams.text import safe_text

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

MAX_EMPTY_PAGES: Final = 100
"""The highest number of consecutive pages without records.

A server that filters records after reading a page can send empty pages. With 100 records per page,
100 empty pages mean 10,000 filtered records. More empty pages are treated as a fault of the server.
"""


def ignore() -> None:
    """Do nothing; an `OnWire` for callers that only wait for the response."""


@attrs.frozen
class PageInfo:
    """The query parameters of the next page, as in the official SDK."""

    params: Mapping[str, str]


class LazyRecords(Generic[RecordT]):
    """The records of a page, created on first access.

    The parsed objects are checked, and have the ids of the records. So the next page can be
    requested before the records are created. Pages in a queue have no objects that the garbage
    collector must visit.

    Args:
        parsed: The parsed objects, in the order of the records and with the same ids.
        to_records: Converts them to records.
    """

    def __init__(
        self,
        parsed: Sequence[HasId],
        to_records: Callable[[Sequence[HasId]], list[RecordT]],
    ) -> None:
        self.parsed = parsed
        self._to_records = to_records
        self._records: list[RecordT] | None = None

    def get(self) -> list[RecordT]:
        """Return the records; the first call creates them."""
        if self._records is None:
            self.parsed = self._records = self._to_records(self.parsed)
        return self._records

    def first(self, number: int) -> list[RecordT] | LazyRecords[RecordT]:
        """Return the first records, without creating them."""
        if self._records is not None:
            return self._records[:number]
        return LazyRecords(self.parsed[:number], self._to_records)

    def __deepcopy__(self, memo: dict[int, object]) -> list[RecordT]:
        return copy.deepcopy(self.get(), memo)

    def __reduce__(self) -> tuple[type[list[RecordT]], tuple[list[RecordT]]]:
        return list, (self.get(),)


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

    @property
    def data(self) -> list[RecordT]:
        """The records, in the server's order; OpenAI sends the newest first."""
        return self._data.get() if isinstance(self._data, LazyRecords) else self._data

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
            raise _no_cursor(self)
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
            APIError: The request failed; see `asyncckpt.errors`.
            Exception: Any exception of an `api_key` callable.
        """
        cursor = self._cursor()
        if cursor is None:
            self.next_cursor()
            raise RuntimeError("there is no page after this one; call page.has_next_page() first")
        following = await self.fetch(cursor)
        if following._cursor() == cursor and not following._is_last():
            raise _repeated_cursor(cursor, following)
        return following

    async def iter_pages(self) -> AsyncGenerator[Page[RecordT], None]:
        """Iterate over this page and all later ones, without prefetching.

        `Pager.pages` does the same with prefetching.

        Yields:
            This page, then the later ones in order.

        Raises:
            PaginationError: The server says that there are more records, but its cursors do not
                lead to them.
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


def last_record(page: Page[RecordT]) -> HasId | None:
    """Return the last record of a page, or the parsed object that becomes it."""
    parsed = page._parsed()
    return parsed[-1] if parsed else None


def truncated(page: Page[RecordT], max_records: int | None) -> Page[RecordT]:
    """Return the page with its first `max_records` records only; None for all.

    This does not create the records.
    """
    parsed, data = page._parsed(), page._data
    if max_records is None or len(parsed) <= max_records:
        return page
    first = data.first(max_records) if isinstance(data, LazyRecords) else data[:max_records]
    return attrs.evolve(page, data=first, has_more=True, last_id=parsed[max_records - 1].id)


class PageWalk(Generic[RecordT]):
    """Fetches the pages of a list one after the other, by the rules in this module's docstring.

    Args:
        fetch: Fetches the page after a cursor.
        after: Start after the record with this id; None for the beginning.
        max_records: Stop after this many records; None for no limit.

    Attributes:
        is_over: Whether the last page has been fetched.
    """

    def __init__(
        self, fetch: Fetch[RecordT], *, after: str | None, max_records: int | None
    ) -> None:
        self.is_over = False
        self._fetch = fetch
        self._cursor = after
        self._records_left = max_records
        self._cycle_detector = _CycleDetector(after)
        self._empty_pages = 0
        self._new_error: Callable[[], PaginationError] | None = None

    async def next_page(self, on_wire: OnWire) -> Page[RecordT]:
        """Fetch the next page, truncated to the remaining records of `max_records`.

        Raises:
            PaginationError: See rules 4, 5 and 6.
            Exception: Any exception of `fetch`.
        """
        if self._new_error is not None:
            raise self._new_error()
        page = await self._fetch(self._cursor, on_wire)
        has_more = not page._is_last()
        if has_more:
            self._follow(page)
        if self._records_left is not None:
            page = truncated(page, self._records_left)
            self._records_left -= len(page._parsed())
        self.is_over = not has_more or self._records_left == 0
        return page

    def _follow(self, page: Page[RecordT]) -> None:
        """Set the cursor or the error of the next step."""
        self._cursor = cursor = page._cursor()
        if cursor is None:
            self._new_error = functools.partial(_no_cursor, page)
            return
        if self._cycle_detector.is_repeated(cursor):
            raise _repeated_cursor(cursor, page)
        if page._parsed():
            self._empty_pages = 0
            return
        self._empty_pages += 1
        if self._empty_pages == MAX_EMPTY_PAGES:
            self._new_error = functools.partial(_too_many_empty_pages, cursor, page)


class _CycleDetector:
    """Detects a cycle in the cursors of a list, with Brent's algorithm.

    Args:
        after: The cursor of the first request; None for the beginning.
    """

    def __init__(self, after: str | None) -> None:
        self._last_two: tuple[str | None, str | None] = (None, after)
        self._kept = after
        self._pages = 1
        self._until_replaced = 1

    def is_repeated(self, cursor: str) -> bool:
        """Return whether a new cursor equals one of those kept for comparison, and keep it."""
        if cursor == self._kept or cursor in self._last_two:
            return True
        self._last_two = (self._last_two[1], cursor)
        self._until_replaced -= 1
        if not self._until_replaced:
            self._kept = cursor
            self._pages *= 2
            self._until_replaced = self._pages
        return False


def _no_cursor(page: Page[RecordT]) -> PaginationError:
    return _pagination_error(
        page,
        None,
        "The server sent has_more, but no id to continue after; the list may be incomplete",
    )


def _repeated_cursor(cursor: str, page: Page[RecordT]) -> PaginationError:
    return _pagination_error(
        page,
        cursor,
        "The server's pages repeat: it sent cursor {} again, with has_more; the list may be "
        "incomplete",
    )


def _too_many_empty_pages(cursor: str, page: Page[RecordT]) -> PaginationError:
    return _pagination_error(
        page,
        cursor,
        f"The server sent {MAX_EMPTY_PAGES} consecutive pages without records, but with has_more; "
        "the last cursor is {}; the list may be incomplete",
    )


def _pagination_error(page: Page[RecordT], cursor: str | None, message: str) -> PaginationError:
    # The server may send anything as a cursor, also the key of the request.
    cursor = None if cursor is None else page.mask(cursor)
    request = page.response.request
    return PaginationError(
        message.format(safe_text(cursor, repr)),
        cursor=cursor,
        request=Request(request.method, page.mask(request.url)),
    )
