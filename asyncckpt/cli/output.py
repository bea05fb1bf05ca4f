"""Writes records as a table, JSON lines, CSV or JSON."""

from __future__ import annotations

import codecs
import csv
import io
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, Generic, Literal, TextIO, TypeVar

import attrs

from asyncckpt.cli.terminal import printable, printable_json
from asyncckpt.records.base import as_datetime

__all__ = ["Column", "Format", "Layout", "TableWriter", "Writer", "shown_time", "writer_for"]

Format = Literal["table", "jsonl", "csv", "json"]
RecordT = TypeVar("RecordT")


@attrs.frozen
class Column(Generic[RecordT]):
    """A column of the table.

    The width is fixed, because rows are written before later ones arrive.
    """

    title: str
    width: int
    cell: Callable[[RecordT], str]
    right: bool = False

    def fit(self, text: str) -> str:
        """Pad text to the width of the column; longer text is not cut."""
        return text.rjust(self.width) if self.right else text.ljust(self.width)


@attrs.frozen(kw_only=True)
class Layout(Generic[RecordT]):
    """What tables and CSV show of a kind of record.

    Attributes:
        columns: The columns of a table, in the order of importance: a narrow terminal shows only
            the first ones.
        heading: Returns the line above the table of a record; a different one begins another table.
            None for a single table without one.
        fields: The names in the first line of CSV.
        values: Returns the values of a line.
    """

    columns: tuple[Column[RecordT], ...]
    heading: Callable[[RecordT], str] | None = None
    fields: tuple[str, ...]
    values: Callable[[RecordT], Sequence[object]]


def writer_for(format_: Format | None, out: TextIO, layout: Layout[RecordT]) -> Writer[RecordT]:
    """Return the writer for a format.

    Args:
        format_: The format; None for a table on a terminal and JSON lines elsewhere.
        out: The output.
        layout: What tables and CSV show.
    """
    if format_ is None:
        format_ = "table" if out.isatty() else "jsonl"
    match format_:
        case "table":
            return TableWriter(out, layout.columns, layout.heading)
        case "jsonl":
            return JSONLinesWriter(out)
        case "csv":
            return CSVWriter(out, layout.fields, layout.values)
        case "json":
            return JSONWriter(out)


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


def _json(record: object) -> str:
    from asyncckpt import converter

    return printable_json(converter.dumps(record).decode())


class JSONLinesWriter(Writer[RecordT]):
    """Writes one JSON object per line, as the API sends them; metrics are floats (3000.0)."""

    _escape = "asyncckpt.json"

    def _put(self, record: RecordT) -> None:
        self.out.write(_json(record) + "\n")


class JSONWriter(Writer[RecordT]):
    """Writes one JSON array."""

    _escape = "asyncckpt.json"

    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        self._before_next = "[\n"

    def _put(self, record: RecordT) -> None:
        self.out.write(self._before_next + _json(record))
        self._before_next = ",\n"

    def close(self) -> None:
        """Write the end of the array."""
        self.out.write("[]\n" if self._before_next == "[\n" else "\n]\n")
        super().close()


# A spreadsheet treats a cell that starts with one of these characters as a formula (OWASP, CSV
# injection), also behind spaces. `printable` escapes tabs and line breaks.
FORMULA_STARTS = tuple("=+-@\uff1d\uff0b\uff0d\uff20")


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.lstrip().startswith(FORMULA_STARTS) else text


class CSVWriter(Writer[RecordT]):
    """Writes CSV with a header line. A value that is None is an empty field.

    Text that a spreadsheet would treat as a formula gets an apostrophe as prefix.

    Args:
        out: The output.
        fields: The names in the header line.
        values: Returns the values of a record.
    """

    def __init__(
        self, out: TextIO, fields: Sequence[str], values: Callable[[RecordT], Sequence[object]]
    ) -> None:
        super().__init__(out)
        self._values = values
        self._rows = csv.writer(out, lineterminator="\n")
        self._rows.writerow(fields)

    def _put(self, record: RecordT) -> None:
        self._rows.writerow([_cell(value) for value in self._values(record)])


def shown_time(created_at: int) -> str:
    """Return a time to the minute, in UTC."""
    try:
        return f"{as_datetime(created_at):%Y-%m-%d %H:%M}"
    except (OSError, OverflowError, ValueError):
        # The number is too large, for example because the server sends milliseconds.
        return str(created_at)


GAP = "  "


class TableWriter(Writer[RecordT]):
    """Writes a table, or one for each heading.

    Args:
        out: The output. A terminal gets the columns that fit, other outputs get all columns.
        columns: The columns, in the order of importance.
        heading: Returns the line above the table of a record; None for a table without one.

    Attributes:
        width: The number of characters that fit on a line.
    """

    def __init__(
        self,
        out: TextIO,
        columns: tuple[Column[RecordT], ...],
        heading: Callable[[RecordT], str] | None = None,
    ) -> None:
        from rich.console import Console

        super().__init__(out)
        self._console = Console(
            file=out, highlight=False, markup=False, emoji=False, soft_wrap=True
        )
        self.width = self._console.width if out.isatty() else sys.maxsize
        self._columns = _fitting(columns, self.width)
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
        return GAP.join(padded).rstrip() + "\n"


def _fitting(columns: tuple[Column[RecordT], ...], width: int) -> tuple[Column[RecordT], ...]:
    used = -len(GAP)
    for count, column in enumerate(columns):
        used += len(GAP) + column.width
        if used > width and count:
            return columns[:count]
    return columns
