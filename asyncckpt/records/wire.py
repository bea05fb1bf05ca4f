"""Builds the msgspec structs that parse the JSON of records.

A wire class has the fields of a record class. It forbids all others, because parsing is fast only
then. Fields that the server sends in another way are *learned*: unknown fields, and known fields
that are absent or null although the API reference does not say so. They are parsed as they were
sent, and properties return what the record needs: the value that is meant, and the `Extra`.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import attrs
import msgspec

from asyncckpt.records.base import NO_EXTRA, Extra, extra_with_forms, forms_of
from asyncckpt.records.forms import Forms

__all__ = ["Learned", "can_be_learned", "record_fields", "replace_records", "wire_class"]

Learned: TypeAlias = frozenset[tuple[type, str]]
"""Record classes and the names of their learned fields."""

_SHARED_FORMS: Final = 64
"""How many sets of null and absent fields a wire class keeps an `Extra` for.

An `Extra` cannot be changed, so the records with the same null and absent fields share one.
"""


def can_be_learned(name: str) -> bool:
    """Return whether a wire class can have a field of this name."""
    # msgspec rejects other names.
    return bool(name) and name.isprintable() and '"' not in name and "\\" not in name


@functools.cache
def record_fields(cls: type) -> Mapping[str, Any]:
    """Return the names and types of the fields of a record class, without `extra`."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in attrs.fields(cls) if field.name != "extra"}


def replace_records(annotation: Any, replace: Callable[[type], Any]) -> Any:
    """Return a type annotation with every record class in it replaced."""
    if isinstance(annotation, type) and attrs.has(annotation):
        return replace(annotation)
    arguments = typing.get_args(annotation)
    if not arguments:
        return annotation
    replaced = tuple(replace_records(argument, replace) for argument in arguments)
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return functools.reduce(lambda left, right: left | right, replaced)
    generic: Any = typing.get_origin(annotation)
    return generic[replaced]


def wire_class(cls: type, learned: Learned) -> type[msgspec.Struct]:
    """Return the wire class of a record class.

    Args:
        cls: The record class.
        learned: The learned fields of this class and of the record classes in its fields.
    """
    names = [name for owner, name in learned if owner is cls]
    attribute_of = {name: f"learned_{number}" for number, name in enumerate(names)}
    forms = Forms.of(cls)
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    properties: dict[str, Any] = {}
    known: list[str] = []
    for field in attrs.fields(cls):
        if field.name == "extra":
            continue
        kind = replace_records(
            record_fields(cls)[field.name], lambda record: wire_class(record, learned)
        )
        if field.name in attribute_of:
            known.append(field.name)
            attribute = attribute_of[field.name]
            fields.append((attribute, kind | None | msgspec.UnsetType, msgspec.UNSET))
            properties[field.name] = _value_of(attribute, field.default)
            continue
        if field.name in forms.null:
            # Only a learned field tells a null from an absent field.
            kind = _without_none(kind)
        if field.name in forms.absent or field.default is attrs.NOTHING:
            fields.append((field.name, kind))
        else:
            fields.append((field.name, kind, _wire_default(field.default)))
    unknown = [(attribute_of[name], name) for name in names if name not in known]
    fields.extend((attribute, Any, msgspec.UNSET) for attribute, _ in unknown)
    properties["extra"] = (
        _extra_of(unknown, [(attribute_of[name], name) for name in known], forms)
        if names
        else NO_EXTRA
    )
    return msgspec.defstruct(
        cls.__name__,
        fields,
        forbid_unknown_fields=True,
        kw_only=True,
        rename={attribute: name for name, attribute in attribute_of.items()},
        # Wire objects are trees of JSON values, which have no reference cycles.
        gc=False,
        namespace=properties,
    )


def _without_none(annotation: Any) -> Any:
    if typing.get_origin(annotation) is not types.UnionType:
        return annotation
    kept = (part for part in typing.get_args(annotation) if part is not types.NoneType)
    return functools.reduce(lambda left, right: left | right, kept)


def _wire_default(default: Any) -> Any:
    if hasattr(default, "factory"):
        return msgspec.field(default_factory=default.factory)
    return default


def _value_of(attribute: str, default: Any) -> property:
    """Return a property with the value of a learned field, or the default of the record class."""
    unset = msgspec.UNSET
    new_default = getattr(default, "factory", None)

    def value(wire: msgspec.Struct) -> object:
        sent = getattr(wire, attribute)
        if sent is None or sent is unset:
            return default if new_default is None else new_default()
        return sent

    return property(value)


def _extra_of(
    unknown: Sequence[tuple[str, str]], known: Sequence[tuple[str, str]], forms: Forms
) -> property:
    """Return the `extra` property of a wire class, which becomes the `.extra` of the record.

    Args:
        unknown: The attributes and names of the learned fields that the record does not define.
        known: Those of the learned fields that it defines.
        forms: The forms of the record class.
    """
    unset = msgspec.UNSET
    # `Extra` overrides the methods of dict that change it.
    store = dict[str, object].__setitem__
    known_attributes = tuple([attribute for attribute, _ in known])

    @functools.lru_cache(maxsize=_SHARED_FORMS)
    def known_extra(*sent: object) -> Extra:
        """Return an `Extra` without unknown fields; `sent` has True for each value of its own."""
        taken = {
            name: value
            for (_, name), value in zip(known, sent, strict=True)
            if value is None or (value is unset and name in forms.absent)
        }
        return extra_with_forms(NO_EXTRA, taken) if taken else NO_EXTRA

    def extra(wire: msgspec.Struct) -> Extra:
        with_forms = NO_EXTRA
        if known:
            with_forms = known_extra(
                *[
                    value if (value := getattr(wire, name)) is None or value is unset else True
                    for name in known_attributes
                ]
            )
        if not unknown:
            return with_forms
        fields = Extra()
        for attribute, name in unknown:
            value = getattr(wire, attribute)
            if value is not unset:
                store(fields, name, value)
        if with_forms is not NO_EXTRA:
            return extra_with_forms(fields, forms_of(with_forms))
        return fields or NO_EXTRA

    return property(extra)
