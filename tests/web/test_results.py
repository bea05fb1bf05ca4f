"""Results and errors as HTTP statuses and JSON."""

import json

import pytest

from asyncckpt import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AsyncClient,
    NoCheckpointError,
    RateLimitError,
)
from asyncckpt.testing import Sandbox, faults
from asyncckpt.web import error_json, ranked_json, status_of


async def error_of(client: AsyncClient, job: str) -> APIError:
    with pytest.raises(APIError) as caught:
        await client.fine_tuning.jobs.checkpoints.list(job, max_retries=0)
    return caught.value


@pytest.mark.parametrize(
    ("status", "expected"), [(401, 502), (403, 502), (404, 404), (429, 503), (500, 502)]
)
async def test_the_status_of_an_error(
    sandbox: Sandbox, client: AsyncClient, status: int, expected: int
) -> None:
    sandbox.inject(faults.Status(status))
    error = await error_of(client, sandbox.job_ids[0])
    assert status_of(error) == expected
    body = json.loads(error_json(error))
    assert body["error"]["type"] == type(error).__name__
    assert sandbox.api_key not in error_json(error)
    assert isinstance(error, RateLimitError) == (status == 429)


def test_errors_without_a_response() -> None:
    assert status_of(APITimeoutError("slow")) == 504
    assert status_of(APIConnectionError("lost")) == 502
    assert status_of(RuntimeError("closed")) == 502


async def test_a_job_without_checkpoints_is_not_found(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    job = sandbox.add_job(status="queued")
    with pytest.raises(NoCheckpointError) as caught:
        await client.fine_tuning.jobs.checkpoints.best(job)
    assert status_of(caught.value) == 404
    assert json.loads(error_json(caught.value))["error"]["type"] == "NoCheckpointError"


async def test_a_ranked_checkpoint(sandbox: Sandbox, client: AsyncClient) -> None:
    ranked = await client.fine_tuning.jobs.checkpoints.best(sandbox.job_ids[0])
    body = json.loads(ranked_json(ranked))
    assert body["checkpoint"] in list(sandbox.checkpoints_of(sandbox.job_ids[0]))
    assert (body["rank"], body["metric"], body["mode"]) == (1, ranked.metric, ranked.mode)
    assert body["explanation"] == str(ranked.explain())
