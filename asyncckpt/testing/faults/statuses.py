"""Provides faults in the status line and the headers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from asyncckpt.testing.responses import FaultContext, ServerResponse, error_response


@attrs.frozen
class Status:
    """A response with any status, headers and body.

    Args:
        status: The status code.
        body: A JSON object, text or bytes; default: the API's error body. 204 and 304 have no
            body.
        headers: Headers to add to the default headers, or to replace them.
    """

    status: int = 500
    body: Mapping[str, object] | str | bytes | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Replace the status, the body and the headers."""
        body = error_response(self.status).body if self.body is None else self.body
        if isinstance(body, str):
            body = body.encode()
        if self.status in (204, 304):
            body = b""
        altered = attrs.evolve(response, status=self.status, body=body)
        return altered.with_headers(*self.headers.items())


@attrs.frozen
class RateLimited:
    """A 429 response, with or without rate limit headers.

    Args:
        retry_after: The `Retry-After` header: seconds, or a text such as a date.
        retry_after_ms: The `retry-after-ms` header, in milliseconds.
        headers: Additional headers, such as `x-ratelimit-reset-requests`.
    """

    retry_after: float | str | None = None
    retry_after_ms: float | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Replace the response by a 429."""
        hints = dict(self.headers)
        if self.retry_after is not None:
            hints["retry-after"] = str(self.retry_after)
        if self.retry_after_ms is not None:
            hints["retry-after-ms"] = str(self.retry_after_ms)
        return Status(429, headers=hints).apply(response, context)


@attrs.frozen
class Header:
    """A header to add, replace or remove.

    Args:
        name: The name.
        value: The value, or None to remove a default header.
    """

    name: str
    value: str | None

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Change the header."""
        return response.with_headers((self.name, self.value))


@attrs.frozen
class HeaderBomb:
    """Headers that are too large for a client to accept.

    Args:
        size: The size of each value, in bytes.
        count: The number of headers.
    """

    size: int = 1 << 20
    count: int = 1

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Add the headers."""
        return response.with_headers(*((f"x-bomb-{n}", "x" * self.size) for n in range(self.count)))


@attrs.frozen
class Redirect:
    """A redirect. With `times=None` it is a loop.

    Args:
        origin: `"same"` redirects to the requested URL; `"other"` to the same path under another
            host name of this server, which is a different origin.
        location: The URL of the `Location` header, instead of `origin`.
        status: The status code.
    """

    origin: Literal["same", "other"] = "same"
    location: str | None = None
    status: int = 307

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Replace the response by a redirect."""
        location = self.location
        if location is None:
            origin = context.origin if self.origin == "same" else context.other_origin
            location = f"{origin}{context.target}"
        altered = attrs.evolve(response, status=self.status, body=b"")
        return altered.with_headers(("location", location))
