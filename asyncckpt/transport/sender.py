"""When a request is sent, and how often: at the server's pace, and again if that may help."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import attrs

from asyncckpt.counts import RequestCounts
from asyncckpt.errors import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    RateLimitError,
)
from asyncckpt.messages import Request, Response
from asyncckpt.options import RequestOptions
from asyncckpt.protocol.failures import (
    TOO_MANY_REQUESTS,
    BodyTooLongError,
    status_error,
    validation_error,
)
from asyncckpt.protocol.hints import rate_limit_hints, within_reason
from asyncckpt.protocol.redirects import MAX_REDIRECTS, redirect_of
from asyncckpt.protocol.retries import retry_delay
from asyncckpt.protocol.secrets import masked, secrets_in
from asyncckpt.records.codec import CutBodyError, MismatchError
from asyncckpt.transport.credentials import Credentials
from asyncckpt.transport.gate import Gate
from asyncckpt.transport.pacer import Ticket
from asyncckpt.transport.retry_budget import RetryBudget

if TYPE_CHECKING:
    from asyncckpt.transport.exchange import Exchange
    from asyncckpt.transport.session import SessionManager

__all__ = ["PUBLIC_HEADERS", "Account", "Call", "RequestCounts", "Sender"]

_T = TypeVar("_T")
_WaitedT = TypeVar("_WaitedT")

_log: Final = logging.getLogger("asyncckpt")

PUBLIC_HEADERS: Final[Mapping[str, str]] = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": "asyncckpt",
}
"""The headers of every request; all that another origin gets to see after a redirect."""


@attrs.define
class Account:
    """One set of credentials at one server, and what the client has learnt of that server.

    Attributes:
        credentials: The API key.
        gate: What every request of the account goes through.
        retry_budget: What all retries of the account are paid from; None for no bound.
        last_refusal: The last answer that said 429.
    """

    credentials: Credentials
    gate: Gate
    retry_budget: RetryBudget | None
    last_refusal: Response | None = None


@attrs.define
class Call:
    """One request as it is to be made, however many attempts it takes."""

    url: str = attrs.field(repr=False)
    account: Account = attrs.field(repr=False)
    options: RequestOptions
    counts: RequestCounts


class Sender:
    """Sends calls through a session manager.

    Args:
        session: What makes the single requests.
    """

    def __init__(self, session: SessionManager) -> None:
        self._session = session

    def send(
        self,
        call: Call,
        decode: Callable[[Response], _T],
        on_wire: Callable[[], None],
    ) -> Coroutine[object, object, _T]:
        """Send a call until it succeeds, or nothing more can be done for it.

        Args:
            call: What to ask for.
            decode: Makes of a success what the caller wants; may raise `CutBodyError`.
            on_wire: Called when the request is on the wire, or has to wait before it can be.

        Returns:
            To be awaited: what `decode` returned.

        Raises:
            APIError: See `asyncckpt.errors`; a note on it says how often it was tried.
            RuntimeError: The client is closed, or in use by another event loop.
            Exception: What an `api_key` callable raises.
        """
        return self._session.run(_Sending(call, decode, on_wire).run)


class _Sending(Generic[_T]):
    """One call under way, with all its attempts."""

    def __init__(
        self, call: Call, decode: Callable[[Response], _T], on_wire: Callable[[], None]
    ) -> None:
        self._call = call
        self._decode = decode
        self._account = call.account
        self._on_wire = on_wire
        self._attempts = 0
        self._retries = 0
        self._waited = 0.0
        self._paid = 0
        self._is_out_of_budget = False
        self._has_waited_too_long = False
        self._key: str | None = None
        self._session_headers: Mapping[str, str] = {}
        self._began = 0.0
        self._has_asked_again = False
        self._others_accepted = False
        self._was_told_when = False

    async def run(self, exchange: Exchange) -> _T:
        self._session_headers = exchange.session_headers
        while True:
            try:
                result = self._decoded(await self._attempt(exchange))
            except APIError as caught:
                error = caught
            else:
                self._settle_with_budget()
                return result
            try:
                if not await self._is_worth_another(error):
                    raise self._presentable(error)
                _log.debug("trying again (retry %d) after %s", self._retries, type(error).__name__)
            finally:
                # What leaves refers to this frame, in which nothing unmasked may stay.
                del error

    async def _attempt(self, exchange: Exchange) -> Response:
        gate, credentials = self._account.gate, self._account.credentials
        # Headers that authenticate by themselves are for another provider than the key may be.
        if not self._call.options.carries_credentials:
            self._key = credentials.known or await self._ask_for_key()
        self._began = time.monotonic()
        ticket = gate.enter_at_once()
        if ticket is None:
            ticket = await self._wait_for_turn()
        self._attempts += 1
        self._call.counts.requests += 1
        accepted_before = gate.pacer.accepted_count
        problem = None
        try:
            response = await self._get(exchange, self._call.url, self._headers())
            if 300 <= response.status_code < 400:
                response = await self._follow_redirects(exchange, response)
        except BodyTooLongError as error:
            response, problem = error.response, str(error)
        except BaseException as error:
            gate.lost(ticket)
            if isinstance(error, asyncio.CancelledError | RuntimeError):
                # The frames below hold the headers, and a timeout of the caller's refers to them.
                error.with_traceback(None)
            raise
        self._report(ticket, response)
        self._others_accepted = gate.pacer.accepted_count > accepted_before
        if not 200 <= response.status_code < 300:
            raise status_error(response)
        if problem is not None:
            raise validation_error(self._masked(response), problem, "$")
        return response

    def _decoded(self, response: Response) -> _T:
        try:
            return self._decode(response)
        except CutBodyError:
            raise APIConnectionError(
                "Connection error: the body ends in the middle of its JSON",
                request=response.request,
            ) from None
        except MismatchError as error:
            raise validation_error(self._masked(response), str(error), error.path) from None

    async def _ask_for_key(self) -> str | None:
        credentials = self._account.credentials
        if not credentials.can_be_asked:
            return None
        self._on_wire()
        return await self._within_max_wait(credentials.current(), _gave_no_key)

    async def _within_max_wait(
        self, awaited: Coroutine[object, object, _WaitedT], too_long: Callable[[], APIError]
    ) -> _WaitedT:
        """What is awaited, for as long as `max_wait` still allows; the time is counted.

        Raises:
            APIError: What `too_long` returned, when the time was up.
            Exception: Whatever is awaited raises.
        """
        began = time.monotonic()
        limit = asyncio.timeout(self._call.options.max_wait - self._waited)
        try:
            async with limit:
                return await awaited
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            self._count_wait(time.monotonic() - began)
            # It knows its task, and a task that is cancelled keeps the traceback and this frame.
            del limit
        raise too_long()

    async def _wait_for_turn(self) -> Ticket:
        """Wait until the pace of the whole client lets this request through."""
        self._on_wire()
        try:
            return await self._within_max_wait(self._account.gate.enter(), self._waited_too_long)
        finally:
            self._began = time.monotonic()

    def _headers(self) -> Mapping[str, str]:
        headers = self._call.options.headers
        if self._key is None:
            return headers
        return {**headers, "Authorization": f"Bearer {self._key}"}

    def _get(
        self, exchange: Exchange, url: str, headers: Mapping[str, str]
    ) -> Coroutine[object, object, Response]:
        options = self._call.options
        return exchange.get(
            url,
            headers,
            timeout=options.timeout,
            max_body_bytes=options.max_body_bytes,
            on_wire=self._on_wire,
        )

    async def _follow_redirects(self, exchange: Exchange, response: Response) -> Response:
        """Where the redirects lead to; one attempt has one timeout, however many there are."""
        total = self._call.options.timeout.total
        left = None if total is None else total - (time.monotonic() - self._began)
        request = response.request
        try:
            async with asyncio.timeout(left):
                return await self._redirected(exchange, response)
        except TimeoutError:
            raise APITimeoutError(f"No complete answer within {total} s", request=request) from None

    async def _redirected(self, exchange: Exchange, response: Response) -> Response:
        url, headers = self._call.url, self._headers()
        for redirects in itertools.count():
            redirect = redirect_of(url, response.status_code, response.headers)
            if redirect is None:
                return response
            if redirects == MAX_REDIRECTS:
                break
            if not redirect.same_origin:
                headers = PUBLIC_HEADERS
                self._check_session_may_leave(response.request)
            url = redirect.url
            response = await self._get(exchange, url, headers)
        raise APIConnectionError(
            f"Redirected more than {MAX_REDIRECTS} times",
            request=response.request,
            is_final=True,
        )

    def _check_session_may_leave(self, request: Request) -> None:
        if secrets_in(self._session_headers, ""):
            raise APIConnectionError(
                "Redirected to another origin, which would be sent the headers or auth of the "
                "session that was lent: lend one without, and give default_headers to the client",
                request=request,
                is_final=True,
            )

    def _report(self, ticket: Ticket, response: Response) -> None:
        hints = within_reason(rate_limit_hints(response.headers, time.time()))
        if response.status_code == TOO_MANY_REQUESTS:
            self._call.counts.refused += 1
            self._was_told_when = hints.retry_after is not None or hints.reset is not None
            self._account.last_refusal = self._masked(response)
            self._account.gate.refused(ticket, hints)
        else:
            self._account.gate.accepted(ticket, hints)

    async def _is_worth_another(self, error: APIError) -> bool:
        """Whether to try again; when this returns, all waiting is done."""
        if isinstance(error, AuthenticationError) and self._key and not self._has_asked_again:
            self._has_asked_again = True
            renewing = self._account.credentials.renew(self._key)
            return await self._within_max_wait(renewing, _gave_no_key)
        if self._has_waited_too_long:
            return False
        delay = retry_delay(error, self._retries, fraction=random.random(), now=time.time())
        options = self._call.options
        if delay is None or not options.max_retries or delay > options.max_wait - self._waited:
            return False
        if isinstance(error, RateLimitError) and self._others_accepted:
            # Paced, not failing: the server let others of this client through meanwhile.
            return True
        if self._retries >= options.max_retries or not self._can_pay(error):
            return False
        self._retries += 1
        self._call.counts.retries += 1
        # The gate keeps to what the server said of its limit, and better than one request can.
        if not (isinstance(error, RateLimitError) and self._was_told_when):
            await self._pause(delay)
        return True

    def _can_pay(self, error: APIError) -> bool:
        """Take the price of a retry from the budget of the account."""
        budget = self._account.retry_budget
        if budget is None:
            return True
        is_timeout = isinstance(error, APITimeoutError)
        price = budget.TIMEOUT_RETRY_COST if is_timeout else budget.RETRY_COST
        if not budget.acquire(price):
            self._is_out_of_budget = True
            return False
        self._paid = price
        return True

    def _settle_with_budget(self) -> None:
        budget = self._account.retry_budget
        if budget is None:
            return
        if self._paid:
            budget.refund(self._paid)
            self._paid = 0
        else:
            budget.success()

    async def _pause(self, seconds: float) -> None:
        self._on_wire()
        await asyncio.sleep(seconds)
        self._count_wait(seconds)

    def _count_wait(self, seconds: float) -> None:
        self._waited += seconds
        self._call.counts.waited += seconds

    def _waited_too_long(self) -> APIError:
        self._has_waited_too_long = True
        request = Request("GET", self._call.url)
        refusal = self._account.last_refusal
        if refusal is None:
            return APITimeoutError(
                f"The request waited {self._waited:.1f} s for its turn, as long as max_wait allows",
                request=request,
            )
        return status_error(attrs.evolve(refusal, request=request))

    def _presentable(self, error: APIError) -> APIError:
        """The error as it leaves: nothing secret in it, nor in what it refers to."""
        if isinstance(error, APIStatusError):
            error = status_error(self._masked(error.response))
        if self._attempts > 1:
            error.add_note(f"asyncckpt tried {self._attempts} times")
        if self._has_waited_too_long and isinstance(error, APIStatusError):
            error.add_note(
                f"asyncckpt waited {self._waited:.1f} s for its turn, as long as max_wait allows; "
                "this is what the server said when it last refused a request of this client"
            )
        if self._is_out_of_budget:
            error.add_note("asyncckpt did not try again: the client's retry_budget is used up")
        # Frames below hold the headers, and error reports like to show the locals of frames.
        error.__context__ = None
        return error.with_traceback(None)

    def _masked(self, response: Response) -> Response:
        secrets = [
            *self._account.credentials.secrets,
            *secrets_in(self._call.options.headers, self._call.url),
            *secrets_in(self._session_headers, ""),
        ]
        if self._key is not None:
            # The account may have another one by now.
            secrets.append(self._key)
        return masked(response, secrets)


def _gave_no_key() -> APITimeoutError:
    return APITimeoutError("The api_key callable gave no key within max_wait")
