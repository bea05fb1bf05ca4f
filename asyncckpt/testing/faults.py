"""Faults on order. Each alters an answer; given together, they apply one after the other.

A fault has one method, `apply(answer, exchange)`, which returns the answer to send. It looks
at nothing else and keeps no state, so that it can be tested as a plain function, and a user can
write one of their own.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from typing import Literal, Protocol, cast

import attrs
import msgspec

from asyncckpt.testing.answers import Answer, Ending, Exchange, Pace, error_answer

Where = Literal["before", "headers", "body"]


class Fault(Protocol):
    """What the sandbox asks of a fault."""

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Return the answer to send in place of `answer`."""
        ...


# The status and the headers.


@attrs.frozen
class Status:
    """Any status, with any headers and body.

    Args:
        status: The status code.
        body: A JSON object, text, or bytes; by default the API's own error body. 204 and 304 have
            none.
        headers: Headers to send beside, or in place of, the usual ones.
    """

    status: int = 500
    body: Mapping[str, object] | str | bytes | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Answer with the status."""
        body = error_answer(self.status).body if self.body is None else self.body
        if isinstance(body, str):
            body = body.encode()
        if self.status in (204, 304):
            body = b""
        altered = attrs.evolve(answer, status=self.status, body=body)
        return altered.with_headers(*self.headers.items())


@attrs.frozen
class RateLimited:
    """429, with or without hints.

    Args:
        retry_after: The `Retry-After` header: seconds, or text such as a date.
        retry_after_ms: The `retry-after-ms` header, in milliseconds.
        headers: More headers, such as `x-ratelimit-reset-requests`.
    """

    retry_after: float | str | None = None
    retry_after_ms: float | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Answer 429."""
        hints = dict(self.headers)
        if self.retry_after is not None:
            hints["retry-after"] = str(self.retry_after)
        if self.retry_after_ms is not None:
            hints["retry-after-ms"] = str(self.retry_after_ms)
        return Status(429, headers=hints).apply(answer, exchange)


@attrs.frozen
class Header:
    """A header to add, replace, or leave out.

    Args:
        name: Its name.
        value: Its value, or None to leave out one that the server sends by itself.
    """

    name: str
    value: str | None

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Alter the header."""
        return answer.with_headers((self.name, self.value))


@attrs.frozen
class HeaderBomb:
    """More headers than a client should take.

    Args:
        size: Bytes in each header's value.
        count: How many headers.
    """

    size: int = 1 << 20
    count: int = 1

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Add the headers."""
        return answer.with_headers(*((f"x-bomb-{n}", "x" * self.size) for n in range(self.count)))


@attrs.frozen
class Redirect:
    """A redirect. With `times=None` it is a loop: the target redirects to itself.

    Args:
        origin: `"same"` for the very address that was asked for; `"other"` for the same
            server by another host name, which is another origin.
        location: An address to use instead.
        status: The status code.
    """

    origin: Literal["same", "other"] = "same"
    location: str | None = None
    status: int = 307

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Answer with the redirect."""
        location = self.location
        if location is None:
            origin = exchange.origin if self.origin == "same" else exchange.other_origin
            location = f"{origin}{exchange.target}"
        altered = attrs.evolve(answer, status=self.status, body=b"")
        return altered.with_headers(("location", location))


# The connection and the time.


@attrs.frozen
class Latency:
    """Silence before the first byte.

    Args:
        seconds: How long.
    """

    seconds: float

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Wait longer."""
        return attrs.evolve(answer, wait=answer.wait + self.seconds)


@attrs.frozen
class SlowHeaders:
    """Status line and headers that come bit by bit.

    Args:
        seconds: How long they take in all.
        pieces: In how many pieces they come.
    """

    seconds: float
    pieces: int = 10

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Slow the head."""
        return attrs.evolve(answer, head_pace=Pace(self.seconds, self.pieces))


@attrs.frozen
class SlowBody:
    """A body that comes bit by bit.

    Args:
        seconds: How long it takes in all.
        pieces: In how many pieces it comes.
    """

    seconds: float
    pieces: int = 10

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Slow the body."""
        return attrs.evolve(answer, body_pace=Pace(self.seconds, self.pieces))


def _stopped(answer: Answer, where: Where, share: float, ending: Ending) -> Answer:
    return attrs.evolve(
        answer,
        head=where != "before",
        share=share if where == "body" else 0.0,
        ending=ending,
    )


