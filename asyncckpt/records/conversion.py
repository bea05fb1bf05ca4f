"""Defines the cattrs converter between records and dicts, JSON or your own classes.

The package imports this module on first use: listing checkpoints does not need cattrs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from cattrs.preconf.msgspec import MsgspecJsonConverter
from cattrs.preconf.msgspec import make_converter as make_json_converter

from asyncckpt.records.base import Extra, ListBody, extra_with_forms
from asyncckpt.records.codec import record_fields
from asyncckpt.records.forms import Forms, as_sent, take_forms

__all__ = ["converter"]

_T = TypeVar("_T")

_LARGEST_EXACT: Final = 2.0**53
"""Up to here every integer is a float of its own."""


def _is_left_out_if_none(field: attrs.Attribute[Any]) -> bool:
    return field.default is None and not {"always_sent", "absent"} & field.metadata.keys()


def _has_extra(cls: type) -> bool:
    return attrs.has(cls) and getattr(attrs.fields_dict(cls).get("extra"), "type", None) in (
        Extra,
        "Extra",
    )


def _structure_keeping_extra(
    cls: type[_T], converter: cattrs.Converter
) -> Callable[[Mapping[str, Any], Any], _T]:
    record_type: type = cls
    known = record_fields(record_type)
    structure = make_dict_structure_fn(cls, converter, extra=override(omit=True))

    forms = Forms.of(record_type)

    def structure_record(fields: Mapping[str, Any], _: Any) -> _T:
        fields = dict(fields)
        taken = take_forms(fields, forms)
        record = structure(fields, cls)
        unknown = {name: part for name, part in fields.items() if name not in known}
        if not unknown and not taken:
            return record
        extra = extra_with_forms(unknown, taken)
        return attrs.evolve(record, extra=extra)  # type: ignore[misc]

    return structure_record


def _unstructure_with_extra(
    cls: type, converter: cattrs.Converter
) -> Callable[[Any], dict[str, Any]]:
    overrides: dict[str, Any] = {
        field.name: override(
            omit=field.name == "extra",
            omit_if_default=_is_left_out_if_none(field),
            unstruct_hook=_as_integer if "integral" in field.metadata else None,
        )
        for field in attrs.fields(cls)
    }
    unstructure: Callable[[Any], dict[str, Any]] = make_dict_unstructure_fn(
        cls, converter, **overrides
    )

    def unstructure_record(record: Any) -> dict[str, Any]:
        fields = unstructure(record)
        if record.extra:
            fields.update(record.extra)
        return as_sent(record, fields)

    return unstructure_record


def _as_integer(number: float | None) -> float | int | None:
    if number is None or abs(number) > _LARGEST_EXACT or not number.is_integer():
        return number
    return int(number)


def _is_page(cls: type) -> bool:
    # `Page` itself cannot be imported here: it belongs to a higher layer.
    return attrs.has(cls) and hasattr(cls, "next_page_info")


def _unstructure_page(_: type, converter: cattrs.Converter) -> Callable[[ListBody], dict[str, Any]]:
    def unstructure_page(page: ListBody) -> dict[str, Any]:
        return {
            "object": page.object,
            "data": [converter.unstructure(record) for record in page.data],
            "has_more": page.has_more,
            "first_id": page.first_id,
            "last_id": page.last_id,
            **page.extra,
        }

    return unstructure_page


def _new_converter() -> MsgspecJsonConverter:
    new = make_json_converter()
    # Values without a schema, such as the settings of a grader, are kept as they are.
    new.register_structure_hook_func(lambda kind: kind is object, lambda value, _: value)
    new.register_structure_hook_factory(_has_extra, _structure_keeping_extra)
    new.register_unstructure_hook_factory(_has_extra, _unstructure_with_extra)
    new.register_unstructure_hook_factory(_is_page, _unstructure_page)
    return new


converter: Final[MsgspecJsonConverter] = _new_converter()
"""Converts records to and from dicts (`unstructure`, `structure`) and JSON (`dumps`, `loads`).

``dumps`` returns UTF-8 bytes; use ``dumps(record).decode()`` for a string. Both `unstructure` and
``dumps`` also convert a page, to the body of a list.

The conversion keeps all fields: those in `.extra` are written beside the others, as the API sends
them. A checkpoint is written as the server sent it: what was absent stays absent, ``null`` stays
``null``, and a time that was text stays that text. In other records, optional fields that are None
are left out. Metrics are floats, so a metric that was sent as 1 is written as 1.0; only
`Metrics.step` is written as an integer.

This is an ordinary cattrs converter: ``converter.structure(fields, YourRecord)`` works for any
attrs class. To keep unknown fields in your class, use `asyncckpt.records.extra_field`. Register
hooks on ``converter.copy()``, so that they affect only your code.
"""
