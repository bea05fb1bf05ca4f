"""What all records share: frozen attrs classes with slots.

Names, types and meaning follow the API reference's fine-tuning objects. A field that the API calls
optional, or may send as ``null``, can be None here. A field that this version does not know is kept
in the `.extra` of its object.

Records compare by all their fields and hash by those that cannot change.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

import attrs

__all__ = ["Extra", "HasId", "ListBody", "Record", "as_datetime", "extra_field"]


class Extra(dict[str, builtins.object]):
    """The fields of an API object that its record does not name, as a dict that cannot change."""

    __slots__ = ()

    def _refuse(self, *_: builtins.object, **__: builtins.object) -> NoReturn:
        msg = "the extra fields of a record cannot be changed; attrs.evolve() makes a changed copy"
        raise TypeError(msg)

    if not TYPE_CHECKING:  # type checkers see a dict, which it is for reading
        __setitem__ = __delitem__ = __ior__ = _refuse
        clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[Extra], tuple[dict[str, builtins.object]]]:
        return Extra, (dict(self),)


NO_EXTRA: Final = Extra()
"""Shared by all records without unknown fields, which is nearly all."""


def _frozen_extra(fields: Mapping[str, builtins.object]) -> Extra:
    return fields if isinstance(fields, Extra) else Extra(fields)


def extra_field() -> Extra:
    """Return the attrs field that keeps unknown fields, for your own record classes.

    Returns:
        A field to assign to ``extra: Extra``; the name must be ``extra``. `asyncckpt.converter`
        then keeps unknown keys in it, and writes them back.
    """
    field: Extra = attrs.field(default=NO_EXTRA, converter=_frozen_extra, kw_only=True, hash=False)
    return field


class _SchemaHandler(Protocol):
    def generate_schema(self, source: builtins.object, /) -> builtins.object: ...


class Record:
    """The base of all record classes; pydantic, and so FastAPI, can use them as types."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: builtins.object, handler: _SchemaHandler
    ) -> builtins.object:
        # pydantic calls this, and nothing else needs the module.
        from asyncckpt.records.pydantic_schema import pydantic_schema

        return pydantic_schema(cls, handler.generate_schema)


def as_datetime(unixtime: int) -> datetime:
    """Convert Unix time in seconds to an aware datetime in UTC."""
    return datetime.fromtimestamp(unixtime, UTC)


class HasId(Protocol):
    """A record with an id, which can be a cursor or name a job."""

    @property
    def id(self) -> str:
        """The record's identifier."""
        ...


class ListBody(Protocol):
    """The body of a page of any kind, also before its records are created."""

    @property
    def data(self) -> Sequence[HasId]:
        """The records."""
        ...

    @property
    def has_more(self) -> bool | None:
        """Whether there are more; None if the server does not say."""
        ...

    @property
    def first_id(self) -> str | None:
        """The id of the first record, if it was sent."""
        ...

    @property
    def last_id(self) -> str | None:
        """The id of the last record, if it was sent."""
        ...

    @property
    def object(self) -> str:
        """Always ``"list"``."""
        ...

    @property
    def extra(self) -> Extra:
        """Fields of the page that have no name here."""
        ...
