"""What type checkers must understand of the public interface; checked, never run."""

from collections.abc import AsyncGenerator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, assert_type

import pandas
import polars
import pyarrow

import asyncckpt
from asyncckpt import (
    NOT_GIVEN,
    APIConnectionError,
    APIError,
    APIStatusError,
    AsyncClient,
    CallOptions,
    CaughtUp,
    CheckpointCreated,
    CheckpointWatch,
    Curve,
    EventLogged,
    Explanation,
    FineTuningJob,
    FineTuningJobCheckpoint,
    FineTuningJobEvent,
    Finished,
    JobFailure,
    Metrics,
    Page,
    Pager,
    Progress,
    Ranked,
    StatusChanged,
    StepMetrics,
    Timeout,
    Update,
    Watch,
    WatchOptions,
    hooks,
    omit,
)
from asyncckpt.export import (
    Plot,
    archive,
    plot,
    record_batches,
    to_arrow,
    to_pandas,
    to_polars,
    to_row,
    write,
)
from asyncckpt.testing import Clock, Sandbox, faults


def misspelt() -> None:
    _ = asyncckpt.AsyncKlient  # type: ignore[attr-defined]
    _ = asyncckpt.testing.Sandpit  # type: ignore[attr-defined]


async def key() -> str:
    return "sk-..."


async def clients() -> None:
    async with AsyncClient() as client:
        assert_type(client, AsyncClient)
    AsyncClient(api_key="sk-...", timeout=None, max_retries=2)
    AsyncClient(api_key=key, timeout=Timeout(total=20), default_query={"api-version": "1"})
    AsyncClient(credential_headers={"x-portkey-api-key": "pk-..."})
    AsyncClient(api_key=5)  # type: ignore[arg-type]
    assert_type(client.with_options(timeout=5), AsyncClient)
    assert_type(client.copy(max_retries=1, timeout=NOT_GIVEN), AsyncClient)
    assert_type(client.is_closed(), bool)
    assert_type(client.api_key, str)
    assert_type(client.max_retries, int)
    assert_type(client.timeout, Timeout)
    assert_type(client.organization, str | None)


class Token(NamedTuple):
    token: str
    expires_on: int


async def token() -> Token:
    return Token("ey...", 0)


def azure() -> None:
    assert_type(AsyncClient.for_azure(), AsyncClient)
    AsyncClient.for_azure(endpoint="https://r.openai.azure.com", api_key="...", max_retries=2)
    AsyncClient.for_azure(token_provider=lambda: "ey...", api_version="2024-10-21")
    for provider in (key, token, lambda: Token("ey...", 0)):
        AsyncClient.for_azure(token_provider=provider)
    AsyncClient.for_azure(token_provider="ey...")  # type: ignore[arg-type]
    AsyncClient.for_azure(base_url="https://r.openai.azure.com")  # type: ignore[call-arg]


def hook(event: hooks.Event) -> None:
    match event:
        case hooks.ResponseReceived():
            assert_type(event.status_code, int)
            assert_type(event.fine_tuning_job_id, str | None)
        case hooks.RetryScheduled(error=error):
            assert_type(error, APIError)
        case hooks.StreamEnded():
            assert_type(event.error, BaseException | None)
        case _:
            pass


def clients_with_hooks(events: list[hooks.Event]) -> None:
    AsyncClient(hooks=hook)
    AsyncClient(hooks=[hook, events.append])
    AsyncClient.for_azure(hooks=(hook,))
    AsyncClient(hooks=1)  # type: ignore[arg-type]


async def checkpoints(client: AsyncClient) -> None:
    pager = client.fine_tuning.jobs.checkpoints.list("ftjob-abc123", limit=20, max_records=5)
    _ = assert_type(pager, Pager[FineTuningJobCheckpoint])
    assert_type(pager.cursor, str | None)
    async for checkpoint in pager:
        assert_type(checkpoint, FineTuningJobCheckpoint)
        assert_type(checkpoint.created, datetime)
        assert_type(checkpoint.created_at, int)
        assert_type(checkpoint.step_number, int | None)
        assert_type(checkpoint.result_files, list[str] | None)
        assert_type(checkpoint.metrics, Metrics)
        assert_type(checkpoint.metrics.full_valid_loss, float | None)
    page = await pager
    assert_type(page, Page[FineTuningJobCheckpoint])
    assert_type(page.data, list[FineTuningJobCheckpoint])
    assert_type(page.response.request_id, str | None)
    assert_type(await page.get_next_page(), Page[FineTuningJobCheckpoint])
    assert_type(pager.pages(), AsyncGenerator[Page[FineTuningJobCheckpoint], None])
    async with pager as entered:
        _ = assert_type(entered, Pager[FineTuningJobCheckpoint])


