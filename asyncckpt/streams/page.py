"""One page of a list, and the rule by which one page leads to the next.

The rule (the API reference describes `after`, `has_more`, `first_id` and `last_id`, but not what a
client shall do when they contradict each other):

1. ``has_more: false`` ends the list, whatever else the page says.
2. The next page is asked for with ``after`` set to the id of the page's last record. A page without
   records is followed by its `last_id`, if it has one.
3. A server that leaves `has_more` out ends its list with a page without records.
4. A server that says ``has_more: true`` and sends neither records nor a `last_id` gives no way on:
   `PaginationError`. The list may not be complete, and to end it in silence would hide that.
5. A page that leads to itself, or back to an earlier one, would go on for ever: `PaginationError`,
   and the page is not handed out, for its records were handed out before. Circles are found by
   Brent's rule: one cursor is kept and compared with those that follow; after 1, 2, 4, 8… pages the
   newest takes its place, and the latest two are compared as well. So memory does not grow, and a
   circle of one or two pages is noticed before any record comes twice; a longer one later.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeAlias, TypeVar

import attrs

from asyncckpt.errors import PaginationError
from asyncckpt.messages import Response
from asyncckpt.records.base import NO_EXTRA, Extra, HasId

__all__ = ["Fetch", "OnWire", "Page", "PageInfo", "Unmade", "Walk", "ignore"]


RecordT = TypeVar("RecordT", bound=HasId)

OnWire: TypeAlias = Callable[[], None]
"""Called when a request is on the wire, or has to wait before it can be: for its turn, a retry."""

Fetch: TypeAlias = Callable[[str | None, OnWire], Awaitable["Page[RecordT]"]]
"""Gets the page after a cursor; None is the beginning of the list."""


def ignore() -> None:
    """For a request whose moment of sending nobody waits for."""


@attrs.frozen
class PageInfo:
    """What to ask for to get the next page: query parameters, as in the official SDK."""

    params: Mapping[str, str]


class Unmade(Generic[RecordT]):
    """The records of a page that nobody has looked at yet.

    What they are made of has been checked, and tells the next cursor: so the next request can go
    out before they are made, and those that wait for their turn need not be watched by Python's
    garbage collector.

    Args:
        parsed: What they are made of, in the same order and under the same ids.
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
        """The records; made at the first call."""
        if self._made is None:
            self.parsed = self._made = self._to_records(self.parsed)
        return self._made

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
        response: The answer: status, headers, request id, raw bytes.
        fetch: Gets the page after a cursor.
    """

    __match_args__ = ("data", "has_more", "first_id", "last_id", "object", "extra")

    _data: list[RecordT] | Unmade[RecordT] = attrs.field(alias="data")
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
        return self._data.made() if isinstance(self._data, Unmade) else self._data

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(data={self.data!r}, has_more={self.has_more!r}, "
            f"first_id={self.first_id!r}, last_id={self.last_id!r}, object={self.object!r})"
        )

    def has_next_page(self) -> bool:
        """Whether there is a page after this one.

        Raises:
            PaginationError: The server says that there is more, and gives no way to it.
        """
        return self.next_cursor() is not None

    def next_page_info(self) -> PageInfo | None:
        """What to ask for to get the page after this one; None if there is nothing to go on from.

        As in the official SDK it is given for the last page as well; `has_next_page` tells.
        """
        cursor = self._cursor()
        return None if cursor is None else PageInfo({"after": cursor})

    def next_cursor(self) -> str | None:
        """The `after` of the next page; None if this is the last.

        Raises:
            PaginationError: The server says that there is more, and gives no way to it.
        """
        if self.has_more is False or (self.has_more is None and not self._parsed()):
            return None
        cursor = self._cursor()
        if cursor is None:
            raise PaginationError(
                "The server says has_more, but sent no records and no last_id to go on from; "
                "the list may be incomplete",
                cursor=None,
                request=self.response.request,
            )
        return cursor

    def _cursor(self) -> str | None:
        parsed = self._parsed()
        return parsed[-1].id if parsed else self.last_id or None

    def _parsed(self) -> Sequence[HasId]:
        return self._data.parsed if isinstance(self._data, Unmade) else self._data

    async def get_next_page(self) -> Page[RecordT]:
        """Fetch the page after this one; after the last one that is a page without records.

        Raises:
            RuntimeError: There is nothing to go on from; ask `has_next_page` first.
            APIError: The request failed; see `asyncckpt.errors`.
            Exception: What an `api_key` callable raises.
        """
        info = self.next_page_info()
        if info is None:
            raise RuntimeError("there is no page after this one; ask page.has_next_page() first")
        return await self.fetch(info.params["after"])

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
        page, check = self, _CursorCheck(None)
        while True:
            cursor = check.next_cursor(page)
            yield page
            if cursor is None:
                return
            page = await self.fetch(cursor)

    async def __aiter__(self) -> AsyncGenerator[RecordT, None]:
        """Iterate over the records of this page and of all after it, as in the official SDK."""
        async for page in self.iter_pages():
            for record in page.data:
                yield record


class _CursorCheck:
    """Follows the cursors of one list, and notices when they stop leading anywhere.

    Args:
        after: The cursor that the first page was asked for with; None for the beginning.
    """

    def __init__(self, after: str | None) -> None:
        self._last_two: tuple[str | None, str | None] = (None, after)
        self._kept = after
        self._pages = 1
        self._until_replaced = 1

    def next_cursor(self, page: Page[RecordT]) -> str | None:
        """The cursor that follows `page`; None at the end of the list.

        Raises:
            PaginationError: The server gives no way on, or its cursors go in a circle.
        """
        cursor = page.next_cursor()
        if cursor is None:
            return None
        if cursor == self._kept or cursor in self._last_two:
            raise PaginationError(
                f"The server's pages go in a circle: cursor {cursor!r} came back with has_more; "
                "the records after it cannot be reached",
                cursor=cursor,
                request=page.response.request,
            )
        self._last_two = (self._last_two[1], cursor)
        self._until_replaced -= 1
        if not self._until_replaced:
            self._kept = cursor
            self._pages *= 2
            self._until_replaced = self._pages
        return cursor


class Walk(Generic[RecordT]):
    """One way through a list, page by page, by the rule.

    Args:
        fetch: Gets the page after a cursor.
        after: Start after the record of this id; None for the beginning.
        max_records: Stop after so many records; None for no limit.

    Attributes:
        is_over: Whether there is no further page.
    """

    def __init__(self, fetch: Fetch[RecordT], after: str | None, max_records: int | None) -> None:
        self.is_over = False
        self._fetch = fetch
        self._cursor = after
        self._check = _CursorCheck(after)
        self._left = max_records

    async def next_page(self, on_wire: OnWire) -> Page[RecordT]:
        """Fetch the next page, cut to what is left of `max_records`.

        Raises:
            PaginationError: The page gives no way on, or repeats an earlier one.
            Exception: Whatever `fetch` raises.
        """
        page = await self._fetch(self._cursor, on_wire)
        self._cursor = self._check.next_cursor(page)
        if self._left is not None:
            page = _cut(page, self._left)
            self._left -= len(page.data)
        self.is_over = self._cursor is None or self._left == 0
        return page


def _cut(page: Page[RecordT], most: int) -> Page[RecordT]:
    """The page with at most so many records; a page that is short enough stays as it is."""
    if len(page.data) <= most:
        return page
    records = page.data[:most]
    return attrs.evolve(page, data=records, has_more=True, last_id=records[-1].id)
