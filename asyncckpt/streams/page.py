"""One page of a list, and the rule by which one page leads to the next.

The API reference describes `after`, `has_more`, `first_id` and `last_id`, but not what a client
does when they contradict each other. This is the rule here:

1. ``has_more: false`` ends the list, whatever else the page says.
2. The next page is requested with ``after`` set to the id of the page's last record. For a page
   without records, or whose last record has an empty id, it is the page's `last_id`.
3. If the server leaves `has_more` out, a page without records ends the list.
4. ``has_more: true`` with no cursor to continue with is a `PaginationError`: the list may be
   incomplete, and to end it silently would hide that. The page itself is good, so it is handed out
   first; the error belongs to the step after it.
5. A page whose cursor was used before leads in a circle: `PaginationError`. This page is not handed
   out, because it ends with a record that was handed out before. Circles are found with Brent's
   algorithm: one cursor is kept and compared with those that follow; after 1, 2, 4, 8… pages the
   newest takes its place. The latest two cursors are compared as well. So memory does not grow, and
   a circle of one or two pages is noticed before any record comes twice, a longer one later.
6. After `MAX_EMPTY_PAGES` pages in a row without records, the next step is a `PaginationError`.
"""

# The functions and classes of this module share what is private to a page.
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
    "cut",
    "ignore",
    "last_record",
]


RecordT = TypeVar("RecordT", bound=HasId)

OnWire: TypeAlias = Callable[[], None]
"""Called when a request is on the wire, or has to wait before it can be: for its turn, a retry."""

Fetch: TypeAlias = Callable[[str | None, OnWire], Awaitable["Page[RecordT]"]]
"""Fetches the page after a cursor; None is the beginning of the list."""

MAX_EMPTY_PAGES: Final = 100
"""Pages in a row that may be without records.

A server that filters a page after it has read it may send some. A hundred of them are 10,000
records that were filtered out, 100 to a page; a server that sends more is taken to be broken.
"""


def ignore() -> None:
    """Do nothing; the `OnWire` of a request that nobody waits for."""


@attrs.frozen
class PageInfo:
    """How to request the next page: query parameters, as in the official SDK."""

    params: Mapping[str, str]


class LazyRecords(Generic[RecordT]):
    """The records of a page, made when they are first asked for.

    What they are made of has been checked, and holds the next cursor. So the next request can be
    sent before the records are made, and pages that wait for their turn hold no objects that
    Python's garbage collector has to visit.

    Args:
        parsed: What they are made of, in the same order and with the same ids.
        to_records: Makes them.
    """

    def __init__(
        self,
        parsed: Sequence[HasId],
        to_records: Callable[[Sequence[HasId]], list[RecordT]],
    ) -> None:
        self.parsed = parsed
        self._to_records = to_records
        self._made: list[RecordT] | None = None

    def made(self) -> list[RecordT]:
        """Return the records, which the first call makes."""
        if self._made is None:
            self.parsed = self._made = self._to_records(self.parsed)
        return self._made

    def first(self, number: int) -> list[RecordT] | LazyRecords[RecordT]:
        """Return the first records, without making them."""
        if self._made is not None:
            return self._made[:number]
        return LazyRecords(self.parsed[:number], self._to_records)

    def __deepcopy__(self, memo: dict[int, object]) -> list[RecordT]:
        return copy.deepcopy(self.made(), memo)

    def __reduce__(self) -> tuple[type[list[RecordT]], tuple[list[RecordT]]]:
        return list, (self.made(),)


@attrs.frozen(eq=False, repr=False, match_args=False)
class Page(Generic[RecordT]):
    """One page of a list, as the server sent it.

    Attributes:
        has_more: Whether the server has more after this page; None if it did not say.
        first_id: The id of the first record, if the server sent it.
        last_id: The id of the last record, if the server sent it.
        object: Always ``"list"``.
        extra: Fields of the page that this record does not name.
        response: The response: status, headers, request id, raw bytes.
        fetch: Fetches the page after a cursor.
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

    @property
    def data(self) -> list[RecordT]:
        """The records, in the server's order; checkpoints and jobs come newest first."""
        return self._data.made() if isinstance(self._data, LazyRecords) else self._data

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(data={self.data!r}, has_more={self.has_more!r}, "
            f"first_id={self.first_id!r}, last_id={self.last_id!r}, object={self.object!r})"
        )

    def has_next_page(self) -> bool:
        """Return whether there is a page after this one.

        Raises:
            PaginationError: The server says that there is more, but sent no cursor to it.
        """
        return self.next_cursor() is not None

    def next_page_info(self) -> PageInfo | None:
        """Return how to request the page after this one; None if there is no cursor.

        As in the official SDK, the last page has this as well; use `has_next_page` to tell.
        """
        cursor = self._cursor()
        return None if cursor is None else PageInfo({"after": cursor})

    def next_cursor(self) -> str | None:
        """Return the `after` of the next page; None if this is the last.

        Raises:
            PaginationError: The server says that there is more, but sent no cursor to it.
        """
        if self._is_last():
            return None
        cursor = self._cursor()
        if cursor is None:
            raise _no_cursor(self.response.request)
        return cursor

    def _is_last(self) -> bool:
        return self.has_more is False or (self.has_more is None and not self._parsed())

    def _cursor(self) -> str | None:
        parsed = self._parsed()
        return (parsed[-1].id if parsed else None) or self.last_id or None

    def _parsed(self) -> Sequence[HasId]:
        return self._data.parsed if isinstance(self._data, LazyRecords) else self._data

    async def get_next_page(self) -> Page[RecordT]:
        """Fetch the page after this one; the page after the last one has no records.

        Raises:
            RuntimeError: There is no cursor to continue with; call `has_next_page` first.
            PaginationError: The server says that there is more, but sent no cursor to it; or the
                next page leads to itself.
            APIError: The request failed; see `asyncckpt.errors`.
            Exception: What an `api_key` callable raises.
        """
        cursor = self._cursor()
        if cursor is None:
            self.next_cursor()
            raise RuntimeError("there is no page after this one; call page.has_next_page() first")
        following = await self.fetch(cursor)
        if following._cursor() == cursor and not following._is_last():
            raise _circle(cursor, following.response.request)
        return following

    async def iter_pages(self) -> AsyncGenerator[Page[RecordT], None]:
        """Iterate over this page and all after it, one request at a time.

        `Pager.pages` does the same and fetches ahead.

        Yields:
            This page first, then those after it.

        Raises:
            PaginationError: The server's cursors lead nowhere.
            APIError: A request failed; the pages before it have been yielded.
            Exception: What an `api_key` callable raises.
        """
        walk = PageWalk(self._fetch_from_here, after=None, max_records=None)
        while not walk.is_over:
            yield await walk.next_page(ignore)

    async def _fetch_from_here(self, cursor: str | None, _: OnWire) -> Page[RecordT]:
        return self if cursor is None else await self.fetch(cursor)

    async def __aiter__(self) -> AsyncGenerator[RecordT, None]:
        """Iterate over the records of this page and of all after it, as in the official SDK."""
        async for page in self.iter_pages():
            for record in page.data:
                yield record


