"""Decodes the result file of a job, a CSV with a row for each step, piece by piece.

The first line names the columns. OpenAI documents ``step``, ``train_loss``, ``train_accuracy``,
``valid_loss`` and ``valid_mean_token_accuracy``; Azure has more and spells one differently. The
file may be encoded in base64 as a whole.

Memory does not grow with the file. A line may be at most `LONGEST_LINE` bytes long. Rows come out
in ascending order of their steps, one for each step: those that are out of order are sorted among
`SORTED_ROWS`, and the last row of a step counts. A row that comes later than that is an error.
"""

from __future__ import annotations

import binascii
import csv
import heapq
import re
from typing import Final

from asyncckpt.records.base import NO_EXTRA, Extra
from asyncckpt.records.codec import MismatchError
from asyncckpt.records.steps import ALIASES, METRICS, StepMetrics, number_from, step_from

__all__ = ["LONGEST_LINE", "SORTED_ROWS", "ResultFileDecoder", "is_encoded"]

LONGEST_LINE: Final = 2**20
SORTED_ROWS: Final = 10_000

_ENOUGH_TO_TELL: Final = 1_000
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_=\r\n -]+")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_SHOWN_OF_A_VALUE: Final = 40


def is_encoded(beginning: bytes) -> bool:
    """Return whether a result file is encoded in base64.

    Args:
        beginning: The first line of the file, or at least its first 1,000 bytes.
    """
    line = beginning.removeprefix(_BYTE_ORDER_MARK).partition(b"\n")[0].strip(b'"\r ')
    return line.lower() != b"step" and _BASE64.fullmatch(line) is not None


class ResultFileDecoder:
    """Decodes one result file."""

    def __init__(self) -> None:
        self._encoding: _Base64 | None = None
        self._beginning = b""
        self._is_told = False
        self._rest = b""
        self._table = _Table()
        self._order = _Order()

    def feed(self, piece: bytes) -> list[StepMetrics]:
        """Decode a piece of the file.

        Returns:
            The steps that are complete, in order.

        Raises:
            MismatchError: It is not a CSV with a column ``step``; the path says which line.
        """
        if not self._is_told:
            self._beginning += piece
            if len(self._beginning) < _ENOUGH_TO_TELL and not re.search(rb"[,\n]", self._beginning):
                return []
            piece = self._tell()
        if self._encoding is not None:
            piece = self._encoding.feed(piece)
        return self._lines(piece)

    def finish(self) -> list[StepMetrics]:
        """Decode what is left at the end of the file.

        Returns:
            The last steps, in order.

        Raises:
            MismatchError: See `feed`; also if there is no column at all.
        """
        piece = b"" if self._is_told else self._tell()
        if self._encoding is not None:
            piece = self._encoding.feed(piece)
            self._encoding.finish()
        steps = self._lines(piece + b"\n")
        self._table.check_columns()
        return steps + self._order.finish()

    def _tell(self) -> bytes:
        """Find out whether the file is encoded; return what has come of it so far."""
        self._is_told = True
        piece, self._beginning = self._beginning, b""
        if is_encoded(piece):
            self._encoding = _Base64()
        return piece

    def _lines(self, piece: bytes) -> list[StepMetrics]:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        steps: list[StepMetrics] = []
        for line in lines:
            row = self._table.row_of(line)
            if row is not None:
                steps += self._order.add(row)
        self._table.check_length(self._rest)
        return steps


class _Base64:
    """Decodes base64 (RFC 4648), in either alphabet, with or without line breaks."""

    def __init__(self) -> None:
        self._rest = b""
        self._has_ended = False

    def feed(self, piece: bytes) -> bytes:
        text = self._rest + piece.translate(None, b"\r\n ").replace(b"-", b"+").replace(b"_", b"/")
        if self._has_ended and text:
            raise _malformed()
        whole = len(text) - len(text) % 4
        text, self._rest = text[:whole], text[whole:]
        self._has_ended = text.endswith(b"=")
        try:
            return binascii.a2b_base64(text, strict_mode=True)
        except binascii.Error:
            raise _malformed() from None

    def finish(self) -> None:
        if self._rest:
            raise _malformed()


def _malformed() -> MismatchError:
    return MismatchError("Expected a CSV, plain or in base64", "the beginning")


