"""Decodes response bodies to records.

msgspec does the work, since every record takes this path: it checks types while it parses. Unknown
fields are kept in `.extra`. `conversion` turns records into plain data and back.

Keeping unknown fields costs little. Each record class has a *wire* class, a msgspec struct of the
same fields that forbids unknown ones. Parsing into it and converting the result to the record is
faster than parsing into the record, and fails if there is a field that the record does not name.
Then the page is decoded thoroughly, and the names found in it become fields of the next wire class:
the decoder learns what the server sends. A server cannot abuse that: what is learned is bounded,
and so is how often.

The two steps, parsing and converting, can be apart. The first finds everything that can be wrong
with a body, so a page knows what follows it before its records exist.
"""

from __future__ import annotations

import functools
import types
import typing
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

import attrs
import msgspec

from asyncckpt.records.base import NO_EXTRA, Extra, HasId, ListBody

__all__ = ["CutBodyError", "Decoder", "ListDecoder", "MismatchError", "record_fields"]

_T = TypeVar("_T")

_UnknownFields = frozenset[tuple[type, str]]

_NAMES_LEARNED: Final = 16
_CHARACTERS_LEARNED: Final = 2048
"""The memory of a decoder for unknown names: at most this many, of this length in total."""

_FIRST_WAIT: Final = 8
_WAIT_GROWTH: Final = 4
_LONGEST_WAIT: Final = 128
"""Learning costs a normal page or two. The first time is at once; then 8, 32 and at most 128 pages
with unknown fields lie between two times, so that new names in every page cost little more than
unknown fields do."""


class CutBodyError(ValueError):
    """The body ends in the middle of its JSON."""


class MismatchError(ValueError):
    """The body does not have the expected form.

    Attributes:
        path: Where, as a JSON path.
    """

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path


class Decoder(Generic[_T]):
    """Decodes JSON bytes into one record type, and learns the unknown fields that it meets.

    Args:
        record_type: An attrs class; its fields may be attrs classes in turn.
    """

    def __init__(self, record_type: type[_T]) -> None:
        self._type = record_type
        self._unknown: _UnknownFields = frozenset()
        self._wire_decoder: msgspec.json.Decoder[Any] | None = None
        self._pages_to_wait = 0
        self._next_wait = _FIRST_WAIT

    def prepare(self) -> msgspec.json.Decoder[Any]:
        """Build what parses the bodies, unless it is built already."""
        if self._wire_decoder is None:
            self._wire_decoder = msgspec.json.Decoder(_wire_class(self._type, self._unknown))
        return self._wire_decoder

    def decode(self, content: bytes) -> _T:
        """Decode one body.

        Args:
            content: JSON, in UTF-8.

        Returns:
            The record, with all types checked and all unknown fields kept.

        Raises:
            CutBodyError: The JSON ends too early.
            MismatchError: It is not JSON, or does not have the record's form.
        """
        return to_record(self.parse(content), self._type)

    def parse(self, content: bytes) -> Any:
        """Check one body: the first half of `decode`.

        Returns:
            An object with the record's attributes, which `to_record` turns into the record.

        Raises:
            CutBodyError: The JSON ends too early.
            MismatchError: It is not JSON, or does not have the record's form.
        """
        try:
            return self.prepare().decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # There is an unknown field, or the body does not fit: this finds out which.
            return self._decode_thoroughly(content)

    def _decode_thoroughly(self, content: bytes) -> _T:
        found: defaultdict[type, set[str]] = defaultdict(set)
        try:
            value = msgspec.json.decode(content)
            _move_unknown(value, _layout(cast("type", self._type)), found)
            record = msgspec.convert(value, self._type)
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

    def _learn(self, found: Mapping[type, Set[str]]) -> None:
        self._pages_to_wait -= 1
        if self._pages_to_wait > 0 or any(len(names) > _NAMES_LEARNED for names in found.values()):
            return
        names = frozenset(
            (cls, name) for cls in found for name in found[cls] if _can_be_wire_field(name)
        )
        # Names that do not fit beside the old ones take their place.
        for learned in (self._unknown | names, names):
            if learned != self._unknown and _can_be_remembered(learned):
                self._unknown = learned
                self._wire_decoder = None
                self._pages_to_wait = self._next_wait
                self._next_wait = min(_WAIT_GROWTH * self._next_wait, _LONGEST_WAIT)
                return


