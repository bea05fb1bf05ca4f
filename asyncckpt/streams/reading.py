"""Decides how far to read a list to find what is new in it. Nothing here awaits.

A list has no documented order, so the order is read off the pages:

- Newest first, as at OpenAI: reading stops at known items, but only on a page whose times fall, and
  as long as no time on the pages before has risen.
- Oldest first: reading starts near the end of the list, and the last `OVERLAP` items come again.
  If they do not, because the cursor is gone or ignored, the list is read from its beginning.
- No order: the list is read completely.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

import attrs

from asyncckpt.records.base import HasId
from asyncckpt.streams.seen import Seen, digest_of

__all__ = [
    "MAX_NEW",
    "OVERLAP",
    "Order",
    "Place",
    "Reading",
    "ReadingCursor",
    "Step",
    "digest_of_record",
]

RecordT = TypeVar("RecordT", bound=HasId)

OVERLAP: Final = 19
"""How many known items are read again at the end of a list that is oldest first."""

MAX_NEW: Final = 250_000
"""The highest number of new items of one list that are held in memory."""


@attrs.frozen(order=True)
class Place:
    """Where an item belongs in the order of its list.

    Attributes:
        time: The time, or whatever else the items are ordered by.
        tie: Orders items of the same time.
    """

    time: int
    tie: int = 0


class Order(enum.Enum):
    """The order of a list, as far as the last complete reading shows."""

    UNKNOWN = enum.auto()
    NEWEST_FIRST = enum.auto()
    OLDEST_FIRST = enum.auto()


class Step(enum.Enum):
    """What to do after a page."""

    CONTINUE = enum.auto()
    STOP = enum.auto()
    RESTART = enum.auto()


@attrs.frozen
class ReadingCursor:
    """Where to continue a list that is oldest first.

    Attributes:
        after: The id of an item near the end of the list.
        expected: The digest of the item after it, which must come first.
    """

    after: str
    expected: str


def digest_of_record(record: HasId) -> str:
    """Return what identifies a record: its id, or all of it if the id is empty."""
    return digest_of(record.id or repr(record))


class Reading(Generic[RecordT]):
    """One reading of a list.

    Args:
        seen: The items that have been handed out.
        place_of: Returns the place of a record.
        learned: The order that earlier readings have shown.
        cursor: Where to continue a list that is oldest first; None for the beginning.
        thorough: Whether to stop only after a page of nothing but known items. Otherwise, a known
            item at the end of a page is enough.
        left: The new records of an earlier reading that were not handed out.

    Attributes:
        found: The new records, in the order of the list.
    """

    def __init__(
        self,
        seen: Seen,
        place_of: Callable[[RecordT], Place],
        *,
        learned: Order = Order.UNKNOWN,
        cursor: ReadingCursor | None = None,
        thorough: bool = True,
        left: Sequence[RecordT] = (),
    ) -> None:
        self.found: list[RecordT] = []
        self._left = left
        self._seen = seen
        self._place_of = place_of
        self._learned = learned
        self._cursor = cursor
        self._thorough = thorough
        self._new: set[str] = set()
        self._before: Place | None = None
        self._rises = False
        self._falls = False
        self._last: deque[str] = deque([cursor.after] if cursor else [], maxlen=OVERLAP + 1)
        self._is_first_page = True

    def add(self, records: Sequence[RecordT]) -> Step:
        """Take a page into account, and return what to do next.

        Args:
            records: The records of the page.
        """
        if self._is_first_page:
            self._is_first_page = False
            if self._cursor is not None and not self._continues(records):
                return Step.RESTART
        known = 0
        is_last_known = False
        for record in records:
            place, digest = self._place_of(record), digest_of_record(record)
            self._compare(place)
            self._last.append(record.id)
            is_last_known = self._seen.has(digest, place.time)
            if is_last_known:
                known += 1
            elif digest not in self._new:
                self._new.add(digest)
                self.found.append(record)
        is_enough = bool(records) and (known == len(records) if self._thorough else is_last_known)
        return Step.STOP if is_enough and self._shows_newest_first() else Step.CONTINUE

    def order(self) -> Order:
        """Return the order that this reading has shown, after its end."""
        if self._rises and self._falls:
            return Order.UNKNOWN
        if self._falls:
            return Order.NEWEST_FIRST
        if self._rises:
            return Order.OLDEST_FIRST
        return self._learned

    def cursor(self) -> ReadingCursor | None:
        """Return where the next reading can continue; None for the beginning."""
        is_long = len(self._last) > OVERLAP
        if self.order() is not Order.OLDEST_FIRST or not is_long or not all(self._last):
            return None
        return ReadingCursor(self._last[0], digest_of(self._last[1]))

    def oldest_first(self) -> list[RecordT]:
        """Return the new records in ascending order; those of the same place as in the list."""
        # The API lists newest first, so this is assumed where all records have the same place.
        is_reversed = self.order() is not Order.OLDEST_FIRST
        records = self.found[::-1] if is_reversed else self.found
        return sorted([*self._gone(), *records], key=self._place_of)

    def _gone(self) -> list[RecordT]:
        """Return the records that an earlier reading has found, and this one has not."""
        return [record for record in self._left if digest_of_record(record) not in self._new]

    def _continues(self, records: Sequence[RecordT]) -> bool:
        return (
            self._cursor is not None
            and bool(records)
            and digest_of_record(records[0]) == self._cursor.expected
        )

    def _compare(self, place: Place) -> None:
        if self._before is not None:
            self._rises |= place > self._before
            self._falls |= place < self._before
        self._before = place

    def _shows_newest_first(self) -> bool:
        return not self._rises and (self._falls or self._learned is Order.NEWEST_FIRST)
