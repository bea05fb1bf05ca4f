"""Defines the columns of records: the one schema of tables, of files and of the command.

A row has a value for each field of a record. The metrics of a checkpoint are columns of their own,
and other nested fields are JSON text. The last column, ``extra``, has the unknown fields as JSON
text, in the places where the API sends them.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, Final, Literal, TypeAlias

import attrs

from asyncckpt.errors import OpenAIError
from asyncckpt.records.base import Record
from asyncckpt.records.forms import datetime_of
from asyncckpt.records.steps import METRICS
from asyncckpt.streams.text import safe_text

__all__ = [
    "CHECKPOINTS",
    "EVENTS",
    "JOBS",
    "JOB_EVENTS",
    "STEPS",
    "Column",
    "ColumnError",
    "Kind",
    "Schema",
    "Value",
    "json_text",
    "schema_of",
    "to_row",
]

Kind: TypeAlias = Literal["text", "integer", "number", "time", "json"]
"""The type of a column: text, a 64-bit integer, a 64-bit float, a time in UTC, or JSON text."""

Value: TypeAlias = str | int | float | datetime | None
"""A value of a row. None is a value that the record does not have."""

_SMALLEST: Final = -(2**63)
_LARGEST: Final = 2**63 - 1
_SHOWN_OF_A_VALUE: Final = 60

_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class ColumnError(OpenAIError, ValueError):
    """A value of a record does not fit its column, for example a time after the year 9999.

    Attributes:
        column: The name of the column.
        record: The record.
    """

    def __init__(self, message: str, column: str, record: object) -> None:
        super().__init__(message)
        self.column = column
        self.record = record

    def __reduce__(self) -> tuple[type[ColumnError], tuple[str, str, object]]:
        return type(self), (str(self), self.column, self.record)


@attrs.frozen
class Column:
    """A column of a schema.

    Attributes:
        name: Its name.
        kind: Its type.
        expected: What its values must be, for messages.
        read: Returns the value of a record, as it is in the record.
        convert: Converts that value to the type of the column.
    """

    name: str
    kind: Kind
    expected: str
    read: Callable[[Any], Any]
    convert: Callable[[Any], Value]

    def value(self, record: object) -> Value:
        """Return the value of a record.

        Raises:
            ColumnError: The record has a value that does not fit the column.
        """
        try:
            value = self.read(record)
            if value is None:
                return None
            converted = self.convert(value)
            # A server that sends a time as text may have sent a fraction of a second.
            return datetime_of(record, self.name) if self.kind == "time" else converted
        except (TypeError, ValueError, OverflowError, OSError, RecursionError) as error:
            raise self._mismatch(record, error) from None

    def check_json(self, record: object) -> None:
        """Check that the value of a record can be written as JSON.

        Raises:
            ColumnError: It cannot.
        """
        try:
            json_text(self.read(record))
        except (TypeError, ValueError, RecursionError) as error:
            raise self._mismatch(record, error, "values that JSON can hold") from None

    def _mismatch(
        self, record: object, error: Exception, expected: str | None = None
    ) -> ColumnError:
        try:
            shown = ascii(self.read(record))
        except RecursionError:
            shown = str(error)
        if len(shown) > _SHOWN_OF_A_VALUE:
            shown = f"{shown[:_SHOWN_OF_A_VALUE]}..."
        place = f"{self.name} of {_described(record)}"
        message = f"{place}: expected {expected or self.expected}, got {shown}"
        return ColumnError(message, self.name, record)


def _described(record: object) -> str:
    name = type(record).__name__
    for key in ("id", "step"):
        if hasattr(record, key):
            return f"{name} {safe_text(str(getattr(record, key)))}"
    return name


@attrs.frozen
class Schema:
    """The columns of a class of records.

    Attributes:
        path: The module and name of the class.
        columns: The columns, in order.
    """

    path: str
    columns: tuple[Column, ...]

    @property
    def record_name(self) -> str:
        """The name of the class."""
        return self.path.rpartition(".")[2]

    def record_type(self) -> type[Record]:
        """Import the class, and return it."""
        module, _, name = self.path.rpartition(".")
        record_type: type[Record] = getattr(importlib.import_module(module), name)
        return record_type

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(column.name for column in self.columns)

    def select(self, names: Sequence[str]) -> Schema:
        """Return a schema with some of the columns, in the order of the names.

        Raises:
            ValueError: There is no such column, no name at all, or a name twice.
        """
        if not names:
            raise ValueError(f"name at least one field: {', '.join(self.names)}")
        if len(set(names)) < len(names):
            raise ValueError(f"a field is named twice: {', '.join(names)}")
        return Schema(self.path, tuple(map(self.column, names)))

    def column(self, name: str) -> Column:
        """Return a column.

        Raises:
            ValueError: There is no such column.
        """
        for column in self.columns:
            if column.name == name:
                return column
        valid = ", ".join(self.names)
        raise ValueError(f"there is no field {name!a}; the fields are: {valid}")


def json_text(value: object) -> str:
    """Return JSON for a value of a record.

    NaN and the infinities, which the API cannot send, become ``NaN`` and ``Infinity``, as in
    Python's `json` module. Other encoders turn them into ``null``.

    Raises:
        TypeError: The value has no JSON.
        ValueError: It refers to itself, or has text that is not Unicode.
        RecursionError: It is nested too deeply.
    """
    from asyncckpt.records.conversion import converter

    return _to_text(_encode(converter.unstructure(value)))


def _to_text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    # This raises UnicodeEncodeError for surrogates.
    if not value.isascii():
        value.encode()
    return value


def _to_integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    if not _SMALLEST <= value <= _LARGEST:
        raise OverflowError
    return value


def _to_number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError
    number = float(value)
    # A large integer may have no equal float.
    if isinstance(value, int) and int(number) != value:
        raise OverflowError
    return number


def _text(name: str) -> Column:
    return Column(name, "text", "text", attrgetter(name), _to_text)


def _integer(name: str) -> Column:
    return Column(name, "integer", "an integer of 64 bits", attrgetter(name), _to_integer)


def _number(name: str, path: str | None = None) -> Column:
    expected = "a number that a 64-bit float can hold"
    return Column(name, "number", expected, attrgetter(path or name), _to_number)


def _time(name: str) -> Column:
    expected = "Unix time in seconds, in the years 1 to 9999"
    return Column(name, "time", expected, attrgetter(name), _to_integer)


def _nested(name: str, read: Callable[[Any], object] | None = None) -> Column:
    return Column(name, "json", "values that JSON can hold", read or attrgetter(name), json_text)


def _unknown_fields(record: Any) -> object:
    return record.extra or None


def _unknown_fields_of_checkpoint(checkpoint: Any) -> object:
    unknown = dict(checkpoint.extra)
    if checkpoint.metrics.extra:
        unknown["metrics"] = checkpoint.metrics.extra
    return unknown or None


CHECKPOINTS: Final = Schema(
    "asyncckpt.records.checkpoints.FineTuningJobCheckpoint",
    (
        _text("id"),
        _text("fine_tuning_job_id"),
        _integer("step_number"),
        _time("created_at"),
        _text("fine_tuned_model_checkpoint"),
        *(_number(name, f"metrics.{name}") for name in METRICS),
        _number("step", "metrics.step"),
        _nested("result_files"),
        _text("object"),
        _nested("extra", _unknown_fields_of_checkpoint),
    ),
)

STEPS: Final = Schema(
    "asyncckpt.records.steps.StepMetrics",
    (
        _integer("step"),
        *(_number(name) for name in METRICS),
        _text("source"),
        _nested("extra", _unknown_fields),
    ),
)

EVENTS: Final = Schema(
    "asyncckpt.records.events.FineTuningJobEvent",
    (
        _text("id"),
        _time("created_at"),
        _text("level"),
        _text("type"),
        _text("message"),
        _nested("data"),
        _text("object"),
        _nested("extra", _unknown_fields),
    ),
)

JOB_EVENTS: Final = Schema(
    "asyncckpt.records.events.JobEvent",
    (EVENTS.columns[0], _text("fine_tuning_job_id"), *EVENTS.columns[1:]),
)

JOBS: Final = Schema(
    "asyncckpt.records.jobs.FineTuningJob",
    (
        _text("id"),
        _text("status"),
        _text("model"),
        _time("created_at"),
        _time("finished_at"),
        _time("estimated_finish"),
        _text("fine_tuned_model"),
        _integer("trained_tokens"),
        _integer("seed"),
        _text("training_file"),
        _text("validation_file"),
        _nested("result_files"),
        _text("organization_id"),
        _nested("error"),
        _nested("hyperparameters"),
        _nested("method"),
        _nested("integrations"),
        _nested("metadata"),
        _text("object"),
        _nested("extra", _unknown_fields),
    ),
)

# By name, because importing the class of jobs is slow, and not every program has jobs.
_SCHEMAS: Final = {schema.path: schema for schema in (CHECKPOINTS, STEPS, EVENTS, JOB_EVENTS, JOBS)}


def schema_of(record_type: type) -> Schema:
    """Return the schema of a class of records, which may be a subclass.

    Raises:
        TypeError: There is no schema for it.
    """
    for cls in record_type.__mro__:
        schema = _SCHEMAS.get(f"{cls.__module__}.{cls.__qualname__}")
        if schema is not None:
            return schema
    valid = ", ".join(schema.record_name for schema in _SCHEMAS.values())
    raise TypeError(f"{record_type.__name__} has no columns; what has some: {valid}")


def to_row(record: Record) -> dict[str, Value]:
    """Return the values of a record by the names of the columns.

    Args:
        record: A `FineTuningJobCheckpoint`, `FineTuningJobEvent`, `JobEvent`, `FineTuningJob` or
            `StepMetrics`.

    Returns:
        The row. Times are aware datetimes in UTC, metrics are floats, and nested fields and
        ``extra`` are JSON text. A value that the record does not have is None.

    Raises:
        ColumnError: A value does not fit its column.
        TypeError: It is something else.
    """
    return {column.name: column.value(record) for column in schema_of(type(record)).columns}
