"""Servers that differ from the API reference, with several habits at the same time."""

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
import pytest

from asyncckpt import (
    APIResponseValidationError,
    AsyncClient,
    CursorExpiredError,
    FineTuningJobCheckpoint,
    Pager,
    converter,
)

from support.servers import response, serving

Records = list[dict[str, Any]]

JOBS = ("ft-1", "ftjob-2", "run/3", "4", "ft-5", "ft-6", "ft-7")


def checkpoint(job: str, step: int) -> dict[str, Any]:
    return {
        "id": f"{job}:ckpt-{step}",
        "created_at": 1_700_000_000 + step,
        "fine_tuned_model_checkpoint": f"/models/{job}/step-{step}",
        "fine_tuning_job_id": job,
        "metrics": {"step": step, "train_loss": 1.5},
        "step_number": step,
        "object": "fine_tuning.job.checkpoint",
    }


def oldest_first(job: str, count: int = 23) -> Records:
    return [checkpoint(job, step) for step in range(1, count + 1)]


def newest_first(job: str) -> Records:
    return oldest_first(job)[::-1]


def with_text_times(records: Records) -> Records:
    return [
        {**record, "created_at": f"2026-01-05T10:{record['step_number']:02}:00.5"}
        for record in records
    ]


def with_nothing_measured(records: Records) -> Records:
    """Null, absent and empty metrics in turn; steps only in the time of creation and the model."""
    spelled: list[dict[str, Any]] = [{"metrics": None}, {}, {"metrics": {"train_loss": None}}]
    without = [
        {name: value for name, value in record.items() if name not in ("metrics", "step_number")}
        for record in records
    ]
    return [
        {**record, **spelled[number % 3], **({"step_number": None} if number % 2 else {})}
        for number, record in enumerate(without)
    ]


RECORDS: dict[str, Records] = {
    "ft-1": newest_first("ft-1"),
    "ftjob-2": oldest_first("ftjob-2"),
    "run/3": oldest_first("run/3"),
    "4": with_text_times(newest_first("4")),
    "ft-5": with_nothing_measured(oldest_first("ft-5")),
    "ft-6": [{**record, "result_files": ["f-1"]} for record in oldest_first("ft-6")],
    "ft-7": oldest_first("ft-7"),
}


def pages(records: Records, query: dict[str, str]) -> dict[str, Any]:
    """Part of a list, in pages of at most five, as the API reference describes it."""
    size = min(5, int(query.get("limit", "5")))
    ids = [record["id"] for record in records]
    start = ids.index(query["after"]) + 1 if "after" in query else 0
    part = records[start : start + size]
    return {"object": "list", "data": part, "has_more": start + size < len(records)}


@attrs.define
class Hostile:
    """A server with one habit for each job; its list of jobs is a bare array.

    Every path is answered once by a gateway, in HTML.
    """

    seen: set[str] = attrs.field(factory=set[str])
    requests: dict[str, int] = attrs.field(factory=dict[str, int])

    def answer(self, target: str) -> tuple[str, bytes]:
        parts = urlsplit(target)
        path = parts.path.removeprefix("/v1/fine_tuning/jobs")
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if path not in self.seen:
            self.seen.add(path)
            return "502 Bad Gateway", b"<html><h1>502 Bad Gateway</h1></html>"
        if not path:
            jobs = [self.job(number, id_) for number, id_ in enumerate(JOBS)]
            return "200 OK", json.dumps(jobs).encode()
        job = path.removeprefix("/").removesuffix("/checkpoints").replace("%2F", "/")
        self.requests[job] = self.requests.get(job, 0) + 1
        if job == "ft-7" and "after" in query and self.requests[job] in (3, 7):
            gone = {"error": {"message": f"Unknown id {query['after']}", "param": None}}
            return "404 Not Found", json.dumps(gone).encode()
        return "200 OK", json.dumps(self.body(job, query)).encode()

    def job(self, number: int, id_: str) -> dict[str, Any]:
        return {
            "id": id_,
            "created_at": f"2026-01-05T10:{number:02}:00Z",
            "model": "/models/base",
            "status": "paused",
            "training_file": "data.jsonl",
            "result_files": None,
        }

    def body(self, job: str, query: dict[str, str]) -> Any:
        records = RECORDS[job]
        if job == "ft-1":
            return {"data": records}
        if job == "ftjob-2":
            return records
        page = pages(records, query)
        if job == "run/3":
            del page["has_more"]
        return page


async def hostile_client(server: Hostile, use: Callable[[AsyncClient], Any]) -> Any:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            status, body = server.answer(head.split(b" ", 2)[1].decode())
            kind = "html" if body.startswith(b"<") else "json"
            writer.write(response(body, f"content-type: text/{kind}", status=status))

    async with serving(talk) as served:
        client = AsyncClient(api_key="sk-1", base_url=f"{served.url}/v1", max_retries=2)
        async with client:
            return await use(client)


