"""Writes records to files; the suffix of a file is its format."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from contextlib import aclosing
from functools import partial
from io import BufferedWriter
from pathlib import Path
from typing import Final, Protocol, TypeVar

from asyncckpt.export.batches import BATCH_SIZE, Records, Source, in_thread
from asyncckpt.export.columns import Schema
from asyncckpt.export.drafts import Draft
from asyncckpt.export.extras import check_extra
from asyncckpt.export.texts import csv_line, json_object
from asyncckpt.records.base import Record

__all__ = ["check_target", "write"]

RecordT = TypeVar("RecordT", bound=Record)


class _Format(Protocol):
    """Writes records to a file in one format."""

    def write(self, records: Sequence[Record]) -> None: ...

    def close(self) -> None:
        """Write the end of the file, if the format has one."""
        ...


class _JSONLines:
    def __init__(self, file: BufferedWriter, schema: Schema | None) -> None:
        self._file = file
        self._schema = schema

    def write(self, records: Sequence[Record]) -> None:
        lines = (json_object(record, self._schema) + "\n" for record in records)
        self._file.write("".join(lines).encode())

    def close(self) -> None:
        pass


class _CSV:
    def __init__(self, file: BufferedWriter, schema: Schema) -> None:
        self._file = file
        self._columns = schema.columns
        self._file.write(csv_line(schema.names).encode())

    def write(self, records: Sequence[Record]) -> None:
        lines = (csv_line([column.value(record) for column in self._columns]) for record in records)
        self._file.write("".join(lines).encode())

    def close(self) -> None:
        pass


class _Parquet:
    def __init__(self, file: BufferedWriter, schema: Schema) -> None:
        from pyarrow.parquet import ParquetWriter

        from asyncckpt.export.arrow import arrow_schema

        self._schema = schema
        self._writer = ParquetWriter(file, arrow_schema(schema))

    def write(self, records: Sequence[Record]) -> None:
        from asyncckpt.export.arrow import to_batch

        self._writer.write_batch(to_batch(self._schema, records))

    def close(self) -> None:
        self._writer.close()


class _Arrow:
    def __init__(self, file: BufferedWriter, schema: Schema) -> None:
        from pyarrow.ipc import new_file

        from asyncckpt.export.arrow import arrow_schema

        self._schema = schema
        self._writer = new_file(file, arrow_schema(schema))

    def write(self, records: Sequence[Record]) -> None:
        from asyncckpt.export.arrow import to_batch

        # The stubs of pyarrow leave out some types.
        self._writer.write(  # pyright: ignore[reportUnknownMemberType]
            to_batch(self._schema, records)
        )

    def close(self) -> None:
        self._writer.close()


_FORMATS: Final[dict[str, Callable[[BufferedWriter, Schema], _Format]]] = {
    ".parquet": _Parquet,
    ".csv": _CSV,
    ".jsonl": _JSONLines,
    ".arrow": _Arrow,
}
_NEED_ARROW: Final = (".parquet", ".arrow")


def check_target(path: str | os.PathLike[str]) -> str:
    """Check that a file can be written in the format of its suffix.

    Returns:
        The suffix, in lower case.

    Raises:
        ImportError: The format needs pyarrow, which is not installed.
        ValueError: There is no such format.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        valid = ", ".join(_FORMATS)
        raise ValueError(f"the suffix of a file is its format: {valid}; got {os.fspath(path)!a}")
    if suffix in _NEED_ARROW:
        check_extra("arrow", "pyarrow")
    return suffix


async def write(
    records: Records[RecordT],
    path: str | os.PathLike[str],
    *,
    fields: Sequence[str] | None = None,
    record_type: type[RecordT] | None = None,
    size: int = BATCH_SIZE,
) -> int:
    """Write records to a file while they arrive; memory is needed for one batch at a time.

    The file is complete or absent: everything is written to a temporary file in the same directory,
    which replaces the file at the end. After an exception or a cancellation the temporary file is
    removed, and a file that was there before is unchanged.

    Args:
        records: Checkpoints, events, step metrics or jobs, from any iterable or async iterable.
        path: The file. Its suffix is the format: ``.parquet`` and ``.arrow`` (Arrow IPC), which
            need the extra ``arrow``, ``.csv``, or ``.jsonl``, the objects as the API sends them.
        fields: The names of the columns to write, in their order. Default: all.
        record_type: The class of the records. Default: that of the first one; without a record,
            that of the stream.
        size: The number of records to convert and write at once. Default 10,000. It is the size of
            a row group in Parquet.

    Returns:
        The number of records.

    Raises:
        ColumnError: A value does not fit its column; nothing is changed silently.
        ImportError: The format needs pyarrow, which is not installed.
        OSError: Writing failed, for example because the disk is full.
        TypeError: `records` is not iterable, or its records are not all of one class with columns.
        ValueError: There is no such format or field, `size` is below 1, or there is no record and
            the class is not known.
        Exception: What the records raise.
    """
    suffix = check_target(path)
    source = Source(records, record_type, size, fields)
    # JSON lines are the records themselves, unless fields are chosen.
    has_columns = suffix != ".jsonl" or fields is not None

    def start(file: BufferedWriter) -> _Format:
        return _FORMATS[suffix](file, source.schema) if has_columns else _JSONLines(file, None)

    output = _Output(Draft(path), start)
    count = 0
    try:
        await in_thread(output.open)
        async with aclosing(source.batches()) as batches:
            async for batch in batches:
                await in_thread(partial(output.write, batch))
                count += len(batch)
        await in_thread(output.finish)
    except BaseException:
        output.discard()
        raise
    return count


class _Output:
    """The file that is being written.

    Args:
        draft: The file.
        start: Writes the beginning of a file in the format.
    """

    def __init__(self, draft: Draft, start: Callable[[BufferedWriter], _Format]) -> None:
        self._draft = draft
        self._start = start
        self._format: _Format | None = None

    def open(self) -> None:
        self._draft.open()

    def write(self, records: Sequence[Record]) -> None:
        self._started().write(records)

    def finish(self) -> None:
        self._started().close()
        self._draft.commit()

    def _started(self) -> _Format:
        if self._format is None:
            self._format = self._start(self._draft.file)
        return self._format

    def discard(self) -> None:
        if self._format is not None:
            # pyarrow writes the end of the file when it is closed, which fails on a full disk.
            with contextlib.suppress(Exception):
                self._format.close()
        self._draft.discard()
