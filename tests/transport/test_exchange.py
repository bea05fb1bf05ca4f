"""One contract for both ways to make a request, over real sockets."""

import asyncio
import contextlib
import gzip
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any
from unittest.mock import patch

import aiohttp
import pytest
import trustme
from aiohttp.abc import AbstractResolver, ResolveResult

from asyncckpt import APIConnectionError, APITimeoutError, Request, Response, Timeout
from asyncckpt.protocol.failures import BodyTooLongError
from asyncckpt.transport import exchange as module
from asyncckpt.transport.exchange import (
    Exchange,
    PoolExchange,
    SessionExchange,
    open_exchange,
    wire_trace,
)
from asyncckpt.transport.pool import MAX_INFORMATIONAL

from support.servers import full_backlog, path_of, response, serving
from support.turns import turns, until

# Only for servers that do not respond.
SHORT = 0.1
PATIENT = Timeout(total=10, connect=10, read=10)


class Opened:
    """An exchange, and a shorthand for requests with it."""

    def __init__(self, exchange: Exchange, session: aiohttp.ClientSession) -> None:
        self.exchange = exchange
        self.session = session

    async def get(self, url: str, **options: Any) -> Response:
        arguments: dict[str, Any] = {
            "timeout": PATIENT,
            "max_body_bytes": 1 << 20,
            "on_wire": lambda: None,
        }
        headers = options.pop("headers", {"Accept": "application/json"})
        return await self.exchange.get(url, headers, **arguments | options)


@contextlib.asynccontextmanager
async def opened(kind: str, **options: Any) -> AsyncIterator[Opened]:
    is_lent = kind.startswith("lent")
    if not is_lent:
        options = {
            "trace_configs": [wire_trace()],
            "cookie_jar": aiohttp.DummyCookieJar(),
        } | options
    async with aiohttp.ClientSession(**options) as session:
        has_changed = contextlib.nullcontext()
        if "bare" in kind:
            has_changed = patch.object(aiohttp.ClientResponse, "start", None)
        with has_changed:
            exchange = open_exchange(session, is_lent=is_lent, has_traces=kind == "documented")
        assert isinstance(exchange, PoolExchange if kind == "pool" else SessionExchange)
        yield Opened(exchange, session)


KINDS = ["pool", "documented", "lent"]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[*KINDS, "bare", "lent bare"])
async def client(request: pytest.FixtureRequest) -> AsyncGenerator[Opened, None]:
    """An exchange of each kind; the bare ones do without undocumented parts of aiohttp."""
    async with opened(request.param) as client, asyncio.timeout(10):
        yield client


@pytest.fixture
async def watching(kind: str) -> AsyncGenerator[Opened, None]:
    """An exchange of each kind that watches its connections."""
    async with opened(kind) as client, asyncio.timeout(10):
        yield client


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


def sends(*pieces: bytes, closes: bool = False) -> Talk:
    """Respond to every request with the same bytes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await path_of(reader)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if closes:
                return

    return talk


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Respond to every request with its path."""
    while True:
        writer.write(response((await path_of(reader)).encode()))


# Complete responses.


async def test_a_response(client: Opened) -> None:
    async with serving(sends(response(b"hello", "x-request-id: req_1"))) as server:
        got = await client.get(f"{server.url}/a?b=c")
    assert (got.status_code, got.content) == (200, b"hello")
    assert got.headers["X-Request-Id"] == "req_1"
    assert got.request == Request("GET", f"{server.url}/a?b=c")


async def test_what_is_sent(client: Opened) -> None:
    heads: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(response(b""))

    headers = {"Accept": "a", "Accept-Encoding": "gzip", "User-Agent": "b", "X-Key": "c"}
    async with serving(talk) as server:
        await client.get(f"{server.url}/a%20b?c=%2F", headers=headers)
    (head,) = heads
    first, *others = head.decode().strip().split("\r\n")
    assert first == "GET /a%20b?c=%2F HTTP/1.1"
    assert dict(line.split(": ") for line in others) == {
        "Host": f"127.0.0.1:{server.port}",
        **headers,
    }


