"""Reads redirects (RFC 9110, section 15.4)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import attrs

from asyncckpt.errors import APIConnectionError
from asyncckpt.messages import Request
from asyncckpt.protocol.request import _PATH_CHARACTERS

MAX_REDIRECTS: Final = 5


@attrs.frozen
class Redirect:
    """Where an answer sends the client.

    Attributes:
        url: The absolute URL.
        same_origin: Whether credentials may go there (RFC 6454).
    """

    url: str = attrs.field(repr=False)
    same_origin: bool


def redirect_of(url: str, status_code: int, headers: Mapping[str, str]) -> Redirect | None:
    """The redirect that an answer asks for (RFC 9110, section 15.4), or None if it asks for none.

    Raises:
        APIConnectionError: The place it names is no http or https URL.
    """
    location = headers.get("location")
    if status_code not in (301, 302, 303, 307, 308) or not location:
        return None
    try:
        target = urlsplit(urljoin(url, location))
        same_origin = _origin(target) == _origin(urlsplit(url))
    except ValueError:
        target, same_origin = urlsplit(""), False
    if target.scheme not in ("http", "https") or not target.hostname:
        raise APIConnectionError(
            "Redirected to something that is no http(s) URL with a host",
            request=Request("GET", url),
            is_final=True,
        )
    if target.username is not None or re.search(r"[\x00-\x20\x7f]", location):
        raise APIConnectionError(
            "Redirected to a URL with credentials, spaces or control characters in it",
            request=Request("GET", url),
            is_final=True,
        )
    path = quote(target.path or "/", safe=_PATH_CHARACTERS)
    query = quote(target.query, safe=f"{_PATH_CHARACTERS}?")
    return Redirect(target._replace(path=path, query=query, fragment="").geturl(), same_origin)


def _origin(parts: SplitResult) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
