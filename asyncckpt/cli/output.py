"""Writes checkpoints as a table, JSON lines, CSV or JSON."""

from __future__ import annotations

import codecs
import csv
import io
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar, Literal, TextIO

import attrs

from asyncckpt.cli.terminal import printable, printable_json

if TYPE_CHECKING:
    from asyncckpt import FineTuningJobCheckpoint

__all__ = ["Format", "Writer", "writer_for"]

Format = Literal["table", "jsonl", "csv", "json"]


def writer_for(format_: Format | None, out: TextIO) -> Writer:
    """Return the writer for a format.

    Args:
        format_: The format; None for a table on a terminal and JSON lines elsewhere.
        out: The output.
    """
    if format_ is None:
        format_ = "table" if out.isatty() else "jsonl"
    match format_:
        case "table":
            return TableWriter(out)
        case "jsonl":
            return JSONLinesWriter(out)
        case "csv":
            return CSVWriter(out)
        case "json":
            return JSONWriter(out)


def _escape_in_json(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


# The handler "backslashreplace" writes escapes such as \xe9, which JSON does not allow.
codecs.register_error("asyncckpt.json", _escape_in_json)


class Writer(ABC):
    """Base class of the writers.

    A writer escapes control characters, and characters that the encoding of the output lacks.

    Args:
        out: The output.
    """

    _escape: ClassVar[str] = "backslashreplace"

    def __init__(self, out: TextIO) -> None:
        self._out: TextIO = out
        if isinstance(out, io.TextIOWrapper):
            out.reconfigure(errors=self._escape)

    def write(self, checkpoint: FineTuningJobCheckpoint) -> None:
        """Write and flush one checkpoint.

        Args:
            checkpoint: The checkpoint.

        Raises:
            OSError: Writing failed.
        """
        self._put(checkpoint)
        self._out.flush()

    @abstractmethod
    def _put(self, checkpoint: FineTuningJobCheckpoint) -> None:
        """Write one checkpoint, without flushing the output."""

    def close(self) -> None:
        """Complete the output, so that it is valid even after an error.

        Raises:
            OSError: Writing failed.
        """
        self._out.flush()


def _json(checkpoint: FineTuningJobCheckpoint) -> str:
    from asyncckpt import converter

    return printable_json(converter.dumps(checkpoint).decode())


class JSONLinesWriter(Writer):
    """Writes one JSON object per line, as the API sends them; metrics are floats (3000.0)."""

    _escape = "asyncckpt.json"

    def _put(self, checkpoint: FineTuningJobCheckpoint) -> None:
        self._out.write(_json(checkpoint) + "\n")


class JSONWriter(Writer):
    """Writes one JSON array."""

    _escape = "asyncckpt.json"

    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        self._before_next = "[\n"

    def _put(self, checkpoint: FineTuningJobCheckpoint) -> None:
        self._out.write(self._before_next + _json(checkpoint))
        self._before_next = ",\n"

    def close(self) -> None:
        """Write the end of the array."""
        self._out.write("[]\n" if self._before_next == "[\n" else "\n]\n")
        super().close()


METRICS = (
    "train_loss",
    "train_mean_token_accuracy",
    "valid_loss",
    "valid_mean_token_accuracy",
    "full_valid_loss",
    "full_valid_mean_token_accuracy",
)
FIELDS = ("id", "fine_tuning_job_id", "step_number", "created_at", "fine_tuned_model_checkpoint")


# A spreadsheet treats a cell that starts with one of these characters as a formula (OWASP, CSV
# injection), also behind spaces. `printable` escapes tabs and line breaks.
FORMULA_STARTS = tuple("=+-@\uff1d\uff0b\uff0d\uff20")


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.lstrip().startswith(FORMULA_STARTS) else text


class CSVWriter(Writer):
    """Writes CSV with a header line. A metric that was not measured is an empty field.

    Text that a spreadsheet would treat as a formula gets an apostrophe as prefix.
    """

    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        self._rows = csv.writer(out, lineterminator="\n")
        self._rows.writerow(FIELDS + METRICS)

    def _put(self, checkpoint: FineTuningJobCheckpoint) -> None:
        fields = [_cell(getattr(checkpoint, name)) for name in FIELDS]
        self._rows.writerow(fields + [getattr(checkpoint.metrics, name) for name in METRICS])


@attrs.frozen
class Column:
    """A column of the table.

    The width is fixed, because rows are written before later ones arrive.
    """

    title: str
    width: int
    cell: Callable[[FineTuningJobCheckpoint], str]
    right: bool = False

    def fit(self, text: str) -> str:
        """Pad text to the width of the column; longer text is not cut."""
        return text.rjust(self.width) if self.right else text.ljust(self.width)


def _metric(title: str, name: str) -> Column:
    def cell(checkpoint: FineTuningJobCheckpoint) -> str:
        value: float | None = getattr(checkpoint.metrics, name)
        return "-" if value is None else f"{value:.4f}"

    return Column(title, len(title), cell, right=True)


def _created(checkpoint: FineTuningJobCheckpoint) -> str:
    try:
        return f"{checkpoint.created:%Y-%m-%d %H:%M}"
    except (OSError, OverflowError, ValueError):
        # The number is too large, for example because the server sends milliseconds.
        return str(checkpoint.created_at)


# In the order of importance: a narrow terminal shows only the first ones.
COLUMNS = (
    Column("CHECKPOINT", 31, lambda checkpoint: printable(checkpoint.id)),
    Column("STEP", 6, lambda checkpoint: str(checkpoint.step_number), right=True),
    _metric("TRAIN LOSS", "train_loss"),
    _metric("VALID LOSS", "valid_loss"),
    _metric("FULL VALID", "full_valid_loss"),
    Column("CREATED (UTC)", 16, _created),
    _metric("TRAIN ACC", "train_mean_token_accuracy"),
    _metric("VALID ACC", "valid_mean_token_accuracy"),
    _metric("FULL ACC", "full_valid_mean_token_accuracy"),
    Column("MODEL", 64, lambda checkpoint: printable(checkpoint.fine_tuned_model_checkpoint)),
)
GAP = "  "


class TableWriter(Writer):
    """Writes a table for each job, under the id of the job.

    Args:
        out: The output. A terminal gets the columns that fit, other outputs get all columns.
    """

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console

        super().__init__(out)
        self._console = Console(
            file=out, highlight=False, markup=False, emoji=False, soft_wrap=True
        )
        self._columns = _columns_for(self._console.width if out.isatty() else sys.maxsize)
        self._job: str | None = None

    def _put(self, checkpoint: FineTuningJobCheckpoint) -> None:
        if checkpoint.fine_tuning_job_id != self._job:
            self._write_head(checkpoint.fine_tuning_job_id)
        # Not with rich, which is slower than fetching the records.
        self._out.write(self._row(column.cell(checkpoint) for column in self._columns))

    def _write_head(self, job: str) -> None:
        if self._job is not None:
            self._out.write("\n")
        self._job = job
        titles = self._row(column.title for column in self._columns)
        # If the reader has closed the pipe, rich would exit the process while it writes.
        with self._console.capture() as head:
            self._console.print(printable(job), style="bold cyan")
            self._console.print(titles, style="dim", end="")
        self._out.write(head.get())

    def _row(self, cells: Iterable[str]) -> str:
        padded = (column.fit(cell) for column, cell in zip(self._columns, cells, strict=True))
        return GAP.join(padded).rstrip() + "\n"


def _columns_for(width: int) -> tuple[Column, ...]:
    used = -len(GAP)
    for count, column in enumerate(COLUMNS):
        used += len(GAP) + column.width
        if used > width and count:
            return COLUMNS[:count]
    return COLUMNS
