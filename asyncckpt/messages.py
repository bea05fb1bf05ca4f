"""The HTTP request and response, as plain records.

They name what was asked and what came back, and can be shown, logged and pickled: neither keeps a
credential. The headers of a request are not kept at all.
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
    """A request that was made.

    Attributes:
        method: The HTTP method, always ``GET`` here.
        url: The URL, safe to show: values of query parameters that are not the API's are masked.
    """

    method: str
    _url: str

    @property
    def url(self) -> str:
        """The URL, with the values of all but the API's own query parameters masked."""
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
    """Whether the value of a query parameter may be shown."""
    return parameter in _PUBLIC_QUERY or parameter.startswith("metadata")


@attrs.frozen
class Response:
    """An answer, read to its end.

    Attributes:
        status_code: The HTTP status.
        headers: The response headers; a look-up ignores case, as in RFC 9110.
        content: The body as it came, decompressed.
        request: The request it answers, after redirects.
    """

    status_code: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    content: bytes = attrs.field(repr=False)
    request: Request

    @property
    def request_id(self) -> str | None:
        """The server's own name for the request (``x-request-id``), for a support ticket."""
        return self.headers.get("x-request-id") or self.headers.get("apim-request-id")

    @property
    def text(self) -> str:
        """The body as text; bytes that are not UTF-8 are shown as the replacement character."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> object:
        """The body as JSON.

        Raises:
            ValueError: It is not JSON, or nested too deeply.
        """
        import json

        try:
            return json.loads(self.content)
        except RecursionError:
            raise ValueError("the body is nested too deeply") from None

    def __reduce__(self) -> tuple[type[Response], tuple[int, CIMultiDict[str], bytes, Request]]:
        # aiohttp's view of the headers cannot be pickled.
        return Response, (self.status_code, CIMultiDict(self.headers), self.content, self.request)
