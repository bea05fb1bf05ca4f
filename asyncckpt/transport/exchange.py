"""One GET request and its answer, over aiohttp, in either of two ways.

`SessionExchange` asks an `aiohttp.ClientSession`. It is for sessions that do something of their own
with a request: lent ones, with traces, behind proxies, or replaced by a test's mock.

`PoolExchange` is for the client's own session when none of this is so. It takes a connection from
the session's pool, writes the request, and reads the answer with aiohttp's protocol and parser;
what it leaves out is the preparation of a request of any kind, with cookies, redirects,
authentication and body, anew for each of thousands of requests that differ in a cursor. That is
most of what a request costs on the client's side; `docs/benchmarks.md` has the figures.

Neither follows redirects. Both raise the same errors.
"""

from __future__ import annotations

import asyncio
import functools
import re
import weakref
from collections.abc import Callable, Coroutine, Mapping
from typing import Final, Protocol

import aiohttp
from aiohttp.helpers import get_env_proxy_for_url
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from asyncckpt.errors import APIConnectionError, APITimeoutError
from asyncckpt.messages import Request, Response
from asyncckpt.options import Timeout
from asyncckpt.protocol.failures import BodyTooLongError

__all__ = ["Exchange", "PoolExchange", "SessionExchange", "is_mocked"]

_REQUEST_OF_AIOHTTP: Final = vars(aiohttp.ClientSession)["_request"]


def is_mocked() -> bool:
    """Whether a test has put something in place of aiohttp's requests, as aioresponses does."""
    return vars(aiohttp.ClientSession)["_request"] is not _REQUEST_OF_AIOHTTP


class Exchange(Protocol):
    """Makes one GET request."""

    @property
    def is_closed(self) -> bool:
        """Whether the session is closed."""
        ...

    @property
    def session_headers(self) -> Mapping[str, str]:
        """What a session adds to the headers of every request, wherever it goes."""
        ...

    def get(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        timeout: Timeout,
        max_body_bytes: int,
        on_wire: Callable[[], None],
        fresh: bool,
    ) -> Coroutine[object, object, Response]:
        """Make one GET request, and read the answer to its end.

        Args:
            url: The absolute URL, encoded.
            headers: The headers of the request.
            timeout: How long it may take.
            max_body_bytes: How long the decompressed body may be.
            on_wire: Called when the request has been written to a connection.
            fresh: Whether to use a new connection.

        Raises:
            APIConnectionError: No answer came, or not a whole one.
            APITimeoutError: It took too long.
            BodyTooLongError: The body is longer than allowed.
        """
        ...


class SessionExchange:
    """Makes requests through the front door of a session.

    Args:
        session: The session.
        uses_env_proxies: Whether to take proxies from the environment. A session that does so by
            itself takes credentials from a netrc file too, beside the key.
    """

    def __init__(self, session: aiohttp.ClientSession, *, uses_env_proxies: bool = False) -> None:
        self._session = session
        self._uses_env_proxies = uses_env_proxies

    @property
    def session_headers(self) -> Mapping[str, str]:
        """See `Exchange.session_headers`."""
        auth = self._session.auth
        added = {} if auth is None else {"Authorization": auth.encode()}
        return {**self._session.headers, **added}

    @property
    def is_closed(self) -> bool:
        """See `Exchange.is_closed`."""
        return self._session.closed

    async def get(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        timeout: Timeout,
        max_body_bytes: int,
        on_wire: Callable[[], None],
        fresh: bool,
    ) -> Response:
        """See `Exchange.get`."""
        request = Request("GET", url)
        # A session gives no sign of its own; on an open connection it writes without suspending.
        asyncio.get_running_loop().call_soon(on_wire)
        try:
            target = URL(url, encoded=True)
            proxy, proxy_auth = self._proxy_for(target)
            answer = await self._session.get(
                target,
                headers=headers,
                timeout=_aiohttp_timeout(timeout),
                allow_redirects=False,
                raise_for_status=False,
                proxy=proxy,
                proxy_auth=proxy_auth,
            )
            try:
                body, is_whole = await _read(answer.content, max_body_bytes)
            finally:
                # Read to its end it has freed its connection; otherwise this closes that.
                answer.close()
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise translated(error, timeout, request) from None
        return _response(answer.status, answer.headers, body, request, is_whole)

    def _proxy_for(self, url: URL) -> tuple[URL | None, aiohttp.BasicAuth | None]:
        if not self._uses_env_proxies:
            return None, None
        try:
            return get_env_proxy_for_url(url)
        except LookupError:
            return None, None


