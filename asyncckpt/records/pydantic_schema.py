"""Builds the pydantic core schema of a record class, without importing pydantic.

A core schema is a dict. See ``__get_pydantic_core_schema__`` in pydantic's documentation, and
`pydantic_core.core_schema` for the keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import attrs

from asyncckpt.records.base import extra_with_forms
from asyncckpt.records.codec import record_fields
from asyncckpt.records.conversion import converter
from asyncckpt.records.forms import Forms, take_forms

__all__ = ["pydantic_schema"]


def pydantic_schema(
    record_type: type[Any], schema_of: Callable[[object], object]
) -> dict[str, object]:
    """Return the core schema of a record class.

    Validation accepts an instance, which it returns unchanged, or a mapping, which becomes an
    instance. Serialization gives the same result as `converter.unstructure`.

    Args:
        record_type: The record class.
        schema_of: Returns the core schema of a type.
    """
    known, forms = record_fields(cast("type", record_type)), Forms.of(cast("type", record_type))
    optional = {
        field.name for field in attrs.fields(record_type) if field.default is not attrs.NOTHING
    }
    fields = {
        name: {
            "type": "typed-dict-field",
            "schema": schema_of(annotation),
            "required": name not in optional,
        }
        for name, annotation in known.items()
    }

    def validate(value: object, inner: Callable[[object], dict[str, object]]) -> object:
        if isinstance(value, record_type):
            return value
        taken: dict[str, object] = {}
        if isinstance(value, Mapping):
            value = dict(cast("Mapping[str, object]", value))
            taken = take_forms(value, forms)
        parts = inner(value)
        named = {name: parts.pop(name) for name in known if name in parts}
        return record_type(**named, extra=extra_with_forms(parts, taken) if taken else parts)

    return {
        "type": "function-wrap",
        "function": {"type": "no-info", "function": validate},
        "schema": {
            "type": "typed-dict",
            "cls": record_type,
            "fields": fields,
            "extra_behavior": "allow",
        },
        "serialization": {"type": "function-plain", "function": converter.unstructure},
    }