class _Table:
    """Turns lines into rows; the first line names the columns."""

    def __init__(self) -> None:
        self._line = 0
        self._columns: list[str] | None = None
        self._step = 0
        self._metrics: list[tuple[int, str]] = []
        self._extra: list[tuple[int, str]] = []

    def row_of(self, line: bytes) -> StepMetrics | None:
        """Return the row of a line; None for the first line, and for one without content."""
        self._line += 1
        self.check_length(line)
        values = self._values_of(line)
        if not values:
            return None
        if self._columns is None:
            self._name_columns(values)
            return None
        if len(values) != len(self._columns):
            raise self._mismatch(f"Expected {len(self._columns)} values, got {len(values)}")
        index, name = self._step, "step"
        try:
            step = step_from(values[index])
            metrics: dict[str, float | None] = {}
            for index, name in self._metrics:
                metrics[name] = number_from(name, values[index])
        except (ValueError, OverflowError):
            shown = ascii(values[index][:_SHOWN_OF_A_VALUE])
            column = self._columns[index][:_SHOWN_OF_A_VALUE]
            raise self._mismatch(f"Expected a number, got {shown}", column) from None
        extra = self._extra_of(values) if self._extra else NO_EXTRA
        return StepMetrics(step, **metrics, source="result_file", extra=extra)

    def check_columns(self) -> None:
        """Check that there was a first line."""
        if self._columns is None:
            raise self._mismatch("Expected a column `step`, got an empty file")

    def check_length(self, line: bytes) -> None:
        """Check that a line, or what there is of one, is not too long."""
        if len(line) > LONGEST_LINE:
            raise self._mismatch(f"Expected lines of at most {LONGEST_LINE} bytes")

    def _values_of(self, line: bytes) -> list[str]:
        line = line.removesuffix(b"\r")
        if self._columns is None:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if not line.strip():
            return []
        try:
            text = line.decode()
            if '"' not in text:
                return text.split(",")
            return next(csv.reader([text], strict=True))
        except (UnicodeDecodeError, csv.Error):
            raise self._mismatch("Expected a line of a CSV in UTF-8") from None

    def _name_columns(self, names: list[str]) -> None:
        names = [name.strip() for name in names]
        if "step" not in names:
            shown = ascii(",".join(names)[:_SHOWN_OF_A_VALUE])
            raise self._mismatch(f"Expected a column `step`, got {shown}")
        if len(set(names)) < len(names):
            raise self._mismatch("Expected columns of different names")
        self._columns = names
        for index, name in enumerate(names):
            metric = ALIASES.get(name, name)
            if name == "step":
                self._step = index
            elif metric in METRICS and (metric == name or metric not in names):
                self._metrics.append((index, metric))
            else:
                self._extra.append((index, name))

    def _extra_of(self, values: list[str]) -> Extra:
        extra: dict[str, object] = {}
        for index, name in self._extra:
            try:
                value: object = number_from(name, values[index])
            except ValueError:
                value = values[index]
            if value is not None:
                extra[name] = value
        return Extra(extra) if extra else NO_EXTRA

    def _mismatch(self, problem: str, column: str | None = None) -> MismatchError:
        place = f"line {max(1, self._line)}"
        return MismatchError(problem, place if column is None else f"{place}, column {column}")


class _Order:
    """Sorts rows by their steps, as far as a bounded number of rows allows."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, StepMetrics]] = []
        self._rows = 0
        self._last: StepMetrics | None = None

    def add(self, row: StepMetrics) -> list[StepMetrics]:
        """Take a row; return the step that is complete now, if any."""
        self._rows += 1
        entry = (row.step, self._rows, row)
        if len(self._waiting) < SORTED_ROWS:
            heapq.heappush(self._waiting, entry)
            return []
        return self._take(heapq.heappushpop(self._waiting, entry)[2])

    def finish(self) -> list[StepMetrics]:
        """Return all steps that are left."""
        steps: list[StepMetrics] = []
        for _, _, row in sorted(self._waiting):
            steps += self._take(row)
        if self._last is not None:
            steps.append(self._last)
        return steps

    def _take(self, row: StepMetrics) -> list[StepMetrics]:
        last = self._last
        if last is not None and row.step < last.step:
            raise MismatchError(
                f"Expected ascending steps; step {row.step} comes more than {SORTED_ROWS} rows "
                "too late",
                f"step {row.step}",
            )
        self._last = row
        if last is None or last.step == row.step:
            return []
        return [last]
