"""Sends a call: waits for the rate limiter, and retries transient failures."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import attrs

from asyncckpt.errors import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
)
from asyncckpt.messages import Request, Response
from asyncckpt.protocol.failures import TOO_MANY_REQUESTS, status_error, validation_error
from asyncckpt.protocol.hints import NO_HINTS, rate_limit_hints, within_reason
from asyncckpt.protocol.retries import GiveUp, History, Retry, RetryLimits, next_step
from asyncckpt.records.codec import MismatchError, TruncatedBodyError
from asyncckpt.transport.attempt import Call, make_attempt, redacted, redacted_text
from asyncckpt.transport.pacer import Ticket

if TYPE_CHECKING:
    from asyncckpt.hooks import PauseReason
    from asyncckpt.transport.exchange import Exchange
    from asyncckpt.transport.observer import CallObserver
    from asyncckpt.transport.session import SessionManager

__all__ = ["new_observer", "send"]

_T = TypeVar("_T")
_WaitedT = TypeVar("_WaitedT")

_log: Final = logging.getLogger("asyncckpt")


def send(
    session: SessionManager,
    call: Call,
    decode: Callable[[Response], _T],
    on_wire: Callable[[], None],
    *,
    through: Exchange | None = None,
    observer: CallObserver | None = None,
) -> Coroutine[object, object, _T]:
    """Send a call, and retry it until it succeeds or `next_step` decides to give up.

    Args:
        session: The session to send with.
        call: The call.
        decode: Converts a 2xx response to the result; may raise `TruncatedBodyError` or
            `MismatchError`.
        on_wire: See `OnWire` in `asyncckpt.streams.page`.
        through: The exchange to use; default: the session's.
        observer: Reports the call to the hooks of the client; default: a new one.

    Returns:
        A coroutine that returns the result of `decode`.

    Raises:
        APIError: See `asyncckpt.errors`. A note has the number of attempts if there were several.
        RuntimeError: The client is closed, or in use by another event loop.
        Exception: Any exception of an `api_key` callable.
    """
    observer = observer or new_observer(call)
    sending = _Sending(call, decode, on_wire, observer).run(session, through)
    return sending if observer is None else _observed(sending, observer)


async def _observed(sending: Coroutine[object, object, _T], observer: CallObserver) -> _T:
    with observer:
        return await sending


def new_observer(call: Call) -> CallObserver | None:
    """Return what reports a call to the hooks of the client; None if it has none."""
    hooks = call.account.hooks
    if hooks is None:
        return None
    # Most programs have no hooks.
    from asyncckpt.transport.observer import CallObserver

    return CallObserver(hooks, call)


class _Sending(Generic[_T]):
    """Sends one call, with all its attempts."""

    def __init__(
        self,
        call: Call,
        decode: Callable[[Response], _T],
        on_wire: Callable[[], None],
        observer: CallObserver | None,
    ) -> None:
        self._exchange: Exchange
        self._observer = observer
        self._call = call
        self._account = call.account
        self._decode = decode
        self._on_wire = on_wire
        self._history = History()
        self._accepted_before = call.account.gate.pacer.accepted_count
        self._hints = NO_HINTS
        self._key_version = 0
        self._has_renewed_key = False
        self._tokens_taken = 0

    async def run(self, session: SessionManager, through: Exchange | None) -> _T:
        async with session.lease() as leased:
            exchange = through or leased
            observer = self._observer
            self._exchange = exchange if observer is None else observer.observed(exchange)
            while True:
                outcome = await self._attempt()
                try:
                    result = self._decoded(outcome)
                except APIError as error:
                    failure = error.with_traceback(None)
                    # The context may contain parts of the response that are not redacted.
                    failure.__context__ = None
                else:
                    self._return_tokens()
                    return result
                try:
                    if not await self._prepare_retry(failure):
                        raise failure
                finally:
                    # The traceback refers to this frame; this breaks the reference cycle.
                    del outcome, failure

    def _decoded(self, outcome: Response | APIError) -> _T:
        if isinstance(outcome, APIError):
            raise outcome
        try:
            return self._decode(outcome)
        except TruncatedBodyError:
            raise APIConnectionError(
                "Connection error: the JSON of the body is truncated",
                request=outcome.request,
            ) from None
        except MismatchError as mismatch:
            shown = redacted(outcome, self._call, self._exchange)
            problem = redacted_text(str(mismatch), self._call, self._exchange)
            raise validation_error(shown, problem, mismatch.path) from None

    def _return_tokens(self) -> None:
        budget = self._account.retry_budget
        if budget is not None:
            budget.succeeded(self._tokens_taken)

    async def _attempt(self) -> Response | APIError:
        call, gate, credentials = self._call, self._account.gate, self._account.credentials
        if credentials.needs_key and not call.options.carries_credentials:
            await self._renew_key(credentials.version)
        ticket = gate.enter_at_once()
        if ticket is None:
            ticket = await self._wait_for_turn()
        self._history.attempts += 1
        call.counts.requests += 1
        if self._observer is not None:
            self._observer.attempts += 1
        self._key_version = credentials.version
        response = None
        try:
            attempt = await make_attempt(self._exchange, call, self._on_wire)
            response = attempt.response
        finally:
            self._report(ticket, response)
        return attempt.outcome

    def _report(self, ticket: Ticket, response: Response | None) -> None:
        gate = self._account.gate
        if response is None:
            self._hints = NO_HINTS
            gate.lost(ticket)
            return
        self._hints = rate_limit_hints(response.headers, time.time())
        hints = within_reason(self._hints)
        if response.status_code == TOO_MANY_REQUESTS:
            self._history.refusals += 1
            self._call.counts.refused += 1
            self._account.last_refusal = response
            gate.refused(ticket, hints)
        else:
            self._history.refusals = 0
            gate.accepted(ticket, hints)

    async def _prepare_retry(self, error: APIError) -> bool:
        """Wait until the call may be retried.

        Returns:
            Whether to retry. If not, notes on `error` say why.
        """
        if self._may_renew_key(error):
            self._has_renewed_key = True
            if not await self._renew_key(self._key_version):
                return self._give_up(error)
            if self._observer is not None:
                self._observer.key_renewed(error, self._history)
            return True
        step = self._next_step(error)
        if isinstance(step, GiveUp):
            return self._give_up(error, step.note)
        if not step.is_free and not self._count_retry(step):
            return self._give_up(
                error, "asyncckpt did not retry: the retry_budget of the client is used up"
            )
        self._log_retry(error, step)
        if self._observer is not None:
            self._observer.retry_scheduled(error, step, self._history, self._hints)
        if step.delay:
            self._on_wire()
            await asyncio.sleep(step.delay)
            self._count_wait(step.delay)
        return True

    def _may_renew_key(self, error: APIError) -> bool:
        return (
            isinstance(error, AuthenticationError)
            and self._account.credentials.can_renew
            and not self._call.options.carries_credentials
            and not self._has_renewed_key
        )

    def _next_step(self, error: APIError) -> Retry | GiveUp:
        options, gate = self._call.options, self._account.gate
        others_accepted = gate.pacer.accepted_count > self._accepted_before
        self._accepted_before = gate.pacer.accepted_count
        return next_step(
            error,
            self._hints,
            self._history,
            RetryLimits(options.max_retries, options.max_wait),
            others_accepted=others_accepted,
            fraction=random.random(),
        )

    def _count_retry(self, step: Retry) -> bool:
        """Count a retry, and take its tokens; return False if there are not enough tokens."""
        budget = self._account.retry_budget
        if budget is not None:
            cost = budget.TIMEOUT_RETRY_COST if step.after_timeout else budget.RETRY_COST
            if not budget.acquire(cost):
                return False
            self._tokens_taken = cost
        self._history.retries += 1
        self._call.counts.retries += 1
        return True

    def _log_retry(self, error: APIError, step: Retry) -> None:
        if not _log.isEnabledFor(logging.INFO):
            return
        reason = type(error).__name__
        if isinstance(error, APIStatusError):
            reason = f"{reason} ({error.status_code})"
        if step.is_free:
            _log.info("%s: waiting %.2f s", reason, step.delay)
        else:
            retry, max_retries = self._history.retries, self._call.options.max_retries
            _log.info("%s: retry %d of %d in %.2f s", reason, retry, max_retries, step.delay)

    async def _renew_key(self, version: int) -> bool:
        self._on_wire()
        renewal = self._account.credentials.renew(version)
        return await self._within_max_wait(renewal, _key_timeout, "api_key")

    async def _wait_for_turn(self) -> Ticket:
        """Wait until the rate limiter admits the request."""
        self._on_wire()
        gate = self._account.gate
        reason: PauseReason = "pace"
        if self._observer is not None and gate.is_pausing():
            reason = "server"
        return await self._within_max_wait(gate.enter(), self._turn_timeout, reason)

    async def _within_max_wait(
        self,
        awaited: Coroutine[object, object, _WaitedT],
        new_error: Callable[[], APIError],
        reason: PauseReason,
    ) -> _WaitedT:
        """Await a coroutine for at most the rest of `max_wait`, and count the time.

        Raises:
            APIError: The time is over; `new_error` returns the error.
            Exception: Any exception of the coroutine.
        """
        started = time.monotonic()
        limit = asyncio.timeout(self._call.options.max_wait - self._history.waited)
        try:
            async with limit:
                return await awaited
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            duration = time.monotonic() - started
            self._count_wait(duration)
            if self._observer is not None:
                self._observer.paused(reason, duration)
            # It refers to the task. If the task is cancelled, the traceback that the task keeps
            # refers to this frame; this breaks the reference cycle.
            del limit
        raise new_error()

    def _count_wait(self, seconds: float) -> None:
        self._history.waited += seconds
        self._call.counts.waited += seconds
        if self._observer is not None:
            self._observer.waited += seconds

    def _turn_timeout(self) -> APIError:
        request = Request("GET", self._call.url)
        refusal, waited = self._account.last_refusal, self._history.waited
        if refusal is None:
            return APITimeoutError(
                f"The request waited {waited:.1f} s for its turn, as long as max_wait allows",
                request=request,
            )
        shown = redacted(attrs.evolve(refusal, request=request), self._call, self._exchange)
        error = status_error(shown)
        self._give_up(
            error,
            f"asyncckpt waited {waited:.1f} s for its turn, as long as max_wait allows; this error "
            "is the last 429 that the server sent to this client",
        )
        return error

    def _give_up(self, error: APIError, note: str | None = None) -> bool:
        if self._history.attempts > 1:
            error.add_note(f"asyncckpt tried {self._history.attempts} times")
        if note is not None:
            error.add_note(note)
        return False


def _key_timeout() -> APITimeoutError:
    return APITimeoutError("The api_key callable or token provider returned no key within max_wait")
