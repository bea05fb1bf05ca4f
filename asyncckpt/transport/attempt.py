"""Makes one attempt of a call: a request, and the redirects that it leads to.

This is where the key and the URL meet, so it is also where one rule keeps them out of errors: what
leaves `make_attempt` has no traceback, no cause and no context, and responses on errors are
redacted.
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
from asyncckpt.protocol.secrets import masked, masked_request, secrets_in
from asyncckpt.transport.account import Account

if TYPE_CHECKING:
    from asyncckpt.transport.exchange import Exchange

__all__ = ["CLOSED", "Attempt", "Call", "make_attempt", "redacted"]

CLOSED: Final = "this client is closed, or its aiohttp.ClientSession is; make a new AsyncClient"

_ErrorT = TypeVar("_ErrorT", bound=BaseException)


@attrs.define
class Call:
    """What to request, however many attempts it takes.

    Attributes:
        url: The absolute URL, encoded.
        account: The credentials, and what is known about the server.
        options: The headers and limits of the call.
        counts: Where its requests are counted.
        fresh: Whether to send it over a new connection.
    """

    url: str = attrs.field(repr=False)
    account: Account = attrs.field(repr=False)
    options: RequestOptions
    counts: RequestCounts
    fresh: bool = False


@attrs.define
class Attempt:
    """The facts about one attempt.

    Attributes:
        outcome: The response if it is a success; otherwise the error that it means.
        response: The response at the end of all redirects, whatever its status; None if there was
            none.
    """

    outcome: Response | APIError
    response: Response | None = None


async def make_attempt(exchange: Exchange, call: Call, on_wire: Callable[[], None]) -> Attempt:
    """Send a request, follow its redirects, and report what came of it.

    Args:
        exchange: Makes the single requests.
        call: What to request.
        on_wire: Called when a request is on the wire.

    Raises:
        RuntimeError: The session was closed.
        BaseException: What is not an `Exception`, such as CancelledError.
    """
    try:
        return _judged(await _final_response(exchange, call, on_wire), call, exchange)
    except BodyTooLongError as error:
        return _judged(error.response, call, exchange, str(error))
    except APIError as error:
        return Attempt(_without_secrets(error, call, exchange))
    except Exception as error:
        if exchange.is_closed:
            interruption: BaseException = RuntimeError(CLOSED)
        else:
            # Importing aiohttp takes longer than everything else in this package.
            from asyncckpt.transport.translation import translated

            request = Request("GET", call.url)
            lost = translated(error, call.options.timeout, request)
            return Attempt(_without_secrets(lost, call, exchange))
    except BaseException as error:
        # Raised again below, outside of the frames that hold headers.
        interruption = _bare(error)
    try:
        raise interruption
    finally:
        # The traceback refers to this frame; without this the two would keep each other.
        del interruption


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
    if error.request is not None:
        # A redirect may have led to a URL with a secret in it.
        error.request = masked_request(error.request, _secrets(call, exchange))
    return _bare(error)


def redacted(response: Response, call: Call, exchange: Exchange) -> Response:
    """Return the response with every secret of the call masked, should the server repeat one."""
    return masked(response, _secrets(call, exchange))


def _secrets(call: Call, exchange: Exchange) -> list[str]:
    return [
        *call.account.credentials.secrets,
        *secrets_in(call.options.headers, call.url),
        *secrets_in(exchange.session_headers_for(call.url), ""),
        *exchange.secrets,
    ]


async def _final_response(exchange: Exchange, call: Call, on_wire: Callable[[], None]) -> Response:
    headers = call.options.headers
    if not call.options.carries_credentials:
        headers = call.account.credentials.authorize(headers)
    started = time.monotonic()
    response = await exchange.get(
        call.url,
        headers,
        timeout=call.options.timeout,
        max_body_bytes=call.options.max_body_bytes,
        on_wire=on_wire,
        fresh=call.fresh,
    )
    if not 300 <= response.status_code < 400:
        return response
    # One attempt has one timeout, however many redirects it meets.
    total = call.options.timeout.total
    left = None if total is None else total - (time.monotonic() - started)
    try:
        async with asyncio.timeout(left):
            return await _followed(exchange, call, headers, response, on_wire)
    except TimeoutError:
        raise APITimeoutError(
            f"No complete response within {total} s", request=response.request
        ) from None


async def _followed(
    exchange: Exchange,
    call: Call,
    headers: Mapping[str, str],
    response: Response,
    on_wire: Callable[[], None],
) -> Response:
    url = call.url
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
