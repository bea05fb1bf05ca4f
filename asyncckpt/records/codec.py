"""Decodes response bodies to records.

msgspec parses the JSON and checks the types. Unknown fields are kept in `.extra`.

Decoding takes two steps. The first parses the body into *wire* objects: msgspec structs with the
fields of the record class. It finds every error of the body. The second converts wire objects to
records. It can run later, so that the cursor of a page is known before its records are created.

A wire class forbids unknown fields, because parsing is fast only without them. If a body has an
unknown field, the fast parser fails, and a slower one decodes the body. The same happens if a known
field is absent or null against the API reference, or a time is text. The names of the unknown,
absent and null fields are learned by a new wire class, so that the next page is parsed fast again.
The number of learned names is bounded, and so is how often a new class is created. So a server that
sends new names in every page costs little time and memory.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

import msgspec

from asyncckpt.records.base import NO_EXTRA, Extra, HasId, ListBody, extra_with_forms
from asyncckpt.records.forms import Forms, take_forms
from asyncckpt.records.wire import (
    Learned,
    can_be_learned,
    record_fields,
    replace_records,
    wire_class,
)

__all__ = ["Decoder", "ListDecoder", "MismatchError", "TruncatedBodyError", "record_fields"]

_T = TypeVar("_T")

_MAX_LEARNED_NAMES: Final = 16
_MAX_LEARNED_CHARACTERS: Final = 2048
"""The bounds of the names that a decoder learns: their number, and their total length."""

_ARRAY_OR_SPACE: Final = (b"[", b" ", b"\t", b"\n", b"\r")

_FIRST_WAIT: Final = 8
_WAIT_GROWTH: Final = 4
_LONGEST_WAIT: Final = 128
"""Pages with unknown fields to decode slowly before learning again.

Creating a wire class takes as long as decoding one or two pages. The decoder learns from the first
page with unknown fields, then waits for 8 such pages, then for 32, and then for 128 each time.
"""


class TruncatedBodyError(ValueError):
    """The JSON of a body is truncated."""


class MismatchError(ValueError):
    """A body does not match the record class.

    Attributes:
        path: The JSON path of the mismatch.
    """

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path


class Decoder(Generic[_T]):
    """Decodes JSON to one record class, and learns the names of unknown fields.

    Args:
        record_type: An attrs class, whose fields may be attrs classes too.
    """

    def __init__(self, record_type: type[_T]) -> None:
        self._type = record_type
        self._learned: Learned = frozenset()
        self._wire_decoder: msgspec.json.Decoder[Any] | None = None
        self._pages_to_wait = 0
        self._next_wait = _FIRST_WAIT

    @property
    def is_prepared(self) -> bool:
        """Whether what parses the bodies is built."""
        return self._wire_decoder is not None

    def prepare(self) -> msgspec.json.Decoder[Any]:
        """Build what parses the bodies, unless it is built already."""
        if self._wire_decoder is None:
            self._wire_decoder = msgspec.json.Decoder(wire_class(self._type, self._learned))
        return self._wire_decoder

    def decode(self, content: bytes) -> _T:
        """Decode one body.

        Args:
            content: JSON in UTF-8.

        Returns:
            The record, with unknown fields in `.extra`.

        Raises:
            TruncatedBodyError: The JSON is truncated.
            MismatchError: The body is not JSON, or does not match the record class.
        """
        return to_record(self.parse(content), self._type)

    def parse(self, content: bytes) -> Any:
        """Parse and check one body; the first step of `decode`.

        Returns:
            An object with the attributes of the record, to be converted by `to_record`.

        Raises:
            TruncatedBodyError: The JSON is truncated.
            MismatchError: The body is not JSON, or does not match the record class.
        """
        try:
            return (self._wire_decoder or self.prepare()).decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # The reason may be an unknown field or another form, which is not an error.
            return self._decode_slowly(content)

    def _decode_slowly(self, content: bytes) -> _T:
        found: defaultdict[type, set[str]] = defaultdict(set)
        try:
            value = msgspec.json.decode(content)
            _prepare(value, _layout(cast("type", self._type)), found)
            record = msgspec.convert(value, self._type)
        except msgspec.ValidationError as error:
            problem, _, path = str(error).partition(" - at ")
            raise MismatchError(problem, path.strip("`") or "$") from None
        except msgspec.DecodeError as error:
            if str(error) == "Input data was truncated":
                raise TruncatedBodyError(str(error)) from None
            raise MismatchError(str(error), "$") from None
        except UnicodeDecodeError:
            raise MismatchError("Expected UTF-8", "$") from None
        except RecursionError:
            raise MismatchError("Nested too deeply", "$") from None
        self._learn(found)
        return record

    def _learn(self, found: Mapping[type, Set[str]]) -> None:
        if not any(found.values()):
            # There was text as a time, which is not learned.
            return
        self._pages_to_wait -= 1
        if self._pages_to_wait > 0 or any(
            len(names) > _MAX_LEARNED_NAMES for names in found.values()
        ):
            return
        names = frozenset(
            (cls, name) for cls in found for name in found[cls] if can_be_learned(name)
        )
        # If there is no room for the old and the new names, the new names replace the old ones.
        for learned in (self._learned | names, names):
            if learned != self._learned and _is_within_bounds(learned):
                self._learned = learned
                self._wire_decoder = None
                self._pages_to_wait = self._next_wait
                self._next_wait = min(_WAIT_GROWTH * self._next_wait, _LONGEST_WAIT)
                return


def _is_within_bounds(names: Learned) -> bool:
    return (
        len(names) <= _MAX_LEARNED_NAMES
        and sum(len(name) for _, name in names) <= _MAX_LEARNED_CHARACTERS
    )


def to_record(parsed: object, record_type: type[_T]) -> _T:
    """Convert the result of `Decoder.parse`, or a part of it, to a record type."""
    return msgspec.convert(parsed, record_type, from_attributes=True)


class ListDecoder(Generic[_T]):
    """Decodes the pages of a list, in two steps.

    Args:
        list_type: The attrs class of the body.
        record_type: The attrs class of the records in the body.
    """

    def __init__(self, list_type: type[ListBody], record_type: type[_T]) -> None:
        self.record_type = record_type
        self._decoder = Decoder(list_type)
        self._records_type = list[record_type]  # type: ignore[valid-type]

    @property
    def is_prepared(self) -> bool:
        """Whether `prepare` would do nothing."""
        return self._decoder.is_prepared

    def prepare(self) -> None:
        """Build what parses the bodies, unless it exists; this takes about a millisecond."""
        self._decoder.prepare()

    def parse(self, content: bytes) -> ListBody:
        """Parse and check one body.

        A bare array is read as the `data` of a page.

        Returns:
            The body. Its `data` are wire objects, to be converted by `to_records`.

        Raises:
            TruncatedBodyError: The JSON is truncated.
            MismatchError: The body is not JSON, or does not match the list class.
        """
        if content[:1] not in _ARRAY_OR_SPACE or content.lstrip()[:1] != b"[":
            body: ListBody = self._decoder.parse(content)
            return body
        try:
            body = self._decoder.parse(b'{"data":' + content + b"}")
        except MismatchError as mismatch:
            raise MismatchError(str(mismatch), mismatch.path.replace("$.data", "$", 1)) from None
        return body

    def to_records(self, parsed: Sequence[HasId]) -> list[_T]:
        """Convert wire objects, such as the `data` of a body, to records."""
        return to_record(parsed, self._records_type)


class _Layout(NamedTuple):
    """The names of a record class's fields, and the layouts of the record classes among them."""

    record_type: type
    known: frozenset[str]
    forms: Forms
    children: tuple[tuple[str, _Layout], ...]


