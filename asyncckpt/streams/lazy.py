"""Creates the records of a page when they are first read."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar, cast

from asyncckpt.records.base import HasId

__all__ = ["LazyRecords"]

RecordT = TypeVar("RecordT", bound=HasId)


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

    def of(self, parsed: Sequence[HasId]) -> list[RecordT] | LazyRecords[RecordT]:
        """Return the records of some of the parsed objects, without creating them."""
        if self._records is not None:
            return cast("list[RecordT]", list(parsed))
        return LazyRecords(parsed, self._to_records)

    def __deepcopy__(self, memo: dict[int, object]) -> list[RecordT]:
        return copy.deepcopy(self.get(), memo)

    def __reduce__(self) -> tuple[type[list[RecordT]], tuple[list[RecordT]]]:
        return list, (self.get(),)
