"""Takes records from any iterable in batches, and works on a batch in a thread.

Converting and writing ten thousand records takes tens of milliseconds. In a thread this does not
delay the event loop, so that the next pages are fetched meanwhile.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Sequence
from itertools import islice
from typing import Final, Generic, TypeAlias, TypeVar

from asyncckpt.export.columns import Schema, schema_of
from asyncckpt.options import check_count
from asyncckpt.records.base import Record

__all__ = ["BATCH_SIZE", "Records", "Source", "in_thread"]

RecordT = TypeVar("RecordT", bound=Record)
ResultT = TypeVar("ResultT")

Records: TypeAlias = AsyncIterable[RecordT] | Iterable[RecordT]
"""Any iterable or async iterable of records, such as a `Pager` or a list."""

BATCH_SIZE: Final = 10_000


class Source(Generic[RecordT]):
    """The records to convert, all of one class.

    Args:
        records: The records.
        record_type: Their class. None for that of the first record, or of the stream's records if
            there is no record.
        size: The maximum number of records in a batch.
        fields: The names of the columns to convert; None for all.

    Raises:
        TypeError: `records` is not iterable, or there is no schema for `record_type`.
        ValueError: `size` is below 1, or there is no such field.
    """

    def __init__(
        self,
        records: Records[RecordT],
        record_type: type[RecordT] | None,
        size: int = BATCH_SIZE,
        fields: Sequence[str] | None = None,
    ) -> None:
        if isinstance(records, str | bytes) or not isinstance(records, AsyncIterable | Iterable):
            raise TypeError(
                "records must be an iterable or async iterable of records, not "
                f"{type(records).__name__}"
            )
        check_count("size", size, least=1)
        self._records = records
        # The streams of this package know the class.
        self._type: type[object] | None = record_type or getattr(records, "record_type", None)
        self._size = size
        self._fields = fields
        self._count = 0
        if self._type is not None:
            _ = self.schema

    async def batches(self) -> AsyncGenerator[list[RecordT], None]:
        """Iterate over the records, and close their iterator at the end.

        Yields:
            Batches that are not empty, in order.

        Raises:
            TypeError: A record is not of the same class as those before it.
            Exception: Any exception of the iterator.
        """
        if isinstance(self._records, AsyncIterable):
            batches = self._collected(self._records)
            try:
                async for batch in batches:
                    yield self._checked(batch)
            finally:
                await batches.aclose()
        else:
            iterator = iter(self._records)
            while batch := list(islice(iterator, self._size)):
                yield self._checked(batch)

    async def _collected(
        self, records: AsyncIterable[RecordT]
    ) -> AsyncGenerator[list[RecordT], None]:
        iterator = aiter(records)
        batch: list[RecordT] = []
        try:
            async for record in iterator:
                batch.append(record)
                if len(batch) == self._size:
                    yield batch
                    batch = []
            if batch:
                yield batch
        finally:
            if isinstance(iterator, AsyncGenerator):
                await iterator.aclose()

    def _checked(self, batch: list[RecordT]) -> list[RecordT]:
        if self._type is None:
            self._type = type(batch[0])
        for kind in set(map(type, batch)):
            if not issubclass(kind, self._type):
                index = next(i for i, record in enumerate(batch) if type(record) is kind)
                raise TypeError(
                    f"record {self._count + index} is a {kind.__name__}, expected a "
                    f"{self._type.__name__}: all records must be of one class"
                )
        self._count += len(batch)
        return batch

    @functools.cached_property
    def schema(self) -> Schema:
        """The columns of the records.

        Raises:
            TypeError: There is no schema for their class.
            ValueError: There is no record so far, and no class is known; or there is no such field.
        """
        if self._type is None:
            raise ValueError(
                "there is no record, so the columns are not known: pass the class of the records "
                "as record_type"
            )
        schema = schema_of(self._type)
        return schema if self._fields is None else schema.select(self._fields)


async def in_thread(call: Callable[[], ResultT], stop: threading.Event | None = None) -> ResultT:
    """Call a function in a thread, and wait until it returns, even if cancelled.

    Args:
        call: The function.
        stop: Set if the caller is cancelled, for a function that can end early.

    Returns:
        What the function returns.

    Raises:
        asyncio.CancelledError: The caller was cancelled; the function has returned nevertheless.
        Exception: What the function raises.
    """
    future = asyncio.get_running_loop().run_in_executor(None, call)
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
            if stop is not None:
                stop.set()
    try:
        if cancelled is not None:
            # An exception that nobody retrieves would be logged.
            future.exception()
            raise cancelled
        return future.result()
    finally:
        # The traceback of an exception refers to this frame; this breaks the reference cycle.
        del future, cancelled
