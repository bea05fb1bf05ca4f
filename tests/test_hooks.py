"""Hooks of a client, over a sandbox: which events they receive, and that they break nothing."""

import asyncio
import contextlib
import logging
import pickle
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from itertools import pairwise
from typing import Any, get_args

import aiohttp
import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncckpt import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    AsyncClient,
    AuthenticationError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
    hooks,
)
from asyncckpt.hooks import Hooks, hooks_from
from asyncckpt.testing import Sandbox, faults, limiters
from asyncckpt.transport.exchange import PoolExchange

from support.events import Recorder, check_rules
from support.leftovers import nothing_left
from support.listing import list_ids, served_ids
from support.secrets import KEY, Keys, all_that_shows
from support.turns import until

pytestmark = pytest.mark.usefixtures("short_backoff")

TEMPLATE = "/v1/fine_tuning/jobs/{fine_tuning_job_id}/checkpoints"


@pytest.fixture
def events() -> Recorder:
    return Recorder()


@pytest.fixture
async def client(sandbox: Sandbox, leaks: None, events: Recorder) -> AsyncIterator[AsyncClient]:
    async with sandbox.client(hooks=events) as opened:
        yield opened
    check_rules(events)


# What is reported.


async def test_a_list_reports_its_requests_and_pages(
    sandbox: Sandbox, client: AsyncClient, events: Recorder
) -> None:
    job = sandbox.job_ids[0]
    await list_ids(client, job, limit=20)
    # The request for the next page starts before a page is delivered.
    assert events.names == [
        "StreamStarted",
        "RequestStarted",
        "ResponseReceived",
        "RequestStarted",
        "PageDelivered",
        "ResponseReceived",
        "PageDelivered",
        "StreamEnded",
    ]
    started, first, response, second, page, *_, last, ended = events
    assert isinstance(started, hooks.StreamStarted)
    assert (started.operation, started.fine_tuning_job_id) == (
        "fine_tuning.jobs.checkpoints.list",
        job,
    )
    assert isinstance(first, hooks.RequestStarted)
    assert first.method == "GET"
    assert first.url == f"{sandbox.base_url}/fine_tuning/jobs/{job}/checkpoints?limit=20"
    assert (first.path_template, first.fine_tuning_job_id) == (TEMPLATE, job)
    assert (first.attempt, first.resend_count, first.waited) == (1, 0, 0.0)
    assert first.stream_id == started.stream_id
    assert isinstance(response, hooks.ResponseReceived)
    assert response.call_id == first.call_id
    assert response.status_code == 200
    assert (response.request_id or "").startswith("req_")
    assert response.size > 1000
    assert 0 < response.duration < 60
    assert isinstance(second, hooks.RequestStarted)
    assert second.call_id != first.call_id
    assert second.url == f"{first.url}&after={served_ids(sandbox, job)[19]}"
    assert isinstance(page, hooks.PageDelivered)
    assert (page.number, page.records, page.fine_tuning_job_id) == (1, 20, job)
    assert isinstance(last, hooks.PageDelivered)
    assert (last.number, last.records) == (2, 10)
    assert isinstance(ended, hooks.StreamEnded)
    assert (ended.outcome, ended.error, ended.pages, ended.records) == ("exhausted", None, 2, 30)
    assert ended.duration >= response.duration


async def test_an_awaited_page_and_a_job_are_no_streams(
    sandbox: Sandbox, client: AsyncClient, events: Recorder
) -> None:
    await client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0])
    await client.fine_tuning.jobs.retrieve(sandbox.job_ids[0])
    assert events.names == [
        "RequestStarted",
        "ResponseReceived",
        "PageDelivered",
        "RequestStarted",
        "ResponseReceived",
    ]
    page, retrieved = events[2], events[3]
    assert isinstance(page, hooks.PageDelivered)
    assert page.fine_tuning_job_id == sandbox.job_ids[0]
    assert page.records == 10
    assert isinstance(retrieved, hooks.RequestStarted)
    assert retrieved.path_template == "/v1/fine_tuning/jobs/{fine_tuning_job_id}"
    assert retrieved.stream_id is None