def _can_be_remembered(names: _UnknownFields) -> bool:
    return (
        len(names) <= _NAMES_LEARNED and sum(len(name) for _, name in names) <= _CHARACTERS_LEARNED
    )


def to_record(parsed: object, record_type: type[_T]) -> _T:
    """Convert what `Decoder.parse` returned, or a part of it, to a record type."""
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

    def prepare(self) -> None:
        """Build what parses the bodies, unless it exists; this takes about a millisecond."""
        self._decoder.prepare()

    def parse(self, content: bytes) -> ListBody:
        """Check one body; its `data` are not records yet.

        Raises:
            CutBodyError: The JSON ends too early.
            MismatchError: It is not JSON, or does not have the list's form.
        """
        body: ListBody = self._decoder.parse(content)
        return body

    def to_records(self, parsed: Sequence[HasId]) -> list[_T]:
        """Convert the `data` of a body to records."""
        return to_record(parsed, self._records_type)


def _can_be_wire_field(name: str) -> bool:
    # This is msgspec's rule for the names of a struct's fields.
    return bool(name) and name.isprintable() and '"' not in name and "\\" not in name


@functools.cache
def record_fields(cls: type) -> Mapping[str, Any]:
    """Return the types of the fields that the API knows, by name."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in attrs.fields(cls) if field.name != "extra"}


def _replace_records(annotation: Any, replace: Callable[[type], Any]) -> Any:
    """Return a type with every record class in it replaced."""
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
        # These are trees of JSON values, so nothing in them refers back to its owner.
        gc=False,
        namespace={"extra": _extra_of(learned) if learned else NO_EXTRA},
    )


def _wire_default(default: Any) -> Any:
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        return msgspec.field(default_factory=default.factory)
    return default


def _extra_of(learned: Mapping[str, str]) -> property:
    """Return the property that the conversion to a record reads as `.extra`."""
    pairs = tuple(learned.items())
    unset = msgspec.UNSET
    # Extra refuses changes, also by its maker.
    store = dict[str, object].__setitem__

    def extra(wire: msgspec.Struct) -> Extra:
        fields = Extra()
        for attribute, name in pairs:
            value = getattr(wire, attribute)
            if value is not unset:
                store(fields, name, value)
        return fields or NO_EXTRA

    return property(extra)


class _Layout(NamedTuple):
    """The fields of a record class, and the layouts of the record classes among their types."""

    record_type: type
    known: frozenset[str]
    children: tuple[tuple[str, _Layout], ...]


@functools.cache
def _layout(cls: type) -> _Layout:
    children: list[tuple[str, _Layout]] = []
    for name, annotation in record_fields(cls).items():
        record_types: list[type] = []
        _replace_records(annotation, record_types.append)
        children.extend((name, _layout(record_type)) for record_type in record_types)
    return _Layout(cls, frozenset(record_fields(cls)), tuple(children))


# Extra refuses changes, also by its maker.
_drop: Final = dict[str, object].pop


def _move_unknown(value: Any, layout: _Layout, found: dict[type, set[str]]) -> None:
    """Move what a record does not name into its ``extra``, at every depth, and note the names."""
    if isinstance(value, list):
        for part in cast("list[object]", value):
            _move_unknown(part, layout, found)
        return
    if not isinstance(value, dict):
        return
    record_type, known, children = layout
    fields = cast("dict[str, Any]", value)
    if not known.issuperset(fields):
        unknown = Extra(fields)
        for name in known:
            _drop(unknown, name, None)
        names = found[record_type]
        if len(names) <= _NAMES_LEARNED:
            names.update(unknown)
        # The conversion to a record looks at nothing else that is unknown.
        fields["extra"] = unknown
    for name, child in children:
        part = fields.get(name)
        if part is not None:
            _move_unknown(part, child, found)
