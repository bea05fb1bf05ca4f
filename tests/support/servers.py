"""Servers that send what a correct server never sends, on free loopback ports."""

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import attrs
from yarl import URL

from asyncckpt import AsyncClient
from asyncckpt.testing import Sandbox

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


@attrs.define
class Counted:
    """A server of raw bytes.

    Args:
        port: Where it listens.
        connections: How many connections were made.
        closed: How many of them have ended.
    """

    port: int = 0
    connections: int = 0
    closed: int = 0

    @property
    def url(self) -> str:
        """Its origin, for servers without TLS."""
        return f"http://127.0.0.1:{self.port}"


def response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Return a response as bytes, with a Content-Length."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body


def keep_heads(heads: list[str]) -> Talk:
    """Respond with an empty page, and keep the heads of the requests."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            page = b'{"object": "list", "data": [], "has_more": false}'
            writer.write(response(page, "content-type: application/json"))
            await writer.drain()

    return talk


async def path_of(reader: asyncio.StreamReader) -> str:
    """Read the head of a request and return its path."""
    head = await reader.readuntil(b"\r\n\r\n")
    return head.split(b" ", 2)[1].decode()


@contextlib.asynccontextmanager
async def serving(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Counted, None]:
    counted = Counted()
    talks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        counted.connections += 1
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            # Python 3.11 complains of a connection's task that ends cancelled.
            with contextlib.suppress(
                ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError
            ):
                await talk(reader, writer)
        finally:
            talks.discard(task)
            counted.closed += 1
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
                await writer.wait_closed()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    counted.port = server.sockets[0].getsockname()[1]
    try:
        yield counted
    finally:
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await server.wait_closed()


def tunnel_to(sandbox: Sandbox) -> Talk:
    """Pass bytes to the sandbox and back."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = int(sandbox.origin.rpartition(":")[2])
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            far_writer.close()

    return talk


@attrs.define
class Answering:
    """A server that makes up its responses.

    Args:
        base_url: Where it is.
        targets: The path and query of each request.
        connections: How many connections were made.
    """

    base_url: str = ""
    targets: list[str] = attrs.field(factory=list[str])
    connections: int = 0

    def client(self, **options: Any) -> AsyncClient:
        return AsyncClient(
            **{"api_key": "sk-1", "base_url": self.base_url, "max_retries": 0, **options}
        )


@contextlib.asynccontextmanager
async def answering(answer: Callable[[str], tuple[int, Any]]) -> AsyncGenerator[Answering, None]:
    """Serve what `answer` makes of a target: a status and an object for the body, None for none."""
    made = Answering()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.connections += 1
        while head := await reader.readuntil(b"\r\n\r\n"):
            target = head.split()[1].decode()
            made.targets.append(target)
            status, body = answer(target)
            content = b"" if body is None else json.dumps(body).encode()
            writer.write(
                b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nx-request-id: req_1\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (status, len(content), content)
            )
            await writer.drain()

    async with serving(talk) as counted:
        made.base_url = f"http://127.0.0.1:{counted.port}"
        yield made


@attrs.define
class Proxy:
    """An HTTP proxy.

    Args:
        authorization: The value of ``Proxy-Authorization`` that it requires, or None.
        status: What it responds with if that is wrong.
        heads: The heads of the requests that it received.
    """

    authorization: str | None = None
    status: str = "407 Proxy Authentication Required"
    heads: list[str] = attrs.field(factory=list[str])

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        method, target, _ = head.split(" ", 2)
        authorized = f"Proxy-Authorization: {self.authorization}\r\n" in head
        if self.authorization is not None and not authorized:
            writer.write(response(b"who are you?", "connection: close", status=self.status))
            return
        url = URL(target if "://" in target else f"//{target}")
        far_reader, far_writer = await asyncio.open_connection(url.host, url.port)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            far_writer.write(head.replace(target, url.raw_path_qs, 1).encode())
        try:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            far_writer.close()


@contextlib.contextmanager
def full_backlog() -> Iterator[int]:
    """The port of a server that accepts no connection."""
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        # Connections beyond the backlog are not accepted.
        for _ in range(3):
            early = sockets.enter_context(socket.socket())
            early.setblocking(False)
            early.connect_ex(("127.0.0.1", port))
        yield port


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