def last_record(page: Page[RecordT]) -> HasId | None:
    """Return something with the id of the page's last record, without making records."""
    parsed = page._parsed()
    return parsed[-1] if parsed else None


def cut(page: Page[RecordT], most: int | None) -> Page[RecordT]:
    """Return the page with at most this many records, without making them; None for all."""
    parsed, data = page._parsed(), page._data
    if most is None or len(parsed) <= most:
        return page
    first = data.first(most) if isinstance(data, LazyRecords) else data[:most]
    return attrs.evolve(page, data=first, has_more=True, last_id=parsed[most - 1].id)


class PageWalk(Generic[RecordT]):
    """One pass through a list, page by page, by the rule in this module's docstring.

    Args:
        fetch: Fetches the page after a cursor.
        after: Start after the record with this id; None for the beginning.
        max_records: Stop after this many records; None for no limit.

    Attributes:
        is_over: Whether there is no further page.
    """

    def __init__(
        self, fetch: Fetch[RecordT], *, after: str | None, max_records: int | None
    ) -> None:
        self.is_over = False
        self._fetch = fetch
        self._cursor = after
        self._left = max_records
        self._circles = _CircleCheck(after)
        self._empty_pages = 0
        self._dead_end: Callable[[], PaginationError] | None = None

    async def next_page(self, on_wire: OnWire) -> Page[RecordT]:
        """Fetch the next page, cut to what is left of `max_records`.

        Raises:
            PaginationError: The page before gave no way on, or this one leads in a circle.
            Exception: Whatever `fetch` raises.
        """
        if self._dead_end is not None:
            raise self._dead_end()
        page = await self._fetch(self._cursor, on_wire)
        has_more = not page._is_last()
        if has_more:
            self._follow(page)
        if self._left is not None:
            page = cut(page, self._left)
            self._left -= len(page._parsed())
        self.is_over = not has_more or self._left == 0
        return page

    def _follow(self, page: Page[RecordT]) -> None:
        """Set the cursor of the next page, or what is wrong with it."""
        self._cursor = cursor = page._cursor()
        if cursor is None:
            self._dead_end = functools.partial(_no_cursor, page.response.request)
            return
        if self._circles.is_closed_by(cursor):
            raise _circle(cursor, page.response.request)
        if page._parsed():
            self._empty_pages = 0
            return
        self._empty_pages += 1
        if self._empty_pages == MAX_EMPTY_PAGES:
            self._dead_end = functools.partial(_too_many_empty_pages, cursor, page.response.request)


class _CircleCheck:
    """Notices, by Brent's algorithm, when the cursors of one list go in a circle.

    Args:
        after: The cursor that the first page is requested with; None for the beginning.
    """

    def __init__(self, after: str | None) -> None:
        self._last_two: tuple[str | None, str | None] = (None, after)
        self._kept = after
        self._pages = 1
        self._until_replaced = 1

    def is_closed_by(self, cursor: str) -> bool:
        """Compare a new cursor with those that are kept, and keep it."""
        if cursor == self._kept or cursor in self._last_two:
            return True
        self._last_two = (self._last_two[1], cursor)
        self._until_replaced -= 1
        if not self._until_replaced:
            self._kept = cursor
            self._pages *= 2
            self._until_replaced = self._pages
        return False


def _no_cursor(request: Request) -> PaginationError:
    return PaginationError(
        "The server says has_more, but sent no id to continue after; the list may be incomplete",
        cursor=None,
        request=request,
    )


def _circle(cursor: str, request: Request) -> PaginationError:
    return PaginationError(
        f"The server's pages go in a circle: cursor {safe_text(cursor, repr)} came back with "
        "has_more; the records after it cannot be reached",
        cursor=cursor,
        request=request,
    )


def _too_many_empty_pages(cursor: str, request: Request) -> PaginationError:
    return PaginationError(
        f"The server sent {MAX_EMPTY_PAGES} pages in a row without records, and says has_more at "
        f"cursor {safe_text(cursor, repr)}; the list may be incomplete",
        cursor=cursor,
        request=request,
    )
