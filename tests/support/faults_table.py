"""What can go wrong between client and server, what the client does, and what its user sees.

One table for two readers: `test_faults` shows every row over a real socket, and ``docs/faults.md``
holds it as a page. After a change: ``python -m support.faults_table --write``.
"""

import sys
from pathlib import Path

import attrs

from asyncckpt import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    InternalServerError,
    NotFoundError,
    PaginationError,
    PermissionDeniedError,
    RateLimitError,
    UnprocessableEntityError,
)
from asyncckpt.testing import faults
from asyncckpt.testing.faults import Fault

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
BEGIN = "<!-- The table is made from tests/support/faults_table.py. -->\n"
END = "<!-- The end of the table. -->\n"

MAX_BODY_BYTES = 1 << 20

_DIGITS = "9" * 400


@attrs.frozen
class Row:
    """One kind of fault.

    Args:
        id: Its name among the tests.
        fault: What goes wrong.
        client: What the client does about it, besides trying again.
        error: What is raised while it lasts; None if the records come all the same.
        user: More on what the user sees.
        retried: Whether the request is sent again, `max_retries` times at most.
        variants: Ways to order it from the sandbox; none where the test has a server of its own.
        sends: How many requests one attempt is.
        resent: Whether an attempt on a connection that had been idle is sent once more at once.
    """

    id: str
    fault: str
    client: str
    error: type[APIError] | None
    user: str = ""
    retried: bool = False
    variants: tuple[tuple[Fault, ...], ...] = ()
    sends: int = 1
    resent: bool = False


def statuses(*codes: int) -> tuple[tuple[Fault, ...], ...]:
    return tuple((faults.Status(code),) for code in codes)


