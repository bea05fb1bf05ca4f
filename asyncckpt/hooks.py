"""Defines the events of a client, and calls the hooks that receive them.

A hook is a function. It is called with a record of each event, in the event loop and in the task in
which the event happens::

    def log_retries(event: hooks.Event) -> None:
        if isinstance(event, hooks.RetryScheduled):
            print(f"{event.error}; attempt {event.attempt + 1} in {event.delay:.1f} s")


    client = AsyncClient(hooks=log_retries)

The records contain no header, body or credential, and no query parameter that the API does not
define. Text that a server sent is masked and cut as in errors.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Final, Literal, TypeAlias, cast

import attrs

from asyncckpt.errors import APIError

__all__ = [
    "CallEvent",
    "CallFailed",
    "Event",
    "Hook",
    "PaceChanged",
    "PageDelivered",
    "Paused",
    "RequestCancelled",
    "RequestEvent",
    "RequestFailed",
    "RequestStarted",
    "ResponseReceived",
    "RetryScheduled",
    "StreamEnded",
    "StreamEvent",
    "StreamStarted",
]

_log: Final = logging.getLogger("asyncckpt")


@attrs.frozen(kw_only=True)
class CallEvent:
    """Base class of the events of a call, which is one request with its retries and redirects.

    Attributes:
        call_id: The number of the call; all its events have the same.
        path_template: The path of the URL with the names of ids in place of ids, such as
            ``/v1/fine_tuning/jobs/{fine_tuning_job_id}/checkpoints``.
        fine_tuning_job_id: The job in the path; None if there is no job in it.
        stream_id: The stream that makes the call; None if no stream does.
    """

    call_id: int
    stream_id: int | None
    path_template: str
    fine_tuning_job_id: str | None


@attrs.frozen(kw_only=True)
class RequestEvent(CallEvent):
    """Base class of the events of one request.

    Attributes:
        method: The HTTP method, always ``GET``.
        url: The URL. The values of query parameters that the API does not define are masked.
        attempt: The number of the attempt; the first is 1. A redirect belongs to its attempt.
        resend_count: How many requests of the call were sent before, for retries and redirects.
        waited: Total seconds that the call has waited before the request, for the rate limiter,
            for a key and between retries.
    """

    method: str
    url: str
    attempt: int
    resend_count: int
    waited: float


@attrs.frozen(kw_only=True)
class RequestStarted(RequestEvent):
    """A request is about to be sent.

    Exactly one `ResponseReceived`, `RequestFailed` or `RequestCancelled` follows, in the same task.
    """


@attrs.frozen(kw_only=True)
class ResponseReceived(RequestEvent):
    """A response was received, with any status.

    Attributes:
        status_code: The HTTP status code.
        request_id: The server's id for the request; None if it sent none.
        size: The bytes of the decompressed body.
        duration: Seconds from the start of the request to the end of the body.
    """

    status_code: int
    request_id: str | None
    size: int
    duration: float


@attrs.frozen(kw_only=True)
class RequestFailed(RequestEvent):
    """A request got no response, or not a complete one.

    Attributes:
        error: An `APIConnectionError`, such as an `APITimeoutError`; RuntimeError if the client was
            closed.
        duration: Seconds from the start of the request.
    """

    error: Exception
    duration: float


@attrs.frozen(kw_only=True)
class RequestCancelled(RequestEvent):
    """A request was cancelled, for example because the consumer left an iteration.

    Attributes:
        duration: Seconds from the start of the request.
    """

    duration: float


RetryReason: TypeAlias = Literal["backoff", "rate_limit", "retry_after", "new_key"]


@attrs.frozen(kw_only=True)
class RetryScheduled(CallEvent):
    """A call is sent again after a delay.

    Attributes:
        error: The error of the last attempt.
        attempt: The number of the last attempt.
        delay: Seconds until the next one. After it, the call may have to wait for the rate limiter.
        reason: Where the delay comes from. ``"backoff"``: the number of retries.
            ``"rate_limit"``: the number of consecutive 429. ``"retry_after"``: the server.
            ``"new_key"``: there is no delay, because the `api_key` callable returned another key.
        retries: How many retries the call has used, of `max_retries`. Some waits for the rate limit
            do not use one.
        max_retries: The highest number of retries.
    """

    error: APIError
    attempt: int
    delay: float
    reason: RetryReason
    retries: int
    max_retries: int


PauseReason: TypeAlias = Literal["pace", "server", "api_key"]


@attrs.frozen(kw_only=True)
class Paused(CallEvent):
    """A call has waited before it was sent.

    Attributes:
        duration: Seconds that it waited.
        reason: What for. ``"pace"``: its turn, at the pace of the rate limiter. ``"server"``: a
            server that refuses requests, or whose quota is used up, so that all calls of the client
            wait. ``"api_key"``: the `api_key` callable.
    """

    duration: float
    reason: PauseReason


@attrs.frozen(kw_only=True)
class CallFailed(CallEvent):
    """A call failed, and raises its error. The caller may still handle it.

    Attributes:
        error: The error: an `APIError`, RuntimeError if the client is closed, or any exception of
            an `api_key` callable.
        attempts: The number of attempts; 0 if nothing was sent.
        duration: Seconds from the start of the call.
    """

    error: Exception
    attempts: int
    duration: float


@attrs.frozen(kw_only=True)
class PaceChanged:
    """The client sends faster or slower than before, by a tenth at least.

    Attributes:
        before: Requests per second that the client sent at most; 0.0 while the server refuses
            requests; None if nothing limited them.
        after: The same from now on.
    """

    before: float | None
    after: float | None


@attrs.frozen(kw_only=True)
class StreamEvent:
    """Base class of the events of a stream, such as a `Pager` or a `FanIn`.

    Attributes:
        stream_id: The number of the iteration; all its events have the same.
        operation: The method that returned the stream, such as
            ``fine_tuning.jobs.checkpoints.list``.
        fine_tuning_job_id: The job; None if the stream or page is not of one job.
    """

    stream_id: int
    operation: str
    fine_tuning_job_id: str | None


@attrs.frozen(kw_only=True)
class StreamStarted(StreamEvent):
    """An iteration asked for its first record or page.

    Hooks receive this event in the `contextvars` context in which the stream sends its requests. So
    a hook can set a context variable here: the hooks of these requests see it, and the code that
    iterates does not.
    """


@attrs.frozen(kw_only=True)
class PageDelivered(StreamEvent):
    """A page was handed to the consumer.

    Attributes:
        number: The number of the page in the iteration; the first is 1.
        records: The number of its records.
    """

    number: int
    records: int


Outcome: TypeAlias = Literal["exhausted", "closed", "cancelled", "failed"]


@attrs.frozen(kw_only=True)
class StreamEnded(StreamEvent):
    """An iteration has ended, and everything it used is released.

    Attributes:
        outcome: ``"exhausted"``: it reached its end, or `max_records`. ``"closed"``: the consumer
            left it or closed it. ``"cancelled"``: the consumer's task was cancelled.
            ``"failed"``: it raised `error`.
        error: The error; None unless it failed.
        pages: The number of pages that were handed to the consumer.
        records: The number of their records.
        duration: Seconds from the start of the iteration.
    """

    outcome: Outcome
    error: BaseException | None
    pages: int
    records: int
    duration: float


Event: TypeAlias = (
    RequestStarted
    | ResponseReceived
    | RequestFailed
    | RequestCancelled
    | RetryScheduled
    | Paused
    | CallFailed
    | PaceChanged
    | StreamStarted
    | PageDelivered
    | StreamEnded
)
"""Any event."""

Hook: TypeAlias = Callable[[Event], object]
"""Receives events. It must not block; its result is ignored."""


current_stream: Final[ContextVar[int | None]] = ContextVar("current_stream", default=None)
"""The `stream_id` of the innermost stream that the running code works for."""


class Hooks:
    """Calls hooks.

    Args:
        hooks: The hooks, which are called in this order.
    """

    def __init__(self, hooks: Sequence[Hook]) -> None:
        self._hooks = tuple(hooks)
        self._has_failed = [False] * len(self._hooks)

    def emit(self, event: Event) -> None:
        """Call all hooks with an event.

        An exception of a hook is logged, the first time with its traceback and then no more. The
        other hooks are called, and the hook itself receives later events.
        """
        outer = sys.exception()
        for number, hook in enumerate(self._hooks):
            try:
                hook(event)
            except Exception as error:
                if not self._has_failed[number]:
                    self._has_failed[number] = True
                    _log_failure(hook, event, error, outer)


def _log_failure(hook: Hook, event: Event, error: Exception, outer: BaseException | None) -> None:
    # What the package was handling is not the hook's, and error reports would show its variables.
    last: BaseException = error
    while last.__context__ is not None and last.__context__ is not outer:
        last = last.__context__
    last.__context__ = None
    _log.error(
        "the hook %s raised an exception at a %s event; later exceptions of it are not logged",
        getattr(hook, "__qualname__", type(hook).__qualname__),
        type(event).__name__,
        exc_info=error,
    )


def hooks_from(hooks: Hook | Sequence[Hook] | None) -> Hooks | None:
    """Check the `hooks` of a client.

    Returns:
        The hooks; None if there are none.

    Raises:
        TypeError: `hooks` is neither a callable nor a sequence of callables, or one is async.
    """
    if hooks is None:
        return None
    given: object = hooks
    if callable(given):
        given = (given,)
    if isinstance(given, str | bytes) or not isinstance(given, Sequence):
        raise TypeError(
            f"hooks must be a callable or a sequence of callables, not {type(given).__name__}"
        )
    for hook in cast("Sequence[object]", given):
        if not callable(hook):
            raise TypeError(f"hooks must be callables, not {type(hook).__name__}")
        if inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(type(hook).__call__):
            raise TypeError(
                "hooks must not be async: nothing would await them; start a task in the hook, or "
                "put the event into an asyncio.Queue with put_nowait()"
            )
    checked = cast("Sequence[Hook]", given)
    return Hooks(checked) if checked else None