async def test_a_stream_of_many_jobs_names_the_job_of_each_page(
    sandbox: Sandbox, client: AsyncClient, events: Recorder
) -> None:
    jobs = client.fine_tuning.jobs
    async for _ in jobs.checkpoints.list_many(jobs.list(), concurrency=3):
        pass
    outer, inner = events.of(hooks.StreamStarted)
    assert outer.operation == "fine_tuning.jobs.checkpoints.list_many"
    assert inner.operation == "fine_tuning.jobs.list"
    for started in events.of(hooks.RequestStarted):
        expected = inner if started.fine_tuning_job_id is None else outer
        assert started.stream_id == expected.stream_id
    pages = [page for page in events.of(hooks.PageDelivered) if page.stream_id == outer.stream_id]
    counts = dict.fromkeys(sandbox.job_ids, 0)
    for page in pages:
        counts[page.fine_tuning_job_id or ""] += page.records
    assert counts == {job: len(sandbox.checkpoints_of(job)) for job in sandbox.job_ids}


@pytest.mark.parametrize("method", ["best", "top"])
async def test_a_ranking_is_a_stream(
    method: str, sandbox: Sandbox, client: AsyncClient, events: Recorder
) -> None:
    checkpoints = client.fine_tuning.jobs.checkpoints
    arguments = (sandbox.job_ids[0],) if method == "best" else (sandbox.job_ids[0], 3)
    await getattr(checkpoints, method)(*arguments)
    started = events.one(hooks.StreamStarted)
    assert started.operation == f"fine_tuning.jobs.checkpoints.{method}"


async def test_a_curve_reports_its_steps(
    sandbox: Sandbox, client: AsyncClient, events: Recorder
) -> None:
    jobs = client.fine_tuning.jobs
    job = sandbox.job_ids[0]
    steps = await jobs.step_metrics(job)
    ended = events.one(hooks.StreamEnded)
    assert (ended.operation, ended.fine_tuning_job_id) == ("fine_tuning.jobs.step_metrics", job)
    assert (ended.pages, ended.records) == (0, len(steps))
    assert [request.path_template for request in events.of(hooks.RequestStarted)] == [
        "/v1/fine_tuning/jobs/{fine_tuning_job_id}",
        "/v1/files/{file_id}/content",
    ]


async def test_events_of_a_job_are_reported(
    sandbox: Sandbox, client: AsyncClient, events: Recorder
) -> None:
    job = sandbox.job_ids[0]
    async for _ in client.fine_tuning.jobs.list_events(job):
        pass
    ended = events.one(hooks.StreamEnded)
    assert (ended.operation, ended.fine_tuning_job_id) == ("fine_tuning.jobs.list_events", job)
    assert {page.fine_tuning_job_id for page in events.of(hooks.PageDelivered)} == {job}


@pytest.mark.parametrize("only_checkpoints", [False, True])
async def test_a_watch_is_a_stream_that_counts_its_updates(
    only_checkpoints: bool, sandbox: Sandbox, client: AsyncClient, events: Recorder
) -> None:
    jobs = client.fine_tuning.jobs
    job = next(job for job in sandbox.job_ids if len(sandbox.checkpoints_of(job)) == 30)
    watch = jobs.checkpoints.watch(job) if only_checkpoints else jobs.watch(job)
    updates = [update async for update in watch]
    ended = events.one(hooks.StreamEnded)
    operation = (
        "fine_tuning.jobs.checkpoints.watch" if only_checkpoints else "fine_tuning.jobs.watch"
    )
    assert (ended.operation, ended.fine_tuning_job_id) == (operation, job)
    assert (ended.outcome, ended.pages, ended.records) == ("exhausted", 0, len(updates))
    assert {request.stream_id for request in events.of(hooks.RequestStarted)} == {ended.stream_id}


# Failures.


