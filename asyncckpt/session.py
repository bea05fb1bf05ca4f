"""The session manager: the one place that talks to aiohttp.

It owns an `aiohttp.ClientSession`, or uses one it was lent, makes single requests through it, and
leaves nothing behind when it is closed. When and how often to send is decided in `sender`.

Everything that belongs to an event loop is made when that loop first sends a request. A client that
is used under a second loop, after the first has ended, simply starts anew there.
"""

from __future__ import annotations

import asyncio
import functools
import math
import re
import ssl
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextvars import ContextVar
from typing import Final, TypeVar

import aiohttp
import attrs
from yarl import URL

from asyncckpt.errors import APIConnectionError, APITimeoutError
from asyncckpt.messages import Request, Response
from asyncckpt.options import Timeout
from asyncckpt.protocol import BodyTooLongError

__all__ = ["SessionManager"]

_T = TypeVar("_T")

_CLOSED: Final = "this client is closed; make a new AsyncClient"

_on_wire: ContextVar[Callable[[], None] | None] = ContextVar("on_wire", default=None)


class _SignallingRequest(aiohttp.ClientRequest):
    """Tells the moment at which the request has been written to its connection."""

    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        response = await super().send(conn)
        signal = _on_wire.get()
        if signal is not None:
            signal()
        return response


@attrs.define(eq=False)
class _LoopBound:
    """What belongs to one event loop."""

    loop: asyncio.AbstractEventLoop
    session: aiohttp.ClientSession
    sending: set[asyncio.Task[object]] = attrs.field(factory=set[asyncio.Task[object]])
    ended: set[asyncio.Task[object]] = attrs.field(factory=set[asyncio.Task[object]])
    all_ended: asyncio.Event = attrs.field(factory=asyncio.Event)
    closes_with_loop: AsyncGenerator[None, None] | None = None


async def _close_with_loop(session: aiohttp.ClientSession) -> AsyncGenerator[None, None]:
    """Closes the session when the loop ends, even if nobody else does.

    An event loop finalizes its async generators before it closes (PEP 525), which is the one moment
    at which a session that was never closed still can be.
    """
    try:
        yield
    finally:
        await session.close()


