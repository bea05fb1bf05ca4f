"""Tells the hooks of a client what becomes of its calls.

`ObservedExchange` stands in front of the exchange of a call, whichever that is. A call of a client
without hooks does not pass through this module.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypedDict

from asyncckpt.errors import APIError, RateLimitError
from asyncckpt.hooks import (
    CallFailed,
    Hooks,
    Paused,
    PauseReason,
    RequestCancelled,
    RequestFailed,
    RequestStarted,
    ResponseReceived,
    RetryReason,
    RetryScheduled,
    current_stream,
)
from asyncckpt.messages import Request, Response
from asyncckpt.options import Timeout
from asyncckpt.protocol.failures import BodyTooLongError, printable
from asyncckpt.protocol.hints import RateLimitHints
from asyncckpt.protocol.retries import History, Retry
from asyncckpt.protocol.secrets import mask_text, masked_url, secrets_in
from asyncckpt.protocol.templates import path_template
from asyncckpt.transport.attempt import Call, failure_of, secrets_of

if TYPE_CHECKING:
    from asyncckpt.transport.exchange import Exchange

__all__ = ["CallObserver", "ObservedExchange"]

_call_ids: Final = itertools.count(1)


class _OfCall(TypedDict):
    call_id: int
    stream_id: int | None
    path_template: str
    fine_tuning_job_id: str | None


class _OfRequest(_OfCall):
    method: str
    url: str
    attempt: int
    resend_count: int
    waited: float


class CallObserver:
    """Tells the hooks what becomes of one call; a context manager around the call.

    Args:
        hooks: The hooks.
        call: The call.

    Attributes:
        attempts: The number of attempts so far, which the caller counts.
        waited: Total seconds that the call has waited, which the caller counts.
    """

    def __init__(self, hooks: Hooks, call: Call) -> None:
        self._hooks = hooks
        self._call = call
        self.attempts = 0
        self.waited = 0.0
        self._started = monotonic()
        self._sent = 0
        self._keys = call.account.credentials.secrets
        self._secrets = secrets_of(call)
        # The id of a job and the cursor may come from the server, which may send anything.
        self._url = masked_url(call.url, self._secrets)
        template, job_id = path_template(self._url)
        self._facts = _OfCall(
            call_id=next(_call_ids),
            stream_id=current_stream.get(),
            path_template=template,
            fine_tuning_job_id=job_id,
        )

    def __enter__(self) -> Self:
        """Return the observer itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Report that the call failed, if it did."""
        if isinstance(error, Exception):
            self.failed(error)

    def failed(self, error: Exception) -> None:
        """Report that the call raises an error."""
        duration = monotonic() - self._started
        self._hooks.emit(
            CallFailed(**self._facts, error=error, attempts=self.attempts, duration=duration)
        )

    def paused(self, reason: PauseReason, duration: float) -> None:
        """Report that the call waited before it was sent."""
        self._hooks.emit(Paused(**self._facts, reason=reason, duration=duration))

    def retry_scheduled(
        self, error: APIError, step: Retry, history: History, hints: RateLimitHints
    ) -> None:
        """Report that the call is sent again after an error."""
        reason: RetryReason = "backoff"
        if hints.retry_after:
            reason = "retry_after"
        elif isinstance(error, RateLimitError):
            reason = "rate_limit"
        self._retry(error, step.delay, reason, history)

    def key_renewed(self, error: APIError, history: History) -> None:
        """Report that the call is sent again with another key."""
        self._retry(error, 0.0, "new_key", history)

    def _retry(self, error: APIError, delay: float, reason: RetryReason, history: History) -> None:
        self._hooks.emit(
            RetryScheduled(
                **self._facts,
                error=error,
                attempt=self.attempts,
                delay=delay,
                reason=reason,
                retries=history.retries,
                max_retries=self._call.options.max_retries,
            )
        )

    def observed(self, exchange: Exchange) -> ObservedExchange:
        """Return an exchange that reports each request of the call."""
        return ObservedExchange(exchange, self)

    def begin_request(self, url: str, exchange: Exchange) -> _RequestObserver:
        """Report that a request is about to be sent, and return what reports its end."""
        shown, secrets = self._shown(url, exchange)
        facts = _OfRequest(
            **self._facts,
            method="GET",
            url=shown,
            attempt=self.attempts,
            resend_count=self._sent,
            waited=self.waited,
        )
        self._sent += 1
        self._hooks.emit(RequestStarted(**facts))
        return _RequestObserver(self._hooks, facts, self._call, exchange, secrets)

    def _shown(self, url: str, exchange: Exchange) -> tuple[str, list[str]]:
        """Return the URL of a request as it may be shown, and the secrets of the request."""
        of_session = [*secrets_in(exchange.session_headers_for(url), ""), *exchange.secrets]
        keys = self._call.account.credentials.secrets
        if keys != self._keys or of_session:
            self._keys = keys
            self._secrets = [*secrets_of(self._call), *of_session]
            self._url = masked_url(self._call.url, self._secrets)
        if url == self._call.url:
            return self._url, self._secrets
        # A redirect leads to a URL that the server has built.
        return mask_text(Request("GET", url).url, self._secrets), self._secrets


class _RequestObserver:
    """Tells the hooks how one request ended."""

    def __init__(
        self,
        hooks: Hooks,
        facts: _OfRequest,
        call: Call,
        exchange: Exchange,
        secrets: Iterable[str],
    ) -> None:
        self._hooks = hooks
        self._facts = facts
        self._call = call
        self._exchange = exchange
        self._secrets = secrets
        self._started = monotonic()

    def received(self, response: Response) -> None:
        """Report a response."""
        request_id = mask_text(response.request_id or "", self._secrets)
        self._hooks.emit(
            ResponseReceived(
                **self._facts,
                status_code=response.status_code,
                request_id=printable(request_id, 100) or None,
                size=len(response.content),
                duration=monotonic() - self._started,
            )
        )

    def interrupted(self, error: BaseException) -> None:
        """Report what an exchange raised in place of a response."""
        duration = monotonic() - self._started
        if isinstance(error, BodyTooLongError):
            self.received(error.response)
        elif isinstance(error, Exception):
            # Not the error itself, unless its traceback is removed: its frames have headers.
            failure = failure_of(error, self._call, self._exchange)
            self._hooks.emit(RequestFailed(**self._facts, error=failure, duration=duration))
        else:
            self._hooks.emit(RequestCancelled(**self._facts, duration=duration))


class ObservedExchange:
    """Makes requests through another exchange, and reports each of them.

    Args:
        exchange: The exchange.
        observer: The observer of the call.
    """

    def __init__(self, exchange: Exchange, observer: CallObserver) -> None:
        self._exchange = exchange
        self._observer = observer

    @property
    def is_closed(self) -> bool:
        """See `Exchange.is_closed`."""
        return self._exchange.is_closed

    @property
    def session_headers(self) -> Mapping[str, str]:
        """See `Exchange.session_headers`."""
        return self._exchange.session_headers

    @property
    def secrets(self) -> Iterable[str]:
        """See `Exchange.secrets`."""
        return self._exchange.secrets

    def session_headers_for(self, url: str) -> Mapping[str, str]:
        """See `Exchange.session_headers_for`."""
        return self._exchange.session_headers_for(url)

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
        """See `Exchange.get`."""
        request = self._observer.begin_request(url, self._exchange)
        try:
            response = await self._exchange.get(
                url,
                headers,
                timeout=timeout,
                max_body_bytes=max_body_bytes,
                on_wire=on_wire,
                fresh=fresh,
            )
        except BaseException as error:
            interruption = error
        else:
            request.received(response)
            return response
        # Outside of the `except`, so that a hook that logs the exception being handled does not log
        # one with headers in its frames.
        try:
            request.interrupted(interruption)
            raise interruption
        finally:
            # The traceback refers to this frame; this breaks the reference cycle.
            del interruption
