"""Reads the target of a redirect (RFC 9110, section 15.4)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import attrs

from asyncckpt.errors import APIConnectionError
from asyncckpt.messages import Request
from asyncckpt.protocol.request import PATH_CHARACTERS

MAX_REDIRECTS: Final = 5
"""How many redirects in a row are followed."""

# Besides what no URL has: lone surrogates, which stand for bytes that are not UTF-8 (PEP 383).
_NOT_IN_A_URL: Final = re.compile(r"[\x00-\x20\x7f\ud800-\udfff]")


@attrs.frozen
class Redirect:
    """Where a response sends the client.

    Attributes:
        url: The absolute URL.
        same_origin: Whether credentials may go there (RFC 6454).
    """

    url: str = attrs.field(repr=False)
    same_origin: bool


def redirect_of(url: str, status_code: int, headers: Mapping[str, str]) -> Redirect | None:
    """Return the redirect that a response asks for, or None if it asks for none.

    See RFC 9110, section 15.4.

    Args:
        url: The URL of the request.
        status_code: The status of the response.
        headers: The headers of the response.

    Raises:
        APIConnectionError: The target is not an http or https URL that a request can be sent to.
            The message does not show it.
    """
    location = headers.get("location")
    if status_code not in (301, 302, 303, 307, 308) or not location:
        return None
    try:
        target = urlsplit(urljoin(url, location))
        same_origin = _origin(target) == _origin(urlsplit(url))
        is_followable = target.scheme in ("http", "https") and bool(target.hostname)
    except ValueError:
        target, same_origin, is_followable = urlsplit(""), False, False
    if not is_followable:
        raise _refused(url, "something other than an http(s) URL with a host")
    if target.username is not None or _NOT_IN_A_URL.search(location):
        raise _refused(
            url, "a URL with credentials, spaces, control characters or malformed UTF-8 in it"
        )
    path = quote(target.path or "/", safe=PATH_CHARACTERS)
    query = quote(target.query, safe=f"{PATH_CHARACTERS}?")
    return Redirect(target._replace(path=path, query=query, fragment="").geturl(), same_origin)


def _refused(url: str, target: str) -> APIConnectionError:
    request = Request("GET", url)
    return APIConnectionError(f"Redirected to {target}", request=request, is_final=True)


def _origin(parts: SplitResult) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