async def test_a_retry_is_reported_with_its_error_and_delay(
    sandbox: Sandbox, client: AsyncClient, events: Recorder
) -> None:
    sandbox.inject(faults.Status(503))
    sandbox.inject(faults.Reset("headers"))
    await client.fine_tuning.jobs.retrieve(sandbox.job_ids[0])
    assert events.names == [
        "RequestStarted",
        "ResponseReceived",
        "RetryScheduled",
        "RequestStarted",
        "RequestFailed",
        "RetryScheduled",
        "RequestStarted",
        "ResponseReceived",
    ]
    assert len({event.call_id for event in events.of(hooks.CallEvent)}) == 1
    first, second = events.of(hooks.RetryScheduled)
    assert isinstance(first.error, InternalServerError)
    assert (first.attempt, first.retries, first.max_retries) == (1, 1, client.max_retries)
    assert (second.attempt, second.retries, second.reason) == (2, 2, "backoff")
    assert isinstance(second.error, APIConnectionError)
    assert events.one(hooks.RequestFailed).error is second.error
    last = events.of(hooks.RequestStarted)[-1]
    assert (last.attempt, last.resend_count) == (3, 2)
    assert last.waited == pytest.approx(first.delay + second.delay)


async def test_a_delay_of_the_server_is_the_reason(
    sandbox: Sandbox, client: AsyncClient, events: Recorder
) -> None:
    sandbox.inject(faults.RateLimited(retry_after=0.01))
    sandbox.inject(faults.RateLimited(retry_after=None))
    await client.fine_tuning.jobs.retrieve(sandbox.job_ids[0])
    first, second = events.of(hooks.RetryScheduled)
    assert isinstance(first.error, RateLimitError)
    assert (first.reason, first.delay, first.retries) == ("retry_after", 0.01, 0)
    assert second.reason == "rate_limit"


async def test_another_key_is_a_reason_to_send_again(
    sandbox: Sandbox, leaks: None, events: Recorder
) -> None:
    keys = Keys("sk-of-yesterday", sandbox.api_key)
    async with sandbox.client(api_key=keys, hooks=events) as client:
        await client.fine_tuning.jobs.retrieve(sandbox.job_ids[0])
    assert [paused.reason for paused in events.of(hooks.Paused)] == ["api_key", "api_key"]
    retry = events.one(hooks.RetryScheduled)
    assert isinstance(retry.error, AuthenticationError)
    assert (retry.reason, retry.delay, retry.retries, retry.attempt) == ("new_key", 0.0, 0, 1)
    check_rules(events)


async def test_a_call_that_fails_for_good_is_reported(
    sandbox: Sandbox, leaks: None, events: Recorder
) -> None:
    sandbox.inject(faults.Status(500), times=None)
    async with sandbox.client(max_retries=2, hooks=events) as client:
        with pytest.raises(InternalServerError) as caught:
            await list_ids(client, sandbox.job_ids[0])
    failed = events.one(hooks.CallFailed)
    assert failed.error is caught.value
    assert (failed.attempts, failed.path_template) == (3, TEMPLATE)
    assert failed.duration >= sum(retry.delay for retry in events.of(hooks.RetryScheduled))
    ended = events.one(hooks.StreamEnded)
    assert (ended.outcome, ended.error, ended.pages) == ("failed", caught.value, 0)
    check_rules(events)


async def test_a_timeout_is_a_failed_request(sandbox: Sandbox, events: Recorder) -> None:
    sandbox.inject(faults.Hang())
    async with sandbox.client(timeout=0.05, max_retries=0, hooks=events) as client:
        with pytest.raises(APITimeoutError):
            await client.fine_tuning.jobs.retrieve(sandbox.job_ids[0])
    assert isinstance(events.one(hooks.RequestFailed).error, APITimeoutError)
    check_rules(events)


async def test_a_body_that_is_too_long_is_a_response(
    sandbox: Sandbox, leaks: None, events: Recorder
) -> None:
    async with sandbox.client(max_body_bytes=500, hooks=events) as client:
        with pytest.raises(APIError, match="longer than"):
            await client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0])
    assert events.one(hooks.ResponseReceived).size == 500
    check_rules(events)


async def test_a_redirect_is_a_request_of_the_same_attempt(
    sandbox: Sandbox, client: AsyncClient, events: Recorder
) -> None:
    job = sandbox.job_ids[0]
    target = f"{sandbox.base_url}/fine_tuning/jobs/{job}"
    sandbox.inject(faults.Redirect(location=f"{target}?token=secret"))
    await client.fine_tuning.jobs.retrieve(job)
    first, second = events.of(hooks.RequestStarted)
    assert [response.status_code for response in events.of(hooks.ResponseReceived)] == [307, 200]
    assert (first.url, second.url) == (target, f"{target}?token=***")
    assert (first.attempt, second.attempt) == (1, 1)
    assert (first.resend_count, second.resend_count) == (0, 1)


