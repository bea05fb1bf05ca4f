"""Defines the arguments that say where and how records are written."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

import attrs
from cyclopts import Parameter

from asyncckpt.cli.output import Format
from asyncckpt.cli.terminal import UsageError
from asyncckpt.records.base import Record

if TYPE_CHECKING:
    from asyncckpt.cli.layouts import Layout
    from asyncckpt.export.columns import Column

__all__ = ["Destination", "Order", "Plan"]

RecordT = TypeVar("RecordT", bound=Record)


@attrs.frozen
class Order(Generic[RecordT]):
    """The order in which records are written.

    Attributes:
        column: What to sort by.
        is_descending: Whether the highest value comes first.
    """

    column: Column
    is_descending: bool

    def sort(self, records: Iterable[RecordT]) -> list[RecordT]:
        """Return the records in this order.

        Equal values keep their order. Those without a value, or with NaN, come last.

        Raises:
            ColumnError: A record has a value that does not fit the column.
        """
        keyed: list[tuple[Any, RecordT]] = [
            (self.column.value(record), record) for record in records
        ]
        sortable = [one for one in keyed if not _is_missing(one[0])]
        # Reversing twice keeps the order of equal values.
        sortable.sort(key=lambda one: one[0], reverse=self.is_descending)
        others = [one for one in keyed if _is_missing(one[0])]
        return [record for _, record in [*sortable, *others]]


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


@attrs.frozen(kw_only=True)
class Plan(Generic[RecordT]):
    """The checked arguments, for one kind of record.

    Attributes:
        layout: What to show of a record.
        format: The format of standard output; None for a table on a terminal and JSON lines
            elsewhere.
        path: The file to write instead of standard output.
        order: The order of the records; None for the order of their arrival.
    """

    layout: Layout[RecordT]
    format: Format | None
    path: Path | None
    order: Order[RecordT] | None


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class Destination:
    """Where and how records are written; each attribute is an argument of a command.

    Args:
        format: Default: table on a terminal, jsonl in a pipe or file.
        output: File to write instead; its suffix is the format: .parquet, .csv, .jsonl, .arrow.
        fields: Fields to write, in this order, separated by commas.
        sort: Field to sort by, or -FIELD for the highest first. Needs memory for all records.
    """

    format: Annotated[Format | None, Parameter(alias="-f")] = None
    output: Annotated[Path | None, Parameter(alias="-o")] = None
    fields: str | None = None
    sort: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None

    def plan(self, layout: Layout[RecordT]) -> Plan[RecordT]:
        """Check the arguments for a kind of record.

        Args:
            layout: What to show of a record by default.

        Raises:
            UsageError: There is no such field or format, the format needs a package that is not
                installed, or two arguments exclude each other.
        """
        if self.output is not None and self.format is not None:
            raise UsageError(
                "--format and --output cannot be combined: the suffix of the file is its format"
            )
        try:
            order = None if self.sort is None else _order(self.sort, layout)
            if self.fields is not None:
                layout = layout.select([name.strip() for name in self.fields.split(",")])
            if self.output is not None:
                from asyncckpt.export.files import check_target

                check_target(self.output)
        except (ImportError, ValueError) as error:
            raise UsageError(str(error)) from None
        return Plan(layout=layout, format=self.format, path=self.output, order=order)


def _order(argument: str, layout: Layout[RecordT]) -> Order[RecordT]:
    is_descending = argument.startswith("-")
    return Order(layout.schema.column(argument.removeprefix("-")), is_descending)
