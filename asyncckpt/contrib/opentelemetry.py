"""Traces and measures a client with OpenTelemetry. Needs the extra ``asyncckpt[opentelemetry]``.

::

    from asyncckpt import AsyncClient
    from asyncckpt.contrib.opentelemetry import OpenTelemetryHook

    client = AsyncClient(hooks=OpenTelemetryHook())

Spans and metrics follow the semantic conventions for HTTP clients, and are named ``asyncckpt.*``
where there is no convention.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Token
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import attrs

import asyncckpt
from asyncckpt.errors import APIError, APIStatusError
from asyncckpt.hooks import (
    CallFailed,
    Event,
    PaceChanged,
    PageDelivered,
    Paused,
    RequestCancelled,
    RequestEvent,
    RequestFailed,
    RequestStarted,
    ResponseReceived,
    RetryScheduled,
    StreamEnded,
    StreamStarted,
)

try:
    from opentelemetry import context as current
    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider, get_meter
    from opentelemetry.trace import (
        Span,
        SpanKind,
        StatusCode,
        TracerProvider,
        get_tracer,
        set_span_in_context,
    )
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "this needs opentelemetry-api, which is not installed: "
        "pip install 'asyncckpt[opentelemetry]'",
        name=error.name,
    ) from None

__all__ = ["OpenTelemetryHook"]

_Attributes: TypeAlias = dict[str, str | int | float]

_SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"

_BUCKETS: Final = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.075,
    0.1,
    0.25,
    0.5,
    0.75,
    1,
    2.5,
    5,
    7.5,
    10,
)
"""The boundaries that the conventions recommend for durations of requests, in seconds."""

_SUPPRESSING: Final = [
    key
    for name in ("_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY")
    if isinstance(key := getattr(current, name, None), str)
]
"""The keys with which instrumentations are told to do nothing; the API has no public name yet."""


@attrs.frozen
class _Request:
    """A request that has no response yet."""

    span: Span
    attributes: _Attributes
    context: Context
    token: Token[Context]


class OpenTelemetryHook:
    """A hook that makes spans and metrics.

    Each stream (`list`, `list_many` and others) becomes a span that ends with the iteration. It is
    a child of the span in which the iteration started. Each request becomes a client span. It is a
    child of the span of its stream, also if it was sent ahead of the consumer. A retry is a span of
    its own.

    Instrumentations of aiohttp make no spans for the same requests.

    Args:
        tracer_provider: Where spans go; default: the global provider.
        meter_provider: Where measurements go; default: the global provider.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        scope = "asyncckpt", asyncckpt.__version__
        self._tracer = get_tracer(*scope, tracer_provider, schema_url=_SCHEMA_URL)
        meter = get_meter(*scope, meter_provider, schema_url=_SCHEMA_URL)
        self._requests: dict[int, _Request] = {}
        self._streams: dict[int, Span] = {}
        self._request_duration = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._stream_duration = meter.create_histogram(
            "asyncckpt.stream.duration", "s", "Duration of the iterations of streams."
        )
        self._pause_duration = meter.create_histogram(
            "asyncckpt.pause.duration",
            "s",
            "How long calls waited before they were sent.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._retries = meter.create_counter("asyncckpt.retries", "{retry}", "Requests sent again.")
        self._failures = meter.create_counter(
            "asyncckpt.call.failures", "{call}", "Calls that raised an error."
        )
        self._pages = meter.create_counter("asyncckpt.pages", "{page}", "Pages delivered.")
        self._records = meter.create_counter("asyncckpt.records", "{record}", "Records delivered.")
        self._pace = meter.create_gauge(
            "asyncckpt.pace", "{request}/s", "Requests per second that the client sends at most."
        )

    def __call__(self, event: Event) -> None:
        """Receive an event."""
        match event:
            case RequestStarted():
                self._begin_request(event)
            case ResponseReceived():
                self._end_with_response(event)
            case RequestFailed():
                self._end_with_error(event)
            case RequestCancelled():
                self._end_request(event.call_id, event.duration, {"error.type": "cancelled"})
            case StreamStarted():
                self._begin_stream(event)
            case StreamEnded():
                self._end_stream(event)
            case RetryScheduled():
                failure = _failure(event, event.error)
                self._retries.add(1, failure | {"asyncckpt.reason": event.reason})
            case CallFailed():
                self._failures.add(1, _failure(event, event.error))
            case Paused():
                self._pause_duration.record(event.duration, {"asyncckpt.reason": event.reason})
            case PageDelivered():
                operation = {"asyncckpt.operation": event.operation}
                self._pages.add(1, operation)
                self._records.add(event.records, operation)
            case PaceChanged():
                # While the server refuses requests, pauses say so; a gauge of 0 would stay if the
                # pace is not limited afterwards.
                if event.after:
                    self._pace.set(event.after)

    def _begin_request(self, event: RequestStarted) -> None:
        if _is_suppressed():
            return
        attributes = _request_attributes(event)
        details: _Attributes = {"url.full": event.url.replace("***", "REDACTED")}
        if event.resend_count:
            details["http.request.resend_count"] = event.resend_count
        if event.fine_tuning_job_id is not None:
            details["asyncckpt.fine_tuning_job_id"] = event.fine_tuning_job_id
        if event.waited:
            details["asyncckpt.waited"] = event.waited
        span = self._tracer.start_span(
            f"{event.method} {event.path_template}",
            kind=SpanKind.CLIENT,
            attributes=attributes | details,
        )
        context = set_span_in_context(span)
        for key in _SUPPRESSING:
            # Otherwise an instrumentation of aiohttp would count the request as well.
            context = current.set_value(key, True, context)
        token = current.attach(context)
        self._requests[event.call_id] = _Request(span, attributes, context, token)

    def _end_with_response(self, event: ResponseReceived) -> None:
        outcome: _Attributes = {"http.response.status_code": event.status_code}
        is_error = event.status_code >= 400
        if is_error:
            outcome["error.type"] = str(event.status_code)
        details: _Attributes = {}
        if event.request_id is not None:
            details["asyncckpt.request_id"] = event.request_id
        self._end_request(event.call_id, event.duration, outcome, details, is_error=is_error)

    def _end_with_error(self, event: RequestFailed) -> None:
        outcome: _Attributes = {"error.type": _error_type(event.error)}
        self._end_request(event.call_id, event.duration, outcome, error=event.error)

    def _end_request(
        self,
        call_id: int,
        duration: float,
        outcome: _Attributes,
        details: Mapping[str, str | int | float] | None = None,
        *,
        is_error: bool = False,
        error: Exception | None = None,
    ) -> None:
        request = self._requests.pop(call_id, None)
        if request is None:
            return
        if current.get_current() is request.context:
            # A coroutine that is closed when the event loop ends may run in another context.
            current.detach(request.token)
        self._request_duration.record(
            duration, request.attributes | outcome, set_span_in_context(request.span)
        )
        request.span.set_attributes({**outcome, **(details or {})})
        if is_error or error is not None:
            request.span.set_status(StatusCode.ERROR, _description(error))
        request.span.end()

    def _begin_stream(self, event: StreamStarted) -> None:
        if _is_suppressed():
            return
        attributes: _Attributes = {"asyncckpt.operation": event.operation}
        if event.fine_tuning_job_id is not None:
            attributes["asyncckpt.fine_tuning_job_id"] = event.fine_tuning_job_id
        span = self._tracer.start_span(event.operation, attributes=attributes)
        self._streams[event.stream_id] = span
        # The event comes in the context of the stream, which ends with it.
        current.attach(set_span_in_context(span))

    def _end_stream(self, event: StreamEnded) -> None:
        outcome: _Attributes = {"asyncckpt.outcome": event.outcome}
        if event.error is not None:
            outcome["error.type"] = _error_type(event.error)
        operation: _Attributes = {"asyncckpt.operation": event.operation}
        if not event.pages:
            # Records that come in no page.
            self._records.add(event.records, operation)
        span = self._streams.pop(event.stream_id, None)
        context = None if span is None else set_span_in_context(span)
        self._stream_duration.record(event.duration, operation | outcome, context)
        if span is None:
            return
        span.set_attributes(
            {**outcome, "asyncckpt.pages": event.pages, "asyncckpt.records": event.records}
        )
        if event.error is not None:
            span.set_status(StatusCode.ERROR, _description(event.error))
        span.end()


def _is_suppressed() -> bool:
    return any(current.get_value(key) for key in _SUPPRESSING)


def _request_attributes(event: RequestEvent) -> _Attributes:
    parts = urlsplit(event.url)
    return {
        "http.request.method": event.method,
        "server.address": parts.hostname or "",
        "server.port": parts.port or (443 if parts.scheme == "https" else 80),
        "url.template": event.path_template,
    }


def _failure(event: RetryScheduled | CallFailed, error: Exception) -> _Attributes:
    return {"url.template": event.path_template, "error.type": _error_type(error)}


def _error_type(error: BaseException) -> str:
    return str(error.status_code) if isinstance(error, APIStatusError) else type(error).__qualname__


def _description(error: BaseException | None) -> str | None:
    # Exceptions of other packages may contain secrets.
    return str(error) if isinstance(error, APIError) else None
