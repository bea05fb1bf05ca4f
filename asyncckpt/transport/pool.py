"""Sends requests on the connections of aiohttp's pool: the only module that uses its internals.

It is longer than other modules because everything that depends on them is in this one place.

`Pool` is the fast path. It takes a connection from a session's pool, writes the request, and reads
the response with aiohttp's own protocol and parser. It leaves out the preparation of a request of
any kind, with cookies, redirects, authentication and a body, for each of thousands of requests
that differ in a cursor only. That preparation is most of what a request costs on the client's side;
``docs/benchmarks.md`` has the figures.

`Guard` gives the documented path what its public API does not have: it sees the connection before
the first byte of the response.

Both keep a `Watch` over each connection, which enforces two rules:

- A connection on which anything arrives while no request is under way is closed at once. Otherwise
  a late or duplicate response would be taken as the response to the next request.
- At most `MAX_INFORMATIONAL` informational (1xx) responses may come before the final one, and
  they do not stop the read timeout.

The following names of aiohttp are not documented. They were checked in aiohttp 3.14.2 and 3.14.5.

- ``BaseConnector.connect(request, traces=, timeout=)``: its arguments
- ``ClientRequest(method, url, loop=, session=, server_hostname=)``, and its ``headers``
- ``ClientRequest.response_class``
- ``ClientResponse.start(connection)``
- ``ClientSession._middlewares``
- ``Connection.protocol``
- ``RawResponseMessage.code`` and ``.headers``
- ``ResponseHandler.read()``
- ``ResponseHandler.set_response_params(read_until_eof=, read_timeout=)``
- ``ResponseHandler.start_timeout()``
- ``ResponseHandler.should_close``
- ``ResponseHandler.set_exception(error)``
- ``ResponseHandler._parser`` and its ``feed_eof()``
- ``ResponseHandler._buffer``
- ``http_exceptions.HttpProcessingError`` and its ``message``

`Internals` verifies once per session that they exist and accept these arguments. If not, or if one
of them fails later, the client uses only aiohttp's documented API from then on.
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import select
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Final, Protocol, cast

import aiohttp
import attrs
from yarl import URL

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection

__all__ = [
    "MAX_INFORMATIONAL",
    "MAX_ORIGINS",
    "NOT_HTTP",
    "Guard",
    "Internals",
    "Pool",
    "Reply",
    "UnsolicitedDataError",
    "own_key",
]

_log: Final = logging.getLogger("asyncckpt")

MAX_INFORMATIONAL: Final = 20
"""How many informational (1xx) responses may come before the final one."""

MAX_ORIGINS: Final = 100
"""How many origins an exchange remembers."""

# How long a new connection that is used to repeat a request must be silent, in seconds.
_SETTLING_TIME: Final = 0.1

_HTTP_ERROR: Final[object] = getattr(
    getattr(aiohttp, "http_exceptions", None), "HttpProcessingError", None
)
NOT_HTTP: Final[tuple[type[Exception], ...]] = (
    (_HTTP_ERROR,) if isinstance(_HTTP_ERROR, type) and issubclass(_HTTP_ERROR, Exception) else ()
)
"""The exceptions of aiohttp's parser; empty if it has no such exceptions any more."""

_MALFORMED: Final[tuple[type[Exception], ...]] = (ValueError, *NOT_HTTP)
_NETWORK_ERRORS: Final[tuple[type[Exception], ...]] = (
    TimeoutError,
    OSError,
    aiohttp.ClientError,
    *_MALFORMED,
)


class UnsolicitedDataError(aiohttp.ServerDisconnectedError):
    """Data, or the end of the connection, arrived before a request was written to it."""

    def __init__(self) -> None:
        super().__init__("the server sent something, or hung up, before the request")


