"""Follows one list of one job: reads what is new in it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Generic, Protocol, TypeVar

from asyncckpt.errors import APIStatusError, PaginationError
from asyncckpt.records.base import HasId
from asyncckpt.streams.page import OnWire, Page, PageWalk, ignore
from asyncckpt.streams.reading import (
    MAX_NEW,
    Order,
    Place,
    Reading,
    Step,
    digest_of_record,
)
from asyncckpt.streams.resumption import ListState

__all__ = ["Follower", "ListSource", "TooManyRecordsError"]

RecordT = TypeVar("RecordT", bound=HasId)

_READINGS: Final = 3
"""How often a reading is begun, if cursors are rejected."""

_REJECTIONS: Final = frozenset({400, 404, 410, 422})


class TooManyRecordsError(PaginationError):
    """A list has more new records than are held in memory."""


class ListSource(Protocol[RecordT]):
    """Fetches the pages of a list, small or large."""

    def __call__(self, after: str | None, *, small: bool) -> Awaitable[Page[RecordT]]:
        """Fetch the page after a cursor; None is the beginning of the list."""
        ...


class Follower(Generic[RecordT]):
    """Follows one list.

    Args:
        source: Fetches the pages.
        place_of: Returns the place of a record in the order of the list.
        state: What has been handed out.
    """

    def __init__(
        self, source: ListSource[RecordT], place_of: Callable[[RecordT], Place], state: ListState
    ) -> None:
        self._source = source
        self._place_of = place_of
        self._state = state
        self._cursor = state.cursor
        self._order = Order.UNKNOWN if state.cursor is None else Order.OLDEST_FIRST
        self._reading: Reading[RecordT] | None = None
        self._is_complete = False

    async def read(self, *, thorough: bool) -> list[RecordT]:
        """Read the records that have not been handed out; `commit` if they are going to be.

        If a request fails, or if the records are not handed out, the next call returns them, also
        if the server has deleted them in between.

        Args:
            thorough: Whether to request large pages, and to read until all records of a page are
                known.

        Returns:
            The records, in ascending order.

        Raises:
            APIError: A request failed.
            PaginationError: The server's cursors do not lead to all records.
            TooManyRecordsError: There are more than `MAX_NEW` new records.
        """
        for _ in range(_READINGS - 1):
            reading = await self._attempt(thorough=thorough)
            if reading is not None:
                return reading
            self._cursor = None
        reading = await self._attempt(thorough=thorough)
        if reading is None:
            raise PaginationError(
                "The server rejects the cursors that it sent; the list may be incomplete",
                cursor=None,
            )
        return reading

    def hand_out(self, record: RecordT) -> None:
        """Record that a record is handed out."""
        self._state.seen.add(digest_of_record(record), self._place_of(record).time)

    def settle(self) -> None:
        """Record that all that was read has been handed out."""
        self._state.cursor = self._cursor

    def commit(self) -> None:
        """Start the next reading where the last one has ended."""
        if self._reading is not None and self._is_complete:
            self._order, self._cursor = self._reading.order(), self._reading.cursor()
            self._reading = None

    async def _attempt(self, *, thorough: bool) -> list[RecordT] | None:
        """Read the new records; return None if a cursor does not lead further."""
        start = self._cursor
        left = [] if self._reading is None else self._reading.oldest_first()
        reading = self._reading = Reading(
            self._state.seen,
            self._place_of,
            learned=self._order,
            cursor=start,
            thorough=thorough,
            left=left,
        )
        self._is_complete = False
        cursors: list[str | None] = []

        async def fetch(after: str | None, _: OnWire) -> Page[RecordT]:
            cursors[:] = [after]
            is_first = after is None or (start is not None and after == start.after)
            return await self._source(after, small=is_first and not thorough)

        walk = PageWalk(fetch, after=start.after if start else None, max_records=None)
        step = Step.CONTINUE
        while not walk.is_over and step is Step.CONTINUE:
            try:
                page = await walk.next_page(ignore)
            except APIStatusError as error:
                if cursors[0] is None or error.status_code not in _REJECTIONS:
                    raise
                # The record that the cursor names is gone.
                return None
            step = reading.add(page.data)
            if len(left) + len(reading.found) > MAX_NEW:
                raise _too_many(page)
        if step is Step.RESTART:
            return None
        self._is_complete = True
        return reading.oldest_first()


def _too_many(page: Page[RecordT]) -> TooManyRecordsError:
    return TooManyRecordsError(
        f"The list has more than {MAX_NEW:,} new records",
        cursor=None,
        request=page.response.request,
    )