async def test_the_failure_of_a_job_does_not_end_the_stream_that_collects_it(
    sandbox: Sandbox, client: AsyncClient, events: Recorder
) -> None:
    stream = client.fine_tuning.jobs.checkpoints.list_many(
        ["ftjob-none", sandbox.job_ids[0]], on_error="collect"
    )
    async for _ in stream:
        pass
    failed = events.one(hooks.CallFailed)
    assert isinstance(failed.error, NotFoundError)
    assert failed.fine_tuning_job_id == "ftjob-none"
    assert events.one(hooks.StreamEnded).outcome == "exhausted"


async def test_a_broken_download_is_one_call(
    sandbox: Sandbox, client: AsyncClient, events: Recorder
) -> None:
    sandbox.inject(faults.CutBody(), path="/files/")
    steps = await client.fine_tuning.jobs.step_metrics(sandbox.job_ids[0])
    assert steps
    downloads = [
        event for event in events.of(hooks.CallEvent) if event.path_template.startswith("/v1/files")
    ]
    assert [type(event).__name__ for event in downloads] == [
        "RequestStarted",
        "ResponseReceived",
        "RetryScheduled",
        "RequestStarted",
        "ResponseReceived",
    ]
    assert len({event.call_id for event in downloads}) == 1


async def test_a_download_that_stays_broken_is_a_failed_call(
    sandbox: Sandbox, leaks: None, events: Recorder
) -> None:
    sandbox.inject(faults.CutBody(), path="/files/", times=None)
    async with sandbox.client(max_retries=1, hooks=events) as client:
        with pytest.raises(APIConnectionError) as caught:
            await client.fine_tuning.jobs.step_metrics(sandbox.job_ids[0])
    failed = events.one(hooks.CallFailed)
    assert (failed.error, failed.attempts) == (caught.value, 2)
    assert events.one(hooks.StreamEnded).error is caught.value
    check_rules(events)


# Waiting.


async def test_waiting_for_the_rate_limiter_is_reported(
    sandbox: Sandbox, leaks: None, events: Recorder
) -> None:
    async with sandbox.client(max_requests_per_second=50, hooks=events) as client:
        await list_ids(client, sandbox.job_ids[0])
    pauses = events.of(hooks.Paused)
    assert pauses
    assert {pause.reason for pause in pauses} == {"pace"}
    assert all(0 < pause.duration < 60 for pause in pauses)
    assert {pause.fine_tuning_job_id for pause in pauses} == {sandbox.job_ids[0]}
    assert sum(request.waited for request in events.of(hooks.RequestStarted)) == pytest.approx(
        sum(pause.duration for pause in pauses)
    )


async def test_a_server_that_refuses_changes_the_pace(
    sandbox: Sandbox, client: AsyncClient, events: Recorder
) -> None:
    sandbox.limit(limiters.TokenBucket(rate=200, burst=5), limiters.Hints(retry_after=None))
    async for _ in client.fine_tuning.jobs.checkpoints.list_many(sandbox.job_ids):
        pass
    changes = events.of(hooks.PaceChanged)
    assert (changes[0].before, changes[0].after) == (None, 0.0)
    assert any(change.after for change in changes)
    for earlier, later in pairwise(changes):
        assert later.before == earlier.after
        assert later.after != later.before
    assert "server" in {pause.reason for pause in events.of(hooks.Paused)}


# Leaving.


async def test_a_left_iteration_is_closed_after_its_requests(
    sandbox: Sandbox, client: AsyncClient, events: Recorder
) -> None:
    async with client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0]) as pager:
        async for _ in pager:
            sandbox.inject(faults.Hang())
            break
    assert events.names[-2:] == ["RequestCancelled", "StreamEnded"]
    ended = events.one(hooks.StreamEnded)
    assert (ended.outcome, ended.error, ended.pages, ended.records) == ("closed", None, 1, 10)
    assert events.of(hooks.CallFailed) == []


