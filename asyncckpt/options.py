"""Defines and checks the options of a client and of a single call."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Final, ForwardRef, Literal, TypedDict, TypeVar, cast

import attrs

from asyncckpt.protocol.headers import carries_credentials
from asyncckpt.protocol.request import QueryValue

__all__ = [
    "DEFAULT_TIMEOUT",
    "NOT_GIVEN",
    "CallOptions",
    "NotGiven",
    "Omit",
    "RequestOptions",
    "Timeout",
    "WatchOptions",
    "check_call_options",
    "check_count",
    "check_cursor",
    "check_number",
    "given",
    "omit",
    "show_call_options",
]

_T = TypeVar("_T")
_MethodT = TypeVar("_MethodT", bound=Callable[..., object])


class NotGiven:
    """The type of `NOT_GIVEN`, as in the official SDK."""

    __slots__ = ()

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "NOT_GIVEN"

    def __reduce__(self) -> str:
        return "NOT_GIVEN"


class Omit:
    """The type of `omit`, as in the official SDK."""

    __slots__ = ()

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "omit"

    def __reduce__(self) -> str:
        return "omit"


NOT_GIVEN: Final = NotGiven()
"""The default of arguments for which None has a meaning, such as `timeout`."""

omit: Final = Omit()
"""Has the same effect as leaving an argument out. As a value in `extra_headers` or `extra_query`,
it removes the header or parameter of that name."""


def given(value: _T | NotGiven | Omit) -> _T | None:
    """Return `value`, or None for `NOT_GIVEN` and `omit`."""
    return None if isinstance(value, NotGiven | Omit) else value


class WatchOptions(TypedDict, total=False):
    """The options that a watch accepts, as ``**options``: `CallOptions` without `timeout`.

    The `timeout` of a watch limits all of it. The time limits of its requests are the client's.
    """

    extra_headers: Mapping[str, str | Omit] | None
    extra_query: Mapping[str, QueryValue | Omit] | None
    max_retries: int | None
    max_wait: float | None


class CallOptions(WatchOptions, total=False):
    """The options that every call accepts, as ``**options``.

    Attributes:
        extra_headers: Headers to add to those of the client, or to replace them; `omit` as a value
            removes one.
        extra_query: Query parameters to add to those of the client and of the call, or to replace
            them; `omit` or None as a value removes one.
        max_retries: The highest number of retries after failures; default: the client's.
        max_wait: The total seconds that a request may wait for the rate limit and between retries;
            default: the client's.
        timeout: Total seconds for one attempt, a `Timeout`, or None for no limit; default: the
            client's.
    """

    timeout: float | Timeout | NotGiven | Omit | None


_OPTION_DEFAULTS: Final = dict.fromkeys(CallOptions.__annotations__) | {"timeout": NOT_GIVEN}
_OPTION_LINE: Final = "    **options: See `CallOptions`.\n"


def show_call_options(method: _MethodT) -> _MethodT:
    """List each option in the signature and docstring of a method that takes ``**options``.

    A method with a `timeout` of its own takes `WatchOptions`.

    `help`, the reference page and error messages use them. Type checkers read `CallOptions` itself.
    """
    signature = inspect.signature(method)
    named = [field for field in signature.parameters.values() if field.kind != field.VAR_KEYWORD]
    options = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=_OPTION_DEFAULTS[name],
            annotation=cast("ForwardRef", annotation).__forward_arg__,
        )
        for name, annotation in CallOptions.__annotations__.items()
        if name not in signature.parameters
    ]
    shown: object = signature.replace(parameters=[*named, *options])
    method.__signature__ = shown  # type: ignore[attr-defined]
    if method.__doc__ and CallOptions.__doc__:  # neither is kept by `python -OO`
        _, _, descriptions = inspect.cleandoc(CallOptions.__doc__).partition("Attributes:\n")
        if "timeout" in signature.parameters:
            descriptions = descriptions.partition("    timeout:")[0].rstrip()
        text = inspect.cleandoc(method.__doc__)
        method.__doc__ = text.replace(_OPTION_LINE, descriptions + "\n")
    return method


def check_call_options(method: Callable[..., object], options: Mapping[str, object]) -> None:
    """Raise TypeError if an option is unknown; the message suggests the closest valid name."""
    unknown = next((name for name in options if name not in CallOptions.__annotations__), None)
    if unknown is None:
        for name in ("extra_headers", "extra_query"):
            if (value := options.get(name)) and not isinstance(value, Mapping):
                raise TypeError(f"{name} must be a mapping, not {type(value).__name__}")
        return
    import difflib

    message = f"{method.__qualname__}() got an unexpected keyword argument {unknown!r}"
    closest = difflib.get_close_matches(unknown, inspect.signature(method).parameters, n=1)
    raise TypeError(f"{message}; did you mean {closest[0]!r}?" if closest else message)


_SECONDS: Final = "seconds, or None for no limit"


def _check_seconds(_: object, field: attrs.Attribute[float], value: float | None) -> None:
    if value is not None:
        check_number(field.name, value, _SECONDS, above=0)


def check_number(name: str, value: object, meaning: str, *, above: float) -> None:
    """Check that `value` is a finite number greater than `above`.

    Args:
        name: The name of the argument, for the message.
        value: The value.
        meaning: What the number means, for the message.
        above: The bound.

    Raises:
        TypeError: `value` is not a number.
        ValueError: `value` is not finite, or not greater than `above`.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number ({meaning}), not {type(value).__name__}")
    try:
        is_usable = math.isfinite(value) and value > above
    except OverflowError:
        is_usable = False
    if not is_usable:
        raise ValueError(f"{name} must be more than {above:g} ({meaning}), not {value!r}")


