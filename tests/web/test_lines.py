"""Records as JSON lines, and the wait for the first one."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from asyncckpt import AsyncClient, NotFoundError
from asyncckpt.testing import Sandbox
from asyncckpt.web import json_lines, started


async def numbers(closed: list[str], count: int = 3) -> AsyncGenerator[int, None]:
    try:
        for number in range(count):
            yield number
    finally:
        closed.append("closed")


async def test_each_line_is_a_record_as_the_api_sends_it(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    job = sandbox.job_ids[0]
    async with client.fine_tuning.jobs.checkpoints.list(job) as pager:
        lines = [line async for line in json_lines(pager)]
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    assert [json.loads(line) for line in lines] == list(sandbox.checkpoints_of(job))


async def test_a_record_is_taken_when_the_line_before_it_was(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    async with client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0], limit=1) as pager:
        async with aclosing(json_lines(pager)) as lines:
            await anext(lines)
        assert sandbox.stats.requests <= 2


async def test_leaving_closes_the_records() -> None:
    closed: list[str] = []
    async with aclosing(json_lines(numbers(closed))) as lines:
        assert await anext(lines) == b"0\n"
    assert closed == ["closed"]


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_started_returns_all_records(count: int) -> None:
    closed: list[str] = []
    assert [number async for number in await started(numbers(closed, count))] == list(range(count))
    assert closed == ["closed"]


async def test_started_closes_the_records_when_it_is_closed() -> None:
    closed: list[str] = []
    async with aclosing(await started(numbers(closed))) as records:
        assert await anext(records) == 0
    assert closed == ["closed"]


async def test_started_raises_the_error_of_the_first_request(client: AsyncClient) -> None:
    with pytest.raises(NotFoundError):
        await started(client.fine_tuning.jobs.checkpoints.list("ftjob-no"))