class Internals:
    """Whether the undocumented parts of aiohttp can be relied on; one object per session.

    Args:
        session: The session whose connections are used.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.is_usable = True
        try:
            _check_internals(session)
        except Exception as error:
            self.give_up(error)

    def give_up(self, error: Exception) -> None:
        """Use the documented API from now on; log the reason once."""
        if self.is_usable:
            self.is_usable = False
            _log.warning(
                "aiohttp %s has changed (%s); using its documented API only, which is slower",
                aiohttp.__version__,
                type(error).__name__,
            )

    @staticmethod
    def is_network_error(error: Exception) -> bool:
        """Return whether an error is of the network or the server, not of changed internals."""
        return isinstance(error, _NETWORK_ERRORS)


def _check_internals(session: aiohttp.ClientSession) -> None:
    """Verify the names that the module's docstring lists.

    Raises:
        AttributeError: One of them does not exist.
        ImportError: A module does not exist.
        TypeError: One of them does not accept the arguments that are passed here.
    """
    from aiohttp import client_proto, http, http_exceptions

    loop = asyncio.get_running_loop()
    url = URL("http://localhost/")
    _ = http_exceptions.HttpProcessingError(message="").message
    request = aiohttp.ClientRequest(
        "GET", url, loop=loop, session=session, server_hostname="localhost"
    )
    _ = request.headers["Host"], request.response_class
    connect = aiohttp.BaseConnector.connect
    inspect.signature(connect).bind(None, request, traces=[], timeout=aiohttp.ClientTimeout())
    _ = aiohttp.connector.Connection.protocol
    handler = client_proto.ResponseHandler(loop)
    _ = handler.should_close, len(handler._buffer)
    handler.set_response_params(read_until_eof=True, read_timeout=1.0)
    cast("_Parser", handler._parser).feed_eof()
    inspect.signature(handler.start_timeout).bind()
    inspect.signature(handler.read).bind()
    inspect.signature(handler.set_exception).bind(ValueError())
    _ = http.RawResponseMessage.code
    inspect.signature(aiohttp.ClientResponse.start).bind(None, None)
    tuple(session._middlewares)


class Unread:
    """Finds sockets with bytes that have arrived and that the event loop has not read yet.

    It finds none where the system has no `select.poll`, as on Windows.
    """

    def __init__(self) -> None:
        self._poll = select.poll() if hasattr(select, "poll") else None
        self.found: Callable[[], list[tuple[int, int]]] = list
        """Returns such sockets, with flags."""
        if self._poll is not None:
            self.found = functools.partial(self._poll.poll, 0)

    def add(self, fd: int) -> None:
        """Watch a socket; -1 stands for one that is not known."""
        if self._poll is not None and fd >= 0:
            self._poll.register(fd, select.POLLIN)

    def discard(self, fd: int) -> None:
        """Do not watch a socket any more."""
        if self._poll is not None and fd >= 0:
            self._poll.unregister(fd)


class _Parser(Protocol):
    def feed_eof(self) -> object: ...


class Watch(asyncio.Protocol):
    """Passes what arrives on a connection on to aiohttp, unless nothing was asked for.

    It takes the place of aiohttp's protocol at the transport (`asyncio.Transport.set_protocol`).
    aiohttp makes a new parser for each request; a parser that is still that of the last complete
    response means that no request is under way, whoever uses the connection.
    """

    def __init__(
        self,
        handler: ResponseHandler,
        transport: asyncio.Transport,
        internals: Internals,
    ) -> None:
        self.is_used = False
        self.was_disturbed = False
        self._handler = handler
        self._transport = transport
        self._internals = internals
        # A new connection has no parser before its first request.
        self._parser_at_rest: object = None
        self._informational = 0
        self._has_tls = transport.get_extra_info("sslcontext") is not None
        sock = transport.get_extra_info("socket")
        self._unread = Unread()
        self.fd: int = -1 if sock is None else sock.fileno()
        self._unread.add(self.fd)
        self._feed = handler.data_received

    @classmethod
    def over(
        cls,
        handler: ResponseHandler,
        transport: asyncio.Transport,
        internals: Internals,
    ) -> Watch:
        """Return the watch over a connection; start it at the first request."""
        protocol = transport.get_protocol()
        if not isinstance(protocol, cls):
            protocol = cls(handler, transport, internals)
            transport.set_protocol(protocol)
        return protocol

    def is_silent(self) -> bool:
        """Return whether the event loop has read nothing that no request has asked for."""
        return not (self._handler.should_close or self._transport.is_closing())

    def has_responses(self) -> bool:
        """Return whether aiohttp has parsed responses that nobody has read."""
        return bool(self._handler._buffer)

    @property
    def is_open(self) -> bool:
        """Whether the connection is open."""
        return not self._transport.is_closing()

    def may_be_used(self) -> bool:
        """Return whether nothing has arrived, read by the event loop or not.

        The connection was taken from the pool just now, so it is open.
        """
        if self.is_used:
            return not self._unread.found()
        # TLS has messages of its own, and servers send some right after the handshake.
        return self.is_silent() and (self._has_tls or not self._unread.found())

    def close_at_rest(self) -> None:
        """Close the connection if no request is under way."""
        if self._handler._parser is self._parser_at_rest:
            self.was_disturbed = True
            self._transport.abort()

    def rest(self, parser: _Parser) -> bool:
        """Note that the response that a parser has parsed is complete.

        Returns:
            Whether the parser is not in the middle of another one.
        """
        self.is_used = True
        self._informational = 0
        self._parser_at_rest = parser
        try:
            return parser.feed_eof() is None
        except _MALFORMED:
            return False

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Pass the data on to aiohttp if a request is under way; else close the connection."""
        try:
            if self._handler._parser is self._parser_at_rest:
                self.close_at_rest()
                return
            messages = self._handler._buffer
            before = len(messages)
        except Exception as error:
            self._internals.give_up(error)
            self._transport.set_protocol(self._handler)
            self._feed(data)
            return
        self._feed(data)
        try:
            for index in range(before, len(messages)):
                if messages[index][0][0].code < 200:
                    self._count_informational()
        except Exception as error:
            self._internals.give_up(error)

    def eof_received(self) -> None:
        """Pass the event on."""
        self._handler.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass the event on."""
        self._handler.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass the event on."""
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        """Pass the event on."""
        self._handler.resume_writing()

    def _count_informational(self) -> None:
        self._informational += 1
        if self._informational > MAX_INFORMATIONAL:
            self._handler.set_exception(
                aiohttp.ClientConnectionError(
                    f"more than {MAX_INFORMATIONAL} informational (1xx) responses"
                )
            )
            self._transport.abort()
        else:
            # aiohttp stops its timer at the end of every response, also of these.
            self._handler.start_timeout()


