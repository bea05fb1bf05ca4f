"""The calls for jobs: their signatures, and what they return and reveal."""

import inspect
import traceback
import typing
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from types import FrameType
from typing import Any

import pytest

from asyncckpt import (
    APIError,
    AsyncClient,
    CallOptions,
    FineTuningJob,
    FineTuningJobCheckpoint,
    FineTuningJobEvent,
    Pager,
    Ranked,
)
from asyncckpt.resources.checkpoints import AsyncCheckpoints
from asyncckpt.resources.jobs import AsyncJobs
from asyncckpt.testing import Sandbox

from support.programs import program, run_program

SECRET = "sk-planted/9f8e7d6c"
METHODS = [
    AsyncJobs.list,
    AsyncJobs.retrieve,
    AsyncJobs.list_events,
    AsyncJobs.step_metrics,
    AsyncCheckpoints.list,
    AsyncCheckpoints.list_many,
    AsyncCheckpoints.best,
    AsyncCheckpoints.top,
]


@pytest.mark.parametrize("method", METHODS)
def test_every_option_shows_in_help(method: typing.Any) -> None:
    parameters = inspect.signature(method).parameters
    for option in CallOptions.__annotations__:
        assert option in parameters
        assert f"\n    {option}: " in inspect.getdoc(method)
    assert "options" not in parameters
    assert "**options" not in inspect.getdoc(method)


def test_type_hints_can_be_resolved() -> None:
    assert typing.get_type_hints(AsyncJobs.list)["return"] == Pager[FineTuningJob]
    assert typing.get_type_hints(AsyncJobs.retrieve)["return"] == FineTuningJob
    assert typing.get_type_hints(AsyncJobs.list_events)["return"] == Pager[FineTuningJobEvent]
    assert (
        typing.get_type_hints(AsyncCheckpoints.best)["return"] == Coroutine[object, object, Ranked]
    )
    hints = typing.get_type_hints(AsyncCheckpoints.list)
    assert hints["return"] == Pager[FineTuningJobCheckpoint]
    assert "timeout" in typing.get_type_hints(CallOptions)


def modules_loaded_by(name: str) -> set[str]:
    return set(run_program([*program("imports_of.py"), name]).out.splitlines())


def test_job_records_are_imported_on_first_use() -> None:
    # What is loaded anyway, such as by a tool that measures coverage, does not count. Older
    # versions of msgspec import json.
    loaded = modules_loaded_by("asyncckpt.client") - modules_loaded_by("msgspec")
    assert "asyncckpt.resources.jobs" in loaded
    late = {f"asyncckpt.records.{name}" for name in ("jobs", "events", "steps", "conversion")}
    late |= {"asyncckpt.streams.curve", "asyncckpt.streams.ranking"}
    late |= {"aiohttp", "cattrs", "difflib", "json", "pydantic"}
    assert loaded.isdisjoint(late)


async def test_a_retrieved_job_knows_its_request(sandbox: Sandbox, client: AsyncClient) -> None:
    job = await client.fine_tuning.jobs.retrieve(sandbox.job_ids[0])
    assert job._request_id
    assert job._request_id.startswith("req_")
    (listed,) = [job async for job in client.fine_tuning.jobs.list(max_records=1)]
    assert listed._request_id is None
    same = await client.fine_tuning.jobs.retrieve(sandbox.job_ids[0])
    assert same == job
    assert hash(same) == hash(job)


@pytest.mark.parametrize("job_id", [FineTuningJob("ftjob-1", 1, "m", "running", "f"), 5, None])
async def test_an_id_must_be_a_string(job_id: typing.Any, client: AsyncClient) -> None:
    hint = r"pass its \.id" if isinstance(job_id, FineTuningJob) else "must be a string"
    with pytest.raises(TypeError, match=hint):
        client.fine_tuning.jobs.checkpoints.list(job_id)
    with pytest.raises(TypeError, match=hint):
        client.fine_tuning.jobs.list_events(job_id)
    with pytest.raises(TypeError, match=hint):
        await client.fine_tuning.jobs.retrieve(job_id)


async def test_an_id_with_a_space_is_encoded(sandbox: Sandbox, client: AsyncClient) -> None:
    with pytest.raises(APIError, match="404"):
        await client.fine_tuning.jobs.retrieve("ft job")
    (request,) = sandbox.requests
    assert request.path in ("/v1/fine_tuning/jobs/ft job", "/v1/fine_tuning/jobs/ft%20job")


def frames_of(error: BaseException) -> Iterator[FrameType]:
    for frame, _ in traceback.walk_tb(error.__traceback__):
        yield frame


@pytest.mark.parametrize(
    "call", ["list", "page", "retrieve", "events", "steps", "checkpoints", "best"]
)
async def test_no_frame_of_the_package_shows_a_key(call: str, sandbox: Sandbox) -> None:
    async with sandbox.client(default_query={"subscription-key": SECRET}) as client:
        jobs = client.fine_tuning.jobs
        sandbox.api_key = "sk-changed"
        options: Any = {"extra_query": {"key": SECRET}, "extra_headers": {"x-key": SECRET}}
        requests: dict[str, Callable[[], Awaitable[object]]] = {
            "list": lambda: anext(aiter(jobs.list(**options))),
            "page": lambda: jobs.list(**options),
            "retrieve": lambda: jobs.retrieve("ftjob-1", **options),
            "events": lambda: jobs.list_events("ftjob-1", **options),
            "steps": lambda: jobs.step_metrics("ftjob-1", **options),
            "checkpoints": lambda: jobs.checkpoints.list("ftjob-1", **options),
            "best": lambda: jobs.checkpoints.best("ftjob-1", **options),
        }
        with pytest.raises(APIError) as caught:
            await requests[call]()
    seen = 0
    for frame in frames_of(caught.value):
        if "/asyncckpt/" in frame.f_code.co_filename and "/tests/" not in frame.f_code.co_filename:
            seen += 1
            assert SECRET not in repr(frame.f_locals)
    assert seen
    assert SECRET not in str(caught.value)
