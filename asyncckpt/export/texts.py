"""Formats records as lines of CSV and JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from asyncckpt.export.columns import Schema, Value, json_text, schema_of

__all__ = ["csv_line", "json_object"]

# Quoting an empty text tells it apart from a value that is missing.
_IS_PLAIN: Final = re.compile(r'[^,"\r\n]+')


def csv_line(values: Iterable[Value]) -> str:
    """Return a line of CSV (RFC 4180), which ends with a line feed.

    Args:
        values: The values. A missing one becomes an empty field, an empty text a quoted one; a time
            is in ISO 8601, with ``Z`` for UTC.
    """
    return ",".join(map(_csv_field, values)) + "\n"


def _csv_field(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value if _IS_PLAIN.fullmatch(value) else '"' + value.replace('"', '""') + '"'
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return repr(value)


def json_object(record: object, schema: Schema | None = None) -> str:
    """Return a JSON object on one line, without a line feed.

    Args:
        record: The record.
        schema: The fields to write, as the API sends them but with metrics beside the others. None
            for the object that the API sends.

    Raises:
        ColumnError: A field has a value that JSON cannot hold.
    """
    shown: object = record
    if schema is not None:
        shown = {column.name: column.read(record) for column in schema.columns}
    try:
        return json_text(shown)
    except (TypeError, ValueError, RecursionError):
        for column in (schema or schema_of(type(record))).columns:
            column.check_json(record)
        raise
