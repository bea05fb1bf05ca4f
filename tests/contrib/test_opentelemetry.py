"""Spans and metrics of a client, with the exporters of the SDK over a sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import aiohttp
import attrs
import pytest
from opentelemetry import context, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.semconv.attributes import (
    error_attributes,
    http_attributes,
    server_attributes,
    url_attributes,
)
from opentelemetry.semconv.metrics import http_metrics
from opentelemetry.trace import SpanKind, StatusCode

from asyncckpt import (
    APIConnectionError,
    APIError,
    AsyncClient,
    FineTuningJobCheckpoint,
    InternalServerError,
    Pager,
)
from asyncckpt.contrib.opentelemetry import OpenTelemetryHook
from asyncckpt.testing import Sandbox, faults, limiters

from support.listing import list_ids
from support.secrets import KEY, Keys
from support.turns import until

pytestmark = pytest.mark.usefixtures("short_backoff")

LIST = "fine_tuning.jobs.checkpoints.list"
GET = "GET /v1/fine_tuning/jobs/{fine_tuning_job_id}/checkpoints"


@attrs.define
class Telemetry:
    """Providers that keep what they receive."""

    exporter: InMemorySpanExporter = attrs.field(factory=InMemorySpanExporter)
    tracer_provider: TracerProvider = attrs.field(factory=TracerProvider)
    reader: InMemoryMetricReader = attrs.field(factory=InMemoryMetricReader)
    hook: OpenTelemetryHook = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.hook = OpenTelemetryHook(
            tracer_provider=self.tracer_provider, meter_provider=MeterProvider([self.reader])
        )

    @property
    def tracer(self) -> trace.Tracer:
        return self.tracer_provider.get_tracer("test")

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended, in the order of their start."""
        return sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span

    def children_of(self, parent: ReadableSpan) -> list[ReadableSpan]:
        return [span for span in self.spans if parent_of(span) == id_of(parent)]

    def points(self, name: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def total(self, name: str, **attributes: object) -> float:
        """The sum of the values of a counter, or of the counts of a histogram."""
        return sum(
            point.value if hasattr(point, "value") else point.count
            for point in self.points(name)
            if attributes.items() <= last_parts_of(point.attributes).items()
        )

    def check(self) -> None:
        """Check that everything has ended, and every parent was kept."""
        assert vars(self.hook)["_requests"] == {}
        assert vars(self.hook)["_streams"] == {}
        assert not trace.get_current_span().get_span_context().is_valid


def last_parts_of(attributes: Mapping[str, object]) -> dict[str, object]:
    return {name.rpartition(".")[2]: value for name, value in attributes.items()}


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.span_id


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def attributes_of(span: ReadableSpan) -> Mapping[str, Any]:
    return span.attributes or {}


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
async def client(sandbox: Sandbox, leaks: None, telemetry: Telemetry) -> AsyncIterator[AsyncClient]:
    async with sandbox.client(hooks=telemetry.hook) as opened:
        yield opened
    telemetry.check()


def pager_of(client: AsyncClient, sandbox: Sandbox) -> Pager[FineTuningJobCheckpoint]:
    return client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0])


# Spans.


async def test_a_list_is_the_parent_of_its_requests(
    sandbox: Sandbox, client: AsyncClient, telemetry: Telemetry
) -> None:
    with telemetry.tracer.start_as_current_span("caller") as caller:
        async for _ in pager_of(client, sandbox):
            assert trace.get_current_span() is caller
    stream = telemetry.one(LIST)
    assert parent_of(stream) == caller.get_span_context().span_id
    assert stream.kind is SpanKind.INTERNAL
    assert stream.status.status_code is StatusCode.UNSET
    assert attributes_of(stream) == {
        "asyncckpt.operation": LIST,
        "asyncckpt.fine_tuning_job_id": sandbox.job_ids[0],
        "asyncckpt.outcome": "exhausted",
        "asyncckpt.pages": 3,
        "asyncckpt.records": 30,
    }
    requests = telemetry.children_of(stream)
    assert [request.name for request in requests] == [GET] * 3
    assert all(request.kind is SpanKind.CLIENT for request in requests)
    assert stream.end_time is not None
    assert all((request.end_time or 0) <= stream.end_time for request in requests)


