"""Records to and from dicts, JSON, or a record class of your own: one cattrs converter.

It is imported when it is first asked for; listing checkpoints needs none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from cattrs.preconf.msgspec import MsgspecJsonConverter
from cattrs.preconf.msgspec import make_converter as make_json_converter

from asyncckpt.records.base import Extra
from asyncckpt.records.codec import record_fields

__all__ = ["converter"]

_T = TypeVar("_T")


def _may_be_left_out(field: attrs.Attribute[Any]) -> bool:
    return field.default is None and "always_sent" not in field.metadata


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

    def structure_record(fields: Mapping[str, Any], _: Any) -> _T:
        record = structure(fields, cls)
        unknown = {name: part for name, part in fields.items() if name not in known}
        return attrs.evolve(record, extra=unknown) if unknown else record  # type: ignore[misc]

    return structure_record


def _unstructure_with_extra(
    cls: type, converter: cattrs.Converter
) -> Callable[[Any], dict[str, Any]]:
    overrides: dict[str, Any] = {
        field.name: override(omit=field.name == "extra", omit_if_default=_may_be_left_out(field))
        for field in attrs.fields(cls)
    }
    unstructure: Callable[[Any], dict[str, Any]] = make_dict_unstructure_fn(
        cls, converter, **overrides
    )

    def unstructure_record(record: Any) -> dict[str, Any]:
        fields = unstructure(record)
        if record.extra:
            fields.update(record.extra)
        return fields

    return unstructure_record


def _make_converter() -> MsgspecJsonConverter:
    made = make_json_converter()
    # What the API leaves open, a grader's settings for one, stays as it is.
    made.register_structure_hook_func(lambda kind: kind is object, lambda value, _: value)
    made.register_structure_hook_factory(_has_extra, _structure_keeping_extra)
    made.register_unstructure_hook_factory(_has_extra, _unstructure_with_extra)
    return made


converter: Final[MsgspecJsonConverter] = _make_converter()
"""Records to and from dicts (`unstructure`, `structure`) and JSON (`dumps`, `loads`), without loss.

What a record names and what it keeps in `.extra` are written side by side, as the API sends them. A
field that the API may leave out is left out when it is None. A metric is a float: 3000 comes back
as 3000.0.

It is an ordinary cattrs converter: ``converter.structure(fields, YourRecord)`` fills any attrs
class, `asyncckpt.records.extra_field` lets yours keep unknown fields too, and hooks may be
registered; make them on ``converter.copy()`` if the change should stay yours.
"""
