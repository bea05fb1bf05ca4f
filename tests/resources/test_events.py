"""The list of a job's events."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from asyncckpt import APIResponseValidationError, AsyncClient, NotFoundError, converter
from asyncckpt.testing import Sandbox

from support.servers import Answering, answering

PATH = "/fine_tuning/jobs/ftjob-1/events"
EVENTS = [
    {"id": f"ftevent-{n}", "created_at": n, "level": "info", "message": str(n), "new": n}
    for n in range(25, 0, -1)
]


def page_for(target: str) -> tuple[int, Any]:
    """Answer as the API does, newest first, without `first_id` and `last_id`."""
    url = urlsplit(target)
    if url.path != PATH:
        return 404, {"error": {"message": "no such job"}}
    query = dict(parse_qsl(url.query))
    ids = [event["id"] for event in EVENTS]
    start = ids.index(query["after"]) + 1 if "after" in query else 0
    end = start + int(query.get("limit", 20))
    data = EVENTS[start:end]
    return 200, {"object": "list", "data": data, "has_more": end < len(EVENTS)}


async def test_all_events_come_newest_first() -> None:
    async with answering(page_for) as server, server.client() as client:
        events = [event async for event in client.fine_tuning.jobs.list_events("ftjob-1")]
    assert [event.id for event in events] == [event["id"] for event in EVENTS]
    assert [event.extra for event in events] == [{"new": event["new"]} for event in EVENTS]
    assert server.targets == [f"{PATH}?limit=10", *targets_after("ftevent-16", "ftevent-6")]


def targets_after(*cursors: str) -> list[str]:
    return [f"{PATH}?limit=10&after={cursor}" for cursor in cursors]


async def test_an_awaited_page_has_the_size_of_the_server() -> None:
    async with answering(page_for) as server, server.client() as client:
        page = await client.fine_tuning.jobs.list_events("ftjob-1")
        assert len(page.data) == 20
        assert len((await page.get_next_page()).data) == 5
    assert server.targets[0] == PATH


async def test_after_limit_and_max_records() -> None:
    async with answering(page_for) as server, server.client() as client:
        events = client.fine_tuning.jobs.list_events(
            "ftjob-1", after="ftevent-20", limit=4, prefetch=0, max_records=6
        )
        assert [event.created_at async for event in events] == [19, 18, 17, 16, 15, 14]
        assert events.cursor == "ftevent-14"
    assert [dict(parse_qsl(urlsplit(target).query)) for target in server.targets] == [
        {"limit": "4", "after": "ftevent-20"},
        {"limit": "4", "after": "ftevent-16"},
    ]


async def test_a_job_that_does_not_exist() -> None:
    async with answering(page_for) as server, server.client() as client:
        with pytest.raises(NotFoundError):
            await client.fine_tuning.jobs.list_events("ftjob-2")


async def test_a_page_of_something_else_is_an_error() -> None:
    def checkpoint(_: str) -> tuple[int, Any]:
        return 200, {"data": [{"id": "ftckpt_1", "created_at": 1}], "has_more": False}

    async with answering(checkpoint) as server:
        await expect_mismatch(server)


async def expect_mismatch(server: Answering) -> None:
    async with server.client() as client:
        with pytest.raises(APIResponseValidationError) as caught:
            await client.fine_tuning.jobs.list_events("ftjob-1")
    assert caught.value.path == "$.data[0]"


@pytest.mark.parametrize("job_id", ["", ".", "a/b"])
async def test_an_id_must_not_change_the_path(job_id: str) -> None:
    async with answering(page_for) as server, server.client() as client:
        with pytest.raises(ValueError, match="fine_tuning_job_id"):
            client.fine_tuning.jobs.list_events(job_id)
    assert server.targets == []


@pytest.mark.parametrize("limit", [None, 7, 100])
async def test_what_the_sandbox_has_comes_back_whole(
    limit: int | None, sandbox: Sandbox, client: AsyncClient
) -> None:
    job = sandbox.add_job(checkpoints=3)
    events = client.fine_tuning.jobs.list_events(job, limit=limit)
    assert [converter.unstructure(event) async for event in events] == sandbox.events_of(job)
