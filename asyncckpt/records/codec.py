"""Bytes to records: what stands between an answer of the API and its user's loop.

It is on the path of every record, so it is msgspec's: types are checked as the JSON is parsed. An
unknown field is kept in `.extra`. Records to and from plain data are in `conversion`.

How unknown fields are kept without paying for it. For each record class there is a *wire* class, a
msgspec struct of the same fields that forbids unknown ones; parsing into that and converting to the
record is faster than parsing into the record, and complains when there is a field that the record
does not name. Then the page is parsed the thorough way, field by field, and the names it had become
fields of the next wire class: the codec learns what the server sends.

The two steps need not follow each other at once. All that can be wrong with a body is found in the
first, so a page knows what follows it before there are records.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar, cast

import attrs
import msgspec

from asyncckpt.records.base import NO_EXTRA, Extra, HasId, ListBody

__all__ = ["CutBodyError", "Decoder", "ListDecoder", "MismatchError", "record_fields"]

_T = TypeVar("_T")

_UnknownFields = frozenset[tuple[type, str]]

_LEARNED_AT_MOST: Final = 64
"""Bounds what a server that invents field names can make the codec remember."""


class CutBodyError(ValueError):
    """The body ends in the middle of its JSON: it was cut on the way."""


class MismatchError(ValueError):
    """The body is not what was expected.

    Attributes:
        path: Where, as a JSON path.
    """

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path


class Decoder(Generic[_T]):
    """Decodes JSON bytes into one record type; remembers the unknown fields it has met.

    Args:
        record_type: An attrs class; its fields may be attrs classes in turn.
    """

    def __init__(self, record_type: type[_T]) -> None:
        self._type = record_type
        self._unknown: _UnknownFields = frozenset()
        self._wire_decoder: msgspec.json.Decoder[Any] | None = None

    def decode(self, content: bytes) -> _T:
        """Decode one body.

        Args:
            content: JSON, in UTF-8.

        Returns:
            The record, every type checked, every unknown field kept.

        Raises:
            CutBodyError: The JSON ends too early.
            MismatchError: It is no JSON, or not of the record's form.
        """
        return to_record(self.parse(content), self._type)

    def parse(self, content: bytes) -> Any:
        """The first half of `decode`, which finds whatever is wrong with the body.

        Returns:
            What reads like the record, and becomes it by `to_record`.

        Raises:
            CutBodyError: The JSON ends too early.
            MismatchError: It is no JSON, or not of the record's form.
        """
        if self._wire_decoder is None:
            self._wire_decoder = msgspec.json.Decoder(_wire_class(self._type, self._unknown))
        try:
            return self._wire_decoder.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # An unknown field, or an answer that does not fit: the thorough way tells which.
            return self._decode_thoroughly(content)

    def _decode_thoroughly(self, content: bytes) -> _T:
        found: set[tuple[type, str]] = set()
        try:
            sorted_out = _sort_out(msgspec.json.decode(content), self._type, found)
            record = msgspec.convert(sorted_out, self._type)
        except msgspec.ValidationError as error:
            problem, _, path = str(error).partition(" - at ")
            raise MismatchError(problem, path.strip("`") or "$") from None
        except msgspec.DecodeError as error:
            if str(error) == "Input data was truncated":
                raise CutBodyError(str(error)) from None
            raise MismatchError(str(error), "$") from None
        except UnicodeDecodeError:
            raise MismatchError("Expected UTF-8", "$") from None
        except RecursionError:
            raise MismatchError("Nested too deeply", "$") from None
        self._learn(found)
        return record

    def _learn(self, found: Iterable[tuple[type, str]]) -> None:
        names = frozenset((cls, name) for cls, name in found if _can_be_wire_field(name))
        learned = self._unknown | names
        self._unknown = learned if len(learned) <= _LEARNED_AT_MOST else names
        if len(self._unknown) > _LEARNED_AT_MOST:
            self._unknown = frozenset()
        self._wire_decoder = None


def to_record(parsed: object, record_type: type[_T]) -> _T:
    """Make of what `Decoder.parse` returned, or of a part of it, what it stands for."""
    return msgspec.convert(parsed, record_type, from_attributes=True)


class ListDecoder(Generic[_T]):
    """Decodes the pages of a list, in two steps.

    Args:
        list_type: The attrs class of a page's body.
        record_type: The attrs class of the records in it.
    """

    def __init__(self, list_type: type[ListBody], record_type: type[_T]) -> None:
        self._decoder = Decoder(list_type)
        self._records_type = list[record_type]  # type: ignore[valid-type]

    def parse(self, content: bytes) -> ListBody:
        """Check one body; its `data` are not records yet.

        Raises:
            CutBodyError: The JSON ends too early.
            MismatchError: It is no JSON, or not of the list's form.
        """
        body: ListBody = self._decoder.parse(content)
        return body

    def to_records(self, parsed: Sequence[HasId]) -> list[_T]:
        """The records of the `data` of a body."""
        return to_record(parsed, self._records_type)


def _can_be_wire_field(name: str) -> bool:
    # msgspec's own rule for a struct's names.
    return bool(name) and name.isprintable() and '"' not in name and "\\" not in name


@functools.cache
def record_fields(cls: type) -> Mapping[str, Any]:
    """The types of the fields that the API knows, by name."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in attrs.fields(cls) if field.name != "extra"}