async def test_a_request_has_the_attributes_of_the_conventions(
    sandbox: Sandbox, client: AsyncClient, telemetry: Telemetry
) -> None:
    job = sandbox.job_ids[0]
    await client.fine_tuning.jobs.retrieve(job)
    (span,) = telemetry.spans
    attributes = dict(attributes_of(span))
    assert str(attributes.pop("asyncckpt.request_id")).startswith("req_")
    assert attributes == {
        http_attributes.HTTP_REQUEST_METHOD: "GET",
        http_attributes.HTTP_RESPONSE_STATUS_CODE: 200,
        server_attributes.SERVER_ADDRESS: "127.0.0.1",
        server_attributes.SERVER_PORT: int(sandbox.origin.rpartition(":")[2]),
        url_attributes.URL_FULL: f"{sandbox.base_url}/fine_tuning/jobs/{job}",
        "url.template": "/v1/fine_tuning/jobs/{fine_tuning_job_id}",
        "asyncckpt.fine_tuning_job_id": job,
    }
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "asyncckpt"
    assert "schemas" in (span.instrumentation_scope.schema_url or "")


async def test_an_awaited_page_is_a_child_of_the_current_span(
    sandbox: Sandbox, client: AsyncClient, telemetry: Telemetry
) -> None:
    with telemetry.tracer.start_as_current_span("caller") as caller:
        await pager_of(client, sandbox)
        assert trace.get_current_span() is caller
    assert parent_of(telemetry.one(GET)) == caller.get_span_context().span_id


async def test_a_retry_is_a_span_of_its_own(
    sandbox: Sandbox, client: AsyncClient, telemetry: Telemetry
) -> None:
    sandbox.inject(faults.Status(503))
    sandbox.inject(faults.Reset("headers"))
    await list_ids(client, sandbox.job_ids[0], max_records=10)
    first, second, third = telemetry.children_of(telemetry.one(LIST))
    assert attributes_of(first)[error_attributes.ERROR_TYPE] == "503"
    assert attributes_of(second)[error_attributes.ERROR_TYPE] == "APIConnectionError"
    assert error_attributes.ERROR_TYPE not in attributes_of(third)
    resent = [
        attributes_of(span).get(http_attributes.HTTP_REQUEST_RESEND_COUNT)
        for span in (first, second, third)
    ]
    assert resent == [None, 1, 2]
    statuses = [span.status.status_code for span in (first, second, third)]
    assert statuses == [StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET]
    # A status code says enough.
    assert first.status.description is None
    assert "Connection error" in (second.status.description or "")
    assert attributes_of(third)["asyncckpt.waited"] > 0


async def test_a_redirect_is_a_span_of_its_own(
    sandbox: Sandbox, client: AsyncClient, telemetry: Telemetry
) -> None:
    job = sandbox.job_ids[0]
    target = f"{sandbox.base_url}/fine_tuning/jobs/{job}?token=secret"
    sandbox.inject(faults.Redirect(location=target))
    await client.fine_tuning.jobs.retrieve(job)
    first, second = telemetry.spans
    assert attributes_of(first)["http.response.status_code"] == 307
    assert first.status.status_code is StatusCode.UNSET
    assert attributes_of(second)["url.full"].endswith("?token=REDACTED")
    assert attributes_of(second)["http.request.resend_count"] == 1


async def test_a_stream_of_many_jobs_is_the_parent_of_all_that_it_sends(
    sandbox: Sandbox, client: AsyncClient, telemetry: Telemetry
) -> None:
    jobs = client.fine_tuning.jobs
    async for _ in jobs.checkpoints.list_many(jobs.list(), concurrency=5):
        pass
    outer = telemetry.one("fine_tuning.jobs.checkpoints.list_many")
    inner = telemetry.one("fine_tuning.jobs.list")
    assert parent_of(inner) == id_of(outer)
    assert {parent_of(span) for span in telemetry.named(GET)} == {id_of(outer)}
    (listing,) = telemetry.children_of(inner)[:1]
    assert listing.name == "GET /v1/fine_tuning/jobs"


