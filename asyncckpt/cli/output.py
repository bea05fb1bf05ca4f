"""Writes records as a table, JSON lines, CSV or JSON."""

from __future__ import annotations

import codecs
import io
import json
import sys
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar, Generic, Literal, TextIO, TypeVar

import attrs

from asyncckpt.cli.terminal import printable, printable_json
from asyncckpt.export.texts import csv_line, json_object
from asyncckpt.records.base import Record

if TYPE_CHECKING:
    from asyncckpt.cli.layouts import Layout
    from asyncckpt.export.columns import Schema, Value

__all__ = ["Column", "Format", "TableWriter", "Writer", "shown_time", "writer_for"]

Format = Literal["table", "jsonl", "csv", "json"]
RecordT = TypeVar("RecordT")
ShownT = TypeVar("ShownT", bound=Record)


@attrs.frozen
class Column(Generic[RecordT]):
    """A column of the table.

    The width is fixed, because rows are written before later ones arrive.

    Attributes:
        title: Its title.
        width: The number of characters of its cells; if they are wrapped, the least number.
        cell: Returns the text of a record.
        right: Whether the text is aligned to the right.
        wraps: Whether text that is longer than the rest of the line continues below; only for the
            last column.
    """

    title: str
    width: int
    cell: Callable[[RecordT], str]
    right: bool = False
    wraps: bool = False

    def fit(self, text: str) -> str:
        """Pad text to the width of the column; longer text is not cut."""
        return text.rjust(self.width) if self.right else text.ljust(self.width)


def writer_for(format_: Format | None, out: TextIO, layout: Layout[ShownT]) -> Writer[ShownT]:
    """Return the writer for a format.

    Args:
        format_: The format; None for a table on a terminal and JSON lines elsewhere.
        out: The output.
        layout: What to show of a record.
    """
    if format_ is None:
        format_ = "table" if out.isatty() else "jsonl"
    match format_:
        case "table":
            columns = tuple(layout.columns.values())
            return TableWriter(out, columns, layout.heading_of, may_omit=not layout.is_selection)
        case "jsonl":
            return JSONLinesWriter(out, layout.schema_of_json)
        case "csv":
            return CSVWriter(out, layout.schema)
        case "json":
            return JSONWriter(out, layout.schema_of_json)


