"""Owns an `aiohttp.ClientSession`, or uses a lent one, and closes without leaving anything behind.

Everything that belongs to an event loop is created by the first request under that loop. A client
that is used under a second loop, after the first has ended, starts anew there.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import AsyncGenerator, Iterable, Sequence
from inspect import isasyncgen
from types import TracebackType

import aiohttp
import attrs

from asyncckpt.transport.attempt import CLOSED
from asyncckpt.transport.exchange import Exchange, open_exchange, wire_trace

__all__ = ["SessionManager", "check_session"]


@attrs.define(eq=False)
class LoopBound:
    """What belongs to one event loop."""

    loop: asyncio.AbstractEventLoop
    session: aiohttp.ClientSession
    exchange: Exchange
    sending: set[asyncio.Task[object]] = attrs.field(factory=set[asyncio.Task[object]])
    ended: set[asyncio.Task[object]] = attrs.field(factory=set[asyncio.Task[object]])
    all_ended: asyncio.Event = attrs.field(factory=asyncio.Event)
    finalizer: AsyncGenerator[None, None] | None = None


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
        self._bound: LoopBound | None = None
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether `aclose` was called."""
        return self._is_closed

    async def aclose(self) -> None:
        """Cancel all requests under way, and close the session unless it was lent.

        The requests fail with RuntimeError. Calling it again does nothing.
        """
        self._is_closed = True
        bound, self._bound = self._bound, None
        if bound is None or bound.loop is not asyncio.get_running_loop():
            return
        # A task that closes the client while it sends must not wait for itself.
        bound.ended = bound.sending - {_this_task()}
        for task in bound.ended:
            task.cancel()
        if bound.finalizer is not None:
            # Closed outside of the generator: the loop may be finalizing that at the same time.
            await bound.session.close()
            if isasyncgen(bound.finalizer) and not bound.finalizer.ag_running:
                await bound.finalizer.aclose()
        if bound.ended:
            await bound.all_ended.wait()

    def lease(self) -> Lease:
        """Return the exchange for the block of an ``async with``.

        Closing the session cancels what the block awaits, and the block raises RuntimeError.

        Raises:
            RuntimeError: The session is closed, now or meanwhile, or another event loop uses it.
        """
        return Lease(self)

    async def enter_loop(self) -> LoopBound:
        """Return what belongs to the running event loop; made at the first request.

        Raises:
            RuntimeError: The session is closed, or another running event loop uses it.
        """
        bound = self._bound
        if bound is not None and bound.loop is asyncio.get_running_loop():
            return bound
        if self._is_closed:
            raise RuntimeError(CLOSED)
        if bound is not None and bound.loop.is_running():
            raise RuntimeError(
                "this client is in use by another running event loop; make one client for each"
            )
        self._bound = bound = self._bind(asyncio.get_running_loop())
        if self._lent is None:
            bound.finalizer = _close_with_loop(bound.session)
            await anext(bound.finalizer)
        return bound

    @property
    def connection_limit(self) -> float:
        """How many connections may be open at once; infinite if a lent session has no limit."""
        if self._lent is None:
            return self._connection_limit
        return (self._lent.connector.limit if self._lent.connector else 0) or math.inf

    def _bind(self, loop: asyncio.AbstractEventLoop) -> LoopBound:
        _make_large_blocks_cheap()
        if self._lent is not None:
            return LoopBound(loop, self._lent, open_exchange(self._lent, is_lent=True))
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connection_limit, ssl=self._ssl),
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=[*self._trace_configs, wire_trace()],
        )
        exchange = open_exchange(
            session,
            is_lent=False,
            uses_env_proxies=self._trust_env,
            has_traces=bool(self._trace_configs),
        )
        return LoopBound(loop, session, exchange)


class Lease:
    """The use of a session by one task, as an ``async with`` block."""

    def __init__(self, manager: SessionManager) -> None:
        self._manager = manager

    async def __aenter__(self) -> Exchange:
        """Note that the task sends a request, and return the exchange to send it with."""
        self._bound = await self._manager.enter_loop()
        self._task = _this_task()
        self._bound.sending.add(self._task)
        return self._bound.exchange

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the use; a cancellation by `SessionManager.aclose` becomes RuntimeError."""
        bound, task = self._bound, self._task
        was_ended = task in bound.ended
        bound.sending.discard(task)
        bound.ended.discard(task)
        if self._manager.is_closed and not bound.ended:
            bound.all_ended.set()
        # A cancelled task keeps the traceback, which refers to this object.
        del self._bound, self._task
        # As in asyncio.timeout(): if somebody else cancelled the task too, that comes first.
        if was_ended and kind is asyncio.CancelledError and not task.uncancel():
            raise RuntimeError(CLOSED) from None


def check_session(
    session: object,
    ssl_context: object,
    trace_configs: Iterable[object],
    *,
    sends_authorization: bool = True,
) -> None:
    """Check the arguments of a client that are for aiohttp.

    Args:
        session: The session to use, or None.
        ssl_context: A TLS context, True or False.
        trace_configs: Tracing hooks.
        sends_authorization: Whether the client sends the header ``Authorization``.

    Raises:
        TypeError: One of them is of the wrong type.
        ValueError: The session has `auth`, for the same header that the client sends the key in.
    """
    if session is not None and not isinstance(session, aiohttp.ClientSession):
        raise TypeError(f"session must be an aiohttp.ClientSession, not {type(session).__name__}")
    if session is not None and session.auth is not None and sends_authorization:
        raise ValueError(
            "session has auth=, for the header Authorization, in which the client sends its key: "
            "pass a session without auth=, or the key as default_headers={'api-key': ...}"
        )
    if not isinstance(ssl_context, ssl.SSLContext | bool):
        raise TypeError(
            f"ssl must be an ssl.SSLContext, True or False, not {type(ssl_context).__name__}"
        )
    for config in trace_configs:
        if not isinstance(config, aiohttp.TraceConfig):
            raise TypeError(
                f"trace_configs must be aiohttp.TraceConfig objects, not {type(config).__name__}"
            )


def _make_large_blocks_cheap() -> None:
    """Have glibc keep blocks of up to 1 MiB in the process once they are freed.

    asyncio receives into blocks of 256 KiB. Until a larger one has been freed, glibc maps each
    anew, and the page faults cost a page of records more than parsing it as HTTP does. See
    mallopt(3), M_MMAP_THRESHOLD: the first free of a larger block raises the threshold.
    """
    bytes(2**20)


def _this_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("requests are sent from tasks only")
    return task
