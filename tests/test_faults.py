"""Every row of the fault table, over a real socket."""

import asyncio
import base64
import contextlib
import json
import socket
import ssl
import tracemalloc
from collections.abc import AsyncGenerator, Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
import trustme
from yarl import URL

from asyncckpt import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    AsyncClient,
    AuthenticationError,
    PaginationError,
    RateLimitError,
    Timeout,
)
from asyncckpt.protocol import retries
from asyncckpt.testing import Sandbox, faults
from asyncckpt.testing.faults import Fault

from support import faults_table
from support.faults_table import MAX_BODY_BYTES, TABLE, Row
from support.servers import Proxy, full_backlog, path_of, response, serving, tunnel_to

BY_ID = {row.id: row for row in TABLE}
RETRIES = 2
# Long enough for a good answer on a busy machine, short enough to wait for.
SHORT = Timeout(total=0.4, connect=0.3, read=0.3)
KEY = "sk-kept-to-ourselves-1234"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "_FIRST_BACKOFF", 0.001)
    monkeypatch.setattr(retries, "_FIRST_REFUSAL", 0.001)


Connect = Callable[..., contextlib.AbstractAsyncContextManager[AsyncClient]]


@pytest.fixture(params=["own", "lent"])
async def connect(request: pytest.FixtureRequest, sandbox: Sandbox, leaks: None) -> Connect:
    """Open clients of the sandbox on their own session, or on a lent one, and leave nothing."""

    @contextlib.asynccontextmanager
    async def on_a_lent_session(
        *, ssl: ssl.SSLContext | bool = True, **options: Any
    ) -> AsyncGenerator[AsyncClient, None]:
        connector = aiohttp.TCPConnector(ssl=ssl)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            sandbox.client(session=session, **options) as client,
        ):
            yield client

    return sandbox.client if request.param == "own" else on_a_lent_session


@attrs.frozen
class Outcome:
    """What became of a list: the records that came, and the error that ended it."""

    ids: list[str]
    error: APIError | None

    @property
    def attempts(self) -> int:
        """How often the last request was tried, as the error says."""
        notes = getattr(self.error, "__notes__", [])
        tried = [int(note.split()[2]) for note in notes if note.startswith("asyncckpt tried")]
        return tried[0] if tried else 1


async def read(client: AsyncClient, job: str) -> Outcome:
    ids: list[str] = []
    try:
        async for checkpoint in client.fine_tuning.jobs.checkpoints.list(job):
            ids.append(checkpoint.id)  # noqa: PERF401 - keeps those before an error
    except APIError as error:
        return Outcome(ids, error)
    return Outcome(ids, None)


def options_for(row: Row) -> dict[str, Any]:
    options: dict[str, Any] = {"max_body_bytes": MAX_BODY_BYTES, "max_retries": RETRIES}
    if row.error is APITimeoutError:
        options |= {"timeout": SHORT, "max_retries": 1}
    return options


def attempts_of(row: Row) -> int:
    return 1 + options_for(row)["max_retries"] if row.retried else 1


def hits_of(row: Row, client: AsyncClient) -> int:
    """How often the fault is met while it lasts, on the second page of a list."""
    hits = attempts_of(row) * row.sends
    if not row.resent:
        return hits
    # A lent session's aiohttp always sends once more, a client's own only after an idle connection.
    return 2 * hits if is_lent(client) else hits + 1


def is_lent(client: AsyncClient) -> bool:
    return client._session._lent is not None


def check(outcome: Outcome, row: Row, variant: object = "") -> None:
    """Check what the user sees while the fault lasts, apart from the records before it."""
    assert type(outcome.error) is (row.error or type(None)), (variant, outcome.error)
    assert outcome.attempts == attempts_of(row), variant


def ordered_from_sandbox(rows: Iterable[Row]) -> list[Any]:
    return [pytest.param(row, id=row.id) for row in rows if row.variants]


class Expected:
    """What a job's list should hold; by default the newest job's."""

    def __init__(self, sandbox: Sandbox, job: str | None = None) -> None:
        self.job = job or sandbox.job_ids[0]
        self.ids = [checkpoint["id"] for checkpoint in sandbox.checkpoints_of(self.job)]


@pytest.mark.parametrize("row", ordered_from_sandbox(TABLE))
async def test_while_a_fault_lasts(row: Row, sandbox: Sandbox, connect: Connect) -> None:
    async def meet(variant: tuple[Fault, ...]) -> None:
        expected = Expected(sandbox, sandbox.add_job())
        order = sandbox.inject(*variant, times=None, page=2, job=expected.job)
        async with connect(**options_for(row)) as client:
            outcome = await read(client, expected.job)

            check(outcome, row, variant)
            # What came before the fault is handed out; nothing of what it spoilt is.
            assert outcome.ids == (expected.ids[:10] if row.error else expected.ids), variant
            assert order.hits == hits_of(row, client), variant

            # The client has taken no harm.
            order.stop()
            assert await read(client, expected.job) == Outcome(expected.ids, None), variant

    async with asyncio.TaskGroup() as together:
        for variant in row.variants:
            together.create_task(meet(variant))