ALL = [job for job in JOBS if "/" not in job]
"""Ids with a slash cannot be in a path."""


@pytest.mark.parametrize("job", ALL)
async def test_list(job: str) -> None:
    async def use(client: AsyncClient) -> list[FineTuningJobCheckpoint]:
        pager = client.fine_tuning.jobs.checkpoints.list(job, on_expired_cursor="restart")
        return [one async for one in pager]

    listed = await hostile_client(Hostile(), use)
    assert [converter.unstructure(one) for one in listed] == RECORDS[job]


async def test_list_many() -> None:
    async def use(client: AsyncClient) -> list[FineTuningJobCheckpoint]:
        checkpoints = client.fine_tuning.jobs.checkpoints
        stream = checkpoints.list_many(ALL, ordered=True, on_expired_cursor="restart")
        return [one async for one in stream]

    listed = await hostile_client(Hostile(), use)
    sent = [record for job in ALL for record in RECORDS[job]]
    assert [converter.unstructure(one) for one in listed] == sent


async def test_the_newest_of_each_job() -> None:
    async def use(client: AsyncClient) -> dict[str, str]:
        newest = client.fine_tuning.jobs.checkpoints.latest(ALL)
        return {one.fine_tuning_job_id: one.id async for one in newest}

    assert await hostile_client(Hostile(), use) == {job: f"{job}:ckpt-23" for job in ALL}


async def test_jobs() -> None:
    async def use(client: AsyncClient) -> list[tuple[str, str, list[str]]]:
        return [
            (job.id, job.created.isoformat(), job.result_files)
            async for job in client.fine_tuning.jobs.list()
        ]

    assert await hostile_client(Hostile(), use) == [
        (id_, f"2026-01-05T10:{number:02}:00+00:00", []) for number, id_ in enumerate(JOBS)
    ]


async def test_an_expired_cursor_is_an_error_by_default() -> None:
    async def use(client: AsyncClient) -> None:
        pager = client.fine_tuning.jobs.checkpoints.list("ft-7")
        ids: list[str] = []
        with pytest.raises(CursorExpiredError) as caught:
            await collect(pager, ids)
        assert ids == [record["id"] for record in RECORDS["ft-7"][:10]]
        assert caught.value.cursor == pager.cursor == ids[-1]
        assert caught.value.status_code == 404

    await hostile_client(Hostile(), use)


async def test_an_expired_cursor_fails_one_of_many_jobs() -> None:
    async def use(client: AsyncClient) -> None:
        checkpoints = client.fine_tuning.jobs.checkpoints
        stream = checkpoints.list_many(["ft-7", "ft-6"], on_error="collect", ordered=True)
        ids = [one.id async for one in stream]
        assert ids == [
            *(record["id"] for record in RECORDS["ft-7"][:10]),
            *(record["id"] for record in RECORDS["ft-6"]),
        ]
        (failure,) = stream.failures
        assert failure.fine_tuning_job_id == "ft-7"
        assert isinstance(failure.error, CursorExpiredError)

    await hostile_client(Hostile(), use)


async def collect(pager: Pager[FineTuningJobCheckpoint], into: list[str]) -> None:
    async for one in pager:
        into.append(one.id)  # noqa: PERF401 - kept if the pager fails


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (b"<!doctype html><title>Sign in</title>", "got an HTML page: the base URL may lead to"),
        (b'{"object": "fine_tuning.job", "id": "ft-1"}', "got a fine-tuning job: the server"),
        (b'{"message": "no Route matched"}', "gateway before the API: 'no Route matched'"),
    ],
)
async def test_something_else_than_a_page_is_an_error_that_names_the_cause(
    body: bytes, cause: str
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(response(body))

    async with serving(talk) as served:
        client = AsyncClient(api_key="sk-1", base_url=served.url, max_retries=0)
        async with client:
            with pytest.raises(APIResponseValidationError) as caught:
                await client.fine_tuning.jobs.checkpoints.list("ft-1")
    assert cause in str(caught.value)
    assert caught.value.path == "$"


async def test_a_mismatch_in_a_bare_array_is_named_with_its_place() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            wrong = {**RECORDS["ftjob-2"][1], "step_number": "2"}
            writer.write(response(b" " + json.dumps([RECORDS["ftjob-2"][0], wrong]).encode()))

    async with serving(talk) as served:
        client = AsyncClient(api_key="sk-1", base_url=served.url, max_retries=0)
        async with client:
            with pytest.raises(APIResponseValidationError) as caught:
                await client.fine_tuning.jobs.checkpoints.list("ftjob-2")
    assert caught.value.path == "$[1].step_number"