async def watches(client: AsyncClient) -> None:
    jobs = client.fine_tuning.jobs
    options: WatchOptions = {"max_retries": 2, "extra_query": {"team": "a"}}
    watch = jobs.watch(["ftjob-a"], interval=5, timeout=60, max_silence=None, **options)
    _ = assert_type(watch, Watch)
    assert_type(watch.resume_token, str)
    assert_type(watch.failures, tuple[JobFailure, ...])
    async with watch:
        async for update in watch:
            _ = assert_type(update, Update)
            assert_type(update.fine_tuning_job_id, str)
            match update:
                case CheckpointCreated(checkpoint):
                    assert_type(checkpoint, FineTuningJobCheckpoint)
                case EventLogged(event):
                    assert_type(event, FineTuningJobEvent)
                case StatusChanged(job, previous):
                    assert_type(job, FineTuningJob)
                    assert_type(previous, str)
                case CaughtUp(job) | Finished(job):
                    assert_type(job, FineTuningJob)
    again = jobs.checkpoints.watch(jobs.list(), resume=watch.resume_token, on_error="collect")
    _ = assert_type(again, CheckpointWatch)
    async for checkpoint in again:
        assert_type(checkpoint, FineTuningJobCheckpoint)
    jobs.watch("ftjob-a", timeout="1")  # type: ignore[arg-type]


async def many(client: AsyncClient) -> None:
    jobs = client.fine_tuning.jobs
    stream = jobs.checkpoints.list_many(jobs.list(), concurrency=20, on_error="collect")
    async for checkpoint in stream:
        assert_type(checkpoint, FineTuningJobCheckpoint)
    assert_type(stream.failures, tuple[JobFailure, ...])
    assert_type(stream.progress, Progress)
    jobs.checkpoints.list_many(["ftjob-abc123"], ordered=True, on_error=print)
    jobs.checkpoints.list_many(["ftjob-abc123"], on_expired_cursor="restart")
    _ = jobs.checkpoints.list("ftjob-abc123", on_expired_cursor="raise")
    async for newest in jobs.checkpoints.latest(jobs.list(), ordered=True):
        assert_type(newest, FineTuningJobCheckpoint)