@functools.cache
def _layout(cls: type) -> _Layout:
    children: list[tuple[str, _Layout]] = []
    for name, annotation in record_fields(cls).items():
        record_types: list[type] = []
        replace_records(annotation, record_types.append)
        children.extend((name, _layout(record_type)) for record_type in record_types)
    return _Layout(cls, frozenset(record_fields(cls)), Forms.of(cls), tuple(children))


# `Extra` overrides the methods of dict that change it.
_drop: Final = dict[str, object].pop


def _unknown_of(fields: dict[str, Any], known: frozenset[str], names: set[str]) -> Extra:
    unknown = Extra(fields)
    for name in known:
        _drop(unknown, name, None)
    if len(names) <= _MAX_LEARNED_NAMES:
        names.update(unknown)
    return unknown


def _prepare(value: Any, layout: _Layout, found: dict[type, set[str]]) -> None:
    """Prepare a JSON value to be converted to a record, at every depth.

    Unknown fields are moved into ``extra``, and their names are added to `found`. Known fields in
    another form get the value that it means.
    """
    if isinstance(value, list):
        for part in cast("list[object]", value):
            _prepare(part, layout, found)
        return
    if not isinstance(value, dict):
        return
    record_type, known, forms, children = layout
    fields = cast("dict[str, Any]", value)
    null, absent, times = forms
    taken = None
    # Most records have no other forms, and a call costs more than these checks.
    if (null and None in fields.values()) or not fields.keys() >= absent:
        taken = take_forms(fields, forms)
    else:
        for name in times:
            if isinstance(fields.get(name), str):
                taken = take_forms(fields, forms)
                break
    unknown = NO_EXTRA
    if not known.issuperset(fields):
        unknown = _unknown_of(fields, known, found[record_type])
    # The other unknown fields may stay: the conversion to a record ignores them.
    if taken:
        fields["extra"] = extra_with_forms(unknown, taken)
        found[record_type].update(name for name in taken if not isinstance(taken[name], str))
    elif unknown is not NO_EXTRA:
        fields["extra"] = unknown
    for name, child in children:
        part = fields.get(name)
        if part is not None:
            _prepare(part, child, found)