async def test_a_watch_and_a_curve_are_spans(
    sandbox: Sandbox, client: AsyncClient, telemetry: Telemetry
) -> None:
    jobs = client.fine_tuning.jobs
    job = next(job for job in sandbox.job_ids if len(sandbox.checkpoints_of(job)) == 30)
    updates = [update async for update in jobs.watch(job)]
    steps = await jobs.step_metrics(job)
    watch = telemetry.one("fine_tuning.jobs.watch")
    curve = telemetry.one("fine_tuning.jobs.step_metrics")
    assert attributes_of(watch)["asyncckpt.records"] == len(updates)
    assert attributes_of(curve)["asyncckpt.records"] == len(steps)
    for stream in (watch, curve):
        assert parent_of(stream) is None
        assert telemetry.children_of(stream)
    assert len(telemetry.spans) == 2 + sum(
        len(telemetry.children_of(stream)) for stream in (watch, curve)
    )
    assert telemetry.total("asyncckpt.records") == len(updates) + len(steps)


async def test_two_iterations_at_the_same_time_keep_their_requests_apart(
    sandbox: Sandbox, client: AsyncClient, telemetry: Telemetry
) -> None:
    await asyncio.gather(*(list_ids(client, job) for job in sandbox.job_ids[:4]))
    for stream in telemetry.named(LIST):
        job = attributes_of(stream)["asyncckpt.fine_tuning_job_id"]
        requests = telemetry.children_of(stream)
        assert {attributes_of(span)["asyncckpt.fine_tuning_job_id"] for span in requests} == {job}


# How spans end.


async def test_a_left_iteration_ends_its_spans_without_an_error(
    sandbox: Sandbox, client: AsyncClient, telemetry: Telemetry
) -> None:
    sandbox.inject(faults.Hang(), page=2)
    async with pager_of(client, sandbox) as pager:
        async for _ in pager:
            await until(lambda: sandbox.stats.in_flight)
            break
    stream = telemetry.one(LIST)
    assert attributes_of(stream)["asyncckpt.outcome"] == "closed"
    _, cancelled = telemetry.children_of(stream)
    assert attributes_of(cancelled)["error.type"] == "cancelled"
    for span in (stream, cancelled):
        assert span.status.status_code is StatusCode.UNSET


async def test_a_dropped_iteration_ends_its_spans(
    sandbox: Sandbox, client: AsyncClient, telemetry: Telemetry
) -> None:
    async for _ in pager_of(client, sandbox):
        break
    await until(lambda: telemetry.named(LIST))
    assert attributes_of(telemetry.one(LIST))["asyncckpt.outcome"] == "closed"


async def test_a_cancelled_iteration_ends_its_spans(
    sandbox: Sandbox, client: AsyncClient, telemetry: Telemetry
) -> None:
    sandbox.inject(faults.Hang())
    listing = asyncio.create_task(list_ids(client, sandbox.job_ids[0]))
    await until(lambda: sandbox.stats.in_flight)
    listing.cancel()
    await asyncio.wait([listing])
    assert attributes_of(telemetry.one(LIST))["asyncckpt.outcome"] == "cancelled"
    assert attributes_of(telemetry.one(GET))["error.type"] == "cancelled"


async def test_a_failed_iteration_ends_with_its_error(
    sandbox: Sandbox, client: AsyncClient, telemetry: Telemetry
) -> None:
    sandbox.inject(faults.Status(500), times=None)
    with pytest.raises(InternalServerError) as caught:
        async for _ in client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0], max_retries=1):
            pass
    stream = telemetry.one(LIST)
    assert stream.status.status_code is StatusCode.ERROR
    assert stream.status.description == str(caught.value)
    assert attributes_of(stream)["error.type"] == "500"
    assert attributes_of(stream)["asyncckpt.outcome"] == "failed"
    assert telemetry.total("asyncckpt.call.failures", type="500") == 1


