"""Checkpoints as a table, JSON lines, CSV or JSON; each is written as it comes, none is kept."""

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

from asyncckpt.cli.terminal import printable

if TYPE_CHECKING:
    from asyncckpt import FineTuningJobCheckpoint

__all__ = ["Format", "Writer", "writer_for"]

Format = Literal["table", "jsonl", "csv", "json"]


def writer_for(format_: Format | None, out: TextIO) -> Writer:
    """Choose the writer.

    Args:
        format_: The form asked for; None for a table on a terminal and JSON lines anywhere else.
        out: Where to write.

    Returns:
        A writer to `out`.
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


# Python's own "backslashreplace" writes \xe9, which is no JSON.
codecs.register_error("asyncckpt.json", _escape_in_json)


class Writer(ABC):
    """Writes checkpoints one by one; a character that the output cannot encode is escaped.

    Args:
        out: Where to write.
    """

    _escape: ClassVar[str] = "backslashreplace"

    def __init__(self, out: TextIO) -> None:
        self._out: TextIO = out
        if isinstance(out, io.TextIOWrapper):
            out.reconfigure(errors=self._escape)

    def write(self, checkpoint: FineTuningJobCheckpoint) -> None:
        """Write one checkpoint, so that a reader sees it while the next is still on its way.

        Args:
            checkpoint: The checkpoint.

        Raises:
            OSError: It cannot be written.
        """
        self._put(checkpoint)
        self._out.flush()

    @abstractmethod
    def _put(self, checkpoint: FineTuningJobCheckpoint) -> None:
        """Put one checkpoint into the output's buffer."""

    def close(self) -> None:
        """End the output; after an error too, so that what is there can be read.

        Raises:
            OSError: It cannot be written.
        """
        self._out.flush()


def _json(checkpoint: FineTuningJobCheckpoint) -> str:
    from asyncckpt import converter

    return converter.dumps(checkpoint).decode()


class JSONLinesWriter(Writer):
    """One JSON object a line, as the API sends them; metrics are written as floats (3000.0)."""

    _escape = "asyncckpt.json"

    def _put(self, checkpoint: FineTuningJobCheckpoint) -> None:
        self._out.write(_json(checkpoint) + "\n")


class JSONWriter(Writer):
    """One JSON array."""

    _escape = "asyncckpt.json"

    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        self._before_next = "[\n"

    def _put(self, checkpoint: FineTuningJobCheckpoint) -> None:
        self._out.write(self._before_next + _json(checkpoint))
        self._before_next = ",\n"

    def close(self) -> None:
        """Close the array."""
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


class CSVWriter(Writer):
    """CSV with a header line; a metric that was not measured is an empty field."""

    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        self._rows = csv.writer(out, lineterminator="\n")
        self._rows.writerow(FIELDS + METRICS)

    def _put(self, checkpoint: FineTuningJobCheckpoint) -> None:
        fields = [getattr(checkpoint, name) for name in FIELDS]
        self._rows.writerow(fields + [getattr(checkpoint.metrics, name) for name in METRICS])


@attrs.frozen
class Column:
    """A column of the table; its width is fixed, as the rows to come are not known."""

    title: str
    width: int
    cell: Callable[[FineTuningJobCheckpoint], str]
    right: bool = False

    def fit(self, text: str) -> str:
        """Pad to the width; a longer text pushes the rest of its own row only."""
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
        # Milliseconds, say: a row is worth showing without its date.
        return str(checkpoint.created_at)


# In order of worth: a narrow terminal goes without the last ones.
COLUMNS = (
    Column("CHECKPOINT", 31, lambda checkpoint: printable(checkpoint.id)),
    Column("STEP", 6, lambda checkpoint: str(checkpoint.step_number), right=True),
    _metric("TRAIN LOSS", "train_loss"),
    _metric("VALID LOSS", "valid_loss"),
    _metric("FULL VALID", "full_valid_loss"),
    Column("CREATED (UTC)", 16, _created),
    _metric("TRAIN ACC", "train_mean_token_accuracy"),
    _metric("VALID ACC", "valid_mean_token_accuracy"),
    Column("MODEL", 64, lambda checkpoint: printable(checkpoint.fine_tuned_model_checkpoint)),
)
GAP = "  "


class TableWriter(Writer):
    """A table for people: each job under its id, and as many columns as the terminal has room for.

    Args:
        out: Where to write; if it is no terminal, all columns are shown.
    """

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console

        super().__init__(out)
        self._console = Console(file=out, highlight=False, markup=False, soft_wrap=True)
        self._columns = _columns_for(self._console.width if out.isatty() else sys.maxsize)
        self._job: str | None = None

    def _put(self, checkpoint: FineTuningJobCheckpoint) -> None:
        if checkpoint.fine_tuning_job_id != self._job:
            self._write_head(checkpoint.fine_tuning_job_id)
        # Plain text: styling each row would take longer than fetching it.
        self._out.write(self._row(column.cell(checkpoint) for column in self._columns))

    def _write_head(self, job: str) -> None:
        if self._job is not None:
            self._out.write("\n")
        self._job = job
        self._console.print(printable(job), style="bold cyan")
        self._console.print(
            self._row(column.title for column in self._columns), style="dim", end=""
        )

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
