"""What all records share: frozen attrs classes with slots.

Names, types and meaning follow the API reference's fine-tuning objects. A field that the API calls
optional, or may send as ``null``, is None here. A field that this version does not know is kept in
`.extra`, whichever object it comes in.

Records compare by all their fields and hash by those that cannot change.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

import attrs

__all__ = ["Extra", "HasId", "ListBody", "as_datetime", "extra_field"]


class Extra(dict[str, builtins.object]):
    """The fields of an API object that its record does not name: a dict that cannot be changed."""

    __slots__ = ()

    def _refuse(self, *_: builtins.object, **__: builtins.object) -> NoReturn:
        msg = "the extra fields of a record cannot be changed; attrs.evolve() makes a changed copy"
        raise TypeError(msg)

    if not TYPE_CHECKING:  # to a type checker it is the dict that it is for every reader
        __setitem__ = __delitem__ = __ior__ = _refuse
        clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[Extra], tuple[dict[str, builtins.object]]]:
        return Extra, (dict(self),)


NO_EXTRA: Final = Extra()
"""One for all: nearly every record has none."""


def _frozen_extra(fields: Mapping[str, builtins.object]) -> Extra:
    return fields if isinstance(fields, Extra) else Extra(fields)


def extra_field() -> Extra:
    """The attrs field that keeps what a record class does not name; for your own record classes.

    Returns:
        A field to be assigned to ``extra: Extra``; the name must be ``extra``.
        `asyncckpt.converter` then keeps unknown keys in it, and writes them back.
    """
    field: Extra = attrs.field(default=NO_EXTRA, converter=_frozen_extra, kw_only=True, hash=False)
    return field


def as_datetime(unixtime: int) -> datetime:
    """Unix time in seconds as an aware datetime in UTC."""
    return datetime.fromtimestamp(unixtime, UTC)


class HasId(Protocol):
    """A record with an id, which may be a cursor, or stand for a job."""

    @property
    def id(self) -> str:
        """The record's identifier."""
        ...


class ListBody(Protocol):
    """The body of a page, whatever it is a page of, and even before records are made of it."""

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