async def rankings(client: AsyncClient, chosen: list[FineTuningJobCheckpoint]) -> None:
    checkpoints, jobs = client.fine_tuning.jobs.checkpoints, client.fine_tuning.jobs
    best = await checkpoints.best("ftjob-abc123")
    assert_type(best, Ranked)
    assert_type(best.checkpoint, FineTuningJobCheckpoint)
    assert_type(best.unranked, tuple[str, ...])
    assert_type(best.explain(), Explanation)
    assert_type(best.explain(await jobs.step_metrics("ftjob-abc123")), Explanation)
    explanation = await best.explain(curve=jobs.step_metrics("ftjob-abc123"))
    assert_type(explanation, Explanation)
    assert_type(explanation.best_step_has_checkpoint, bool | None)
    top = await checkpoints.top(jobs.list(), 5, metric="reward", mode="max", timeout=5)
    assert_type(top, list[Ranked])
    await checkpoints.best(await jobs.retrieve("ftjob-abc123"))
    await checkpoints.best(["ftjob-abc123"], on_error=print)
    await checkpoints.best(checkpoints.list_many(jobs.list()))
    await checkpoints.best(chosen)
    await checkpoints.best(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await checkpoints.best("ftjob-abc123", mode="lowest")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def jobs(client: AsyncClient) -> None:
    assert_type(await client.fine_tuning.jobs.retrieve("ftjob-abc123"), FineTuningJob)
    async for job in client.fine_tuning.jobs.list(metadata={"team": "search"}):
        assert_type(job.status, str)
        assert_type(job.finished, datetime | None)


async def events(client: AsyncClient) -> None:
    pager = client.fine_tuning.jobs.list_events("ftjob-abc123", limit=20, max_records=5, timeout=3)
    _ = assert_type(pager, Pager[FineTuningJobEvent])
    async for event in pager:
        assert_type(event.created, datetime)
        assert_type(event.type, str | None)
        assert_type(event.data, dict[str, object] | None)
    assert_type(await pager, Page[FineTuningJobEvent])


async def curves(client: AsyncClient, job: FineTuningJob) -> None:
    curve = client.fine_tuning.jobs.step_metrics("ftjob-abc123", timeout=3)
    _ = assert_type(curve, Curve)
    async for step in curve:
        assert_type(step, StepMetrics)
        assert_type(step.valid_loss, float | None)
    assert_type(await client.fine_tuning.jobs.step_metrics(job), list[StepMetrics])
    async with curve as entered:
        _ = assert_type(entered, Curve)


async def options(client: AsyncClient) -> None:
    jobs = client.fine_tuning.jobs
    await jobs.list(timeout=3, max_retries=0, max_wait=9.5, extra_headers={"a": "b", "c": omit})
    await jobs.list(after=omit, limit=NOT_GIVEN, metadata=None, extra_query={"a": True, "b": [1]})
    await jobs.retrieve("ftjob-abc123", timeout=Timeout(total=3))
    shared: CallOptions = {"timeout": 3, "max_wait": 60}
    await jobs.list(limit=5, **shared)
    jobs.checkpoints.list_many([], extra_query={"a": {"b": 1.5}})
    await jobs.checkpoints.list("ftjob-abc123", timeout=NOT_GIVEN)
    await jobs.list(max_retrys=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await jobs.list(max_retries="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def errors(client: AsyncClient) -> None:
    try:
        await client.fine_tuning.jobs.checkpoints.list("ftjob-abc123")
    except APIStatusError as error:
        assert_type(error.status_code, int)
        assert_type(error.response.json(), object)
        assert_type(error.code, str | None)
    except APIConnectionError as error:
        assert_type(error.request_id, str | None)


def records(checkpoint: FineTuningJobCheckpoint) -> None:
    fields = asyncckpt.converter.unstructure(checkpoint)
    same = asyncckpt.converter.structure(fields, FineTuningJobCheckpoint)
    assert_type(same, FineTuningJobCheckpoint)
    assert_type(asyncckpt.converter.loads(b"{}", FineTuningJobCheckpoint), FineTuningJobCheckpoint)


async def sandbox() -> None:
    async with Sandbox(jobs=3) as running, running.client(max_retries=0) as client:
        assert_type(client, AsyncClient)
        running.inject(faults.Status(500), times=2)
    live = Sandbox(live=3, clock=Clock(speed=60))
    assert_type(live.add_live_job(outcome="failed", keep_epochs=3), str)
    live.clock.advance(60)


async def tables(client: AsyncClient, checkpoint: FineTuningJobCheckpoint) -> None:
    jobs = client.fine_tuning.jobs
    assert_type(to_row(checkpoint), dict[str, str | int | float | datetime | None])
    _ = assert_type(await write(jobs.list(), "jobs.parquet", fields=["id"]), int)
    await write([], "steps.csv", record_type=StepMetrics)
    await write("ftjob-abc123", "jobs.csv")  # type: ignore[type-var]
    assert_type(await to_arrow(jobs.step_metrics("ftjob-abc123")), pyarrow.Table)
    assert_type(await plot(client, jobs.list(), metric="valid_loss", mode="min"), Plot)
    assert_type((await plot(client, "ftjob-abc123")).text(width=120), str)
    assert_type(await to_pandas(jobs.list_events("ftjob-abc123")), pandas.DataFrame)
    assert_type(await to_polars(jobs.checkpoints.list_many(jobs.list())), polars.DataFrame)
    async for batch in record_batches(jobs.list(), size=5):
        assert_type(batch, pyarrow.RecordBatch)
    to_row(checkpoint.id)  # type: ignore[arg-type]


async def archives(client: AsyncClient) -> None:
    result = await archive(client, "archive", on_progress=print)
    assert_type(result.failures, tuple[JobFailure, ...])
    assert_type(result.path, Path)
    assert_type([piece async for piece in client.files.content("file-1")], list[bytes])
    await archive(client, 3)  # type: ignore[arg-type]
