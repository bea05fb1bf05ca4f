"""Counts the connections of a sandbox, and sends responses on them."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from asyncckpt.testing.responses import Ending, ServerResponse, script
from asyncckpt.testing.stats import Stats

RequestHandler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_SHUTDOWN_SECONDS = 2.0
# In the first one asyncio creates the transport, in the second one it calls `connection_made`.
_TURNS_TO_ACCEPT = 2


class Connections(web.Server):
    """An aiohttp server that counts its connections."""

    def __init__(self, handler: RequestHandler, stats: Stats) -> None:
        super().__init__(handler, handler_cancellation=True, access_log=None)
        self._stats = stats
        self._open = dict[web.RequestHandler, asyncio.Transport]()
        self._all_closed = asyncio.Event()
        self._all_closed.set()
        self._is_aborting = False

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Count a new connection."""
        super().connection_made(handler, transport)
        self._open[handler] = transport
        self._all_closed.clear()
        self._stats.connections += 1
        self._stats.connections_open += 1
        if self._is_aborting:
            # The listener was closed while it accepted this connection.
            transport.abort()

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        """Count a closed connection."""
        super().connection_lost(handler, exc)
        self._stats.connections_open -= 1
        del self._open[handler]
        if not self._open:
            self._all_closed.set()

    def has_unread(self, listener: asyncio.Server) -> bool:
        """Return whether clients have connected, sent or closed something that is not read yet."""
        reading = filter(_is_reading, self._open.values())
        sockets = [transport.get_extra_info("socket") for transport in reading]
        with selectors.DefaultSelector() as selector:
            for sock in [*listener.sockets, *sockets]:
                selector.register(sock, selectors.EVENT_READ)
            return bool(selector.select(0))

    async def abort(self) -> None:
        """Close all connections immediately, and wait until they and their tasks have ended."""
        self._is_aborting = True
        for transport in self._open.values():
            transport.abort()
        await self.shutdown(_SHUTDOWN_SECONDS)
        await self._all_closed.wait()


def _is_reading(transport: asyncio.Transport) -> bool:
    return transport.is_reading() and not transport.is_closing()


async def close_listener(listener: asyncio.Server) -> None:
    """Stop listening, once the connections that asyncio has just accepted belong to the server.

    asyncio accepts a connection in several turns of the event loop. If the listener is closed in
    between, asyncio loses the connection without closing it.
    """
    loop = asyncio.get_running_loop()
    for sock in listener.sockets:
        # The event loop of Windows has no readers.
        with contextlib.suppress(NotImplementedError):
            loop.remove_reader(sock.fileno())
    for _ in range(_TURNS_TO_ACCEPT):
        await asyncio.sleep(0)
    listener.close()


class AlreadySent(web.StreamResponse):
    """Tells aiohttp that the handler has sent the response itself.

    Args:
        keep: Whether the connection stays open.
    """

    def __init__(self, *, keep: bool) -> None:
        super().__init__()
        self._keep = keep

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays open."""
        return self._keep

    async def prepare(self, request: web.BaseRequest) -> None:
        """Do nothing."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing."""


async def send(
    request: web.BaseRequest, response: ServerResponse, headers: Mapping[str, str]
) -> AlreadySent:
    """Send a response on the connection of its request.

    Args:
        request: The request.
        response: The response.
        headers: The headers that every response has; the names are in lower case.

    Returns:
        The return value for the aiohttp handler.

    Raises:
        ConnectionError: The client has closed the connection.
    """
    for step in script(response, headers):
        if isinstance(step, bytes):
            await request.writer.write(step)
        else:
            await asyncio.sleep(step)
    if response.ending is Ending.HANG:
        await asyncio.get_running_loop().create_future()
    if response.ending is Ending.RESET and request.transport is not None:
        _reset(request.transport)
    return AlreadySent(keep=response.ending is Ending.KEEP and request.keep_alive)


def _reset(transport: asyncio.Transport) -> None:
    """Close a connection with a TCP RST: SO_LINGER with a timeout of zero, see socket(7)."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