def _escape_in_json(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


# The handler "backslashreplace" writes escapes such as \xe9, which JSON does not allow.
codecs.register_error("asyncckpt.json", _escape_in_json)


class Writer(ABC, Generic[RecordT]):
    """Base class of the writers.

    A writer escapes control characters, and characters that the encoding of the output lacks.

    Args:
        out: The output.

    Attributes:
        out: The output.
    """

    _escape: ClassVar[str] = "backslashreplace"

    def __init__(self, out: TextIO) -> None:
        self.out: TextIO = out
        if isinstance(out, io.TextIOWrapper):
            out.reconfigure(errors=self._escape)

    def write(self, record: RecordT) -> None:
        """Write and flush one record.

        Args:
            record: The record.

        Raises:
            OSError: Writing failed.
        """
        self._put(record)
        self.out.flush()

    @abstractmethod
    def _put(self, record: RecordT) -> None:
        """Write one record, without flushing the output."""

    def close(self) -> None:
        """Complete the output, so that it is valid even after an error.

        Raises:
            OSError: Writing failed.
        """
        self.out.flush()


class _JSONBase(Writer[RecordT]):
    """Base class of the writers of JSON.

    Args:
        out: The output.
        schema: The fields to write; None for the record as the API sends it.
    """

    _escape = "asyncckpt.json"

    def __init__(self, out: TextIO, schema: Schema | None = None) -> None:
        super().__init__(out)
        self._schema = schema

    def _json(self, record: RecordT) -> str:
        return printable_json(json_object(record, self._schema))


class JSONLinesWriter(_JSONBase[RecordT]):
    """Writes one JSON object per line."""

    def _put(self, record: RecordT) -> None:
        self.out.write(self._json(record) + "\n")


class JSONWriter(_JSONBase[RecordT]):
    """Writes one JSON array."""

    def __init__(self, out: TextIO, schema: Schema | None = None) -> None:
        super().__init__(out, schema)
        self._before_next = "[\n"

    def _put(self, record: RecordT) -> None:
        self.out.write(self._before_next + self._json(record))
        self._before_next = ",\n"

    def close(self) -> None:
        """Write the end of the array."""
        self.out.write("[]\n" if self._before_next == "[\n" else "\n]\n")
        super().close()


# A spreadsheet treats a cell that starts with one of these characters as a formula (OWASP, CSV
# injection), also behind spaces. `printable` escapes tabs and line breaks.
FORMULA_STARTS = tuple("=+-@\uff1d\uff0b\uff0d\uff20")


def _cell(value: Value) -> Value:
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.lstrip().startswith(FORMULA_STARTS) else text


class CSVWriter(Writer[RecordT]):
    """Writes CSV with a header line. A value that is None is an empty field.

    Text that a spreadsheet would treat as a formula gets an apostrophe as prefix.

    Args:
        out: The output.
        schema: The columns.
    """

    def __init__(self, out: TextIO, schema: Schema) -> None:
        super().__init__(out)
        self._columns = schema.columns
        self.out.write(csv_line(schema.names))

    def _put(self, record: RecordT) -> None:
        self.out.write(csv_line([_cell(column.value(record)) for column in self._columns]))


def shown_time(created_at: int, *, seconds: bool = False) -> str:
    """Return a time to the minute or to the second, in UTC."""
    try:
        time = datetime.fromtimestamp(created_at, UTC)
        return f"{time:%Y-%m-%d {'%H:%M:%S' if seconds else '%H:%M'}}"
    except (OSError, OverflowError, ValueError):
        # The number is too large, for example because the server sends milliseconds.
        return str(created_at)


GAP = "  "


class TableWriter(Writer[RecordT]):
    """Writes a table, or one for each heading.

    Args:
        out: The output.
        columns: The columns, in the order of importance.
        heading: Returns the line above the table of a record; None for a table without one.
        may_omit: Whether a terminal gets only the columns that fit.

    Attributes:
        width: The number of characters that fit on a line.
    """

    def __init__(
        self,
        out: TextIO,
        columns: tuple[Column[RecordT], ...],
        heading: Callable[[RecordT], str] | None = None,
        *,
        may_omit: bool = True,
    ) -> None:
        from rich.console import Console

        super().__init__(out)
        self._console = Console(
            file=out, highlight=False, markup=False, emoji=False, soft_wrap=True
        )
        self.width = self._console.width if out.isatty() else sys.maxsize
        self._columns = _fitting(columns, self.width) if may_omit else columns
        self._indent = sum(column.width + len(GAP) for column in self._columns[:-1])
        self._heading_of = heading
        self._heading: str | None = None

    def _put(self, record: RecordT) -> None:
        heading = "" if self._heading_of is None else self._heading_of(record)
        if heading != self._heading:
            self._write_head(heading)
        # Not with rich, which is slower than fetching the records.
        self.out.write(self._row(column.cell(record) for column in self._columns))

    def _write_head(self, heading: str) -> None:
        if self._heading is not None:
            self.out.write("\n")
        self._heading = heading
        titles = self._row(column.title for column in self._columns)
        # If the reader has closed the pipe, rich would exit the process while it writes.
        with self._console.capture() as head:
            if heading:
                self._console.print(printable(heading), style="bold cyan")
            self._console.print(titles, style="dim", end="")
        self.out.write(head.get())

    def _row(self, cells: Iterable[str]) -> str:
        padded = (column.fit(cell) for column, cell in zip(self._columns, cells, strict=True))
        row = GAP.join(padded).rstrip()
        if len(row) > self.width and self._columns[-1].wraps:
            row = self._wrapped(row)
        return row + "\n"

    def _wrapped(self, row: str) -> str:
        lines = textwrap.wrap(
            row[self._indent :],
            max(1, self.width - self._indent),
            # So that names can be copied.
            break_long_words=False,
            break_on_hyphens=False,
        )
        return row[: self._indent] + f"\n{' ' * self._indent}".join(lines)


def _fitting(columns: tuple[Column[RecordT], ...], width: int) -> tuple[Column[RecordT], ...]:
    used = -len(GAP)
    for count, column in enumerate(columns):
        used += len(GAP) + column.width
        if used > width and count:
            return columns[:count]
    return columns
