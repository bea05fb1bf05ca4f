"""The result files of jobs."""

import base64
import csv
import io
from typing import Any

import aiohttp
import pytest

from asyncckpt.testing import Sandbox

from support.browser import Browser

AZURE_KEY = {"api-key": "sk-sandbox"}


async def rows(box: Sandbox, job: Any, azure: bool = False) -> list[dict[str, str]]:
    async with aiohttp.ClientSession() as session:
        browser, path = Browser(box, session), f"/files/{job['result_files'][0]}/content"
        if azure:
            reply = await browser.get(f"/openai/v1{path}", AZURE_KEY)
        else:
            reply = await browser.get(f"/v1{path}")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/octet-stream")
    body = reply.body if reply.body.startswith(b"step") else base64.b64decode(reply.body)
    return list(csv.DictReader(io.StringIO(body.decode())))


async def test_it_has_the_columns_that_openai_documents() -> None:
    async with Sandbox(jobs=1, checkpoints=3) as box:
        job = box.jobs[0]
        found = await rows(box, job)
        metrics = box.checkpoints_of(job["id"])[0]["metrics"]
    assert list(found[0]) == [
        "step",
        "train_loss",
        "train_accuracy",
        "valid_loss",
        "valid_mean_token_accuracy",
    ]
    assert [int(row["step"]) for row in found] == list(range(1, len(found) + 1))
    assert found[-1] == {
        "step": str(metrics["step"]),
        "train_loss": str(metrics["train_loss"]),
        "train_accuracy": str(metrics["train_mean_token_accuracy"]),
        "valid_loss": str(metrics["valid_loss"]),
        "valid_mean_token_accuracy": str(metrics["valid_mean_token_accuracy"]),
    }
    assert found[0]["valid_loss"] == ""


async def test_azure_has_more_columns_and_writes_minus_one() -> None:
    async with Sandbox(jobs=1, checkpoints=3) as box:
        found = await rows(box, box.jobs[0], azure=True)
    assert list(found[0]) == [
        "step",
        "train_loss",
        "train_mean_token_accuracy",
        "valid_loss",
        "validation_mean_token_accuracy",
        "full_valid_loss",
        "full_valid_mean_token_accuracy",
    ]
    assert found[0]["full_valid_loss"] == "-1"
    assert float(found[-1]["full_valid_loss"]) > 0


async def test_reinforcement_has_rewards() -> None:
    async with Sandbox(jobs=0) as box:
        box.add_job(method="reinforcement", status="succeeded", checkpoints=2)
        found = await rows(box, box.jobs[0])
    assert list(found[0])[-2:] == ["train_mean_reward", "full_validation_mean_reward"]
    assert found[0]["train_accuracy"] == ""
    assert float(found[-1]["train_mean_reward"]) > 0


async def test_it_may_be_encoded() -> None:
    async with Sandbox(jobs=1, checkpoints=3) as plain:
        wanted = await rows(plain, plain.jobs[0])
    async with Sandbox(jobs=1, checkpoints=3, results="base64") as box:
        assert await rows(box, box.jobs[0]) == wanted
    with pytest.raises(ValueError, match="results"):
        Sandbox(results="xlsx")  # type: ignore[arg-type]


async def test_only_a_job_that_has_succeeded_has_one(box: Sandbox, browser: Browser) -> None:
    for job in box.jobs:
        assert bool(job["result_files"]) is (job["status"] == "succeeded")
    missing = await browser.get("/v1/files/file-none/content")
    assert (missing.status, missing.error["message"]) == (404, "No such File object: file-none")
    (file,) = box.jobs[0]["result_files"]
    assert (await browser.get(f"/v1/files/{file}/content", {})).status == 401
    assert (await browser.get(f"/v1/files/{file}")).status == 404
