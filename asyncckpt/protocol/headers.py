"""Checks and merges request headers (RFC 9110, section 5)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from asyncckpt.protocol.request import check_strings

AUTHORIZATION: Final = "Authorization"
API_KEY: Final = "api-key"
"""The header in which Azure expects an API key."""

PUBLIC_HEADERS: Final[Mapping[str, str]] = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": "asyncckpt",
}
"""The headers of every request, and the only ones that follow a redirect to another origin."""

_CONNECTION_HEADERS: Final = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_CREDENTIAL_HEADERS: Final = frozenset({AUTHORIZATION.lower(), API_KEY})


def check_headers(name: str, headers: Mapping[str, str] | None) -> dict[str, str]:
    """Check header names and values (RFC 9110, section 5). Error messages never contain a value.

    Args:
        name: The name of the argument, for error messages.
        headers: The headers; None for no headers.

    Returns:
        A copy of the headers.

    Raises:
        TypeError: A name or value is not a string.
        ValueError: A name or value is invalid, or a header may not be set because the client
            manages the connection.
    """
    checked = check_strings(name, headers)
    for header, value in checked.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", header):
            raise ValueError(f"{name}: {header!r} is not a valid header name")
        if re.search(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]", value):
            raise ValueError(f"{name}: the value of {header} has a line break or control character")
        if header.lower() in _CONNECTION_HEADERS:
            raise ValueError(f"{name}: {header} cannot be set; the client manages the connection")
    return checked


def merge_headers(defaults: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
    """Return `defaults` updated with `extra`; names are compared without case.

    If `extra` contains credentials, those in `defaults` are removed: they may be for another
    provider.
    """
    if carries_credentials(extra):
        defaults = without_credentials(defaults)
    return {**without_headers(defaults, extra), **extra}


def names_of(headers: Iterable[str]) -> frozenset[str]:
    """Return the names of headers in lower case."""
    return frozenset(map(str.lower, headers))


def without_headers(headers: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Return the headers without those of these names; names are compared without case."""
    removed = names_of(names)
    return {header: value for header, value in headers.items() if header.lower() not in removed}


def carries_credentials(headers: Mapping[str, str]) -> bool:
    """Return whether the headers contain credentials: ``Authorization``, or Azure's ``api-key``."""
    return any(header.lower() in _CREDENTIAL_HEADERS for header in headers)


def without_credentials(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers without credentials."""
    return without_headers(headers, _CREDENTIAL_HEADERS)
