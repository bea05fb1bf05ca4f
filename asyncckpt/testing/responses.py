"""Defines responses and recorded requests, and generates the bytes of a response.

A fault changes a `ServerResponse`. `script` yields the steps that send it: bytes and pauses. This
module does no I/O.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping
from email.utils import formatdate
from enum import Enum, auto
from http import HTTPStatus

import attrs
import msgspec

Headers = tuple[tuple[str, str | None], ...]
"""Names and values, in order. The value None removes a default header."""

_FILLER = b" " * 65_536
_FILLER_CHUNK = b"10000\r\n" + _FILLER + b"\r\n"
_ERRORS: dict[int, tuple[str, str, str | None]] = {
    400: ("Bad request.", "invalid_request_error", None),
    403: ("You are not allowed to read this project.", "invalid_request_error", None),
    409: ("The resource was changed by another request.", "invalid_request_error", None),
    429: ("Rate limit reached for requests.", "requests", "rate_limit_exceeded"),
    500: (
        "The server had an error while processing your request. Sorry about that!",
        "server_error",
        None,
    ),
    503: ("The server is overloaded or not ready yet.", "server_error", "server_overloaded"),
}


class Ending(Enum):
    """What happens to the connection after the response."""

    KEEP = auto()
    CLOSE = auto()
    RESET = auto()
    HANG = auto()


@attrs.frozen
class Pace:
    """How to send data slowly, in pieces.

    Args:
        seconds: The total time.
        pieces: The number of pieces.
    """

    seconds: float
    pieces: int = 10


@attrs.frozen(kw_only=True)
class ServerResponse:
    """A response of the sandbox, and how its bytes are sent.

    Args:
        status: The HTTP status code.
        headers: Headers to add to the default headers, or to replace them.
        body: A JSON object, or bytes that are sent unchanged.
        wait: Seconds before the first byte.
        head: Whether to send the status line and the headers; if not, no body is sent either.
        head_pace: How to send the status line and headers slowly; None sends them at once.
        body_pace: How to send the body slowly; None sends it at once.
        share: The fraction of the body to send, 0.0 to 1.0; Content-Length is that of all of it.
        chunked: Whether to use chunked transfer coding instead of Content-Length.
        gzip: Whether to compress the body.
        endless: Whether to send spaces after the body, without end.
        ending: What to do with the connection after the response.
    """

    status: int = 200
    headers: Headers = ()
    body: Mapping[str, object] | bytes = b""
    wait: float = 0.0
    head: bool = True
    head_pace: Pace | None = None
    body_pace: Pace | None = None
    share: float = 1.0
    chunked: bool = False
    gzip: bool = False
    endless: bool = False
    ending: Ending = Ending.KEEP

    def with_headers(self, *headers: tuple[str, str | None]) -> ServerResponse:
        """Return a copy with additional headers."""
        return attrs.evolve(self, headers=(*self.headers, *headers))

    def content(self) -> bytes:
        """Return the body as bytes, before compression and chunking."""
        return self.body if isinstance(self.body, bytes) else msgspec.json.encode(self.body)


@attrs.frozen(kw_only=True)
class RecordedRequest:
    """A request that the sandbox received.

    Args:
        method: The HTTP method.
        path: The path, decoded, without the query.
        query: The query parameters.
        headers: The headers, with names in lower case; credentials are replaced by `***`.
        at: Seconds since the sandbox started.
        job_id: The id of the job in the path, or None.
        page: The number of the requested page, from 1, or None if it is not a list.
        reused: Whether its connection was used for an earlier request.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    at: float
    job_id: str | None = None
    page: int | None = None
    reused: bool = False


@attrs.frozen(kw_only=True)
class FaultContext:
    """The information that a fault gets besides the response.

    Args:
        request: The request.
        target: The path and query of the request, not decoded.
        origin: The scheme, host and port of the sandbox.
        other_origin: The origin of the same server with a different host name.
        first_page: Returns the response for the first page of the requested list.
    """

    request: RecordedRequest
    target: str
    origin: str
    other_origin: str
    first_page: Callable[[], ServerResponse]


def error_body(
    message: str,
    *,
    error_type: str = "invalid_request_error",
    param: str | None = None,
    code: str | None = None,
) -> dict[str, object]:
    """Return the body of an error, in the format of the API."""
    return {"error": {"message": message, "type": error_type, "param": param, "code": code}}


def error_response(status: int) -> ServerResponse:
    """Return the API's default response for a status of 400 and above."""
    default = (f"{_reason(status)}.", "server_error" if status >= 500 else "api_error", None)
    message, error_type, code = _ERRORS.get(status, default)
    return ServerResponse(status=status, body=error_body(message, error_type=error_type, code=code))


def script(response: ServerResponse, own_headers: Mapping[str, str]) -> Iterator[bytes | float]:
    """Return the steps that send a response.

    Args:
        response: The response.
        own_headers: The headers that every response has; the names are in lower case.

    Yields:
        Bytes to send and seconds to pause, in order.
    """
    if response.wait:
        yield response.wait
    if not response.head:
        return
    content = response.content()
    if response.gzip:
        content = gzip.compress(content, compresslevel=6)
    head = _head(response, own_headers, len(content))
    body = _framed(response, content)
    body = body[: int(len(body) * response.share)]
    if response.head_pace is None and response.body_pace is None:
        yield head + body
    else:
        yield from _paced(head, response.head_pace)
        yield from _paced(body, response.body_pace)
    while response.endless:
        yield _FILLER_CHUNK


def _head(response: ServerResponse, own_headers: Mapping[str, str], length: int) -> bytes:
    headers: dict[str, str | None] = {
        "date": formatdate(usegmt=True),
        "content-type": "application/json",
        **own_headers,
    }
    if response.gzip:
        headers["content-encoding"] = "gzip"
    if response.chunked or response.endless:
        headers["transfer-encoding"] = "chunked"
    else:
        headers["content-length"] = str(length)
    replaced = {name.lower() for name, _ in response.headers}
    pairs = [pair for pair in headers.items() if pair[0] not in replaced]
    pairs.extend(response.headers)
    lines = [f"{name}: {value}\r\n" for name, value in pairs if value is not None]
    status_line = f"HTTP/1.1 {response.status} {_reason(response.status)}\r\n"
    return f"{status_line}{''.join(lines)}\r\n".encode("utf-8", "surrogateescape")


def _framed(response: ServerResponse, content: bytes) -> bytes:
    if not response.chunked and not response.endless:
        return content
    half = len(content) // 2
    frames = [
        b"%x\r\n%b\r\n" % (len(part), part) for part in (content[:half], content[half:]) if part
    ]
    return b"".join(frames) + (b"" if response.endless else b"0\r\n\r\n")


def _paced(data: bytes, pace: Pace | None) -> Iterator[bytes | float]:
    if pace is None:
        if data:
            yield data
        return
    size = max(1, -(-len(data) // pace.pieces))
    for start in range(0, len(data), size):
        yield pace.seconds / pace.pieces
        yield data[start : start + size]


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
