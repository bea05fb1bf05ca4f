"""Defines the HTTP request and response that errors and pages carry.

Both can be logged and pickled: they contain no credentials. A request has no headers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import attrs
from multidict import CIMultiDict

__all__ = ["Request", "Response", "is_public"]

_PUBLIC_QUERY: Final = frozenset({"after", "limit", "api-version"})


@attrs.frozen(repr=False)
class Request:
    """An HTTP request.

    Attributes:
        method: The HTTP method, always ``GET``.
    """

    method: str
    _url: str

    @property
    def url(self) -> str:
        """The URL. The values of query parameters that the API does not define are masked."""
        parts = urlsplit(self._url)
        query = urlencode(
            [
                (name, value if is_public(name) else "***")
                for name, value in parse_qsl(parts.query, keep_blank_values=True)
            ],
            safe="*[]",
        )
        return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))

    def __repr__(self) -> str:
        return f"Request(method={self.method!r}, url={self.url!r})"

    def __reduce__(self) -> tuple[type[Request], tuple[str, str]]:
        return Request, (self.method, self.url)


def is_public(parameter: str) -> bool:
    """Return whether the value of a query parameter may be shown."""
    return parameter in _PUBLIC_QUERY or parameter.startswith("metadata")


@attrs.frozen
class Response:
    """An HTTP response, with its complete body.

    Attributes:
        status_code: The HTTP status code.
        headers: The headers; lookups ignore case (RFC 9110, section 5.1).
        content: The body as bytes, decompressed.
        request: The request, after redirects.
    """

    status_code: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    content: bytes = attrs.field(repr=False)
    request: Request

    @property
    def request_id(self) -> str | None:
        """The server's id for the request (``x-request-id``); None if it sent none."""
        return self.headers.get("x-request-id") or self.headers.get("apim-request-id")

    @property
    def text(self) -> str:
        """The body as text; bytes that are not UTF-8 become U+FFFD."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> object:
        """Return the body, decoded from JSON.

        Raises:
            ValueError: The body is not JSON, or is nested too deeply.
        """
        import json

        try:
            return json.loads(self.content)
        except RecursionError:
            raise ValueError("the body is nested too deeply") from None

    def __reduce__(self) -> tuple[type[Response], tuple[int, CIMultiDict[str], bytes, Request]]:
        # The read-only mapping that aiohttp returns cannot be pickled.
        return Response, (self.status_code, CIMultiDict(self.headers), self.content, self.request)
