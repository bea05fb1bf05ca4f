"""What a caller may set for a client or a single call, checked where it is given."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from asyncckpt.protocol.headers import carries_credentials

__all__ = [
    "DEFAULT_TIMEOUT",
    "NOT_GIVEN",
    "NotGiven",
    "RequestOptions",
    "Timeout",
    "check_count",
    "check_cursor",
    "check_number",
]


class NotGiven(enum.Enum):
    """The type of `NOT_GIVEN`, for arguments to which None means something."""

    NOT_GIVEN = enum.auto()

    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN: Final = NotGiven.NOT_GIVEN
"""The argument was left out."""


_SECONDS: Final = "seconds, or None for no limit"


def _check_seconds(_: object, field: attrs.Attribute[float], value: float | None) -> None:
    if value is not None:
        check_number(field.name, value, _SECONDS, above=0)


def check_number(name: str, value: object, meaning: str, *, above: float) -> None:
    """Raise unless `value` is a finite number above `above`; `meaning` says what it counts."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number ({meaning}), not {type(value).__name__}")
    try:
        is_usable = math.isfinite(value) and value > above
    except OverflowError:
        is_usable = False
    if not is_usable:
        raise ValueError(f"{name} must be more than {above:g} ({meaning}), not {value!r}")


def check_count(name: str, value: object, *, least: int) -> None:
    """Raise unless `value` is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, not {type(value).__name__}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")


def check_cursor(after: object) -> None:
    """Raise unless `after` can be the id of a record, or is None."""
    if after is not None and not isinstance(after, str):
        raise TypeError(f"after must be the id of a record, or None, not {type(after).__name__}")
    if after == "":
        raise ValueError("after must be the id of a record, or None, not an empty string")


@attrs.frozen
class Timeout:
    """How long one attempt of a request may take. A retry starts the clocks again.

    Args:
        total: Seconds from the start of the attempt to the last byte of the answer; default 60.
        connect: Seconds to open a connection, if none is at hand; default 5.
        read: Seconds without a byte of the answer; default None, for `total` bounds that too.

    None stands for no limit.

    Raises:
        TypeError: One of them is no number.
        ValueError: One of them is not more than 0.
    """

    total: float | None = attrs.field(default=60.0, validator=_check_seconds)
    connect: float | None = attrs.field(default=5.0, validator=_check_seconds)
    read: float | None = attrs.field(default=None, validator=_check_seconds)

    @classmethod
    def of(cls, timeout: float | Timeout | None) -> Timeout:
        """The timeout meant by a number (of seconds in total) or by None (no limit at all)."""
        if isinstance(timeout, Timeout):
            return timeout
        if timeout is None:
            return cls(total=None, connect=None, read=None)
        check_number("timeout", timeout, _SECONDS, above=0)
        return cls(total=timeout, connect=min(timeout, DEFAULT_TIMEOUT.connect or timeout))


DEFAULT_TIMEOUT: Final = Timeout()


def _at_least(least: int) -> Callable[[object, attrs.Attribute[int], int], None]:
    return lambda _, field, value: check_count(field.name, value, least=least)


def _positive(meaning: str) -> Callable[[object, attrs.Attribute[float], float], None]:
    return lambda _, field, value: check_number(field.name, value, meaning, above=0)


def _whether_headers_authenticate(options: RequestOptions) -> bool:
    return carries_credentials(options.headers)


@attrs.frozen(kw_only=True)
class RequestOptions:
    """What applies to each request of one call."""

    timeout: Timeout
    max_retries: int = attrs.field(validator=_at_least(0))
    max_wait: float = attrs.field(validator=_positive("seconds"))
    max_body_bytes: int = attrs.field(validator=_at_least(1))
    headers: Mapping[str, str] = attrs.field(repr=False)
    carries_credentials: bool = attrs.field(
        init=False,
        default=attrs.Factory(_whether_headers_authenticate, takes_self=True),
    )
    query: Mapping[str, str] = attrs.field(repr=False)

    def changed(
        self,
        *,
        timeout: float | Timeout | NotGiven | None,
        max_retries: int | None,
        max_wait: float | None,
    ) -> RequestOptions:
        """The same with what is given changed; None and `NOT_GIVEN` keep what is there."""
        options = self
        if not isinstance(timeout, NotGiven):
            options = attrs.evolve(options, timeout=Timeout.of(timeout))
        if max_retries is not None:
            options = attrs.evolve(options, max_retries=max_retries)
        if max_wait is not None:
            options = attrs.evolve(options, max_wait=max_wait)
        return options