def _replace_records(annotation: Any, replace: Callable[[type], Any]) -> Any:
    """The same type with every record class in it replaced."""
    if isinstance(annotation, type) and attrs.has(annotation):
        return replace(annotation)
    arguments = typing.get_args(annotation)
    if not arguments:
        return annotation
    replaced = tuple(_replace_records(argument, replace) for argument in arguments)
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return functools.reduce(lambda left, right: left | right, replaced)
    generic: Any = typing.get_origin(annotation)
    return generic[replaced]


def _wire_class(cls: type, unknown: _UnknownFields) -> type[msgspec.Struct]:
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for field in attrs.fields(cls):
        if field.name == "extra":
            continue
        wire_type = _replace_records(
            record_fields(cls)[field.name], lambda record: _wire_class(record, unknown)
        )
        if field.default is attrs.NOTHING:
            fields.append((field.name, wire_type))
        else:
            fields.append((field.name, wire_type, _wire_default(field.default)))
    learned = {f"learned_{i}": name for i, (owner, name) in enumerate(unknown) if owner is cls}
    fields.extend((attribute, Any, msgspec.UNSET) for attribute in learned)
    return msgspec.defstruct(
        cls.__name__,
        fields,
        forbid_unknown_fields=True,
        rename=learned,
        # Trees of what JSON can be: nothing in them can refer back to its owner.
        gc=False,
        namespace={"extra": _extra_of(learned) if learned else NO_EXTRA},
    )


def _wire_default(default: Any) -> Any:
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        return msgspec.field(default_factory=default.factory)
    return default


def _extra_of(learned: Mapping[str, str]) -> property:
    """What the conversion to a record reads as `.extra`."""
    pairs = tuple(learned.items())
    unset = msgspec.UNSET
    # Extra refuses changes, also by the one who makes it.
    store = dict[str, object].__setitem__

    def extra(wire: msgspec.Struct) -> Extra:
        fields = Extra()
        for attribute, name in pairs:
            value = getattr(wire, attribute)
            if value is not unset:
                store(fields, name, value)
        return fields or NO_EXTRA

    return property(extra)


def _sort_out(value: Any, annotation: Any, found: set[tuple[type, str]]) -> Any:
    """Move what a record does not name into its ``extra``, at every depth, and note the names."""
    if isinstance(annotation, type) and attrs.has(annotation):
        if not isinstance(value, dict):
            return value
        known = record_fields(annotation)
        fields = cast("dict[str, Any]", value)
        unknown = {name: part for name, part in fields.items() if name not in known}
        found.update((annotation, name) for name in unknown)
        record = {
            name: _sort_out(fields[name], known[name], found) for name in known if name in fields
        }
        record["extra"] = Extra(unknown) if unknown else NO_EXTRA
        return record
    for argument in typing.get_args(annotation):
        if isinstance(value, list):
            parts = cast("list[object]", value)
            value = [_sort_out(part, argument, found) for part in parts]
        else:
            value = _sort_out(value, argument, found)
    return value