async def test_the_exceptions_of_others_are_named_but_not_shown(
    sandbox: Sandbox, leaks: None, telemetry: Telemetry
) -> None:
    async def no_key() -> str:
        raise ValueError("a secret of the caller")

    async with sandbox.client(api_key=no_key, hooks=telemetry.hook) as client:
        with pytest.raises(ValueError, match="a secret"):
            await list_ids(client, sandbox.job_ids[0])
    stream = telemetry.one(LIST)
    assert attributes_of(stream)["error.type"] == "ValueError"
    assert stream.status.description is None
    telemetry.check()


@pytest.mark.parametrize("left_after", [1, 9, 10, 11, 29, 30])
@pytest.mark.parametrize("fault", [None, faults.Status(500), faults.Reset("headers")])
async def test_every_span_ends_wherever_the_consumer_leaves(
    left_after: int, fault: Any, sandbox: Sandbox, client: AsyncClient, telemetry: Telemetry
) -> None:
    if fault is not None:
        sandbox.inject(fault, times=2)
    seen = 0
    async with client.fine_tuning.jobs.checkpoints.list_many(sandbox.job_ids[:3]) as stream:
        async for _ in stream:
            seen += 1
            if seen == left_after:
                break
    outer = telemetry.one("fine_tuning.jobs.checkpoints.list_many")
    assert len(telemetry.children_of(outer)) == len(telemetry.spans) - 1


# Metrics.


async def test_requests_are_measured(
    sandbox: Sandbox, client: AsyncClient, telemetry: Telemetry
) -> None:
    sandbox.inject(faults.Status(503))
    sandbox.inject(faults.Reset("headers"))
    await list_ids(client, sandbox.job_ids[0])
    points = telemetry.points(http_metrics.HTTP_CLIENT_REQUEST_DURATION)
    assert sum(point.count for point in points) == 5
    assert telemetry.total("http.client.request.duration", status_code=200) == 3
    assert telemetry.total("http.client.request.duration", status_code=503, type="503") == 1
    assert telemetry.total("http.client.request.duration", type="APIConnectionError") == 1
    (ok,) = [p for p in points if p.attributes.get("http.response.status_code") == 200]
    assert dict(ok.attributes) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": int(sandbox.origin.rpartition(":")[2]),
        "url.template": "/v1/fine_tuning/jobs/{fine_tuning_job_id}/checkpoints",
    }
    assert ok.explicit_bounds[:3] == (0.005, 0.01, 0.025)
    assert telemetry.total("asyncckpt.retries", reason="backoff") == 2
    assert telemetry.total("asyncckpt.retries", type="503") == 1


async def test_pages_and_records_are_counted(
    sandbox: Sandbox, client: AsyncClient, telemetry: Telemetry
) -> None:
    await list_ids(client, sandbox.job_ids[0])
    await pager_of(client, sandbox)
    assert telemetry.total("asyncckpt.pages", operation=LIST) == 4
    assert telemetry.total("asyncckpt.records", operation=LIST) == 40
    assert telemetry.total("asyncckpt.stream.duration", outcome="exhausted") == 1


async def test_pauses_and_the_pace_are_measured(
    sandbox: Sandbox, client: AsyncClient, telemetry: Telemetry
) -> None:
    sandbox.limit(limiters.TokenBucket(rate=200, burst=5), limiters.Hints(retry_after=None))
    async for _ in client.fine_tuning.jobs.checkpoints.list_many(sandbox.job_ids):
        pass
    # A gauge is read once.
    (pace,) = telemetry.points("asyncckpt.pace")
    assert pace.value > 0
    assert telemetry.total("asyncckpt.pause.duration", reason="server") > 0


# Other instrumentations.