class SessionManager:
    """Sends requests through an `aiohttp.ClientSession`, its own or a lent one.

    Args:
        session: A session to use and never to close; default: make one when first needed.
        connection_limit: How many connections may be open at once, for a session of its own.
        ssl: A TLS context, or False to accept any certificate, for a session of its own.
        trust_env: Whether to take proxies from the environment, for a session of its own.
        trace_configs: aiohttp's hooks for tracing, for a session of its own.
    """

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession | None,
        connection_limit: int,
        ssl: ssl.SSLContext | bool,
        trust_env: bool,
        trace_configs: Sequence[aiohttp.TraceConfig],
    ) -> None:
        self._lent = session
        self._connection_limit = connection_limit
        self._ssl = ssl
        self._trust_env = trust_env
        self._trace_configs = list(trace_configs)
        self._bound: _LoopBound | None = None
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether `aclose` was called."""
        return self._is_closed

    async def aclose(self) -> None:
        """End all requests under way, and close the session unless it was lent.

        The requests fail with RuntimeError. It may be called again, and does nothing then.
        """
        self._is_closed = True
        bound, self._bound = self._bound, None
        if bound is None or bound.loop is not asyncio.get_running_loop():
            return
        # A task that closes the client while it sends must not wait for itself.
        bound.ended = bound.sending - {_this_task()}
        for task in bound.ended:
            task.cancel()
        if bound.closes_with_loop is not None:
            await bound.closes_with_loop.aclose()
        if bound.ended:
            await bound.all_ended.wait()

    async def run(self, sending: Coroutine[object, object, _T]) -> _T:
        """Run what sends requests, so that closing the session ends it.

        Raises:
            RuntimeError: The session is closed, now or meanwhile, or another event loop uses it.
        """
        try:
            bound = await self._enter_loop()
        except BaseException:
            sending.close()
            raise
        task = _this_task()
        bound.sending.add(task)
        try:
            return await sending
        except asyncio.CancelledError:
            # As in asyncio.timeout(): if somebody else cancelled the task too, that comes first.
            if task in bound.ended and not task.uncancel():
                raise RuntimeError(_CLOSED) from None
            raise
        finally:
            bound.sending.discard(task)
            bound.ended.discard(task)
            if self._is_closed and not bound.ended:
                bound.all_ended.set()

    async def get(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        timeout: Timeout,
        max_body_bytes: int,
        on_wire: Callable[[], None],
    ) -> Response:
        """Make one GET request, and read the answer to its end. Redirects are not followed.

        Args:
            url: The absolute URL, encoded.
            headers: All headers of the request.
            timeout: How long it may take.
            max_body_bytes: How long the decompressed body may be.
            on_wire: Called when the request has been written to a connection.

        Raises:
            APIConnectionError: No answer came, or not a whole one.
            APITimeoutError: It took too long.
            BodyTooLongError: The body is longer than allowed.
            RuntimeError: The lent session is closed.
        """
        bound = await self._enter_loop()
        request = Request("GET", url)
        if self._lent is None:
            _on_wire.set(on_wire)
        else:
            # A lent session gives no sign; on an open connection aiohttp writes without suspending.
            bound.loop.call_soon(on_wire)
        try:
            answer = await bound.session.get(
                URL(url, encoded=True),
                headers=headers,
                timeout=_aiohttp_timeout(timeout),
                allow_redirects=False,
                raise_for_status=False,
            )
            try:
                return await _read(answer, request, max_body_bytes)
            finally:
                # Read to its end it has freed its connection; otherwise this closes that.
                answer.close()
        except TimeoutError as error:
            raise _timed_out(error, timeout, request) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # ValueError: a host that cannot even be looked up, as a redirect may name one: "a..b".
            # Without the cause: aiohttp's exceptions carry the request's headers, the key in them.
            raise _connection_error(error, request) from None

    @property
    def connection_limit(self) -> float:
        """How many connections may be open at once; infinite if a lent session has no limit."""
        if self._lent is None:
            return self._connection_limit
        return (self._lent.connector.limit if self._lent.connector else 0) or math.inf

    async def _enter_loop(self) -> _LoopBound:
        if self._is_closed:
            raise RuntimeError(_CLOSED)
        loop = asyncio.get_running_loop()
        bound = self._bound
        if bound is not None and bound.loop is loop:
            return bound
        if bound is not None and bound.loop.is_running():
            raise RuntimeError(
                "this client is in use by another running event loop; make one client for each"
            )
        self._bound = bound = self._bind(loop)
        if self._lent is None:
            bound.closes_with_loop = _close_with_loop(bound.session)
            await anext(bound.closes_with_loop)
        return bound

    def _bind(self, loop: asyncio.AbstractEventLoop) -> _LoopBound:
        if self._lent is not None:
            return _LoopBound(loop, self._lent)
        connector = aiohttp.TCPConnector(limit=self._connection_limit, ssl=self._ssl)
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            request_class=_SignallingRequest,
            trust_env=self._trust_env,
            trace_configs=self._trace_configs,
        )
        return _LoopBound(loop, session)


def _this_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("requests are sent from tasks only")
    return task


async def _read(answer: aiohttp.ClientResponse, request: Request, most: int) -> Response:
    chunks: list[bytes] = []
    size = 0
    while chunk := await answer.content.readany():
        chunks.append(chunk)
        size += len(chunk)
        if size > most:
            cut = Response(answer.status, answer.headers, b"".join(chunks)[:most], request)
            raise BodyTooLongError(f"the body is longer than max_body_bytes, {most} bytes", cut)
    return Response(answer.status, answer.headers, b"".join(chunks), request)


@functools.lru_cache(maxsize=32)
def _aiohttp_timeout(timeout: Timeout) -> aiohttp.ClientTimeout:
    # Not `connect`: that would count the wait for a free connection of the pool.
    return aiohttp.ClientTimeout(
        total=timeout.total, sock_connect=timeout.connect, sock_read=timeout.read
    )


def _timed_out(error: TimeoutError, timeout: Timeout, request: Request) -> APITimeoutError:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return APITimeoutError(f"No connection within {timeout.connect} s", request=request)
    if isinstance(error, aiohttp.SocketTimeoutError):
        return APITimeoutError(f"The server was silent for {timeout.read} s", request=request)
    return APITimeoutError(f"No complete answer within {timeout.total} s", request=request)


def _connection_error(error: Exception, request: Request) -> APIConnectionError:
    if isinstance(error, aiohttp.ClientResponseError):
        reason = f"the answer is no HTTP: {error.message}"
    else:
        reason = f"{type(error).__name__}: {error}"
    return APIConnectionError(
        f"Connection error: {_without_bytes(reason)[:500]}",
        request=request,
        is_final=isinstance(error, aiohttp.ClientSSLError | ValueError),
    )


def _without_bytes(reason: str) -> str:
    """The reason on one line, without the bytes it quotes: the server may repeat a key in them."""
    shown, *_ = re.split(r"\bb['\"]", " ".join(reason.split()), maxsplit=1)
    return shown.rstrip(" :")