@pytest.mark.parametrize("row", ordered_from_sandbox(row for row in TABLE if row.retried))
async def test_when_a_fault_passes(row: Row, sandbox: Sandbox, connect: Connect) -> None:
    hits = 2 if row.resent else row.sends

    async def meet(variant: tuple[Fault, ...]) -> None:
        expected = Expected(sandbox, sandbox.add_job())
        order = sandbox.inject(*variant, times=hits, page=2, job=expected.job)
        async with connect(**options_for(row)) as client:
            assert await read(client, expected.job) == Outcome(expected.ids, None), variant
        assert order.hits == hits, variant
        # No page was asked for again but the one that failed.
        asked = [request.page for request in sandbox.requests if request.job_id == expected.job]
        assert asked == [1, *[2] * (hits + 1), 3], variant

    async with asyncio.TaskGroup() as together:
        for variant in row.variants:
            together.create_task(meet(variant))


# Faults that a good server cannot be told to have: each test has a server of its own.

OWN_SERVERS: dict[str, Callable[..., Any]] = {}


def shows(row_id: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def note(test: Callable[..., Any]) -> Callable[..., Any]:
        OWN_SERVERS[row_id] = test
        return test

    return note


def test_every_row_is_shown() -> None:
    assert len(BY_ID) == len(TABLE)
    assert {row.id for row in TABLE if not row.variants} == set(OWN_SERVERS)


def test_the_page_is_up_to_date() -> None:
    page = faults_table.PAGE.read_text("utf-8")
    assert page == faults_table.with_table(page), "python tests/support/faults_table.py --write"
    assert page.count(faults_table.BEGIN) == page.count(faults_table.END) == 1


@shows("dns-failure")
async def test_dns_failure(sandbox: Sandbox, connect: Connect) -> None:
    # RFC 6761 keeps `.invalid` free of hosts.
    async with connect(base_url="http://nowhere.invalid/v1", max_retries=RETRIES) as client:
        outcome = await read(client, sandbox.job_ids[0])
    check(outcome, BY_ID["dns-failure"])
    assert "nowhere.invalid" in str(outcome.error)


@shows("impossible-host")
@pytest.mark.parametrize("host", ["a..b", f"{'a' * 64}.invalid", "999.999.999.999"])
async def test_impossible_host(host: str, sandbox: Sandbox, connect: Connect) -> None:
    async with connect(base_url=f"http://{host}/v1", max_retries=RETRIES) as client:
        check(await read(client, sandbox.job_ids[0]), BY_ID["impossible-host"])


@shows("refused")
async def test_refused(sandbox: Sandbox, connect: Connect) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/v1"
        async with connect(base_url=url, max_retries=RETRIES) as client:
            check(await read(client, sandbox.job_ids[0]), BY_ID["refused"])


@shows("unanswered")
async def test_unanswered(sandbox: Sandbox, connect: Connect) -> None:
    row = BY_ID["unanswered"]
    with full_backlog() as port:
        url = f"http://127.0.0.1:{port}/v1"
        async with connect(base_url=url, **options_for(row)) as client:
            outcome = await read(client, sandbox.job_ids[0])
        check(outcome, row)
        assert "No connection within 0.3 s" in str(outcome.error)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_side(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def client_side(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_tls_that_is_trusted(
    authority: trustme.CA, sandbox: Sandbox, connect: Connect
) -> None:
    expected = Expected(sandbox)
    tls = server_side(authority.issue_cert("127.0.0.1"))
    async with (
        serving(tunnel_to(sandbox), tls) as server,
        connect(
            base_url=f"https://127.0.0.1:{server.port}/v1", ssl=client_side(authority)
        ) as client,
    ):
        assert await read(client, expected.job) == Outcome(expected.ids, None)
    assert server.connections == 1


@shows("tls-failure")
@pytest.mark.parametrize("trouble", ["untrusted", "other host", "expired", "no TLS"])
async def test_tls_failure(
    trouble: str, authority: trustme.CA, sandbox: Sandbox, connect: Connect, caplog: Any
) -> None:
    # What asyncio says of the server's side is none of the client's.
    caplog.set_level("CRITICAL", logger="asyncio")
    issuer = trustme.CA() if trouble == "untrusted" else authority
    host = "elsewhere.example" if trouble == "other host" else "127.0.0.1"
    expiry = datetime.now(UTC) - timedelta(days=1) if trouble == "expired" else None
    tls = server_side(issuer.issue_cert(host, not_after=expiry))
    async with (
        serving(tunnel_to(sandbox), None if trouble == "no TLS" else tls) as server,
        connect(
            base_url=f"https://127.0.0.1:{server.port}/v1",
            ssl=client_side(authority),
            max_retries=RETRIES,
        ) as client,
    ):
        check(await read(client, sandbox.job_ids[0]), BY_ID["tls-failure"])
    assert sandbox.requests == []


@shows("tls-cut")
async def test_tls_cut(sandbox: Sandbox, connect: Connect) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async with (
        serving(hang_up) as server,
        connect(base_url=f"https://127.0.0.1:{server.port}/v1", max_retries=RETRIES) as client,
    ):
        check(await read(client, sandbox.job_ids[0]), BY_ID["tls-cut"])


@shows("reset-in-headers")
@pytest.mark.parametrize("linger", [None, b"\1\0\0\0\0\0\0\0"], ids=["closed", "reset"])
@pytest.mark.parametrize("sent", [b"HT", b"HTTP/1.1 200 OK\r\ncontent-le", b"HTTP/1.1 200 OK\r\n"])
async def test_reset_in_headers(
    sent: bytes, linger: bytes | None, sandbox: Sandbox, connect: Connect
) -> None:
    row = BY_ID["reset-in-headers"]

    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent)
        await writer.drain()
        if linger is not None:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    async with (
        serving(break_off) as server,
        connect(base_url=f"http://127.0.0.1:{server.port}/v1", max_retries=RETRIES) as client,
    ):
        check(await read(client, sandbox.job_ids[0]), row)
        assert server.connections == attempts_of(row) * (2 if is_lent(client) else 1)


async def test_a_connection_that_breaks_as_it_is_used_again(
    sandbox: Sandbox, connect: Connect
) -> None:
    expected = Expected(sandbox)
    order = sandbox.inject(faults.Reset("before"), reused=True)
    async with connect(max_retries=0) as client:
        assert await read(client, expected.job) == Outcome(expected.ids, None)
    assert order.hits == 1
    assert sandbox.stats.connections == 2


# Redirects. What is sent on is seen by the server's own eyes, for the sandbox masks it.


@attrs.define
class Witness:
    """A server that keeps the headers it is sent, and answers with an empty list."""

    heads: list[str] = attrs.field(factory=list[str])

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head.decode())
            body = b'{"object": "list", "data": [], "has_more": false}'
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()


SECRET_HEADERS = {"X-Key": "key-of-ours-5678", "X-Tenant": "tenant-of-ours"}


@shows("redirect-same-origin")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_within_the_origin(status: int, sandbox: Sandbox, connect: Connect) -> None:
    expected = Expected(sandbox)
    order = sandbox.inject(faults.Redirect(status=status), page=2)
    async with connect(default_headers=SECRET_HEADERS) as client:
        outcome = await read(client, expected.job)
    check(outcome, BY_ID["redirect-same-origin"])
    assert outcome.ids == expected.ids
    assert order.hits == 1
    first, *others = sandbox.requests
    assert first.headers["x-tenant"] == "tenant-of-ours"
    assert {"authorization", "x-key"} <= first.headers.keys()
    assert all(request.headers == first.headers for request in others)


@pytest.mark.parametrize("location", ["{path}", "//{host}{path}", "../{job}/checkpoints", ""])
async def test_a_relative_redirect(location: str, sandbox: Sandbox, connect: Connect) -> None:
    job = sandbox.job_ids[0]
    path = f"/v1/fine_tuning/jobs/{job}/checkpoints"
    host = sandbox.origin.removeprefix("http://")
    target = location.format(path=path, host=host, job=job) + "?limit=3"
    sandbox.inject(faults.Redirect(location=target))
    async with connect() as client:
        page = await client.fine_tuning.jobs.checkpoints.list(job)
    assert len(page.data) == 3
    assert page.response.request.url == f"{sandbox.origin}{path}?limit=3"


@shows("redirect-other-origin")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_to_another_origin(status: int, sandbox: Sandbox, connect: Connect) -> None:
    sandbox.inject(faults.Redirect(origin="other", status=status))
    async with connect(default_headers=SECRET_HEADERS) as client:
        outcome = await read(client, sandbox.job_ids[0])
    check(outcome, BY_ID["redirect-other-origin"])
    assert outcome.ids == []
    assert len(sandbox.requests) == 2


@pytest.mark.parametrize("credential", ["api_key", "api-key", "Authorization"])
@pytest.mark.parametrize("other", ["port", "host", "scheme"])
async def test_another_origin_learns_nothing(
    other: str, credential: str, authority: trustme.CA, sandbox: Sandbox, connect: Connect
) -> None:
    witness = Witness()
    tls = server_side(authority.issue_cert("127.0.0.1")) if other == "scheme" else None
    async with serving(witness.talk, tls) as server:
        scheme = "https" if other == "scheme" else "http"
        host = "localhost" if other == "host" else "127.0.0.1"
        location = f"{scheme}://{host}:{server.port}/elsewhere"
        headers = SECRET_HEADERS | {"User-Agent": "our-program/1"}
        if credential != "api_key":
            headers |= {credential: KEY}
        sandbox.api_key = KEY
        sandbox.inject(faults.Redirect(location=location))
        async with connect(
            organization="org-ours",
            project="proj-ours",
            default_headers=headers,
            default_query={"tenant": "query-of-ours"},
            ssl=client_side(authority),
        ) as client:
            page = await client.fine_tuning.jobs.checkpoints.list(
                sandbox.job_ids[0], extra_headers={"X-Extra": "extra-of-ours"}
            )
        assert page.data == []
    (head,) = witness.heads
    fields = dict(line.split(": ", 1) for line in head.strip().split("\r\n")[1:])
    assert head.startswith("GET /elsewhere HTTP/1.1\r\n")
    assert {name.lower() for name in fields} == {"host", "accept", "accept-encoding", "user-agent"}
    assert fields["User-Agent"] == "asyncckpt"
    assert "ours" not in head
    assert KEY not in head


@pytest.mark.filterwarnings(r"ignore:.*\bdeprecated\b:DeprecationWarning")
@pytest.mark.parametrize("own", ["headers", "auth", "netrc", "harmless headers"])
async def test_a_lent_session_takes_nothing_of_its_own_to_another_origin(
    own: str, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leaks: None
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"default login ours password {KEY}\n")
    monkeypatch.setenv("NETRC", str(netrc))
    options: dict[str, Any] = {
        "headers": {"headers": {"X-Gateway-Key": KEY}},
        "auth": {"auth": aiohttp.BasicAuth("ours", KEY)},
        "netrc": {"trust_env": True},
        "harmless headers": {"headers": {"User-Agent": "our-program/1"}},
    }[own]
    witness = Witness()
    async with serving(witness.talk) as server:
        sandbox.inject(faults.Redirect(location=f"http://127.0.0.1:{server.port}/elsewhere"))
        async with (
            aiohttp.ClientSession(**options) as session,
            sandbox.client(
                session=session, api_key=None, default_headers={"api-key": "sk-of-ours"}
            ) as client,
        ):
            outcome = await read(client, sandbox.job_ids[0])
    if own == "harmless headers":
        assert len(witness.heads) == 1
    else:
        assert witness.heads == []
        assert isinstance(outcome.error, APIConnectionError)
        assert "lent session" in str(outcome.error)
    assert len(sandbox.requests) == 1


@pytest.mark.parametrize("options", [{"headers": {"X-Gateway-Key": KEY}}, {"trust_env": True}])
async def test_what_a_lent_session_adds_is_masked(
    options: Any,
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    leaks: None,
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login us password {KEY}\n")
    monkeypatch.setenv("NETRC", str(netrc))
    sandbox.inject(faults.Status(403, body=f"what is {KEY}?"))
    async with (
        aiohttp.ClientSession(**options) as session,
        sandbox.client(session=session) as client,
    ):
        error = (await read(client, sandbox.job_ids[0])).error
    assert "what is ***?" in str(error)


@shows("429-hint")
async def test_a_hint_is_obeyed_without_using_up_retries(
    sandbox: Sandbox, connect: Connect
) -> None:
    job = sandbox.job_ids[0]
    sandbox.inject(faults.RateLimited(retry_after_ms=2), times=6)
    async with connect(max_retries=1) as client:
        outcome = await read(client, job)
    assert outcome.error is None
    assert sandbox.stats.refused == 0
    assert sandbox.stats.requests == 6 + 3


async def test_a_hint_is_obeyed_no_longer_than_max_wait(sandbox: Sandbox, connect: Connect) -> None:
    sandbox.inject(faults.RateLimited(retry_after=60), times=None)
    async with connect(max_wait=50) as client:
        error = (await read(client, sandbox.job_ids[0])).error
    assert isinstance(error, RateLimitError)
    assert sandbox.stats.requests == 1
    assert any("max_wait is 50 s" in note for note in error.__notes__)


async def test_a_request_that_waited_too_long_says_so(sandbox: Sandbox, connect: Connect) -> None:
    first, second = sandbox.job_ids[:2]
    used_up = {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "60s",
    }
    sandbox.inject(faults.RateLimited(headers=used_up), job=first)
    async with connect(max_wait=0.05) as client:
        await read(client, first)
        error = (await read(client, second)).error
    assert isinstance(error, RateLimitError)
    assert error.request is not None
    assert second in error.request.url
    (note,) = error.__notes__
    assert "for its turn, as long as max_wait allows" in note


async def test_a_request_that_only_its_client_held_back_timed_out(
    sandbox: Sandbox, connect: Connect
) -> None:
    async with connect(max_wait=0.05, max_requests_per_second=0.01) as client:
        await client.fine_tuning.jobs.list()
        error = (await read(client, sandbox.job_ids[1])).error
    assert isinstance(error, APITimeoutError)
    assert "for its turn, as long as max_wait allows" in str(error)


async def test_credentials_do_not_come_back_from_another_origin(
    sandbox: Sandbox, connect: Connect
) -> None:
    witness = Witness()

    async with serving(witness.talk) as last:
        back = f"http://127.0.0.1:{last.port}/back"

        async def bounce(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(
                f"HTTP/1.1 302 Found\r\nlocation: {back}\r\ncontent-length: 0\r\n\r\n".encode()
            )
            await writer.drain()

        async with serving(bounce) as middle:
            there = f"http://127.0.0.1:{middle.port}/there"

            async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                head = await reader.readuntil(b"\r\n\r\n")
                assert KEY.encode() in head
                writer.write(
                    f"HTTP/1.1 302 Found\r\nlocation: {there}\r\ncontent-length: 0\r\n\r\n".encode()
                )
                await writer.drain()

            async with (
                serving(talk) as first,
                AsyncClient(api_key=KEY, base_url=f"http://127.0.0.1:{first.port}") as client,
            ):
                await client.fine_tuning.jobs.checkpoints.list("ftjob-x")
    (head,) = witness.heads
    assert "authorization" not in head.lower()


# What the errors tell.


@pytest.mark.parametrize(
    ("fault", "path", "said"),
    [
        (faults.SetField("data.3.step_number", "7"), "$.data[3].step_number", "got `str`"),
        (faults.SetField("data.*.id", None), "$.data[0].id", "got `null`"),
        (faults.DropField("data.2.created_at"), "$.data[2]", "created_at"),
        (faults.Html("<html>please sign in"), "$", "text/html"),
        (faults.Html("<html>please sign in"), "$", "'<html>please sign in'"),
        (faults.EndlessBody(), "$", f"max_body_bytes, {MAX_BODY_BYTES} bytes"),
    ],
)
async def test_a_validation_error_says_what_and_where(
    fault: Fault, path: str, said: str, sandbox: Sandbox, connect: Connect
) -> None:
    sandbox.inject(fault)
    async with connect(max_body_bytes=MAX_BODY_BYTES) as client:
        error = (await read(client, sandbox.job_ids[0])).error
    assert isinstance(error, APIResponseValidationError)
    assert error.path == path
    assert said in str(error)
    assert error.request_id is not None
    assert error.request_id in str(error)
    assert isinstance(error.body, str)
    assert len(error.body) <= 501
    assert len(error.response.content) <= MAX_BODY_BYTES


async def test_a_status_error_says_what_the_api_said(sandbox: Sandbox, connect: Connect) -> None:
    words = {"message": "Bad.", "type": "invalid_request_error", "param": "limit", "code": "x1"}
    sandbox.inject(faults.Status(400, body={"error": words}), times=2)
    async with connect() as client:
        error = (await read(client, sandbox.job_ids[0])).error
    assert isinstance(error, APIStatusError)
    assert (error.message, error.type, error.param, error.code) == (
        "Bad.",
        "invalid_request_error",
        "limit",
        "x1",
    )
    assert error.body == words
    assert error.status_code == 400
    assert error.request is not None
    assert error.request.url.startswith(sandbox.base_url)


async def test_an_error_page_of_any_size_makes_a_short_message(
    sandbox: Sandbox, connect: Connect
) -> None:
    sandbox.inject(faults.Status(502, body="bad gateway " * 80_000))
    async with connect(max_retries=0, max_body_bytes=MAX_BODY_BYTES) as client:
        error = (await read(client, sandbox.job_ids[0])).error
    assert isinstance(error, APIStatusError)
    assert error.message.startswith("bad gateway bad gateway")
    assert len(error.message) <= 501


async def test_a_cycle_is_told_with_its_cursor(sandbox: Sandbox, connect: Connect) -> None:
    expected = Expected(sandbox)
    sandbox.inject(faults.StuckCursor(), times=None)
    async with connect() as client:
        outcome = await read(client, expected.job)
    assert isinstance(outcome.error, PaginationError)
    assert outcome.error.cursor == expected.ids[9]
    assert outcome.ids == expected.ids[:10]


async def test_a_long_cycle_ends_too(sandbox: Sandbox, connect: Connect) -> None:
    job = sandbox.add_job(checkpoints=100)
    sandbox.inject(faults.CyclingCursor(pages=7), times=None)
    async with connect() as client:
        outcome = await read(client, job)
    assert isinstance(outcome.error, PaginationError)
    assert sandbox.stats.requests <= 3 * 7


async def test_a_bomb_is_not_unpacked(sandbox: Sandbox, connect: Connect) -> None:
    sandbox.inject(faults.Gzip(), faults.GzipBomb(128 << 20))
    async with connect(max_body_bytes=MAX_BODY_BYTES) as client:
        tracemalloc.start()
        try:
            outcome = await read(client, sandbox.job_ids[0])
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert isinstance(outcome.error, APIResponseValidationError)
    assert peak < 32 << 20


async def test_a_long_pause_asked_of_one_request_does_not_stop_the_others(
    sandbox: Sandbox, connect: Connect
) -> None:
    first, *others = sandbox.job_ids
    order = sandbox.inject(faults.RateLimited(retry_after=86_400), job=first, times=None)
    async with connect(max_wait=5) as client:
        stream = client.fine_tuning.jobs.checkpoints.list_many(
            sandbox.job_ids, concurrency=4, on_error="collect"
        )
        seen = {checkpoint.fine_tuning_job_id async for checkpoint in stream}
    assert seen == set(others)
    assert [failure.fine_tuning_job_id for failure in stream.failures] == [first]
    assert order.hits == 1


async def test_another_key_is_asked_for_once(sandbox: Sandbox, connect: Connect) -> None:
    asked = 0

    async def key() -> str:
        nonlocal asked
        asked += 1
        return f"sk-wrong-{asked}"

    async with connect(api_key=key) as client:
        outcome = await read(client, sandbox.job_ids[0])
    assert isinstance(outcome.error, AuthenticationError)
    assert asked == 2
    assert sandbox.stats.answers == {401: 2}


async def test_connection_errors_quote_no_bytes_of_the_server(
    sandbox: Sandbox, connect: Connect
) -> None:
    sandbox.inject(faults.Header(f"echo {KEY}", "x"), times=None)
    sandbox.api_key = KEY
    async with connect(max_retries=0) as client:
        error = (await read(client, sandbox.job_ids[0])).error
    assert isinstance(error, APIConnectionError)
    assert KEY not in str(error)
    assert "\n" not in str(error)


# Responses that belong to no request. The servers send what the sandbox cannot.


def page_of(sandbox: Sandbox, path: str) -> bytes:
    """Return a complete response: all checkpoints of the job that a path names."""
    data = list(sandbox.checkpoints_of(path.split("/")[-2]))
    return response(json.dumps({"object": "list", "data": data, "has_more": False}).encode())


LATE = {
    "duplicate": lambda sent: sent,
    "204": lambda sent: b"HTTP/1.1 204 No Content\r\n\r\n",
    "408": lambda sent: response(b"", status="408 Request Timeout"),
    "a part": lambda sent: sent[:20],
}


@shows("late-response")
@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
@pytest.mark.parametrize("together", [False, True], ids=["later", "in one segment"])
async def test_a_late_response(
    late: Callable[[bytes], bytes], together: bool, sandbox: Sandbox, connect: Connect
) -> None:
    idle = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            sent = page_of(sandbox, await path_of(reader))
            if together:
                writer.write(sent + late(sent))
                continue
            writer.write(sent)
            await idle.wait()
            writer.write(late(sent))

    async with (
        serving(talk) as server,
        connect(base_url=f"{server.url}/v1", max_retries=0, prefetch=0) as client,
    ):
        for number, job in enumerate(sandbox.job_ids[:4], 1):
            assert await read(client, job) == Outcome(Expected(sandbox, job).ids, None)
            idle.set()
            while not together and server.closed < number:
                await asyncio.sleep(0)
            idle.clear()


async def test_late_responses_to_many_jobs(sandbox: Sandbox, connect: Connect) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            sent = page_of(sandbox, await path_of(reader))
            writer.write(sent)
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(sent)

    jobs = sandbox.job_ids
    async with serving(talk) as server, connect(base_url=f"{server.url}/v1") as client:
        for _ in range(3):
            stream = client.fine_tuning.jobs.checkpoints.list_many(jobs, concurrency=3)
            seen = sorted([checkpoint.id async for checkpoint in stream])
            assert seen == sorted(id_ for job in jobs for id_ in Expected(sandbox, job).ids)


@shows("stray-response")
async def test_a_response_before_the_request(sandbox: Sandbox) -> None:
    # The socket is read before the request is written: what the server sends at once is there.
    row = BY_ID["stray-response"]
    connections = 0

    class Connector(aiohttp.TCPConnector):
        async def connect(self, *args: Any, **kwargs: Any) -> Any:
            connection = await super().connect(*args, **kwargs)
            while not (connection.transport is None or connection.transport.is_closing()):
                if connection.protocol.should_close:
                    break
                await asyncio.sleep(0)
            return connection

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(response(b'{"object": "list", "data": [], "has_more": false}'))
        await reader.read()

    async with (
        serving(talk) as server,
        aiohttp.ClientSession(connector=Connector()) as session,
        sandbox.client(session=session, base_url=f"{server.url}/v1", **options_for(row)) as client,
    ):
        check(await read(client, sandbox.job_ids[0]), row)
    assert connections == 2 * attempts_of(row)


@shows("informational-silence")
async def test_silence_after_an_informational_response(sandbox: Sandbox, connect: Connect) -> None:
    row = BY_ID["informational-silence"]

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await path_of(reader)
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await reader.read()

    options = options_for(row) | {"timeout": Timeout(total=None, read=SHORT.read)}
    async with (
        serving(talk) as server,
        connect(base_url=f"{server.url}/v1", **options) as client,
    ):
        check(await read(client, sandbox.job_ids[0]), row)


@shows("informational-flood")
async def test_a_flood_of_informational_responses(sandbox: Sandbox, connect: Connect) -> None:
    row = BY_ID["informational-flood"]

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await path_of(reader)
        while True:
            writer.write(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0)

    options = options_for(row) | {"timeout": None}
    async with (
        serving(talk) as server,
        connect(base_url=f"{server.url}/v1", **options) as client,
    ):
        check(await read(client, sandbox.job_ids[0]), row)
        assert server.connections == attempts_of(row)


# Proxies.


@pytest.fixture
def through(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, str], None]:
    """Name a proxy in the environment, with credentials."""

    def name(port: int, credentials: str = "") -> None:
        for variable in ("no_proxy", "NO_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.delenv(variable, raising=False)
        for variable in ("HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(variable, f"http://{credentials}127.0.0.1:{port}")

    return name


CREDENTIALS = "our-user:our%20pass@"
AUTHORIZATION = "Basic " + base64.b64encode(b"our-user:our pass").decode()


async def test_an_http_url_through_a_proxy_with_credentials(
    sandbox: Sandbox, through: Callable[[int, str], None], leaks: None
) -> None:
    expected = Expected(sandbox)
    proxy = Proxy(AUTHORIZATION)
    async with serving(proxy.talk) as server:
        through(server.port, CREDENTIALS)
        async with sandbox.client(trust_env=True) as client:
            assert await read(client, expected.job) == Outcome(expected.ids, None)
    assert proxy.heads[0].startswith(f"GET {sandbox.origin}/v1/")


async def test_an_https_url_through_a_proxy_with_credentials(
    authority: trustme.CA, sandbox: Sandbox, through: Callable[[int, str], None], leaks: None
) -> None:
    expected = Expected(sandbox)
    proxy = Proxy(AUTHORIZATION)
    tls = server_side(authority.issue_cert("127.0.0.1"))
    async with serving(proxy.talk) as server, serving(tunnel_to(sandbox), tls) as origin:
        through(server.port, CREDENTIALS)
        async with sandbox.client(
            trust_env=True,
            base_url=f"https://127.0.0.1:{origin.port}/v1",
            ssl=client_side(authority),
        ) as client:
            assert await read(client, expected.job) == Outcome(expected.ids, None)
    (head,) = proxy.heads
    assert head.startswith(f"CONNECT 127.0.0.1:{origin.port} ")
    # The proxy learns nothing that is meant for the server, and the server nothing for the proxy.
    assert "Bearer" not in head
    assert not any("proxy-authorization" in request.headers for request in sandbox.requests)


@shows("proxy-407")
async def test_a_proxy_that_rejects_the_credentials_of_an_http_url(
    sandbox: Sandbox, through: Callable[[int, str], None], leaks: None
) -> None:
    row = BY_ID["proxy-407"]
    proxy = Proxy("Basic another")
    async with serving(proxy.talk) as server:
        through(server.port, CREDENTIALS)
        async with sandbox.client(trust_env=True, **options_for(row)) as client:
            outcome = await read(client, sandbox.job_ids[0])
    check(outcome, row)
    assert isinstance(outcome.error, APIStatusError)
    assert outcome.error.status_code == 407
    assert len(proxy.heads) == 1


@shows("proxy-connect-407")
@shows("proxy-connect-502")
@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "502 Bad Gateway"])
async def test_a_proxy_that_refuses_to_connect(
    status: str, sandbox: Sandbox, through: Callable[[int, str], None], leaks: None
) -> None:
    row = BY_ID[f"proxy-connect-{status[:3]}"]
    proxy = Proxy("Basic another", status)
    async with serving(proxy.talk) as server:
        through(server.port, CREDENTIALS)
        async with sandbox.client(
            trust_env=True, base_url="https://127.0.0.1:9/v1", **options_for(row)
        ) as client:
            outcome = await read(client, sandbox.job_ids[0])
    check(outcome, row)
    assert f"the proxy responded with status {status[:3]}" in str(outcome.error)
    assert len(proxy.heads) == attempts_of(row)


async def test_the_credentials_of_a_proxy_are_masked(
    sandbox: Sandbox, through: Callable[[int, str], None], leaks: None
) -> None:
    encoded = AUTHORIZATION.removeprefix("Basic ")
    sandbox.inject(faults.Status(403, body=f"what is {encoded} or our-user:our pass?"))
    async with serving(Proxy(AUTHORIZATION).talk) as server:
        through(server.port, CREDENTIALS)
        async with sandbox.client(trust_env=True) as client:
            error = (await read(client, sandbox.job_ids[0])).error
    assert "what is *** or ***?" in str(error)


# Secrets.


def redirects_to(location: bytes) -> Callable[..., Any]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await path_of(reader)
            head = b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\nlocation: " + location
            writer.write(head + b"\r\n\r\n")

    return talk


@shows("redirect-not-utf-8")
@pytest.mark.parametrize(
    "location", [b"/\xff", b"http://\xe9/", b"/\xc3\x28?\x80", b"\xed\xa0\x80"]
)
async def test_a_redirect_that_is_not_utf_8(
    location: bytes, sandbox: Sandbox, connect: Connect
) -> None:
    row = BY_ID["redirect-not-utf-8"]
    async with (
        serving(redirects_to(location)) as server,
        connect(base_url=f"{server.url}/v1", **options_for(row)) as client,
    ):
        check(await read(client, sandbox.job_ids[0]), row)


SPELLED = {
    "json": "".join(f"\\u{ord(character):04x}" for character in KEY),
    "url": "".join(f"%{ord(character):02x}" for character in KEY),
    "url twice": "".join(f"%25{ord(character):02X}" for character in KEY),
    "html": "".join(f"&#{ord(character)};" for character in KEY),
    "a mixture": f"%73k&#45;{KEY[3:6]}\\u{ord(KEY[6]):04X}{KEY[7:]}",
    "upper case": KEY.upper(),
}


@shows("repeated-key")
@pytest.mark.parametrize("spelled", SPELLED.values(), ids=SPELLED)
async def test_an_error_that_repeats_the_key(
    spelled: str, sandbox: Sandbox, connect: Connect
) -> None:
    row = BY_ID["repeated-key"]

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await path_of(reader)
        body = '{"error": {"message": "what is ' + spelled + '?"}}'
        headers = [f"X-Echo: {spelled}", f"X-{KEY}: 1", f"x-request-id: {spelled}"]
        writer.write(response(body.encode(), *headers, status="400 Bad Request"))

    async with (
        serving(talk) as server,
        connect(base_url=f"{server.url}/v1", api_key=KEY, **options_for(row)) as client,
    ):
        outcome = await read(client, sandbox.job_ids[0])
    check(outcome, row)
    assert isinstance(outcome.error, APIStatusError)
    assert outcome.error.message == "what is ***?"
    assert outcome.error.request_id == "***"
    kept = outcome.error.response
    assert dict(kept.headers)["X-***"] == "1"
    assert not {spelled, KEY} & {*kept.headers.values(), kept.text}


NAMING_A_JOB = {
    "id": "c",
    "created_at": 1,
    "fine_tuned_model_checkpoint": "m",
    "fine_tuning_job_id": KEY,
    "metrics": {},
    "step_number": 1,
}


@pytest.mark.parametrize(
    ("data", "kind"),
    [([], PaginationError), ([NAMING_A_JOB], APIResponseValidationError)],
    ids=["cursor", "job"],
)
async def test_a_page_that_repeats_the_key(
    data: list[Any], kind: type[APIError], sandbox: Sandbox, connect: Connect
) -> None:
    number = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal number
        await path_of(reader)
        number += 1
        body = {"object": "list", "data": data, "has_more": True, "last_id": f"c-{KEY}"}
        # Another job each time: what a server says twice is true.
        content = json.dumps(body).replace(f'"{KEY}"', f'"{KEY}-{number}"')
        writer.write(response(content.encode()))

    async with (
        serving(talk) as server,
        connect(base_url=f"{server.url}/v1", api_key=KEY) as client,
    ):
        error = (await read(client, sandbox.job_ids[0])).error
    assert type(error) is kind
    assert error.request is not None
    shown = [str(error), repr(error), error.request.url, repr(vars(error))]
    assert not [text for text in shown if KEY in text]


@shows("unprintable-error")
@pytest.mark.parametrize("text", ["\x1b[2J\x07 a\r\nb\u202e", "x" * (1 << 20)])
async def test_an_error_with_an_unprintable_body(
    text: str, sandbox: Sandbox, connect: Connect
) -> None:
    row = BY_ID["unprintable-error"]
    sandbox.inject(faults.Status(400, body=text), times=None)
    async with connect(**options_for(row)) as client:
        outcome = await read(client, sandbox.job_ids[0])
    check(outcome, row)
    assert isinstance(outcome.error, APIStatusError)
    assert outcome.error.message.isprintable()
    assert len(outcome.error.message) <= 501
    assert len(outcome.error.response.content) <= 16_384


# Lent sessions.


@pytest.mark.parametrize("how", ["shared", "of the host"])
async def test_the_cookies_of_a_lent_session_do_not_leave_the_origin(
    how: str, sandbox: Sandbox, leaks: None
) -> None:
    witness = Witness()
    jar = aiohttp.CookieJar(unsafe=True)
    async with serving(witness.talk) as server:
        sandbox.inject(faults.Redirect(location=f"{server.url}/elsewhere"))
        async with (
            aiohttp.ClientSession(cookie_jar=jar) as session,
            sandbox.client(session=session) as client,
        ):
            url = URL() if how == "shared" else URL(sandbox.origin)
            jar.update_cookies({"login": "cookie-of-ours"}, url)
            outcome = await read(client, sandbox.job_ids[0])
    assert witness.heads == []
    assert isinstance(outcome.error, APIConnectionError)
    assert "cookies" in str(outcome.error)


async def test_a_lent_session_with_cookies_for_elsewhere_follows(
    sandbox: Sandbox, leaks: None
) -> None:
    witness = Witness()
    async with serving(witness.talk) as server:
        sandbox.inject(faults.Redirect(location=f"{server.url}/elsewhere"))
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
            sandbox.client(session=session) as client,
        ):
            session.cookie_jar.update_cookies({"login": "ours"}, URL("http://api.example/"))
            await read(client, sandbox.job_ids[0])
    (head,) = witness.heads
    assert "ookie" not in head


@pytest.mark.filterwarnings(r"ignore:.*\bdeprecated\b:DeprecationWarning")
async def test_a_lent_session_with_auth_is_rejected() -> None:
    async with aiohttp.ClientSession(auth=aiohttp.BasicAuth("us", "pass")) as session:
        with pytest.raises(ValueError, match="session has auth="):
            AsyncClient(api_key=KEY, session=session)
        with pytest.raises(ValueError, match="session has auth="):
            AsyncClient(default_headers={"authorization": KEY}, session=session)
        AsyncClient(default_headers={"api-key": KEY}, session=session)


async def test_the_key_comes_before_a_netrc_entry(
    sandbox: Sandbox, leaks: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login us password pass\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    sandbox.api_key = KEY
    expected = Expected(sandbox)
    async with (
        aiohttp.ClientSession(trust_env=True) as session,
        sandbox.client(session=session, api_key=KEY) as client,
    ):
        assert await read(client, expected.job) == Outcome(expected.ids, None)
