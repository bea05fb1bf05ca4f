"""Makes one attempt of a call: sends a request and follows its redirects.

Local variables here contain the API key and the URL, and error reports show the local variables of
a traceback. So `make_attempt` removes the traceback, cause and context of every exception, and
redacts the responses of errors.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeVar

import attrs

from asyncckpt.counts import RequestCounts
from asyncckpt.errors import APIConnectionError, APIError, APITimeoutError
from asyncckpt.messages import Request, Response
from asyncckpt.options import RequestOptions
from asyncckpt.protocol.failures import BodyTooLongError, status_error, validation_error
from asyncckpt.protocol.headers import PUBLIC_HEADERS
from asyncckpt.protocol.redirects import MAX_REDIRECTS, redirect_of
from asyncckpt.protocol.secrets import mask_text, masked, masked_request, secrets_in
from asyncckpt.transport.account import Account

if TYPE_CHECKING:
    from asyncckpt.transport.exchange import Exchange

__all__ = [
    "CLOSED",
    "Attempt",
    "Call",
    "failure_of",
    "make_attempt",
    "redacted",
    "redacted_text",
    "secrets_of",
]

CLOSED: Final = "this client is closed, or its aiohttp.ClientSession; create a new AsyncClient"

_ErrorT = TypeVar("_ErrorT", bound=BaseException)


@attrs.define
class Call:
    """A call to the API, which may take several attempts.

    Attributes:
        url: The absolute, encoded URL.
        account: The credentials, rate limiter and retry budget.
        options: The headers and limits of the call.
        counts: Counts the requests of the call.
        fresh: Whether to use a new connection.
    """

    url: str = attrs.field(repr=False)
    account: Account = attrs.field(repr=False)
    options: RequestOptions
    counts: RequestCounts
    fresh: bool = False


@attrs.define
class Attempt:
    """The result of one attempt.

    Attributes:
        outcome: The response if its status is 2xx; otherwise the error.
        response: The response after all redirects, with any status; None if no response arrived.
    """

    outcome: Response | APIError
    response: Response | None = None


async def make_attempt(exchange: Exchange, call: Call, on_wire: Callable[[], None]) -> Attempt:
    """Send a request, follow its redirects, and return the result.

    Args:
        exchange: Sends single requests.
        call: The call.
        on_wire: Called when a request has been sent.

    Raises:
        RuntimeError: The session was closed.
        BaseException: Any other exception that is not an `Exception`, such as CancelledError.
    """
    started = time.monotonic()
    response = None
    try:
        response = await exchange.get(
            call.url,
            _headers(call),
            timeout=call.options.timeout,
            max_body_bytes=call.options.max_body_bytes,
            on_wire=on_wire,
            fresh=call.fresh,
        )
        if 300 <= response.status_code < 400:
            response = await _redirected(exchange, call, response, started, on_wire)
        return _judged(response, call, exchange)
    except BodyTooLongError as error:
        return _judged(error.response, call, exchange, str(error))
    except Exception as error:
        interruption: BaseException = failure_of(error, call, exchange)
        if isinstance(interruption, APIError):
            return Attempt(interruption)
    except BaseException as error:
        # Raised again below, so that the traceback has no frames with headers.
        interruption = _bare(error)
    try:
        raise interruption
    finally:
        # The traceback refers to this frame; this breaks the reference cycle.
        del interruption, response


def failure_of(error: Exception, call: Call, exchange: Exchange) -> APIError | RuntimeError:
    """Return what an exception of an exchange means, without secrets and without a traceback.

    Args:
        error: The exception. If it is an `APIError`, it is changed and returned.
        call: The call.
        exchange: The exchange.

    Returns:
        The error of the attempt; RuntimeError if the session was closed.
    """
    if not isinstance(error, APIError):
        if exchange.is_closed:
            return RuntimeError(CLOSED)
        # Importing aiohttp takes longer than everything else in this package.
        from asyncckpt.transport.translation import translated

        error = translated(error, call.options.timeout, Request("GET", call.url))
    return _without_secrets(error, call, exchange)


def _judged(
    response: Response, call: Call, exchange: Exchange, problem: str | None = None
) -> Attempt:
    if not 200 <= response.status_code < 300:
        return Attempt(status_error(redacted(response, call, exchange)), response)
    if problem is not None:
        error = validation_error(redacted(response, call, exchange), problem, "$")
        return Attempt(error, response)
    return Attempt(response, response)


def _bare(error: _ErrorT) -> _ErrorT:
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _without_secrets(error: APIError, call: Call, exchange: Exchange) -> APIError:
    # A redirect may have led to a URL or a host with a secret in it.
    error.message = redacted_text(error.message, call, exchange)
    error.args = (error.message,)
    if error.request is not None:
        error.request = masked_request(error.request, _secrets(call, exchange))
    return _bare(error)


def redacted(response: Response, call: Call, exchange: Exchange) -> Response:
    """Return the response with every secret of the call masked, should the server repeat one."""
    return masked(response, _secrets(call, exchange))


def redacted_text(text: str, call: Call, exchange: Exchange) -> str:
    """Return the text with every secret of the call masked."""
    return mask_text(text, _secrets(call, exchange))


def secrets_of(call: Call) -> list[str]:
    """Return the secrets of a call, apart from what a session adds."""
    return [*call.account.credentials.secrets, *secrets_in(call.options.headers, call.url)]


def _secrets(call: Call, exchange: Exchange) -> list[str]:
    return [
        *secrets_of(call),
        *secrets_in(exchange.session_headers_for(call.url), ""),
        *exchange.secrets,
    ]


def _headers(call: Call) -> Mapping[str, str]:
    if call.options.carries_credentials:
        return call.options.headers
    return call.account.credentials.authorize(call.options.headers)


async def _redirected(
    exchange: Exchange,
    call: Call,
    response: Response,
    started: float,
    on_wire: Callable[[], None],
) -> Response:
    """Return the response after all redirects of an attempt that started at a time."""
    # The timeout is for the whole attempt, including the redirects.
    total = call.options.timeout.total
    left = None if total is None else total - (time.monotonic() - started)
    try:
        async with asyncio.timeout(left):
            return await _followed(exchange, call, response, on_wire)
    except TimeoutError:
        raise APITimeoutError(
            f"No complete response within {total} s", request=response.request
        ) from None


async def _followed(
    exchange: Exchange,
    call: Call,
    response: Response,
    on_wire: Callable[[], None],
) -> Response:
    url, headers = call.url, _headers(call)
    for redirects in itertools.count():
        redirect = redirect_of(url, response.status_code, response.headers)
        if redirect is None:
            return response
        if redirects == MAX_REDIRECTS:
            break
        if not redirect.same_origin:
            headers = PUBLIC_HEADERS
            _check_session_may_leave(exchange, redirect.url, response.request)
        url = redirect.url
        response = await exchange.get(
            url,
            headers,
            timeout=call.options.timeout,
            max_body_bytes=call.options.max_body_bytes,
            on_wire=on_wire,
            fresh=call.fresh,
        )
    raise APIConnectionError(
        f"Redirected more than {MAX_REDIRECTS} times", request=response.request, is_final=True
    )


def _check_session_may_leave(exchange: Exchange, url: str, request: Request) -> None:
    if secrets_in(exchange.session_headers_for(url), ""):
        raise APIConnectionError(
            "Redirected to another origin, which would receive the headers, auth or cookies of the "
            "lent session: lend a session without them, and pass default_headers to the client",
            request=request,
            is_final=True,
        )