async def test_a_host_header_of_the_caller(client: Opened) -> None:
    heads: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(response(b""))

    async with serving(talk) as server:
        await client.get(f"{server.url}/a", headers={"hOst": "api.example"})
    (head,) = heads
    assert head.lower().count(b"host:") == 1
    assert b"api.example" in head


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
COMPRESSED = response(gzip.compress(b"abc" * 1000), "content-encoding: gzip")


@pytest.mark.parametrize(
    ("sent", "content"),
    [
        (CHUNKED, b"abcde"),
        (COMPRESSED, b"abc" * 1000),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (response(b""), b""),
        (response(b"x" * 300_000), b"x" * 300_000),
    ],
    ids=["chunked", "compressed", "no content", "empty", "large"],
)
async def test_bodies(sent: bytes, content: bytes, client: Opened) -> None:
    async with serving(sends(sent)) as server:
        for _ in range(3):
            assert (await client.get(f"{server.url}/")).content == content
    assert server.connections == 1


async def test_a_body_in_pieces(client: Opened) -> None:
    pieces = [bytes([byte]) for byte in response(b"abc")]
    async with serving(sends(*pieces)) as server:
        for _ in range(2):
            assert (await client.get(f"{server.url}/")).content == b"abc"
    assert server.connections == 1


async def test_a_body_that_ends_with_the_connection(client: Opened) -> None:
    async with serving(sends(b"HTTP/1.1 200 OK\r\n\r\nabc", closes=True)) as server:
        for _ in range(2):
            assert (await client.get(f"{server.url}/")).content == b"abc"
    assert server.connections == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int, client: Opened) -> None:
    sent = response(b"", "location: /elsewhere", status=f"{status} Moved")
    async with serving(sends(sent)) as server:
        got = await client.get(f"{server.url}/")
    assert (got.status_code, got.headers["location"]) == (status, "/elsewhere")


@pytest.mark.parametrize("status", [400, 404, 408, 429, 500, 599])
async def test_an_error_status_is_a_response(status: int, client: Opened) -> None:
    async with serving(sends(response(b"no", status=f"{status} No"))) as server:
        got = await client.get(f"{server.url}/")
    assert (got.status_code, got.content) == (status, b"no")