async def test_a_dropped_iteration_is_closed(
    sandbox: Sandbox, client: AsyncClient, events: Recorder
) -> None:
    async for _ in client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0]):
        break
    await until(lambda: events.of(hooks.StreamEnded))
    assert events.one(hooks.StreamEnded).outcome == "closed"


async def test_a_stream_that_was_closed_ends_once(
    sandbox: Sandbox, client: AsyncClient, events: Recorder
) -> None:
    pager = client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0])
    pages = pager.pages()
    await anext(pages)
    await pager.aclose()
    with pytest.raises(RuntimeError, match="closed before the end"):
        await anext(pages)
    assert events.one(hooks.StreamEnded).outcome == "closed"


async def test_a_cancelled_iteration_is_cancelled(
    sandbox: Sandbox, client: AsyncClient, events: Recorder
) -> None:
    sandbox.inject(faults.Hang())
    listing = asyncio.create_task(list_ids(client, sandbox.job_ids[0]))
    await until(lambda: sandbox.stats.in_flight)
    listing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listing
    assert events.names == ["StreamStarted", "RequestStarted", "RequestCancelled", "StreamEnded"]
    ended = events.one(hooks.StreamEnded)
    assert (ended.outcome, ended.error) == ("cancelled", None)


async def test_closing_the_client_fails_the_call(
    sandbox: Sandbox, leaks: None, events: Recorder
) -> None:
    client = sandbox.client(hooks=events)
    sandbox.inject(faults.Hang())
    listing = asyncio.create_task(list_ids(client, sandbox.job_ids[0]))
    await until(lambda: sandbox.stats.in_flight)
    await client.aclose()
    with pytest.raises(RuntimeError) as caught:
        await listing
    assert events.names[2:] == ["RequestCancelled", "CallFailed", "StreamEnded"]
    assert events.one(hooks.CallFailed).error is caught.value
    with pytest.raises(RuntimeError):
        await client.fine_tuning.jobs.retrieve(sandbox.job_ids[0])
    last = events.of(hooks.CallFailed)[-1]
    assert (last.attempts, last.stream_id) == (0, None)
    check_rules(events)


async def test_an_iteration_that_was_not_started_reports_nothing(
    sandbox: Sandbox, client: AsyncClient, events: Recorder
) -> None:
    async with client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0]) as pager:
        await pager.__aiter__().aclose()
    assert events == []


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    taken=st.integers(0, 40),
    concurrency=st.integers(1, 4),
    ordered=st.booleans(),
    statuses=st.lists(st.sampled_from([200, 404, 429, 500]), max_size=6),
)
async def test_what_started_ends_wherever_the_consumer_leaves(
    taken: int, concurrency: int, ordered: bool, statuses: list[int]
) -> None:
    events = Recorder()
    async with (
        nothing_left(),
        Sandbox(jobs=3, checkpoints=12) as sandbox,
        sandbox.client(hooks=events, max_retries=1) as client,
    ):
        for status in statuses:
            sandbox.inject(faults.Status(status) if status != 200 else faults.Chunked())
        stream = client.fine_tuning.jobs.checkpoints.list_many(
            sandbox.job_ids, concurrency=concurrency, ordered=ordered, limit=5
        )
        left = taken
        with contextlib.suppress(APIError):
            async with stream:
                async for _ in stream:
                    left -= 1
                    if left <= 0:
                        break
    check_rules(events)


# Hooks.


class FailedError(Exception):
    pass


