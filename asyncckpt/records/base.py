"""Defines the base class of all records, and the types they share.

A record is a frozen attrs class with slots. Its fields have the names, types and meaning of the
fine-tuning objects in the API reference. A field that the API calls optional, or may send as
``null``, can be None. A field that this version does not know is kept in `.extra`.

Records compare by all fields. They hash by all fields except dicts and lists.
"""

# The functions that create and read an `Extra` use its private attribute.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

import attrs

__all__ = [
    "NO_EXTRA",
    "Extra",
    "HasId",
    "ListBody",
    "Record",
    "extra_field",
    "extra_with_forms",
    "forms_of",
]


class Extra(dict[str, builtins.object]):
    """An immutable dict of the fields that a record class does not define."""

    # What `asyncckpt.records.forms` needs to write the other fields as they were sent. It is here,
    # and not in a field of the record, because it costs nothing where it is not needed.
    __slots__ = ("_forms",)
    _forms: Mapping[str, builtins.object]

    def _refuse(self, *_: builtins.object, **__: builtins.object) -> NoReturn:
        msg = "the extra fields of a record cannot be changed; use attrs.evolve() to make a copy"
        raise TypeError(msg)

    if not TYPE_CHECKING:  # a type checker would reject the narrower signatures
        __setitem__ = __delitem__ = __ior__ = _refuse
        clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[builtins.object, ...]:
        forms = forms_of(self)
        return (extra_with_forms, (dict(self), forms)) if forms else (Extra, (dict(self),))


NO_EXTRA: Final = Extra()
"""Shared by all records without unknown fields, to save memory."""

_NO_FORMS: Final[Mapping[str, builtins.object]] = MappingProxyType({})


def extra_with_forms(
    fields: Mapping[str, builtins.object], forms: Mapping[str, builtins.object]
) -> Extra:
    """Return the unknown fields of a record, with the sent forms of known ones."""
    extra = Extra(fields)
    extra._forms = dict(forms)
    return extra


def forms_of(extra: Extra) -> Mapping[str, builtins.object]:
    """Return the sent forms of known fields; see `asyncckpt.records.forms`."""
    return getattr(extra, "_forms", _NO_FORMS)


def _frozen_extra(fields: Mapping[str, builtins.object]) -> Extra:
    return fields if isinstance(fields, Extra) else Extra(fields)


def extra_field() -> Extra:
    """Return an attrs field that keeps unknown fields, for your own record classes.

    `asyncckpt.converter` stores unknown keys in the field, and writes them back.

    Returns:
        The field. Assign it as ``extra: Extra = extra_field()``; the name must be ``extra``.
    """
    field: Extra = attrs.field(default=NO_EXTRA, converter=_frozen_extra, kw_only=True, hash=False)
    return field


class _SchemaHandler(Protocol):
    def generate_schema(self, source: builtins.object, /) -> builtins.object: ...


class Record:
    """Base class of all records. Pydantic, and thus FastAPI, can use records as field types."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: builtins.object, handler: _SchemaHandler
    ) -> builtins.object:
        # Programs without pydantic do not need the module.
        from asyncckpt.records.pydantic_schema import pydantic_schema

        return pydantic_schema(cls, handler.generate_schema)


class HasId(Protocol):
    """A record with an id."""

    @property
    def id(self) -> str:
        """The identifier of the record, which is also its cursor in a list."""
        ...


class ListBody(Protocol):
    """The body of a page, with records or with parsed objects that become records."""

    @property
    def data(self) -> Sequence[HasId]:
        """The records."""
        ...

    @property
    def has_more(self) -> bool | None:
        """Whether there are more records; None if the server did not send it."""
        ...

    @property
    def first_id(self) -> str | None:
        """The id of the first record; None if the server did not send it."""
        ...

    @property
    def last_id(self) -> str | None:
        """The id of the last record; None if the server did not send it."""
        ...

    @property
    def object(self) -> str:
        """Always ``"list"``."""
        ...

    @property
    def extra(self) -> Extra:
        """The other fields of the page."""
        ...