async def test_a_body_that_is_too_long(client: Opened, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(sends(response(b"x" * 1000))) as server:
        with pytest.raises(BodyTooLongError, match="max_body_bytes, 999 bytes") as caught:
            await client.get(f"{server.url}/", max_body_bytes=999)
        assert caught.value.response.content == b"x" * 999
        assert (await client.get(f"{server.url}/", max_body_bytes=1000)).content == b"x" * 1000
    # It is not taken for a change in aiohttp.
    assert caplog.records == []


async def test_a_body_in_pieces_may_be_as_long_as_is_allowed(client: Opened) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await path_of(reader)
            whole = response(b"abc")
            writer.write(whole[:-1])
            # The client reads the first piece meanwhile.
            await turns(50)
            writer.write(whole[-1:])

    async with serving(talk) as server:
        assert (await client.get(f"{server.url}/", max_body_bytes=3)).content == b"abc"
        with pytest.raises(BodyTooLongError, match="max_body_bytes, 2 bytes"):
            await client.get(f"{server.url}/", max_body_bytes=2)


# Connections.


async def test_a_connection_is_kept_for_the_next_request(client: Opened) -> None:
    async with serving(echo) as server:
        for path in ("/a", "/b", "/c"):
            assert (await client.get(f"{server.url}{path}")).content == path.encode()
    assert server.connections == 1


async def test_a_fresh_connection(client: Opened) -> None:
    async with serving(echo) as server:
        await client.get(f"{server.url}/a")
        for path in ("/b", "/c"):
            got = await client.get(f"{server.url}{path}", fresh=True)
            assert got.content == path.encode()
        assert server.connections == 3
        # The first one is still in use.
        await client.get(f"{server.url}/d")
        assert server.connections == 3


async def test_a_fresh_connection_is_closed_afterwards(watching: Opened) -> None:
    async with serving(echo) as server:
        await watching.get(f"{server.url}/a", fresh=True)
        await until(lambda: server.closed == 1)


async def test_a_fresh_connection_asks_the_server_to_close_it() -> None:
    heads: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(response(b"", "connection: close"))

    async with opened("documented") as client, serving(talk) as server:
        await client.get(f"{server.url}/", fresh=True)
    assert b"\r\nConnection: close\r\n" in heads[0]


async def test_an_idle_connection_that_the_server_closes(client: Opened) -> None:
    async with serving(sends(response(b"a"), closes=True)) as server:
        for _ in range(3):
            assert (await client.get(f"{server.url}/")).content == b"a"
    assert server.connections == 3


async def test_a_connection_that_breaks_as_it_is_used_again(client: Opened) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await path_of(reader)
        writer.write(response(b"a"))
        await path_of(reader)

    async with serving(talk) as server:
        for _ in range(3):
            assert (await client.get(f"{server.url}/")).content == b"a"
    assert server.connections == 3


async def test_the_limit_of_the_connector(kind: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            path = await path_of(reader)
            await asyncio.sleep(0.1)
            writer.write(response(path.encode()))

    connector = aiohttp.TCPConnector(limit=1)
    async with opened(kind, connector=connector) as client, serving(talk) as server:
        first = asyncio.ensure_future(client.get(f"{server.url}/a"))
        await until(lambda: server.connections == 1)
        # The wait for a connection of the pool is not time to connect.
        second = await client.get(f"{server.url}/b", timeout=Timeout(connect=0.01))
        assert ((await first).content, second.content) == (b"/a", b"/b")
    assert server.connections == 1


async def test_a_closed_session(client: Opened) -> None:
    await client.session.close()
    with pytest.raises(RuntimeError, match="closed"):
        await client.get("http://127.0.0.1:9/")


# What arrives when nothing was asked for.

LATE = {
    "a duplicate": response(b"/a"),
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "a timeout": response(b"", "connection: close", status="408 Request Timeout"),
    "informational": b"HTTP/1.1 100 Continue\r\n\r\n",
    "the beginning of a response": b"HTTP/1.1 200 OK\r\ncontent-le",
    "line breaks": b"\r\n\r\n",
}


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
async def test_a_connection_on_which_something_arrives_while_idle_is_closed(
    late: bytes, watching: Opened
) -> None:
    idle = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            path = await path_of(reader)
            writer.write(response(path.encode()))
            if path == "/a":
                await idle.wait()
                writer.write(late)

    async with serving(talk) as server:
        assert (await watching.get(f"{server.url}/a")).content == b"/a"
        idle.set()
        await until(lambda: server.closed == 1)
        for path in ("/b", "/c", "/d"):
            assert (await watching.get(f"{server.url}{path}")).content == path.encode()
    assert server.connections == 2


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
async def test_what_arrives_together_with_a_response(late: bytes, watching: Opened) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            path = await path_of(reader)
            sent = response(path.encode())
            writer.write(sent + late if path == "/a" else sent)

    async with serving(talk) as server:
        for path in ("/a", "/b", "/a", "/c", "/d"):
            assert (await watching.get(f"{server.url}{path}")).content == path.encode()
    # A parser skips line breaks between messages (RFC 9112, section 2.2).
    assert server.connections == (1 if late == b"\r\n\r\n" else 3)


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
async def test_what_arrives_together_with_the_end_of_a_body(late: bytes, watching: Opened) -> None:
    has_head = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            path = await path_of(reader)
            sent = response(path.encode())
            writer.write(sent[:-1])
            await has_head.wait()
            writer.write(sent[-1:] + (late if path == "/a" else b""))

    async with serving(talk) as server:
        first = asyncio.ensure_future(watching.get(f"{server.url}/a"))
        for _ in range(20):
            await asyncio.sleep(0)
        has_head.set()
        assert (await first).content == b"/a"
        for path in ("/b", "/c"):
            assert (await watching.get(f"{server.url}{path}")).content == path.encode()
    assert server.connections == (1 if late == b"\r\n\r\n" else 2)


async def test_what_arrives_over_tls_while_idle(kind: str) -> None:
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)
    idle = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            path = await path_of(reader)
            writer.write(response(path.encode()))
            if path == "/a":
                await idle.wait()
                writer.write(response(b"/late"))

    connector = aiohttp.TCPConnector(ssl=client_side)
    async with opened(kind, connector=connector) as client, serving(talk, server_side) as server:
        url = f"https://127.0.0.1:{server.port}"
        assert (await client.get(f"{url}/a")).content == b"/a"
        idle.set()
        await until(lambda: server.closed == 1)
        assert (await client.get(f"{url}/b", fresh=True)).content == b"/b"
        for path in ("/c", "/d"):
            assert (await client.get(f"{url}{path}")).content == path.encode()
    assert server.connections == 3


async def test_what_the_event_loop_has_not_read_yet(watching: Opened) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        asking = asyncio.ensure_future(watching.get(f"{url}/a"))
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        far, _ = await loop.sock_accept(listener)
        with far:
            assert await loop.sock_recv(far, 65536)
            far.send(response(b"/a"))
            assert (await asking).content == b"/a"
            # Nothing runs between this and the next request.
            far.send(response(b"/late"))
            asking = asyncio.ensure_future(watching.get(f"{url}/b"))
            second, _ = await loop.sock_accept(listener)
            with second:
                assert b"GET /b " in await loop.sock_recv(second, 65536)
                second.send(response(b"/b"))
                assert (await asking).content == b"/b"


async def test_a_fresh_connection_on_which_something_else_arrives(watching: Opened) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A request that does not wait is written by now.
        await asyncio.sleep(0.02)
        writer.write(response(b"/stray"))
        while True:
            writer.write(response((await path_of(reader)).encode()))

    async with serving(talk) as server:
        with pytest.raises(APIConnectionError, match="sent something"):
            await watching.get(f"{server.url}/a", fresh=True)


async def test_responses_of_others_on_a_lent_session() -> None:
    async with opened("lent") as watching, serving(echo) as server:
        for n in range(3):
            assert (await watching.get(f"{server.url}/ours{n}")).content == f"/ours{n}".encode()
            async with watching.session.get(f"{server.url}/theirs{n}") as theirs:
                assert await theirs.text() == f"/theirs{n}"
        assert server.connections == 1


# Informational responses.


async def test_status_000_is_not_informational(watching: Opened) -> None:
    async with serving(sends(response(b"", status="000 X"))) as server:
        assert (await watching.get(f"{server.url}/a", timeout=Timeout(total=5))).status_code == 0


async def test_informational_responses_are_skipped(watching: Opened) -> None:
    informational = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" * MAX_INFORMATIONAL
    async with serving(sends(informational, response(b"a"))) as server:
        for _ in range(3):
            assert (await watching.get(f"{server.url}/")).content == b"a"
    assert server.connections == 1


@pytest.mark.parametrize("separately", [True, False])
async def test_a_flood_of_informational_responses(separately: bool, watching: Opened) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await path_of(reader)
        while True:
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n" * (1 if separately else 1000))
            await writer.drain()
            await asyncio.sleep(0)

    async with serving(talk) as server:
        with pytest.raises(APIConnectionError, match="informational"):
            await watching.get(f"{server.url}/", timeout=Timeout(total=None, read=None))
        await until(lambda: server.closed == 1)


async def test_the_read_timeout_after_an_informational_response(watching: Opened) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await path_of(reader)
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await reader.read()

    async with serving(talk) as server:
        with pytest.raises(APITimeoutError, match=f"silent for {SHORT} s"):
            await watching.get(f"{server.url}/", timeout=Timeout(total=None, read=SHORT))


# Failures.


@pytest.mark.parametrize(
    "sent",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 10_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        response(b"not gzip", "content-encoding: gzip"),
        response(b"a", "content-encoding: br"),
        b"\x00\xff" * 100,
    ],
)
async def test_what_is_not_http(sent: bytes, client: Opened) -> None:
    async with serving(sends(sent, closes=True)) as server:
        with pytest.raises(APIConnectionError, match="^Connection error: ") as caught:
            await client.get(f"{server.url}/")
    assert not caught.value.is_final
    assert caught.value.__cause__ is None
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "sent",
    [b"", b"HTTP/1.1 20", response(b"abc")[:-1], COMPRESSED[:-9]],
    ids=["nothing", "half a head", "half a body", "half a compressed body"],
)
@pytest.mark.parametrize("linger", [None, b"\1\0\0\0\0\0\0\0"], ids=["closed", "reset"])
async def test_a_response_that_breaks_off(
    sent: bytes, linger: bytes | None, client: Opened
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await path_of(reader)
        writer.write(sent)
        if linger is not None:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    async with serving(talk) as server:
        with pytest.raises(APIConnectionError, match="^Connection error: "):
            await client.get(f"{server.url}/")


async def test_a_refused_connection(client: Opened) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(APIConnectionError, match="ClientConnectorError"):
            await client.get(f"http://127.0.0.1:{bound.getsockname()[1]}/")


@pytest.mark.parametrize("host", ["a..b", "a" * 64, "xn--" + "a" * 70])
async def test_a_host_that_cannot_be_looked_up(host: str, client: Opened) -> None:
    with pytest.raises(APIConnectionError) as caught:
        await client.get(f"http://{host}/")
    assert caught.value.is_final


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await path_of(reader)
    await reader.read()


@pytest.mark.parametrize("sent", [b"", response(b"abc")[:-1]], ids=["head", "body"])
@pytest.mark.parametrize(
    ("timeout", "message"),
    [
        (Timeout(total=None, read=SHORT), f"The server was silent for {SHORT} s"),
        (Timeout(total=SHORT, read=None), f"No complete response within {SHORT} s"),
    ],
    ids=["read", "total"],
)
async def test_a_server_that_is_silent(
    sent: bytes, timeout: Timeout, message: str, client: Opened
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await path_of(reader)
        writer.write(sent)
        await reader.read()

    async with serving(talk) as server:
        with pytest.raises(APITimeoutError, match=f"^{message}$"):
            await client.get(f"{server.url}/", timeout=timeout)
        await until(lambda: server.closed == 1)


class Resolver(AbstractResolver):
    """A resolver that waits until it may respond."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may_respond = asyncio.Event()

    async def resolve(
        self, host: str, port: int = 0, family: Any = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.set()
        await self.may_respond.wait()
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        pass


async def test_a_connection_that_takes_too_long(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    with full_backlog() as port:
        async with opened(kind) as client:
            with pytest.raises(APITimeoutError, match=f"^No connection within {SHORT} s$"):
                await client.get(f"http://127.0.0.1:{port}/", timeout=Timeout(connect=SHORT))
    # It is the network's fault, not that of aiohttp's internals.
    assert caplog.messages == []


@pytest.mark.parametrize("sent", [b"", response(b"abc")[:-1]], ids=["head", "body"])
async def test_a_cancelled_request_closes_its_connection(sent: bytes, client: Opened) -> None:
    reached = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await path_of(reader)
        writer.write(sent)
        reached.set()
        await reader.read()

    async with serving(talk) as server:
        asking = asyncio.ensure_future(client.get(f"{server.url}/"))
        await reached.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await until(lambda: server.closed == 1)


# When the request is on the wire.


async def test_on_wire_is_called_after_connecting_and_before_the_response(kind: str) -> None:
    resolver = Resolver()
    on_wire = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await path_of(reader)
        # If the response were what calls it, this would wait for ever.
        await on_wire.wait()
        writer.write(response(b"a"))

    connector = aiohttp.TCPConnector(resolver=resolver)
    async with opened(kind, connector=connector) as client, serving(talk) as server:
        url = f"http://somewhere.test:{server.port}/"
        asking = asyncio.ensure_future(client.get(url, on_wire=on_wire.set))
        await resolver.asked.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not on_wire.is_set()
        resolver.may_respond.set()
        assert (await asking).content == b"a"


async def test_on_wire_is_not_called_while_a_request_waits_for_a_connection(kind: str) -> None:
    release = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await path_of(reader)
            await release.wait()
            writer.write(response(b""))

    on_wire: list[str] = []
    async with (
        opened(kind, connector=aiohttp.TCPConnector(limit=1)) as client,
        serving(talk) as server,
    ):
        both = [
            asyncio.ensure_future(
                client.get(f"{server.url}/", on_wire=lambda name=name: on_wire.append(name))
            )
            for name in ("first", "second")
        ]
        await until(lambda: server.connections == 1)
        for _ in range(10):
            await asyncio.sleep(0)
        assert on_wire == ["first"]
        release.set()
        await asyncio.gather(*both)
        assert on_wire == ["first", "second"]


async def test_on_wire_is_called_at_once_on_an_open_connection(watching: Opened) -> None:
    async with serving(echo) as server:
        await watching.get(f"{server.url}/a")
        called: list[bool] = []
        asking = watching.get(f"{server.url}/b", on_wire=lambda: called.append(True))
        task = asyncio.ensure_future(asking)
        await asyncio.sleep(0)
        assert called == [True]
        await task


# Choosing one.


async def test_a_mocked_session_is_left_alone(mocked: Any) -> None:
    mocked.get("http://mocked.test/a", body="mocked", repeat=True)
    called: list[bool] = []
    async with aiohttp.ClientSession() as session:
        exchange = open_exchange(session, is_lent=False)
        assert isinstance(exchange, SessionExchange)
        client = Opened(exchange, session)
        got = await client.get("http://mocked.test/a", on_wire=lambda: called.append(True))
        assert got.content == b"mocked"
        again = await client.get("http://mocked.test/a", fresh=True)
        assert again.content == b"mocked"
    assert called


async def test_the_middlewares_and_hooks_of_a_lent_session_are_kept() -> None:
    seen: list[str] = []

    async def middleware(request: Any, send: Any) -> Any:
        seen.append("middleware")
        return await send(request)

    async def hook(*_: Any) -> None:
        seen.append("hook")

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(hook)
    options: dict[str, Any] = {"middlewares": [middleware], "trace_configs": [trace]}
    async with opened("lent", **options) as client, serving(echo) as server:
        await client.get(f"{server.url}/a")
    assert seen == ["middleware", "hook"]


async def test_a_response_class_of_a_lent_session_is_kept() -> None:
    class Ours(aiohttp.ClientResponse):
        started = 0

        async def start(self, connection: Any) -> Any:
            Ours.started += 1
            return await super().start(connection)

    async with opened("lent", response_class=Ours) as client, serving(echo) as server:
        for _ in range(2):
            await client.get(f"{server.url}/a")
        assert server.connections == 1
    assert Ours.started == 2


# What a session adds.


async def test_what_a_session_adds_to_a_request() -> None:
    jar = aiohttp.CookieJar(unsafe=True)
    async with opened("lent", headers={"X-Key": "a"}, cookie_jar=jar) as client:
        jar.update_cookies({"shared": "b"})
        jar.update_cookies({"bound": "c"}, module.URL("http://127.0.0.1/"))
        exchange = client.exchange
        assert exchange.session_headers == {"X-Key": "a"}
        assert exchange.session_headers_for("http://x.test/") == {
            "X-Key": "a",
            "Cookie": "shared=b",
        }
        cookies = exchange.session_headers_for("http://127.0.0.1:99/")["Cookie"]
        assert set(cookies.split("; ")) == {"shared=b", "bound=c"}
        assert exchange.session_headers_for("http://a..b/") == {"X-Key": "a", "Cookie": "shared=b"}


async def test_a_session_of_its_own_adds_nothing() -> None:
    async with opened("pool") as client:
        assert client.exchange.session_headers == {}
        assert client.exchange.session_headers_for("http://x.test/") == {}
        assert list(client.exchange.secrets) == []
