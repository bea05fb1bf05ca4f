"""Manages the `aiohttp.ClientSession` of a client: its own, or one lent by the caller.

The first request in an event loop creates the session and everything else that belongs to the loop.
So a client can be used in another event loop after the first one has ended.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import AsyncGenerator, Iterable, Sequence
from types import AsyncGeneratorType, TracebackType
from typing import TYPE_CHECKING, cast

import aiohttp
import attrs

from asyncckpt.transport.attempt import CLOSED
from asyncckpt.transport.exchange import Exchange, open_exchange, wire_trace

if TYPE_CHECKING:
    from asyncckpt.transport.download import DownloadExchange

__all__ = ["SessionManager", "check_session"]


@attrs.define(eq=False)
class LoopBound:
    """The session and the tasks of one event loop.

    Attributes:
        loop: The event loop.
        session: The session.
        exchange: Sends single requests with the session.
        sending: The tasks that are sending a request.
        ended: Those of them that `SessionManager.aclose` has cancelled.
        all_ended: Set after `SessionManager.aclose`, when the cancelled tasks have ended.
        finalizer: Closes the session when the loop ends; None for a lent session.
    """

    loop: asyncio.AbstractEventLoop
    session: aiohttp.ClientSession
    exchange: Exchange
    sending: set[asyncio.Task[object]] = attrs.field(factory=set[asyncio.Task[object]])
    ended: set[asyncio.Task[object]] = attrs.field(factory=set[asyncio.Task[object]])
    all_ended: asyncio.Event = attrs.field(factory=asyncio.Event)
    finalizer: AsyncGeneratorType[None, None] | None = None


async def _close_with_loop(session: aiohttp.ClientSession) -> AsyncGenerator[None, None]:
    """Close the session when the event loop ends, even if the client is never closed.

    Before an event loop ends, it closes its async generators (PEP 525). This is the last time at
    which the session can be closed.
    """
    try:
        yield
    finally:
        await session.close()


class SessionManager:
    """Creates a session for each event loop, or uses a lent one.

    The arguments other than `session` are for created sessions.

    Args:
        session: A lent session, which is never closed; None to create one at the first request.
        connection_limit: The highest number of open connections.
        ssl: A TLS context, True, or False to accept any certificate.
        trust_env: Whether to use the proxies in environment variables.
        trace_configs: Tracing hooks for aiohttp.

    Attributes:
        bound: The state of the event loop in which the last request was sent, if there is one.
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
        self.bound: LoopBound | None = None
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether `aclose` was called."""
        return self._is_closed

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that last sent a request; None if there is nothing to close in it."""
        return self.bound.loop if self.bound else None

    async def aclose(self) -> None:
        """Cancel all requests in progress, and close the session unless it is lent.

        The requests raise RuntimeError. Calling this again does nothing.
        """
        self._is_closed = True
        bound, self.bound = self.bound, None
        if bound is None or bound.loop is not asyncio.get_running_loop():
            return
        # A task that closes the client during its own request must not wait for itself.
        bound.ended = bound.sending - {_this_task(bound.loop)}
        for task in bound.ended:
            task.cancel()
        if bound.finalizer is not None:
            # Not closed by the generator alone: the event loop may already be closing it.
            await bound.session.close()
            if not bound.finalizer.ag_running:
                await bound.finalizer.aclose()
        if bound.ended:
            await bound.all_ended.wait()

    def lease(self) -> Lease:
        """Return an async context manager for one request; it yields the `Exchange` to use.

        If the session is closed during the block, the block is cancelled, and raises RuntimeError.

        Raises:
            RuntimeError: The session is closed, or another running event loop uses it.
        """
        return Lease(self)

    async def enter_loop(self) -> LoopBound:
        """Return the state of the running event loop; the first call in a loop creates it.

        Raises:
            RuntimeError: The session is closed, or another running event loop uses it.
        """
        bound = self.bound
        if bound is not None and bound.loop is asyncio.get_running_loop():
            return bound
        if self._is_closed:
            raise RuntimeError(CLOSED)
        if bound is not None and bound.loop.is_running():
            raise RuntimeError(
                "this client is in use by another running event loop; create a client for each loop"
            )
        self.bound = bound = self._bind(asyncio.get_running_loop())
        if self._lent is None:
            finalizer = _close_with_loop(bound.session)
            bound.finalizer = cast("AsyncGeneratorType[None, None]", finalizer)
            await anext(finalizer)
        return bound

    async def download_exchange(self) -> DownloadExchange:
        """Return an exchange for one file that is read piece by piece.

        Raises:
            RuntimeError: The session is closed, or another running event loop uses it.
        """
        # Most programs read no files.
        from asyncckpt.transport.download import DownloadExchange

        bound = await self.enter_loop()
        uses_env_proxies = self._lent is None and self._trust_env
        return DownloadExchange(bound.session, uses_env_proxies=uses_env_proxies)

    @property
    def connection_limit(self) -> float:
        """The highest number of open connections; infinite if a lent session has no limit."""
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
    """The use of a session by one task, as an async context manager."""

    def __init__(self, manager: SessionManager) -> None:
        self._manager = manager

    async def __aenter__(self) -> Exchange:
        """Register the running task, and return the exchange."""
        loop, bound = asyncio.get_running_loop(), self._manager.bound
        if bound is None or bound.loop is not loop:
            bound = await self._manager.enter_loop()
        self._bound = bound
        self._task = _this_task(loop)
        self._bound.sending.add(self._task)
        return self._bound.exchange

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Unregister the task. A cancellation by `SessionManager.aclose` becomes RuntimeError."""
        bound, task = self._bound, self._task
        was_ended = task in bound.ended
        bound.sending.discard(task)
        bound.ended.discard(task)
        if self._manager.is_closed and not bound.ended:
            bound.all_ended.set()
        # A cancelled task keeps its traceback, which refers to this object; this breaks the
        # reference cycle.
        del self._bound, self._task
        # If other code has cancelled the task too, that takes precedence, as in asyncio.timeout().
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
    """Make glibc reuse freed memory blocks of up to 1 MiB.

    asyncio receives data into blocks of 256 KiB. By default, glibc maps and unmaps each of them,
    and the page faults take more time than parsing HTTP. Freeing one larger block raises the
    threshold; see M_MMAP_THRESHOLD in mallopt(3).
    """
    bytes(2**20)


def _this_task(loop: asyncio.AbstractEventLoop) -> asyncio.Task[object]:
    task = asyncio.current_task(loop)
    if task is None:
        raise RuntimeError("requests can only be sent from asyncio tasks")
    return task