@attrs.frozen
class Reset:
    """A connection reset (a TCP RST).

    aiohttp's `ClientSession` sends a GET once more by itself when the connection breaks before
    the headers, so that of two resets `"before"` in a row whatever stands on it sees one.

    Args:
        where: `"before"` any byte of the answer, after the `"headers"`, or in the `"body"`.
        share: How much of the body comes before a reset in the body.
    """

    where: Where = "before"
    share: float = 0.5

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Reset the connection."""
        return _stopped(answer, self.where, self.share, Ending.RESET)


@attrs.frozen
class Hang:
    """Silence without end; the connection stays open.

    Args:
        where: `"before"` any byte of the answer, after the `"headers"`, or in the `"body"`.
        share: How much of the body comes before silence in the body.
    """

    where: Where = "before"
    share: float = 0.5

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Fall silent."""
        return _stopped(answer, self.where, self.share, Ending.HANG)


@attrs.frozen
class CutBody:
    """A body that ends too soon, by an orderly close of the connection.

    Args:
        share: How much of it comes.
        chunked: Cut a chunked body; else Content-Length promises more than comes.
    """

    share: float = 0.5
    chunked: bool = False

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Cut the body."""
        altered = attrs.evolve(answer, chunked=self.chunked)
        return _stopped(altered, "body", self.share, Ending.CLOSE)


@attrs.frozen
class EndlessBody:
    """A good body, followed by blanks for ever."""

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Never stop."""
        return attrs.evolve(answer, endless=True)


@attrs.frozen
class CloseAfter:
    """A good answer, after which the server closes the kept-alive connection without notice."""

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Close afterwards."""
        return attrs.evolve(answer, ending=Ending.CLOSE)


@attrs.frozen
class Chunked:
    """No fault: the body with chunked transfer coding."""

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Send in chunks."""
        return attrs.evolve(answer, chunked=True)


# The body's bytes.


@attrs.frozen
class Html:
    """A page of HTML with status 200, as a proxy or a captive portal gives.

    Args:
        text: The page.
    """

    text: str = "<!DOCTYPE html><html><body><h1>Please sign in</h1></body></html>"

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Answer with HTML."""
        altered = attrs.evolve(answer, status=200, body=self.text.encode())
        return altered.with_headers(("content-type", "text/html; charset=utf-8"))


@attrs.frozen
class ContentType:
    """A wrong content type on a good body.

    Args:
        value: The content type, or None for none.
    """

    value: str | None = "text/plain"

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Alter the content type."""
        return answer.with_headers(("content-type", self.value))


@attrs.frozen
class MalformedJSON:
    """A body of the promised length that is no JSON: the good one without its last bytes.

    Args:
        missing: How many bytes are missing.
    """

    missing: int = 3

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Break the JSON."""
        return attrs.evolve(answer, body=answer.content()[: -self.missing])


@attrs.frozen
class RawBody:
    """Any bytes as the body.

    Args:
        content: The bytes.
    """

    content: bytes

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Replace the body."""
        return attrs.evolve(answer, body=self.content)


@attrs.frozen
class Gzip:
    """No fault: the body compressed with gzip."""

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Compress the body."""
        return attrs.evolve(answer, gzip=True)


@attrs.frozen
class NotGzip:
    """A body that is said to be gzip, and is none."""

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Claim gzip."""
        return answer.with_headers(("content-encoding", "gzip"))