class _OwnKey(str):
    """A host name that equals only itself."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other


def own_key(url: URL) -> str:
    """Return a ``server_hostname`` with which a request gets a connection of its own.

    A pool finds its connections by, among other things, this documented argument of a request. The
    host is the one that the certificate is matched against anyway.
    """
    return _OwnKey(url.raw_host or "")


@attrs.define(eq=False)
class Reply:
    """The head of a response, and the connection that its body comes over.

    Attributes:
        status: The HTTP status.
        headers: The response headers.
        content: The decompressed body.
    """

    status: int
    headers: Mapping[str, str]
    content: aiohttp.StreamReader
    _connection: Connection
    _watch: Watch
    _parser: _Parser
    _is_kept: bool

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def release(self) -> None:
        """Return the connection to the pool, unless something else has arrived on it."""
        has_ended = self._watch.rest(self._parser)
        if self._is_kept and has_ended:
            # This closes it if the response was not read to its end, or another one has arrived.
            self._connection.release()
        else:
            self._connection.close()


class Pool:
    """Sends GET requests on the connections of a session's pool.

    Args:
        session: The session that owns the pool.
        internals: The undocumented parts of aiohttp.
    """

    def __init__(self, session: aiohttp.ClientSession, internals: Internals) -> None:
        self._session = session
        self._internals = internals
        self._origins: dict[str, tuple[aiohttp.ClientRequest, str]] = {}
        self._header_lines: tuple[Mapping[str, str], str] = ({}, "")

    async def send(
        self,
        url: str,
        headers: Mapping[str, str],
        timeout: aiohttp.ClientTimeout,
        on_wire: Callable[[], None],
        fresh: bool,
    ) -> Reply:
        """Send a request and read the head of the response.

        Raises:
            aiohttp.ClientError: The connection failed, or the response is malformed.
            OSError: The connection failed.
            TimeoutError: Connecting or reading took too long.
            ValueError: The host cannot be looked up.
            Exception: The internals of aiohttp are not as expected.
        """
        origin, message = self._prepare(url, headers, fresh)
        while True:
            connection = await self._connect(origin, timeout)
            was_used = False
            try:
                handler, transport = connection.protocol, connection.transport
                if handler is None or transport is None:
                    raise aiohttp.ServerDisconnectedError
                watch = Watch.over(handler, transport, self._internals)
                was_used = watch.is_used
                if fresh:
                    await asyncio.sleep(_SETTLING_TIME)
                if not watch.may_be_used():
                    raise UnsolicitedDataError
                handler.set_response_params(read_until_eof=True, read_timeout=timeout.sock_read)
                handler.start_timeout()
                transport.write(message)
                on_wire()
                while True:
                    head, content = await handler.read()
                    # 101 is final: nothing else follows it (RFC 9110, section 15.2.2).
                    if not 100 <= head.code < 200 or head.code == 101:
                        parser = cast("_Parser", handler._parser)
                        return Reply(
                            head.code, head.headers, content, connection, watch, parser, not fresh
                        )
            except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
                connection.close()
                if not was_used:
                    raise
                # A server may close an idle connection at any time (RFC 9112, section 9.3.1).
            except BaseException:
                connection.close()
                raise

    def _prepare(
        self, url: str, headers: Mapping[str, str], fresh: bool
    ) -> tuple[aiohttp.ClientRequest, bytes]:
        """Return what the pool finds a connection by, and the request as bytes (RFC 9112)."""
        end_of_origin = url.index("/", url.index("//") + 2)
        origin, host_line = self._origin(url[:end_of_origin], fresh)
        known, lines = self._header_lines
        if headers is not known:
            # The calls of a stream have the same headers.
            lines = "".join([f"\r\n{name}: {value}" for name, value in headers.items()])
            self._header_lines = headers, lines
        if "\r\nhost:" in lines.lower():
            host_line = ""
        return origin, f"GET {url[end_of_origin:]} HTTP/1.1{host_line}{lines}\r\n\r\n".encode()

    def _origin(self, start: str, fresh: bool) -> tuple[aiohttp.ClientRequest, str]:
        origin = None if fresh else self._origins.get(start)
        if origin is None:
            url = URL(start)
            request = aiohttp.ClientRequest(
                "GET",
                url,
                loop=asyncio.get_running_loop(),
                session=self._session,
                server_hostname=own_key(url) if fresh else None,
            )
            origin = request, f"\r\nHost: {request.headers['Host']}"
            if not fresh:
                if len(self._origins) == MAX_ORIGINS:
                    # Redirects may lead to any number of them.
                    self._origins.clear()
                self._origins[start] = origin
        return origin

    async def _connect(
        self, origin: aiohttp.ClientRequest, timeout: aiohttp.ClientTimeout
    ) -> Connection:
        connector = self._session.connector
        if connector is None or connector.closed:
            raise aiohttp.ClientConnectionError("the session is closed")
        try:
            return await connector.connect(origin, traces=[], timeout=timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError from error


Middleware = Callable[
    [aiohttp.ClientRequest, Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]]],
    Awaitable[aiohttp.ClientResponse],
]
"""A client middleware of aiohttp."""


class Guard:
    """Watches the connections of a session that are used through its documented API.

    Args:
        session: The session.
        internals: The undocumented parts of aiohttp.
    """

    def __init__(self, session: aiohttp.ClientSession, internals: Internals) -> None:
        self._session = session
        self._internals = internals
        self._kinds: dict[type[aiohttp.ClientResponse], Callable[..., _WatchedResponse]] = {}
        self._idle: dict[int, Watch] = {}
        self._unread = Unread()

    @property
    def is_usable(self) -> bool:
        """Whether the internals of aiohttp can be relied on."""
        return self._internals.is_usable

    def middlewares(
        self, on_wire: Callable[[], None] | None, authorization: str | None
    ) -> list[Middleware]:
        """Return the session's own middlewares, and one that watches this request.

        Args:
            on_wire: Called when the request was written to a connection.
            authorization: The value of the header ``Authorization``, in place of any other.
        """

        def watched(
            request: aiohttp.ClientRequest,
            send: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]],
        ) -> Awaitable[aiohttp.ClientResponse]:
            kind = self._kinds.get(request.response_class)
            if kind is None:
                kind = self._kinds[request.response_class] = _watched_kind(request.response_class)

            def response(*args: object, **kwargs: object) -> aiohttp.ClientResponse:
                made = kind(*args, **kwargs)
                made.watching = _Watching(self, on_wire)
                return made

            self._close_disturbed()

            request.response_class = cast("type[aiohttp.ClientResponse]", response)
            if authorization is not None:
                request.headers["Authorization"] = authorization
            return send(request)

        return [*self._session._middlewares, watched]

    async def finish(self, response: aiohttp.ClientResponse, fresh: bool) -> None:
        """Note that a response was read to its end.

        Args:
            response: The response.
            fresh: Whether to wait for what else arrives, and to close the connection.

        Raises:
            UnsolicitedDataError: Something arrived after the response.
        """
        if not isinstance(response, _WatchedResponse):
            return
        watch = response.watching.finish()
        if watch is None:
            return
        if not fresh:
            if watch.is_open:
                self._idle[watch.fd] = watch
                self._unread.add(watch.fd)
            return
        try:
            if watch.is_open:
                await asyncio.sleep(_SETTLING_TIME)
        finally:
            watch.close()
        if watch.was_disturbed:
            raise UnsolicitedDataError

    def begin(self, handler: ResponseHandler, transport: asyncio.Transport) -> Watch:
        """Return the watch over a connection that a request was written to."""
        watch = Watch.over(handler, transport, self._internals)
        if self._idle.get(watch.fd) is watch:
            del self._idle[watch.fd]
            self._unread.discard(watch.fd)
        return watch

    def give_up(self, error: Exception) -> None:
        """Use the documented API from now on."""
        self._internals.give_up(error)

    def _close_disturbed(self) -> None:
        # aiohttp tells which connection it took only once it has written the request.
        for fd, _ in self._unread.found() if self._idle else ():
            self._unread.discard(fd)
            self._idle.pop(fd).close_at_rest()


@attrs.define(eq=False)
class _Watching:
    """How one response is watched."""

    guard: Guard
    on_wire: Callable[[], None] | None
    watch: Watch | None = None
    parser: _Parser | None = None

    def begin(self, connection: Connection) -> bool:
        """Watch the connection; return whether something had arrived before the request."""
        if self.on_wire is not None:
            self.on_wire()
        try:
            handler, transport = connection.protocol, connection.transport
            if handler is None or transport is None:
                return False
            self.watch = self.guard.begin(handler, transport)
            self.parser = cast("_Parser", handler._parser)
            return not self.watch.is_silent()
        except Exception as error:
            self.guard.give_up(error)
            return False

    def finish(self) -> Watch | None:
        """Note that the response is complete; close the connection if more than that came.

        Returns:
            The watch over the connection, if there is one.
        """
        watch, parser = self.watch, self.parser
        if watch is None or parser is None:
            return None
        try:
            has_ended = watch.rest(parser)
            if watch.has_responses() or not has_ended:
                watch.close_at_rest()
        except Exception as error:
            self.guard.give_up(error)
        return watch


def _watched_kind(kind: type[aiohttp.ClientResponse]) -> Callable[..., _WatchedResponse]:
    """Return a response class that watches the connection that it is read from."""
    return type(kind.__name__, (_WatchedResponse, kind), {})


class _WatchedResponse(aiohttp.ClientResponse):
    watching: _Watching

    def start(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, connection: Connection
    ) -> Coroutine[object, object, aiohttp.ClientResponse]:
        # aiohttp calls this as soon as it has written the request.
        if self.watching.begin(connection):
            raise UnsolicitedDataError
        return super().start(connection)