async def test_the_span_of_a_request_is_current_while_it_is_sent(
    sandbox: Sandbox, leaks: None, telemetry: Telemetry
) -> None:
    seen: list[tuple[str, object]] = []

    async def on_request_start(*_: object) -> None:
        span = trace.get_current_span()
        assert isinstance(span, ReadableSpan)
        suppressed = context.get_value(vars(context)["_SUPPRESS_HTTP_INSTRUMENTATION_KEY"])
        seen.append((span.name, suppressed))

    traced = aiohttp.TraceConfig()
    traced.on_request_start.append(on_request_start)
    async with sandbox.client(hooks=telemetry.hook, trace_configs=[traced]) as client:
        await list_ids(client, sandbox.job_ids[0])
    # Otherwise an instrumentation of aiohttp would count the requests as well.
    assert seen == [(GET, True)] * 3


@pytest.mark.parametrize(
    "key", ["_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY"]
)
async def test_there_are_no_spans_where_instrumentation_is_suppressed(
    key: str, sandbox: Sandbox, client: AsyncClient, telemetry: Telemetry
) -> None:
    token = context.attach(context.set_value(vars(context)[key], True))
    try:
        await list_ids(client, sandbox.job_ids[0])
        await pager_of(client, sandbox)
    finally:
        context.detach(token)
    assert telemetry.spans == []
    assert telemetry.points("http.client.request.duration") == []


async def test_it_works_without_sampling_and_without_providers(
    sandbox: Sandbox, leaks: None
) -> None:
    unsampled = Telemetry(tracer_provider=TracerProvider(sampler=ALWAYS_OFF))
    async with sandbox.client(hooks=[unsampled.hook, OpenTelemetryHook()]) as client:
        await list_ids(client, sandbox.job_ids[0])
    assert unsampled.spans == []
    assert unsampled.total("http.client.request.duration") == 3
    unsampled.check()


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "asyncckpt.contrib.opentelemetry")
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'asyncckpt\[opentelemetry\]'"):
        importlib.import_module("asyncckpt.contrib.opentelemetry")


# Secrets.

ECHO = f"the key {KEY} is wrong"

ECHOES: dict[str, Any] = {
    "401": faults.Status(401, body={"error": {"message": ECHO}}, headers={"x-request-id": KEY}),
    "500": faults.Status(500, body=ECHO),
    "redirect": faults.Redirect(location=f"/v1/{KEY.replace('/', '%2F')}?code={KEY}"),
    "request id": faults.Header("x-request-id", KEY),
    "no HTTP": faults.Header(f"bad header {KEY}", KEY),
    "cursor": faults.SetField("data.9.id", KEY),
}


def all_of(span: ReadableSpan) -> str:
    return f"{span.to_json()} {span.events!r} {span.status.description!r}"


@pytest.mark.parametrize("name", ECHOES)
async def test_spans_and_metrics_show_no_secret(
    name: str, sandbox: Sandbox, leaks: None, telemetry: Telemetry
) -> None:
    ways: Sequence[dict[str, Any]] = (
        {"api_key": KEY},
        {"api_key": Keys(KEY)},
        {"api_key": None, "default_headers": {"api-key": KEY}},
        {"api_key": "sk-1", "base_url": f"{sandbox.base_url}?code={KEY}"},
    )
    sandbox.api_key = KEY
    sandbox.inject(ECHOES[name], times=None)
    for way in ways:
        async with sandbox.client(hooks=telemetry.hook, max_retries=1, **way) as client:
            with contextlib.suppress(APIError):
                await list_ids(client, sandbox.job_ids[0])
    shown = [*map(all_of, telemetry.spans), repr(telemetry.reader.get_metrics_data())]
    assert len(shown) > 8
    planted = (KEY, KEY.replace("/", "\\/"), "sk-planted%2F9f8e7d6c%2B5b4a%3D")
    assert [text for text in shown if any(form in text for form in planted)] == []
    assert any("code=REDACTED" in text for text in shown)


async def test_a_request_that_cannot_be_sent_has_a_span(telemetry: Telemetry) -> None:
    async with AsyncClient(
        api_key="sk-1", base_url="http://127.0.0.1:1/v1", max_retries=0, hooks=telemetry.hook
    ) as client:
        with pytest.raises(APIConnectionError):
            await client.fine_tuning.jobs.retrieve("ftjob-1")
    assert attributes_of(telemetry.spans[0])["error.type"] == "APIConnectionError"
    telemetry.check()
