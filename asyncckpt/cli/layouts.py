"""Defines what the formats show of checkpoints, jobs and events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import attrs

from asyncckpt.cli.output import Column, shown_time
from asyncckpt.cli.terminal import printable
from asyncckpt.export import columns as schemas
from asyncckpt.export.columns import Kind, Schema
from asyncckpt.records.base import Record

if TYPE_CHECKING:
    from asyncckpt import FineTuningJob, FineTuningJobCheckpoint
    from asyncckpt.records.events import JobEvent

__all__ = ["CHECKPOINTS", "EVENTS", "JOBS", "Layout"]

RecordT = TypeVar("RecordT", bound=Record)


@attrs.frozen(kw_only=True)
class Layout(Generic[RecordT]):
    """What the formats show of a kind of record.

    Attributes:
        schema: All fields, in the order of CSV.
        columns: The columns of a table by the fields that they show, in the order of importance: a
            narrow terminal shows only the first ones.
        heading: The field that is the line above a table; another value begins another table. None
            for a single table without such a line.
        is_selection: Whether the user has chosen the fields.
    """

    schema: Schema
    columns: Mapping[str, Column[RecordT]]
    heading: str | None = None
    is_selection: bool = False

    @property
    def heading_of(self) -> Callable[[RecordT], str] | None:
        """Returns the line above the table of a record; None for a table without one."""
        return None if self.heading is None else self.schema.column(self.heading).read

    @property
    def schema_of_json(self) -> Schema | None:
        """The fields in JSON; None for the record as the API sends it."""
        return self.schema if self.is_selection else None

    def select(self, names: Sequence[str]) -> Layout[RecordT]:
        """Return a layout with the fields that the user has chosen, in one table.

        Raises:
            ValueError: A name is not that of a field, or there twice.
        """
        schema = self.schema.select(names)
        columns = {name: self._column(name) for name in schema.names}
        return Layout(schema=schema, columns=columns, is_selection=True)

    def in_order(self, records: Iterable[RecordT], name: str) -> Layout[RecordT]:
        """Return a layout for records that are sorted by a field.

        It has the field next to the first column. If the records belong under different headings,
        these become a column, for there would be a table for almost every record.
        """
        if self.is_selection:
            return self
        heading = None
        if self.heading_of is not None and len(set(map(self.heading_of, records))) > 1:
            heading = self.heading
        first, *others = self.columns
        names = [first, name, *([] if heading is None else [heading]), *others]
        columns = {name: self._column(name) for name in dict.fromkeys(names)}
        return attrs.evolve(self, columns=columns, heading=None if heading else self.heading)

    def _column(self, name: str) -> Column[RecordT]:
        if name in self.columns:
            return self.columns[name]
        column = self.schema.column(name)
        title = "JOB" if name == "fine_tuning_job_id" else name.upper().replace("_", " ")
        return _column(column, title, _NARROW.get(name, _WIDTHS[column.kind]))


_WIDTHS: Final[Mapping[Kind, int]] = {
    "text": 30,
    "integer": 6,
    "number": 8,
    "time": 16,
    "json": 20,
}


_NARROW: Final[Mapping[str, int]] = {"level": 5, "type": 7, "seed": 10}


def _column(column: schemas.Column, title: str, width: int) -> Column[Any]:
    right = column.kind in ("integer", "number")
    return Column(title, max(len(title), width), _cell_of(column), right=right)


def _cell_of(column: schemas.Column) -> Callable[[Any], str]:
    def cell(record: Any) -> str:
        value = column.read(record)
        if value is None:
            return "-"
        if column.kind == "number":
            return f"{value:.4f}"
        if column.kind == "time":
            return shown_time(value)
        return printable(schemas.json_text(value) if column.kind == "json" else str(value))

    return cell


def _columns(schema: Schema, titles: Mapping[str, tuple[str, int]]) -> dict[str, Column[Any]]:
    """Return the columns of a table from their titles and widths."""
    return {
        name: _column(schema.column(name), title, width) for name, (title, width) in titles.items()
    }


CHECKPOINTS: Final[Layout[FineTuningJobCheckpoint]] = Layout(
    schema=schemas.CHECKPOINTS,
    columns=_columns(
        schemas.CHECKPOINTS,
        {
            "id": ("CHECKPOINT", 31),
            "step_number": ("STEP", 6),
            "train_loss": ("TRAIN LOSS", 10),
            "valid_loss": ("VALID LOSS", 10),
            "full_valid_loss": ("FULL VALID", 10),
            "created_at": ("CREATED (UTC)", 16),
            "train_mean_token_accuracy": ("TRAIN ACC", 9),
            "valid_mean_token_accuracy": ("VALID ACC", 9),
            "full_valid_mean_token_accuracy": ("FULL ACC", 8),
            "fine_tuned_model_checkpoint": ("MODEL", 64),
        },
    ),
    heading="fine_tuning_job_id",
)
"""A table for each job, under the id of the job."""

JOBS: Final[Layout[FineTuningJob]] = Layout(
    schema=schemas.JOBS,
    columns=_columns(
        schemas.JOBS,
        {
            "id": ("JOB", 30),
            "status": ("STATUS", 16),
            "model": ("MODEL", 23),
            "created_at": ("CREATED (UTC)", 16),
            "fine_tuned_model": ("FINE-TUNED MODEL", 64),
        },
    ),
)
"""One table."""


def _event_time(event: JobEvent) -> str:
    return shown_time(event.created_at, seconds=True)


def _message(event: JobEvent) -> str:
    return printable(event.message if event.level == "info" else f"{event.level}: {event.message}")


EVENTS: Final[Layout[JobEvent]] = Layout(
    schema=schemas.JOB_EVENTS,
    columns={
        "created_at": Column("CREATED (UTC)", 19, _event_time),
        "message": Column("MESSAGE", 19, _message, wraps=True),
    },
    heading="fine_tuning_job_id",
)
"""A table for each job, under the id of the job."""