TABLE = (
    # No connection.
    Row(
        "dns-failure",
        "The host name is not found",
        "",
        APIConnectionError,
        retried=True,
    ),
    Row(
        "impossible-host",
        "The host name cannot be looked up at all, such as `a..b`",
        "Gives up: it will not get better",
        APIConnectionError,
    ),
    Row(
        "refused",
        "The connection is refused",
        "",
        APIConnectionError,
        retried=True,
    ),
    Row(
        "unanswered",
        "Nobody answers the attempt to connect",
        "Waits for `Timeout.connect` seconds",
        APITimeoutError,
        retried=True,
    ),
    Row(
        "tls-failure",
        "TLS fails: a certificate that is not trusted, has expired or is another host's; a server "
        "that does not speak TLS",
        "Gives up, and sends nothing",
        APIConnectionError,
    ),
    Row(
        "tls-cut",
        "The connection ends in the middle of the TLS handshake",
        "",
        APIConnectionError,
        retried=True,
    ),
    # The connection breaks.
    Row(
        "reset-before-headers",
        "A reset before the first byte of the answer",
        "On a connection that had been idle: sends it once more at once, on a new one",
        APIConnectionError,
        retried=True,
        variants=((faults.Reset("before"),),),
        resent=True,
    ),
    Row(
        "reset-in-headers",
        "A reset or a close in the middle of the headers",
        "On a connection that had been idle: sends it once more at once, on a new one",
        APIConnectionError,
        retried=True,
        resent=True,
    ),
    Row(
        "reset-after-headers",
        "A reset after the headers, or in the body",
        "",
        APIConnectionError,
        retried=True,
        variants=((faults.Reset("headers"),), (faults.Reset("body"),)),
    ),
    Row(
        "cut-body",
        "A body that ends too soon: shorter than its `Content-Length`, without its last chunk, "
        "JSON that stops midway, nothing at all",
        "",
        APIConnectionError,
        retried=True,
        variants=(
            (faults.CutBody(),),
            (faults.CutBody(chunked=True),),
            (
                faults.Header("content-length", None),
                faults.Header("connection", "close"),
                faults.CutBody(),
            ),
            (faults.MalformedJSON(missing=3),),
            (faults.RawBody(b""),),
            (faults.Status(204, body=b""),),
        ),
    ),
    Row(
        "idle-connection-closed",
        "The server closes a kept-alive connection between two requests",
        "Sends the request at once, on another connection",
        None,
        variants=((faults.CloseAfter(),),),
    ),
    # The connection is slow.
    Row(
        "slow-headers",
        "Headers that do not come, or drip in",
        "Waits for `Timeout.read` seconds of silence, `Timeout.total` in all",
        APITimeoutError,
        retried=True,
        variants=((faults.Hang("before"),), (faults.SlowHeaders(30, pieces=300),)),
    ),
    Row(
        "slow-body",
        "A body that does not come, or drips in",
        "Waits for `Timeout.read` seconds of silence, `Timeout.total` in all",
        APITimeoutError,
        retried=True,
        variants=(
            (faults.Hang("headers"),),
            (faults.Hang("body"),),
            (faults.SlowBody(30, pieces=300),),
        ),
    ),
    # Redirects.
    Row(
        "redirect-same-origin",
        "A redirect within the origin",
        "Follows it, with all headers",
        None,
    ),
    Row(
        "redirect-other-origin",
        "A redirect to another origin: scheme, host or port",
        "Follows it without the key and without any header of yours; but not on a lent session "
        "that has headers or auth of its own",
        AuthenticationError,
        "or whatever else the other place answers to a stranger",
    ),
    Row(
        "redirect-loop",
        "More than 5 redirects in a row",
        "Gives up",
        APIConnectionError,
        variants=((faults.Redirect(),), (faults.Redirect(origin="other"),)),
        sends=6,
    ),
    Row(
        "redirect-nowhere",
        "A redirect to what is no http(s) URL, carries credentials, or names an impossible host",
        "Does not follow it",
        APIConnectionError,
        variants=tuple(
            (faults.Redirect(location=location),)
            for location in (
                "ftp://127.0.0.1/v1",
                "file:///etc/passwd",
                "javascript:0",
                "https://",
                "http://user:password@127.0.0.1/v1",
                "http://127.0.0.1:99999/v1",
                "http://127.0.0.1\\@localhost/v1",
                "http://[::1]x/v1",
                "http://a..b/v1",
                f"http://{'a' * 64}.invalid/v1",
                "http://999.999.999.999/v1",
            )
        ),
    ),
    Row(
        "redirect-without-location",
        "A 3xx that says not where to",
        "",
        APIStatusError,
        variants=(
            *statuses(300, 301, 302, 303, 307, 308),
            (faults.Status(304, body=b""),),
            (faults.Redirect(location=""),),
        ),
    ),
    # A success that is none.
    Row(
        "html",
        "200 with a page of HTML: a proxy, a captive portal, a wrong base URL",
        "",
        APIResponseValidationError,
        "content type and beginning of the page are in the message",
        variants=((faults.Html(),), (faults.Html(), faults.ContentType("application/json"))),
    ),
    Row(
        "malformed-json",
        "200 with JSON that is wrong, not merely cut; not UTF-8; nested without end",
        "",
        APIResponseValidationError,
        "`.path` is `$`",
        variants=(
            (faults.RawBody(b"oops"),),
            (faults.RawBody(b'{"object": "list", "data": [}'),),
            (faults.RawBody(b'{"object": "list", "data": [], "has_more": false} and more'),),
            (faults.RawBody(b'{"object": "\xff", "data": []}'),),
            (faults.RawBody(b"\xef\xbb\xbf{}"),),
            (faults.RawBody(b"[" * 100_000),),
        ),
    ),
    Row(
        "wrong-content-type",
        "A good body with a wrong content type, or none",
        "Reads it",
        None,
        variants=((faults.ContentType("text/plain"),), (faults.ContentType(None),)),
    ),
    Row(
        "wrong-types",
        "200 with a value of a wrong type",
        "",
        APIResponseValidationError,
        "`.path` says where",
        variants=(
            (faults.SetField("data.0.created_at", "yesterday"),),
            (faults.SetField("data.3.step_number", 1.5),),
            (faults.SetField("data.9.id", 17),),
            (faults.SetField("data.*.metrics.train_loss", "low"),),
            (faults.SetField("has_more", "yes"),),
            (faults.SetField("data", {}),),
            (faults.RawBody(b"[]"),),
            (faults.RawBody(b'"list"'),),
        ),
    ),
    Row(
        "null-for-an-object",
        "200 with null, or nothing, where an object belongs",
        "",
        APIResponseValidationError,
        "`.path` says where",
        variants=(
            (faults.RawBody(b"null"),),
            (faults.SetField("data", None),),
            (faults.DropField("data"),),
            (faults.SetField("data.0", None),),
            (faults.SetField("data.*.metrics", None),),
            (faults.SetField("data.9.id", None),),
            (faults.DropField("data.9.id"),),
        ),
    ),
    Row(
        "harmless-differences",
        "Unknown fields, fields in another order, null metrics; no `object`, `first_id` or "
        "`last_id`; chunks; compression",
        "Reads it; unknown fields are in `.extra`",
        None,
        variants=(
            (faults.SetField("data.*.colour", {"deep": [1]}), faults.SetField("page", 2)),
            (faults.ReverseFields(),),
            (faults.SetField("data.*.metrics.train_loss", None),),
            (
                faults.DropField("object"),
                faults.DropField("first_id"),
                faults.DropField("last_id"),
            ),
            (faults.Chunked(),),
            (faults.Gzip(),),
        ),
    ),
    Row(
        "not-gzip",
        "A body that is said to be compressed, and is not so",
        "",
        APIConnectionError,
        retried=True,
        variants=(
            (faults.NotGzip(),),
            (faults.Header("content-encoding", "deflate"),),
            (faults.Header("content-encoding", "br"),),
        ),
    ),
    Row(
        "endless-body",
        "A body without end, or longer than `max_body_bytes` (64 MiB) once it is decompressed",
        "Stops reading at `max_body_bytes`, and closes the connection",
        APIResponseValidationError,
        "of a status that is an error, that error",
        variants=(
            (faults.EndlessBody(),),
            (faults.Gzip(), faults.GzipBomb(4 * MAX_BODY_BYTES)),
            (faults.RawBody(b" " * (MAX_BODY_BYTES + 1)),),
        ),
    ),
    Row(
        "header-bomb",
        "A header of more than 8 KiB, more than 128 headers, or headers that are no HTTP",
        "Stops reading, and closes the connection",
        APIConnectionError,
        retried=True,
        variants=(
            (faults.HeaderBomb(size=1 << 20),),
            (faults.HeaderBomb(size=10, count=5_000),),
            (faults.Header("no header", "?"),),
            (faults.Header("x-control", "a\x00b"),),
        ),
    ),
    # Pages that lead nowhere.
    Row(
        "no-way-on",
        "A page without records or `last_id` that says there are more",
        "",
        PaginationError,
        variants=((faults.EmptyPage(),),),
    ),
    Row(
        "circle",
        "Pages that go in a circle",
        "Stops: at once if the circle is one or two pages long, else within three rounds",
        PaginationError,
        "`.cursor` says where",
        variants=((faults.StuckCursor(),),),
    ),
    # The server says what is wrong.
    Row("400", "400", "", BadRequestError, variants=statuses(400)),
    Row(
        "401",
        "401",
        "If `api_key` is a callable: asks it for another key, and tries once more with that",
        AuthenticationError,
        variants=statuses(401),
    ),
    Row("403", "403", "", PermissionDeniedError, variants=statuses(403)),
    Row("404", "404", "", NotFoundError, variants=statuses(404)),
    Row("408", "408", "", APIStatusError, retried=True, variants=statuses(408)),
    Row("409", "409", "", ConflictError, retried=True, variants=statuses(409)),
    Row("422", "422", "", UnprocessableEntityError, variants=statuses(422)),
    Row(
        "429",
        "429 without a hint",
        "Slows down all requests of the client to what the server accepts",
        RateLimitError,
        retried=True,
        variants=(
            (faults.RateLimited(),),
            (faults.RateLimited(), faults.EndlessBody()),
            (faults.Status(429, body="slow down"),),
        ),
    ),
    Row(
        "429-hint",
        "429 that says when to come back (`Retry-After`, `retry-after-ms`)",
        "Waits that long, for at most `max_wait` seconds; this does not use up retries",
        RateLimitError,
        retried=True,
    ),
    Row(
        "429-nonsense",
        "429 with hints that make no sense: negative, infinite, no number, a past date",
        "Takes no notice of them",
        RateLimitError,
        retried=True,
        variants=(
            *(
                (faults.RateLimited(retry_after=value),)
                for value in (
                    -5,
                    "nan",
                    "inf",
                    "1e400",
                    "soon",
                    "",
                    "Wed, 21 Oct 1999 07:28:00 GMT",
                )
            ),
            *(
                (
                    faults.RateLimited(
                        headers={
                            "x-ratelimit-limit-requests": limit,
                            "x-ratelimit-remaining-requests": remaining,
                            "x-ratelimit-reset-requests": reset,
                        }
                    ),
                )
                for limit, remaining, reset in (
                    ("0", "0", f"{_DIGITS}s"),
                    ("1", "0", "99999h"),
                    ("-1", "-7", "-1"),
                    ("1e300", "1e300", "0s"),
                    ("many", "few", "later"),
                )
            ),
        ),
    ),
    Row(
        "429-long-pause",
        "429 that asks for a pause of more than 120 s",
        "Does not wait, and does not hold back the client's other requests either",
        RateLimitError,
        variants=(
            (faults.RateLimited(retry_after=1e9),),
            (faults.RateLimited(retry_after_ms=1e15),),
            (faults.RateLimited(retry_after="Wed, 21 Oct 2099 07:28:00 GMT"),),
        ),
    ),
    Row(
        "429-quota",
        "429 that says the quota is used up (`insufficient_quota`)",
        "",
        RateLimitError,
        variants=(
            (
                faults.Status(
                    429, body={"error": {"message": "No quota.", "code": "insufficient_quota"}}
                ),
            ),
        ),
    ),
    Row(
        "other-4xx",
        "Any other 4xx",
        "",
        APIStatusError,
        variants=statuses(
            *(
                code
                for code in range(400, 500)
                if code not in {400, 401, 403, 404, 408, 409, 422, 429}
            )
        ),
    ),
    Row(
        "5xx",
        "Any 5xx, whatever its body",
        "Waits as long as `Retry-After` says, if it does",
        InternalServerError,
        retried=True,
        variants=(
            *statuses(*range(500, 512), 520, 521, 522, 523, 524, 525, 526, 527, 529, 530, 598, 599),
            (faults.Status(502, body="<html><h1>Bad Gateway</h1></html>"),),
            (faults.Status(502, body=b""),),
            (faults.Status(500, body=b"\xff\x00"),),
            (faults.Status(500, body={"error": "a string"}),),
            (faults.Status(500), faults.EndlessBody()),
            (faults.Status(503, headers={"retry-after-ms": "2"}),),
        ),
    ),
    Row(
        "5xx-long-pause",
        "5xx that asks for a pause of more than 120 s",
        "Does not wait",
        InternalServerError,
        variants=((faults.Status(503, headers={"retry-after": "86400"}),),),
    ),
    Row(
        "should-retry",
        "Any error but 401 with `x-should-retry: true`",
        "Does as it is told",
        BadRequestError,
        "here of a 400",
        retried=True,
        variants=((faults.Status(400, headers={"x-should-retry": "true"}),),),
    ),
    Row(
        "should-not-retry",
        "Any error with `x-should-retry: false`",
        "Does as it is told",
        InternalServerError,
        "here of a 500",
        variants=((faults.Status(500, headers={"x-should-retry": "false"}),),),
    ),
)


def as_markdown() -> str:
    lines = [
        "| what goes wrong | what the client does | tried again | what you see |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {row.fault} | {row.client} | {'yes' if row.retried else 'no'} | {_seen(row)} |"
        for row in TABLE
    ]
    return "\n".join(lines) + "\n"


def _seen(row: Row) -> str:
    shown = f"`{row.error.__name__}`" if row.error else "the records"
    return f"{shown}; {row.user}" if row.user else shown


def with_table(page: str) -> str:
    """Return a page with the table in place of the one that it has."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{as_markdown()}\n{END}{after}"


def main() -> None:
    page = PAGE.read_text("utf-8")
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(with_table(page), "utf-8")
    elif page != with_table(page):
        sys.exit("docs/faults.md is out of date: python -m support.faults_table --write")


if __name__ == "__main__":
    main()
