"""Reads known fields that a server sends in another form, and writes them back as they were sent.

The API reference describes one form of each field. Other servers leave a field out, send ``null``,
or send a time as text. The field of the record then has the value that the form means, and the
record's `Extra` remembers the form. `asyncckpt.converter` writes the form again, unless the field
was changed with ``attrs.evolve``.

The metadata of a field say which forms are read:

- `NULL`: ``null`` means the default.
- `ABSENT`: an absent field means the default, and stays absent when the record is written.
- `TEXT_TIME`: text with a date and a time, as in ISO 8601 and RFC 3339, means Unix time in whole
  seconds, rounded down. Text without a UTC offset is in UTC.

`INTEGRAL` says that a number without a fraction is written as an integer, although it is a float.
"""

from __future__ import annotations

import functools
import math
import re
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import attrs
import msgspec

from asyncckpt.records.base import Extra, forms_of

__all__ = [
    "ABSENT",
    "INTEGRAL",
    "NULL",
    "TEXT_TIME",
    "Forms",
    "as_sent",
    "datetime_of",
    "take_forms",
]

NULL: Final = {"null": True}
ABSENT: Final = {"absent": True}
TEXT_TIME: Final = {"text_time": True}
INTEGRAL: Final = {"integral": True}

_ABSENT: Final = msgspec.UNSET
_DATE_AND_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?([Zz]|[+-]\d\d:?\d\d)?", re.ASCII
)


class Forms(NamedTuple):
    """The fields of a record class that have other forms.

    Attributes:
        null: The fields for which ``null`` means the default.
        absent: The fields that are not written if they were absent.
        times: The fields for which text means a time.
    """

    null: frozenset[str]
    absent: frozenset[str]
    times: frozenset[str]

    @staticmethod
    @functools.cache
    def of(record_type: type[Any]) -> Forms:
        """Return the forms of a record class."""

        def fields_with(form: str) -> frozenset[str]:
            fields = attrs.fields(record_type)
            return frozenset(field.name for field in fields if form in field.metadata)

        return Forms(fields_with("null"), fields_with("absent"), fields_with("text_time"))


def take_forms(fields: dict[str, Any], forms: Forms) -> dict[str, object]:
    """Replace the values of fields in another form by what they mean.

    Args:
        fields: The fields as they were sent; they are changed.
        forms: The forms of the record class.

    Returns:
        The replaced values, for `Extra`. A text that is not a time is left as it is.
    """
    taken: dict[str, object] = {}
    if not fields.keys() >= forms.absent:
        taken = {name: _ABSENT for name in forms.absent if name not in fields}
    for name in forms.times:
        sent = fields.get(name)
        if isinstance(sent, str) and (time := _parsed(sent)) is not None:
            taken[name] = sent
            fields[name] = math.floor(time.timestamp())
    if None in fields.values():
        for name in [name for name in fields if fields[name] is None and name in forms.null]:
            taken[name] = fields.pop(name)
    return taken


def as_sent(record: Any, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a record in the forms in which they were sent.

    Args:
        record: The record.
        fields: Its fields as the API reference describes them; they may be changed.
    """
    extra: Extra = record.extra
    for name, form in forms_of(extra).items():
        if _meaning(record.__class__, name, form) != getattr(record, name):
            continue
        if form is _ABSENT:
            fields.pop(name, None)
        else:
            fields[name] = form
    return fields


def datetime_of(record: Any, name: str) -> datetime:
    """Return a time of a record as an aware datetime, with the precision that was sent.

    Args:
        record: The record.
        name: The field, which is not None.
    """
    seconds: int = getattr(record, name)
    sent = forms_of(record.extra).get(name)
    if isinstance(sent, str):
        time = _parsed(sent)
        if time is not None and math.floor(time.timestamp()) == seconds:
            return time.astimezone(UTC)
    return datetime.fromtimestamp(seconds, UTC)


def _meaning(record_type: type[Any], name: str, form: object) -> object:
    if isinstance(form, str):
        time = _parsed(form)
        return None if time is None else math.floor(time.timestamp())
    default: Any = attrs.fields_dict(record_type)[name].default
    return default.factory() if hasattr(default, "factory") else default


def _parsed(text: str) -> datetime | None:
    """Return a time in UTC; None if the text is not a time."""
    if _DATE_AND_TIME.fullmatch(text) is None:
        return None
    try:
        time = datetime.fromisoformat(text.replace(",", ".").upper())
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