def check_count(name: str, value: object, *, least: int) -> None:
    """Check that `value` is an integer of at least `least`.

    Raises:
        TypeError: `value` is not an integer.
        ValueError: `value` is less than `least`.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")


def check_cursor(after: object) -> None:
    """Check that `after` is None or a string that is not empty.

    Raises:
        TypeError: `after` is neither a string nor None.
        ValueError: `after` is an empty string.
    """
    if after is not None and not isinstance(after, str):
        raise TypeError(f"after must be the id of a record, or None, not {type(after).__name__}")
    if after == "":
        raise ValueError("after must be the id of a record, or None, not an empty string")


@attrs.frozen
class Timeout:
    """The time limits of one attempt of a request. Each retry starts again from zero.

    None means no limit.

    Args:
        total: Seconds from the start of the attempt to the last byte of the response; default 60.
        connect: Seconds to open a connection; default 5.
        read: Seconds to wait for the next bytes of the response; default None.

    Raises:
        TypeError: An argument is not a number.
        ValueError: An argument is not more than 0.
    """

    total: float | None = attrs.field(default=60.0, validator=_check_seconds)
    connect: float | None = attrs.field(default=5.0, validator=_check_seconds)
    read: float | None = attrs.field(default=None, validator=_check_seconds)

    @classmethod
    def of(cls, timeout: float | Timeout | None) -> Timeout:
        """Convert a total number of seconds, or None for no limit, to a `Timeout`."""
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


def _carries_credentials(options: RequestOptions) -> bool:
    return options.omits_key or carries_credentials(options.headers)


@attrs.frozen(kw_only=True)
class RequestOptions:
    """The options of one call, checked and merged with the client's.

    Attributes:
        timeout: The time limits of one attempt.
        max_retries: The highest number of retries after failures.
        max_wait: The total seconds that a request may wait.
        max_body_bytes: The maximum size of a decompressed body.
        headers: The headers, without the one made from the API key.
        credential_headers: The names, in lower case, of headers that the caller has declared to
            hold credentials.
        omits_key: Whether the caller removed the header of the API key with `omit`.
        carries_credentials: Whether the API key is not sent: `headers` have credentials, or
            `omits_key` is true.
        query: The client's query parameters.
        extra_query: Query parameters that replace those of the client and of the call.
    """

    timeout: Timeout
    max_retries: int = attrs.field(validator=_at_least(0))
    max_wait: float = attrs.field(validator=_positive("seconds"))
    max_body_bytes: int = attrs.field(validator=_at_least(1))
    headers: Mapping[str, str] = attrs.field(repr=False)
    credential_headers: frozenset[str] = frozenset()
    omits_key: bool = False
    carries_credentials: bool = attrs.field(
        init=False,
        default=attrs.Factory(_carries_credentials, takes_self=True),
    )
    query: Mapping[str, QueryValue] = attrs.field(repr=False)
    extra_query: Mapping[str, QueryValue] = attrs.field(factory=dict[str, QueryValue], repr=False)

    def changed(
        self,
        *,
        timeout: float | Timeout | NotGiven | Omit | None = NOT_GIVEN,
        max_retries: int | None = None,
        max_wait: float | None = None,
    ) -> RequestOptions:
        """Return a copy with some options changed.

        `NOT_GIVEN` and `omit` keep the value; so does None, except for `timeout`.
        """
        options = self
        if not isinstance(timeout, NotGiven | Omit):
            options = attrs.evolve(options, timeout=Timeout.of(timeout))
        if max_retries is not None:
            options = attrs.evolve(options, max_retries=max_retries)
        if max_wait is not None:
            options = attrs.evolve(options, max_wait=max_wait)
        return options
