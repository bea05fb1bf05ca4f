"""Reads a body piece by piece, for files that may be longer than memory should hold.

The request is an ordinary call: it waits for the rate limiter, is retried, follows redirects, and
fails with the same errors. `DownloadExchange` hands out the response as soon as its head is there
and leaves the body to be read. If the connection breaks on the way, the request is sent again, and
what had been read is skipped; it must be the same as before.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import aiohttp
import attrs
from yarl import URL

from asyncckpt.errors import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    APITimeoutError,
)
from asyncckpt.messages import Request, Response
from asyncckpt.options import Timeout
from asyncckpt.protocol.failures import validation_error
from asyncckpt.protocol.hints import NO_HINTS
from asyncckpt.protocol.retries import GiveUp, History, Retry, RetryLimits, next_step
from asyncckpt.records.codec import MismatchError
from asyncckpt.transport.attempt import CLOSED, Call, redacted
from asyncckpt.transport.exchange import SessionExchange, translated
from asyncckpt.transport.sender import new_observer, send

if TYPE_CHECKING:
    from asyncckpt.transport.session import SessionManager

__all__ = ["Download", "DownloadExchange"]

_log: Final = logging.getLogger("asyncckpt")

_MOST_OF_AN_ERROR: Final = 65_536
"""How much of the body of an error is read."""

_SHOWN_OF_A_FILE: Final = 1_000
"""How much of the beginning of a file is kept, for errors about its content."""


class DownloadExchange(SessionExchange):
    """Makes requests through a session, and leaves the body of a success to be read.

    Attributes:
        opened: The response whose body is to be read; None until there is one.
    """

    opened: aiohttp.ClientResponse | None = None

    async def get(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        timeout: Timeout,
        max_body_bytes: int,
        on_wire: Callable[[], None],
        fresh: bool = False,
    ) -> Response:
        """Make one GET request, and read the head of the response.

        A body that is not that of a success is read too, but no more than errors show.

        Args:
            url: The absolute URL, encoded.
            headers: The headers of the request.
            timeout: How long the head may take; `Timeout.read` applies to the body as well.
            max_body_bytes: Not used: the body is not kept.
            on_wire: Called when the request is under way.
            fresh: Not used.

        Raises:
            APIConnectionError: There was no response.
            APITimeoutError: It took too long.
        """
        request = Request("GET", url)
        on_wire()
        try:
            target = URL(url, encoded=True)
            sent, options = self._proxied(target, headers)
            async with asyncio.timeout(timeout.total):
                response = await self._session.get(
                    target,
                    headers=sent,
                    timeout=aiohttp.ClientTimeout(
                        total=None, sock_connect=timeout.connect, sock_read=timeout.read
                    ),
                    allow_redirects=False,
                    raise_for_status=False,
                    **options,  # type: ignore[arg-type]
                )
                if 200 <= response.status < 300:
                    self.opened = response
                    return Response(response.status, response.headers, b"", request)
                try:
                    body = await _beginning_of(response.content)
                finally:
                    response.close()
        except Exception as error:
            if self.is_closed:
                raise
            raise translated(error, timeout, request) from None
        return Response(response.status, response.headers, body, request)

    def close(self) -> None:
        """Close the connection of the body that is being read, if there is one."""
        opened, self.opened = self.opened, None
        if opened is not None:
            opened.close()

    def _proxied(
        self, url: URL, headers: Mapping[str, str]
    ) -> tuple[Mapping[str, str], dict[str, object]]:
        """Return the headers of a request, and how aiohttp is to reach its proxy, if any."""
        proxy = self._proxy_for(url)
        if proxy is None:
            return headers, {}
        if url.scheme == "https":
            return headers, {"proxy": proxy.url, "proxy_headers": proxy.headers}
        return {**headers, **proxy.headers}, {"proxy": proxy.url}


async def _beginning_of(content: aiohttp.StreamReader) -> bytes:
    body = b""
    while len(body) < _MOST_OF_AN_ERROR and (piece := await content.readany()):
        body += piece
    return body[:_MOST_OF_AN_ERROR]


class Download:
    """A file that is read once, from its beginning to its end.

    Args:
        session: Owns the connections.
        call: The request for it.
    """

    def __init__(self, session: SessionManager, call: Call) -> None:
        self._session = session
        self._call = call
        self._history = History()
        self._observer = new_observer(call)
        self._exchange: DownloadExchange | None = None
        self._response: Response | None = None
        self._beginning = b""
        self._size = 0
        self._digest = hashlib.blake2b()
        self._to_skip = 0
        self._skipped = hashlib.blake2b()

    async def open(self) -> None:
        """Send the request, and read the head of the response.

        Raises:
            Exception: Whatever `send` raises.
        """
        self._exchange = exchange = await self._session.download_exchange()
        self._to_skip = self._size
        self._skipped = hashlib.blake2b()
        self._history.attempts += 1
        self._response = await send(
            self._session,
            self._call,
            _head,
            _ignore,
            through=exchange,
            observer=self._observer,
        )

    async def read(self) -> bytes:
        """Return the next piece of the file; empty at its end.

        Raises:
            APIConnectionError: The connection broke, more often than retries are allowed; or the
                file was another one when it was requested again.
            APITimeoutError: Nothing came within the timeout.
            APIError: The file could not be requested again.
            RuntimeError: The client is closed.
        """
        while True:
            try:
                return await self._next_piece()
            except APIError as error:
                failure = error.with_traceback(None)
                failure.__context__ = None
            try:
                await self._start_again(failure)
            finally:
                # The traceback refers to this frame; without this the two would keep each other.
                del failure

    def close(self) -> None:
        """Close the connection, unless the file has been read to its end."""
        if self._exchange is not None:
            self._exchange.close()

    def mismatch(self, error: MismatchError) -> APIResponseValidationError:
        """Return the error for content that is not what the API describes."""
        response, exchange = self._response, self._exchange
        if response is None or exchange is None:
            raise RuntimeError("nothing has been read yet; open() it first")
        shown = attrs.evolve(response, content=self._beginning)
        return validation_error(redacted(shown, self._call, exchange), str(error), error.path)

    async def _next_piece(self) -> bytes:
        """Return the next piece that has not been handed out; empty at the end."""
        while True:
            piece = await self._receive()
            if self._to_skip:
                part = piece[: self._to_skip]
                self._skipped.update(part)
                self._to_skip -= len(part)
                is_same = self._to_skip or self._skipped.digest() == self._digest.digest()
                if not piece or not is_same:
                    raise APIConnectionError(
                        "Connection error: the connection broke while a file was read, and the "
                        "file was another one when it was requested again",
                        request=Request("GET", self._call.url),
                        is_final=True,
                    )
                piece = piece[len(part) :]
                if not piece:
                    continue
            self._digest.update(piece)
            self._size += len(piece)
            self._beginning += piece[: max(0, _SHOWN_OF_A_FILE - len(self._beginning))]
            return piece

    async def _receive(self) -> bytes:
        """Return the next piece of the response; empty at its end."""
        timeout, request = self._call.options.timeout, Request("GET", self._call.url)
        exchange = self._exchange
        if exchange is None or exchange.opened is None:
            raise RuntimeError("the file is not open; open() it first")
        try:
            async with self._session.lease(), asyncio.timeout(timeout.total):
                return await exchange.opened.content.readany()
        except Exception as error:
            # The body keeps it, and its traceback refers to this frame; this breaks the cycle.
            error.__traceback__ = None
            if self._session.is_closed or exchange.is_closed:
                failure: Exception = RuntimeError(CLOSED)
            elif type(error) is TimeoutError:
                failure = APITimeoutError(
                    f"Nothing more of the body within {timeout.total} s", request=request
                )
            else:
                failure = translated(error, timeout, request)
        # Raised here, so that it does not refer to exceptions of aiohttp, which carry headers.
        try:
            raise failure
        finally:
            # The traceback refers to this frame; this breaks the cycle.
            del failure

    async def _start_again(self, error: APIError) -> None:
        """Request the file again after a pause; raise the error if that would not help."""
        self.close()
        options, history = self._call.options, self._history
        step = next_step(
            error,
            NO_HINTS,
            history,
            RetryLimits(options.max_retries, options.max_wait),
            others_accepted=False,
            fraction=random.random(),
        )
        note = step.note if isinstance(step, GiveUp) else self._pay(step)
        if isinstance(step, GiveUp) or note is not None:
            if history.attempts > 1:
                error.add_note(f"asyncckpt tried {history.attempts} times")
            if note is not None:
                error.add_note(note)
            if self._observer is not None:
                self._observer.failed(error)
            try:
                raise error
            finally:
                # The traceback refers to this frame; this breaks the cycle.
                del error
        if self._observer is not None:
            self._observer.retry_scheduled(error, step, history, NO_HINTS)
            self._observer.waited += step.delay
        retry, most, kind = history.retries, options.max_retries, type(error).__name__
        _log.info("%s: retry %d of %d in %.2f s", kind, retry, most, step.delay)
        async with self._session.lease():
            await asyncio.sleep(step.delay)
        history.waited += step.delay
        self._call.counts.waited += step.delay
        await self.open()

    def _pay(self, step: Retry) -> str | None:
        """Count a retry, and take its price from the budget; say so if that is used up."""
        budget = self._call.account.retry_budget
        if budget is not None:
            price = budget.TIMEOUT_RETRY_COST if step.after_timeout else budget.RETRY_COST
            if not budget.acquire(price):
                return "asyncckpt did not try again: the client's retry_budget is used up"
        self._history.retries += 1
        self._call.counts.retries += 1
        return None


def _head(response: Response) -> Response:
    return response


def _ignore() -> None:
    """Do nothing: nobody waits for the request to be on the wire."""
