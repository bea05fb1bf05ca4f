"""An answer as a value, and what a request asked: everything about HTTP but the sending.

A fault alters an `Answer`; the server plays the `script` of what came out. Nothing here awaits.
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
"""Names and values in order; `None` leaves out a header the server would send by itself."""

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
    """What becomes of the connection once everything to be sent is sent."""

    KEEP = auto()
    CLOSE = auto()
    RESET = auto()
    HANG = auto()


@attrs.frozen
class Pace:
    """Sending bit by bit.

    Args:
        seconds: How long the whole takes.
        pieces: In how many pieces it goes.
    """

    seconds: float
    pieces: int = 10


@attrs.frozen(kw_only=True)
class Answer:
    """What the server answers, and how the bytes go over the wire.

    Args:
        status: The HTTP status code.
        headers: Headers beside, or in place of, those the server sends by itself.
        body: A JSON object, encoded when it is sent, or bytes that are sent as they are.
        wait: Seconds before the first byte.
        head: Whether status line and headers are sent at all; without them no body is.
        head_pace: Send the head bit by bit.
        body_pace: Send the body bit by bit.
        share: How much of the body is sent, from 0.0 to 1.0; the headers promise all of it.
        chunked: Send the body with chunked transfer coding in place of a Content-Length.
        gzip: Compress the body and say so.
        endless: Never stop sending: blanks follow the body for ever, in chunks.
        ending: What becomes of the connection.
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

    def with_headers(self, *headers: tuple[str, str | None]) -> Answer:
        """Return this answer with more headers."""
        return attrs.evolve(self, headers=(*self.headers, *headers))

    def content(self) -> bytes:
        """Return the body as bytes, before compression and chunking."""
        return self.body if isinstance(self.body, bytes) else msgspec.json.encode(self.body)


@attrs.frozen(kw_only=True)
class RecordedRequest:
    """What a request asked.

    Args:
        method: The HTTP method.
        path: The path, decoded, without the query.
        query: The query's fields.
        headers: The headers, names in lower case; of secrets only `***` is kept.
        at: Seconds since the sandbox started.
        job_id: The job it is about, or None.
        page: Which page of a list it asks for, from 1, or None.
        reused: Whether its connection had carried a request before.
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
class Exchange:
    """What a fault may look at: the request, and the server's other answers.

    Args:
        request: What was asked.
        target: Path and query as they were asked for.
        origin: Scheme, host and port of the sandbox.
        other_origin: The same server by another host name.
        first_page: Makes the answer for the first page of the list that was asked for.
    """

    request: RecordedRequest
    target: str
    origin: str
    other_origin: str
    first_page: Callable[[], Answer]


def error_body(
    message: str,
    *,
    error_type: str = "invalid_request_error",
    param: str | None = None,
    code: str | None = None,
) -> dict[str, object]:
    """Return the body of an error in the API's form."""
    return {"error": {"message": message, "type": error_type, "param": param, "code": code}}


def error_answer(status: int) -> Answer:
    """Return the API's usual answer for a status of 400 and above."""
    default = (f"{_reason(status)}.", "server_error" if status >= 500 else "api_error", None)
    message, error_type, code = _ERRORS.get(status, default)
    return Answer(status=status, body=error_body(message, error_type=error_type, code=code))


def script(answer: Answer, own_headers: Mapping[str, str]) -> Iterator[bytes | float]:
    """Yield what to do to send an answer: bytes to send, and seconds to pause.

    Args:
        answer: The answer.
        own_headers: Headers the server sends with every answer, names in lower case.

    Yields:
        Bytes and seconds, in order.
    """
    if answer.wait:
        yield answer.wait
    if not answer.head:
        return
    content = answer.content()
    if answer.gzip:
        content = gzip.compress(content, compresslevel=6)
    head = _head(answer, own_headers, len(content))
    body = _framed(answer, content)
    body = body[: int(len(body) * answer.share)]
    if answer.head_pace is None and answer.body_pace is None:
        yield head + body
    else:
        yield from _paced(head, answer.head_pace)
        yield from _paced(body, answer.body_pace)
    while answer.endless:
        yield _FILLER_CHUNK


def _head(answer: Answer, own_headers: Mapping[str, str], length: int) -> bytes:
    headers: dict[str, str | None] = {
        "date": formatdate(usegmt=True),
        "content-type": "application/json",
        **own_headers,
    }
    if answer.gzip:
        headers["content-encoding"] = "gzip"
    if answer.chunked or answer.endless:
        headers["transfer-encoding"] = "chunked"
    else:
        headers["content-length"] = str(length)
    replaced = {name.lower() for name, _ in answer.headers}
    pairs = [pair for pair in headers.items() if pair[0] not in replaced]
    pairs.extend(answer.headers)
    lines = [f"{name}: {value}\r\n" for name, value in pairs if value is not None]
    status_line = f"HTTP/1.1 {answer.status} {_reason(answer.status)}\r\n"
    return f"{status_line}{''.join(lines)}\r\n".encode("utf-8", "surrogateescape")


def _framed(answer: Answer, content: bytes) -> bytes:
    if not answer.chunked and not answer.endless:
        return content
    half = len(content) // 2
    frames = [
        b"%x\r\n%b\r\n" % (len(part), part) for part in (content[:half], content[half:]) if part
    ]
    return b"".join(frames) + (b"" if answer.endless else b"0\r\n\r\n")


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