@pytest.mark.parametrize("kind", get_args(hooks.Event))
async def test_a_hook_that_raises_breaks_nothing(
    kind: type, sandbox: Sandbox, leaks: None, caplog: pytest.LogCaptureFixture
) -> None:
    events, failures = Recorder(), 0

    def fail(event: hooks.Event) -> None:
        nonlocal failures
        if isinstance(event, kind):
            failures += 1
            raise FailedError

    sandbox.inject(faults.Status(500))
    sandbox.inject(faults.RateLimited(retry_after=0.01))
    job = sandbox.job_ids[0]
    keys = Keys(sandbox.api_key)
    async with sandbox.client(hooks=[fail, events], api_key=keys) as client:
        assert await list_ids(client, job) == served_ids(sandbox, job)
        assert await list_ids(client, job) == served_ids(sandbox, job)
        sandbox.inject(faults.Reset("headers"))
        sandbox.inject(faults.Status(404))
        with pytest.raises(NotFoundError):
            await list_ids(client, job)
        sandbox.inject(faults.Hang(), page=2)
        async with client.fine_tuning.jobs.checkpoints.list(job) as pager:
            async for _ in pager:
                await until(lambda: sandbox.stats.in_flight)
                break
    assert failures == len(events.of(kind)) > 0
    (logged,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "fail raised an exception at a " + kind.__name__ in logged.getMessage()
    assert logged.exc_info is not None
    assert logged.exc_info[0] is FailedError
    check_rules(events)


def test_an_exception_of_a_hook_is_logged_without_what_the_package_was_handling(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(event: hooks.Event) -> None:
        try:
            raise KeyError("its own")
        except KeyError:
            raise FailedError("of the hook")  # noqa: B904

    event = hooks.PaceChanged(before=None, after=1.0)
    try:
        raise ValueError(KEY)
    except ValueError:
        Hooks([fail]).emit(event)
    text = caplog.text
    assert "of the hook" in text
    assert "its own" in text
    assert KEY not in text


async def test_copies_of_a_client_have_its_hooks(
    sandbox: Sandbox, client: AsyncClient, events: Recorder
) -> None:
    for copy in (
        client.with_options(timeout=5),
        client.with_options(api_key=sandbox.api_key),
        client.with_options(base_url=sandbox.base_url, organization="org-1"),
    ):
        await copy.fine_tuning.jobs.retrieve(sandbox.job_ids[0])
    assert len(events.of(hooks.ResponseReceived)) == 3


async def test_the_fast_path_stays_in_use(
    sandbox: Sandbox, client: AsyncClient, events: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = 0
    get = PoolExchange.get

    async def counted(self: PoolExchange, *args: Any, **options: Any) -> Any:
        nonlocal used
        used += 1
        return await get(self, *args, **options)

    monkeypatch.setattr(PoolExchange, "get", counted)
    await list_ids(client, sandbox.job_ids[0])
    assert used == len(events.of(hooks.ResponseReceived)) == 3


async def test_hooks_work_with_a_session_of_the_caller(
    sandbox: Sandbox, leaks: None, events: Recorder
) -> None:
    async with (
        aiohttp.ClientSession() as session,
        sandbox.client(hooks=events, session=session) as client,
    ):
        await list_ids(client, sandbox.job_ids[0])
    assert events.names.count("ResponseReceived") == 3
    check_rules(events)


async def test_a_context_variable_set_at_the_start_is_seen_by_the_requests_alone(
    sandbox: Sandbox, leaks: None
) -> None:
    stream: ContextVar[int] = ContextVar("stream", default=0)
    seen: list[int] = []

    def follow(event: hooks.Event) -> None:
        if isinstance(event, hooks.StreamStarted):
            stream.set(event.stream_id)
        elif isinstance(event, hooks.RequestStarted):
            assert stream.get() == event.stream_id
            seen.append(stream.get())

    async with sandbox.client(hooks=follow) as client:
        checkpoints = client.fine_tuning.jobs.checkpoints
        async for _ in checkpoints.list_many(sandbox.job_ids[:2]):
            assert stream.get() == 0
        async for _ in checkpoints.list(sandbox.job_ids[0]):
            assert stream.get() == 0
    assert len(set(seen)) == 2


async def test_a_context_variable_set_for_a_request_is_not_seen_by_others(
    sandbox: Sandbox, leaks: None
) -> None:
    request: ContextVar[int | None] = ContextVar("request", default=None)

    def follow(event: hooks.Event) -> None:
        if isinstance(event, hooks.RequestStarted):
            assert request.get() is None
            request.set(event.call_id)
        elif isinstance(event, hooks.ResponseReceived):
            assert request.get() == event.call_id
            request.set(None)

    async with sandbox.client(hooks=follow) as client:
        stream = client.fine_tuning.jobs.checkpoints.list_many(sandbox.job_ids, concurrency=5)
        async for _ in stream:
            pass


def test_an_event_cannot_be_changed() -> None:
    event = hooks.PaceChanged(before=None, after=1.0)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        event.after = 2.0  # type: ignore[misc]


class AsyncHook:
    async def __call__(self, event: hooks.Event) -> None: ...


async def an_async_hook(event: hooks.Event) -> None: ...


@pytest.mark.parametrize(
    ("given_hooks", "message"),
    [
        (1, "hooks must be a callable or a sequence of callables, not int"),
        ("print", "not str"),
        ([print, None], "hooks must be callables, not NoneType"),
        (an_async_hook, "hooks must not be async"),
        ([AsyncHook()], "hooks must not be async"),
    ],
)
def test_hooks_that_cannot_be_called_are_an_error(given_hooks: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        AsyncClient(api_key="sk-1", hooks=given_hooks)


def test_no_hooks_are_none() -> None:
    assert hooks_from(None) is None
    assert hooks_from([]) is None
    assert isinstance(hooks_from(print), Hooks)


# Secrets.

ECHO = f"the key {KEY} is wrong"

ECHOES: dict[str, list[Any]] = {
    "401": [
        faults.Status(
            401,
            body={"error": {"message": ECHO, "code": KEY}},
            headers={"x-request-id": f"{KEY}{KEY * 20}"},
        )
    ],
    "request id of a success": [faults.Header("x-request-id", KEY)],
    "500": [faults.Status(500, body=ECHO)],
    "429": [faults.Status(429, body=ECHO)],
    "no HTTP": [faults.Header(f"bad header {KEY}", KEY)],
    "redirect": [faults.Redirect(location=f"/v1/{KEY.replace('/', '%2F')}?code={KEY}")],
    "forbidden redirect": [faults.Redirect(location=f"ftp://{KEY}/{KEY}")],
    "cursor": [faults.SetField("data.9.id", KEY), faults.SetField("last_id", KEY)],
    "reset": [faults.Reset("before")],
}

WAYS: dict[str, Callable[[], dict[str, Any]]] = {
    "argument": lambda: {"api_key": KEY},
    "callable": lambda: {"api_key": Keys(KEY)},
    "header": lambda: {"api_key": None, "default_headers": {"api-key": KEY}},
    "query": lambda: {"api_key": "sk-1", "default_query": {"code": KEY}},
}


def all_of(event: hooks.Event) -> str:
    shown = [repr(event), repr(attrs.asdict(event))]
    error = getattr(event, "error", None)
    if error is None:
        shown.append(pickle.dumps(event).decode("latin-1"))
    else:
        shown += all_that_shows(error)
    return " ".join(shown)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ECHOES)
async def test_an_event_shows_no_secret(name: str, way: str, sandbox: Sandbox, leaks: None) -> None:
    shown: list[str] = []
    sandbox.api_key = KEY
    sandbox.inject(*ECHOES[name], times=None)
    options = {"max_retries": 1, **WAYS[way]()}
    async with sandbox.client(hooks=lambda event: shown.append(all_of(event)), **options) as client:
        stream = client.fine_tuning.jobs.checkpoints.list_many(
            sandbox.job_ids[:1], on_error="collect"
        )
        async for _ in stream:
            pass
        client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0])
    assert len(shown) > 3
    planted = (KEY, KEY.replace("/", "\\/"), "sk-planted%2F9f8e7d6c%2B5b4a%3D")
    assert [text for text in shown if any(form in text for form in planted)] == []


async def test_a_job_id_that_is_the_key_is_masked(sandbox: Sandbox, leaks: None) -> None:
    key = "sk-planted-9f8e7d6c5b4a"
    events = Recorder()
    sandbox.inject(faults.SetField("data.0.id", key))
    async with sandbox.client(api_key=key, hooks=events) as client:
        sandbox.api_key = key
        jobs = client.fine_tuning.jobs
        async for _ in jobs.checkpoints.list_many(jobs.list(), on_error="collect"):
            pass
    assert any(isinstance(event, hooks.CallFailed) for event in events)
    assert key not in repr([event for event in events if not isinstance(event, hooks.CallFailed)])


async def test_errors_of_events_are_those_that_are_raised(
    sandbox: Sandbox, client: AsyncClient, events: Recorder
) -> None:
    sandbox.inject(faults.Status(404))
    with pytest.raises(APIStatusError) as caught:
        await client.fine_tuning.jobs.retrieve(sandbox.job_ids[0])
    assert events.one(hooks.CallFailed).error is caught.value
