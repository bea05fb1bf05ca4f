"""Provides faults in the bytes of a body."""

from __future__ import annotations

import gzip

import attrs

from asyncckpt.testing.responses import FaultContext, ServerResponse


@attrs.frozen
class Html:
    """An HTML page with status 200, such as that of a proxy or a captive portal.

    Args:
        text: The page.
    """

    text: str = "<!DOCTYPE html><html><body><h1>Please sign in</h1></body></html>"

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Replace the body by HTML."""
        altered = attrs.evolve(response, status=200, body=self.text.encode())
        return altered.with_headers(("content-type", "text/html; charset=utf-8"))


@attrs.frozen
class ContentType:
    """A wrong content type for a valid body.

    Args:
        value: The content type, or None to remove the header.
    """

    value: str | None = "text/plain"

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Replace the content type."""
        others = [header for header in response.headers if header[0].lower() != "content-type"]
        return attrs.evolve(response, headers=(*others, ("content-type", self.value)))


@attrs.frozen
class MalformedJSON:
    """A complete body that is not valid JSON: its last bytes are missing.

    Args:
        missing: Number of missing bytes.
    """

    missing: int = 3

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Break the JSON."""
        return attrs.evolve(response, body=response.content()[: -self.missing])


@attrs.frozen
class RawBody:
    """A body of arbitrary bytes.

    Args:
        content: The bytes.
    """

    content: bytes

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Replace the body."""
        return attrs.evolve(response, body=self.content)


@attrs.frozen
class Gzip:
    """Not a fault: a valid body compressed with gzip."""

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Compress the body."""
        return attrs.evolve(response, gzip=True)


@attrs.frozen
class NotGzip:
    """An uncompressed body that is declared as gzip."""

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Declare the body as gzip."""
        return response.with_headers(("content-encoding", "gzip"))


@attrs.frozen
class GzipBomb:
    """A small gzip body that decompresses to a huge one: valid JSON followed by spaces.

    Args:
        size: Bytes after decompression.
    """

    size: int = 256 << 20

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Replace the body by the bomb."""
        # Gzip data may have several members (RFC 1952, section 2.2), so one can be repeated.
        piece = 1 << 20
        blanks = gzip.compress(b" " * piece) * (self.size // piece)
        altered = attrs.evolve(response, body=gzip.compress(response.content()) + blanks)
        return altered.with_headers(("content-encoding", "gzip"))