class PoolExchange:
    """Makes requests on the connections of a session's pool.

    Args:
        session: The session that owns the pool.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self.session_headers: Mapping[str, str] = {}
        self._origins: dict[str, aiohttp.ClientRequest] = {}
        self._used: weakref.WeakSet[asyncio.BaseProtocol] = weakref.WeakSet()

    @property
    def is_closed(self) -> bool:
        """See `Exchange.is_closed`."""
        return self._session.closed

    async def get(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        timeout: Timeout,
        max_body_bytes: int,
        on_wire: Callable[[], None],
        fresh: bool,
    ) -> Response:
        """See `Exchange.get`."""
        request = Request("GET", url)
        try:
            async with asyncio.timeout(timeout.total):
                origin, message = self._prepare(url, headers)
                connection, answer, payload = await self._ask(origin, message, timeout, on_wire)
                try:
                    body, is_whole = await _read(payload, max_body_bytes)
                except BaseException:
                    connection.close()
                    raise
                # What is not read to its end is not fit for another request; release() knows.
                connection.release()
        except (
            TimeoutError,
            aiohttp.ClientError,
            HttpProcessingError,
            OSError,
            ValueError,
        ) as error:
            raise translated(error, timeout, request) from None
        return _response(answer.code, answer.headers, body, request, is_whole)

    def _prepare(self, url: str, headers: Mapping[str, str]) -> tuple[aiohttp.ClientRequest, bytes]:
        """What the pool finds a connection by, and the request as it goes over it (RFC 9112)."""
        end_of_origin = url.index("/", url.index("//") + 2)
        origin = self._origins.get(url[:end_of_origin])
        if origin is None:
            loop = asyncio.get_running_loop()
            origin = aiohttp.ClientRequest(
                "GET", URL(url[:end_of_origin]), loop=loop, session=self._session
            )
            self._origins[url[:end_of_origin]] = origin
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        if not any(name.lower() == "host" for name in headers):
            lines = f"Host: {origin.headers['Host']}\r\n{lines}"
        return origin, f"GET {url[end_of_origin:]} HTTP/1.1\r\n{lines}\r\n".encode()

    async def _ask(
        self,
        origin: aiohttp.ClientRequest,
        message: bytes,
        timeout: Timeout,
        on_wire: Callable[[], None],
    ) -> tuple[aiohttp.connector.Connection, aiohttp.http.RawResponseMessage, aiohttp.StreamReader]:
        """Send the request, and read the head of the answer."""
        while True:
            connection = await self._connect(origin, timeout)
            protocol, transport = connection.protocol, connection.transport
            if protocol is None or transport is None:
                raise aiohttp.ServerDisconnectedError
            was_used = protocol in self._used
            if not was_used:
                self._used.add(protocol)
            try:
                protocol.set_response_params(read_until_eof=True, read_timeout=timeout.read)
                protocol.start_timeout()
                transport.write(message)
                on_wire()
                while True:
                    answer, payload = await protocol.read()
                    # 101 is final: nothing else follows it (RFC 9110, section 15.2.2).
                    if answer.code >= 200 or answer.code == 101:
                        return connection, answer, payload
            except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
                connection.close()
                if not was_used:
                    raise
                # A server may close an idle connection at any time (RFC 9112, section 9.3.1).
            except BaseException:
                connection.close()
                raise

    async def _connect(
        self, origin: aiohttp.ClientRequest, timeout: Timeout
    ) -> aiohttp.connector.Connection:
        connector = self._session.connector
        if connector is None or connector.closed:
            raise RuntimeError("this client is closed; make a new AsyncClient")
        try:
            return await connector.connect(origin, traces=[], timeout=_aiohttp_timeout(timeout))
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError from error


async def _read(payload: aiohttp.StreamReader, most: int) -> tuple[bytes, bool]:
    """The body, and whether it is the whole; reading stops when it is longer than allowed."""
    chunk = await payload.readany()
    if payload.at_eof() and len(chunk) <= most:
        return chunk, True
    chunks: list[bytes] = []
    size = 0
    while chunk:
        chunks.append(chunk)
        size += len(chunk)
        if size > most:
            return b"".join(chunks)[:most], False
        chunk = await payload.readany()
    return b"".join(chunks), True


def _response(
    status: int, headers: Mapping[str, str], body: bytes, request: Request, is_whole: bool
) -> Response:
    response = Response(status, headers, body, request)
    if not is_whole:
        raise BodyTooLongError(
            f"the body is longer than max_body_bytes, {len(body)} bytes", response
        )
    return response


@functools.lru_cache(maxsize=32)
def _aiohttp_timeout(timeout: Timeout) -> aiohttp.ClientTimeout:
    # Not `connect`: that would count the wait for a free connection of the pool.
    return aiohttp.ClientTimeout(
        total=timeout.total, sock_connect=timeout.connect, sock_read=timeout.read
    )


def translated(error: Exception, timeout: Timeout, request: Request) -> APIConnectionError:
    """The error that a caller sees.

    It has no cause: exceptions of aiohttp carry the request's headers, and the key in them.
    """
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return APITimeoutError(f"No connection within {timeout.connect} s", request=request)
    if isinstance(error, aiohttp.SocketTimeoutError):
        return APITimeoutError(f"The server was silent for {timeout.read} s", request=request)
    if isinstance(error, TimeoutError):
        return APITimeoutError(f"No complete answer within {timeout.total} s", request=request)
    if isinstance(error, aiohttp.ClientResponseError | HttpProcessingError):
        reason = f"the answer is no HTTP: {error.message}"
    else:
        reason = f"{type(error).__name__}: {error}"
    return APIConnectionError(
        f"Connection error: {_without_bytes(reason)[:500]}",
        request=request,
        # ValueError: a host that cannot even be looked up, as a redirect may name one: "a..b".
        is_final=isinstance(error, aiohttp.ClientSSLError | ValueError),
    )


def _without_bytes(reason: str) -> str:
    """The reason on one line, without the bytes it quotes: the server may repeat a key in them."""
    shown, *_ = re.split(r"\bb['\"]", " ".join(reason.split()), maxsplit=1)
    return shown.rstrip(" :")