@attrs.frozen
class GzipBomb:
    """A small gzip body that unpacks to a huge one: the good JSON and blanks after it.

    Args:
        size: Bytes after unpacking.
    """

    size: int = 256 << 20

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Pack the bomb."""
        # Members of a gzip file may be joined (RFC 1952, 2.2), so that one is packed once.
        piece = 1 << 20
        blanks = gzip.compress(b" " * piece) * (self.size // piece)
        altered = attrs.evolve(answer, body=gzip.compress(answer.content()) + blanks)
        return altered.with_headers(("content-encoding", "gzip"))


# The fields.


def _altered(answer: Answer, change: Callable[[dict[str, object]], None]) -> Answer:
    """Return the answer with a copy of its JSON object changed; bytes are left as they are."""
    if isinstance(answer.body, bytes):
        return answer
    copy = msgspec.json.decode(msgspec.json.encode(answer.body), type=dict[str, object])
    change(copy)
    return attrs.evolve(answer, body=copy)


def _holders(node: object, steps: list[str]) -> list[dict[str, object] | list[object]]:
    """Return the objects and arrays that a path without its last step leads to."""
    if not steps:
        return (
            [cast("dict[str, object] | list[object]", node)]
            if isinstance(node, dict | list)
            else []
        )
    step, rest = steps[0], steps[1:]
    found: list[dict[str, object] | list[object]] = []
    for child in _children(node, step):
        found.extend(_holders(child, rest))
    return found


def _children(node: object, step: str) -> list[object]:
    if isinstance(node, list):
        items = cast("list[object]", node)
        return items if step == "*" else items[int(step) :][:1]
    if isinstance(node, dict):
        fields = cast("dict[str, object]", node)
        if step == "*":
            return list(fields.values())
        return [fields[step]] if step in fields else []
    return []


def _keys(holder: dict[str, object] | list[object], step: str) -> list[str] | list[int]:
    if isinstance(holder, list):
        positions = list(range(len(holder)))
        # The last comes first, so that one can go without moving those to come.
        return positions[::-1] if step == "*" else positions[int(step) :][:1]
    return list(holder) if step == "*" else [step]


@attrs.frozen
class SetField:
    """A field with another value: of a wrong type, null where an object belongs, or unknown.

    Args:
        path: Where, such as `"has_more"`, `"data.0.id"` or `"data.*.metrics.valid_loss"`.
        value: The value, anything JSON can hold.
    """

    path: str
    value: object

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Set the field."""
        *steps, last = self.path.split(".")

        def change(body: dict[str, object]) -> None:
            for holder in _holders(body, steps):
                for key in _keys(holder, last):
                    cast("dict[str | int, object]", holder)[key] = self.value

        return _altered(answer, change)


@attrs.frozen
class DropField:
    """A field that is missing.

    Args:
        path: Where, such as `"last_id"` or `"data.*.created_at"`.
    """

    path: str

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Drop the field."""
        *steps, last = self.path.split(".")

        def change(body: dict[str, object]) -> None:
            for holder in _holders(body, steps):
                for key in _keys(holder, last):
                    if isinstance(holder, list) or key in holder:
                        del cast("dict[str | int, object]", holder)[key]

        return _altered(answer, change)


@attrs.frozen
class DuplicateField:
    """A field that stands twice in the object; the good value comes last.

    Args:
        name: The field.
        value: The value of the first of the two.
    """

    name: str
    value: object = None

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Write the field twice."""
        extra = msgspec.json.encode({self.name: self.value})[:-1]
        return attrs.evolve(answer, body=extra + b"," + answer.content()[1:])


@attrs.frozen
class ReverseFields:
    """The fields of every object in reverse order."""

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Reverse the fields."""

        def change(body: dict[str, object]) -> None:
            fields = cast("dict[str, object]", _reversed(body))
            body.clear()
            body.update(fields)

        return _altered(answer, change)


def _reversed(node: object) -> object:
    if isinstance(node, list):
        return [_reversed(item) for item in cast("list[object]", node)]
    if isinstance(node, dict):
        fields = cast("dict[str, object]", node)
        return {name: _reversed(fields[name]) for name in reversed(fields)}
    return node


# The pages.


@attrs.frozen
class CyclingCursor:
    """Pages that start again: after `pages` of them the first follows, for ever.

    Order it with `times=None`, so that every page is under it.

    Args:
        pages: How many different pages there are.
    """

    pages: int = 2

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Lead back to the first page."""
        page = exchange.request.page
        if page is None or page < self.pages:
            return answer
        again = answer if page == self.pages else exchange.first_page()
        return SetField("has_more", True).apply(attrs.evolve(answer, body=again.body), exchange)


@attrs.frozen
class StuckCursor:
    """The first page for ever: the server ignores the cursor and always has more.

    Order it with `times=None`, so that every page is under it.
    """

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Serve the first page."""
        return CyclingCursor(pages=1).apply(answer, exchange)


@attrs.frozen
class EmptyPage:
    """A page without records that says there are more."""

    def apply(self, answer: Answer, exchange: Exchange) -> Answer:
        """Empty the page."""

        def change(body: dict[str, object]) -> None:
            if "data" in body:
                body.update(data=[], has_more=True)
                body.update({name: None for name in ("first_id", "last_id") if name in body})

        return _altered(answer, change)
