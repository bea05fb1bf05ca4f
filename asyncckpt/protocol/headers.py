"""Checks and merges request headers (RFC 9110, section 5)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from asyncckpt.protocol.request import check_strings

PUBLIC_HEADERS: Final[Mapping[str, str]] = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": "asyncckpt",
}
"""The headers of every request, and the only ones that follow a redirect to another origin."""

_HEADERS_OF_THE_CONNECTION: Final = frozenset(
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
_CREDENTIAL_HEADERS: Final = frozenset({"authorization", "api-key"})


def check_headers(name: str, headers: Mapping[str, str] | None) -> dict[str, str]:
    """Check header names and values (RFC 9110, section 5); values never show in an error.

    Raises:
        TypeError: A name or a value is no string.
        ValueError: A name or a value is not allowed in a header.
    """
    checked = check_strings(name, headers)
    for header, value in checked.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", header):
            raise ValueError(f"{name}: {header!r} is no header name")
        if re.search(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]", value):
            raise ValueError(f"{name}: the value of {header} has a line break or control character")
        if header.lower() in _HEADERS_OF_THE_CONNECTION:
            raise ValueError(f"{name}: {header} is the connection's own and cannot be set")
    return checked


def merge_headers(defaults: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
    """`defaults` with `extra` in place of those of the same name, in whatever case.

    Where `extra` authenticates, nothing in `defaults` does so as well: that may be the key of
    another provider.
    """
    if carries_credentials(extra):
        defaults = without_credentials(defaults)
    return {**without_headers(defaults, extra), **extra}


def without_headers(headers: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """The headers without those of these names, in whatever case."""
    left_out = {name.lower() for name in names}
    return {header: value for header, value in headers.items() if header.lower() not in left_out}


def carries_credentials(headers: Mapping[str, str]) -> bool:
    """Whether the headers authenticate by themselves: ``Authorization``, or Azure's ``api-key``."""
    return any(header.lower() in _CREDENTIAL_HEADERS for header in headers)


def without_credentials(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers without those that authenticate."""
    return without_headers(headers, _CREDENTIAL_HEADERS)
