"""Converts records to Arrow, and with it to pandas and polars."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from asyncckpt.export.batches import BATCH_SIZE, Records, Source, in_thread
from asyncckpt.export.extras import check_extra
from asyncckpt.records.base import Record

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from asyncckpt.export.columns import Kind, Schema

__all__ = ["arrow_schema", "record_batches", "to_arrow", "to_batch", "to_pandas", "to_polars"]

RecordT = TypeVar("RecordT", bound=Record)


def arrow_schema(schema: Schema) -> pa.Schema:
    """Return the Arrow schema of the columns; times are in UTC, to the microsecond."""
    import pyarrow as pa

    types: dict[Kind, pa.DataType] = {
        "text": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "time": pa.timestamp("us", tz="UTC"),
        "json": pa.string(),
    }
    return pa.schema([(column.name, types[column.kind]) for column in schema.columns])


def to_batch(schema: Schema, records: Sequence[Record]) -> pa.RecordBatch:
    """Convert records.

    Raises:
        ColumnError: A record has a value that does not fit its column.
    """
    import pyarrow as pa

    columns = {
        column.name: [column.value(record) for record in records] for column in schema.columns
    }
    return pa.RecordBatch.from_pydict(columns, schema=arrow_schema(schema))


async def record_batches(
    records: Records[RecordT],
    *,
    size: int = BATCH_SIZE,
    record_type: type[RecordT] | None = None,
) -> AsyncGenerator[pa.RecordBatch, None]:
    """Convert records to Arrow while they arrive; memory is needed for one batch at a time.

    This needs the extra ``arrow``.

    Args:
        records: Checkpoints, events, step metrics or jobs, from any iterable or async iterable.
        size: The number of records in a batch; the last one may be smaller. Default 10,000.
        record_type: The class of the records. Default: that of the first one.

    Yields:
        Batches with the columns of `to_row`, in the order of the records; none if there is no
        record. Each has ``__arrow_c_array__``, for other libraries to read it without copying.

    Raises:
        ColumnError: A value does not fit its column; nothing is changed silently.
        ImportError: pyarrow is not installed.
        TypeError: `records` is not iterable, or its records are not all of one class with columns.
        ValueError: `size` is below 1.
        Exception: What the records raise.
    """
    check_extra("arrow", "pyarrow")
    source = Source(records, record_type, size)
    async with aclosing(source.batches()) as batches:
        async for batch in batches:
            yield await in_thread(partial(to_batch, source.schema, batch))


async def to_arrow(
    records: Records[RecordT], *, record_type: type[RecordT] | None = None
) -> pa.Table:
    """Convert records to an Arrow table.

    This needs the extra ``arrow``.

    Args:
        records: Checkpoints, events, step metrics or jobs, from any iterable or async iterable.
        record_type: The class of the records. Default: that of the first one; without a record,
            that of the stream.

    Returns:
        The table, with the columns of `to_row` in the order of the records. It has
        ``__arrow_c_stream__``, so that polars, pandas and DuckDB read it without copying.

    Raises:
        ColumnError: A value does not fit its column; nothing is changed silently.
        ImportError: pyarrow is not installed.
        TypeError: `records` is not iterable, or its records are not all of one class with columns.
        ValueError: There is no record, and the class is not known.
        Exception: What the records raise.
    """
    check_extra("arrow", "pyarrow")
    import pyarrow as pa

    source = Source(records, record_type)
    async with aclosing(source.batches()) as batches:
        converted = [
            await in_thread(partial(to_batch, source.schema, batch)) async for batch in batches
        ]
    return pa.Table.from_batches(converted, schema=arrow_schema(source.schema))


async def to_pandas(
    records: Records[RecordT], *, record_type: type[RecordT] | None = None
) -> pd.DataFrame:
    """Convert records to a pandas DataFrame.

    This needs the extra ``pandas``.

    Args:
        records: Checkpoints, events, step metrics or jobs, from any iterable or async iterable.
        record_type: The class of the records. Default: that of the first one; without a record,
            that of the stream.

    Returns:
        The frame, with the columns of `to_row` in the order of the records. The columns have Arrow
        types (``pandas.ArrowDtype``): a missing value is not NaN, and an integer stays one.

    Raises:
        ColumnError: A value does not fit its column; nothing is changed silently.
        ImportError: pandas or pyarrow is not installed.
        TypeError: `records` is not iterable, or its records are not all of one class with columns.
        ValueError: There is no record, and the class is not known.
        Exception: What the records raise.
    """
    check_extra("pandas", "pandas", "pyarrow")
    import pandas as pd

    table = await to_arrow(records, record_type=record_type)
    # The stubs of pyarrow leave out some types.
    frame: pd.DataFrame = table.to_pandas(  # pyright: ignore[reportUnknownMemberType]
        types_mapper=pd.ArrowDtype
    )
    return frame


async def to_polars(
    records: Records[RecordT], *, record_type: type[RecordT] | None = None
) -> pl.DataFrame:
    """Convert records to a polars DataFrame.

    This needs the extra ``polars``.

    Args:
        records: Checkpoints, events, step metrics or jobs, from any iterable or async iterable.
        record_type: The class of the records. Default: that of the first one; without a record,
            that of the stream.

    Returns:
        The frame, with the columns of `to_row` in the order of the records.

    Raises:
        ColumnError: A value does not fit its column; nothing is changed silently.
        ImportError: polars or pyarrow is not installed.
        TypeError: `records` is not iterable, or its records are not all of one class with columns.
        ValueError: There is no record, and the class is not known.
        Exception: What the records raise.
    """
    check_extra("polars", "polars", "pyarrow")
    import polars as pl

    return pl.DataFrame(await to_arrow(records, record_type=record_type))
