"""Responses that name another job than the one requested, over real sockets."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from asyncckpt import APIResponseValidationError
from asyncckpt.resources.ownership import foreign_jobs

from support.servers import Answering, answering


def checkpoint(job: str, number: int = 0) -> dict[str, Any]:
    return {
        "id": f"ftckpt_{number}",
        "created_at": 1,
        "fine_tuned_model_checkpoint": "m",
        "fine_tuning_job_id": job,
        "metrics": {},
        "step_number": number,
    }


def job(job: str) -> dict[str, Any]:
    fields = {"created_at": 1, "model": "m", "status": "running", "training_file": "f"}
    return {"id": job, **fields}


def answers(*jobs: Sequence[str] | str) -> Callable[[str], tuple[int, Any]]:
    """Answer with records of these jobs, request after request; the last ones for good."""
    turns = itertools.chain(jobs, itertools.repeat(jobs[-1]))

    def answer(target: str) -> tuple[int, Any]:
        turn = next(turns)
        if "/checkpoints" in target:
            named = [turn] if isinstance(turn, str) else turn
            data = [checkpoint(name, number) for number, name in enumerate(named)]
            return 200, {"object": "list", "data": data, "has_more": False}
        return 200, job(turn if isinstance(turn, str) else turn[0])

    return answer


async def jobs_named(call: str, server: Answering) -> list[str]:
    """The jobs that the records of a call for ``ftjob-mine`` name."""
    async with server.client() as client:
        jobs = client.fine_tuning.jobs
        if call == "list":
            return [c.fine_tuning_job_id async for c in jobs.checkpoints.list("ftjob-mine")]
        if call == "page":
            page = await jobs.checkpoints.list("ftjob-mine")
            return [c.fine_tuning_job_id for c in page.data]
        if call == "list_many":
            stream = jobs.checkpoints.list_many(["ftjob-mine"])
            return [c.fine_tuning_job_id async for c in stream]
        return [(await jobs.retrieve("ftjob-mine")).id]


CALLS = ["list", "page", "list_many", "retrieve"]


@pytest.mark.parametrize("call", CALLS)
async def test_the_right_job_is_requested_once(call: str) -> None:
    async with answering(answers("ftjob-mine")) as server:
        assert await jobs_named(call, server) == ["ftjob-mine"]
        assert len(server.targets) == 1


@pytest.mark.parametrize("call", CALLS)
async def test_the_right_job_at_the_second_request_is_accepted(call: str) -> None:
    async with answering(answers("ftjob-other", "ftjob-mine")) as server:
        assert await jobs_named(call, server) == ["ftjob-mine"]
        assert len(server.targets) == 2


@pytest.mark.parametrize("call", CALLS)
async def test_a_consistent_second_statement_is_accepted(call: str) -> None:
    async with answering(answers("alias")) as server:
        assert await jobs_named(call, server) == ["alias"]
        assert len(server.targets) == 2
        assert server.targets[0] == server.targets[1]
        # The response to the first may have been on the connection already.
        assert server.connections == 2


@pytest.mark.parametrize("call", CALLS)
async def test_different_jobs_in_two_responses_are_an_error(call: str) -> None:
    async with answering(answers("ftjob-x", "ftjob-y", "ftjob-mine")) as server:
        with pytest.raises(APIResponseValidationError, match="'ftjob-mine'.*'ftjob-y'") as caught:
            await jobs_named(call, server)
        assert len(server.targets) == 2
        assert caught.value.request_id == "req_1"


async def test_one_foreign_record_among_many_is_noticed() -> None:
    mixed = [["ftjob-mine", "ftjob-x", "ftjob-mine"], ["ftjob-mine", "ftjob-y"]]
    async with answering(answers(*mixed)) as server:
        with pytest.raises(APIResponseValidationError, match="ftjob-y"):
            await jobs_named("list", server)


@pytest.mark.parametrize("call", ["list", "retrieve"])
async def test_an_empty_id_names_no_job(call: str) -> None:
    async with answering(answers("")) as server:
        assert await jobs_named(call, server) == [""]
        assert len(server.targets) == 1


async def test_the_error_is_bounded_and_printable() -> None:
    async with answering(answers("a", "\x1b[2J" + "b" * 100_000)) as server:
        with pytest.raises(APIResponseValidationError) as caught:
            await jobs_named("list", server)
        assert len(str(caught.value)) < 1_000
        assert str(caught.value).isprintable()


@pytest.mark.parametrize(("length", "shown"), [(100, "b" * 100), (101, "b" * 100 + "\\u2026")])
async def test_a_hundred_characters_of_an_id_are_shown(length: int, shown: str) -> None:
    async with answering(answers("a", "b" * length)) as server:
        with pytest.raises(APIResponseValidationError, match=r"got '(.*?)'") as caught:
            await jobs_named("list", server)
        assert f"Expected job 'ftjob-mine', got '{shown}'" in str(caught.value)


async def test_pages_after_the_first_are_checked_too() -> None:
    def answer(target: str) -> tuple[int, Any]:
        name = "ftjob-x" if "after=" in target else "ftjob-mine"
        name = "ftjob-y" if sum("after=" in seen for seen in server.targets) > 1 else name
        data = [checkpoint(name, len(server.targets))]
        return 200, {"object": "list", "data": data, "has_more": True}

    async with answering(answer) as server, server.client() as client:
        records = aiter(client.fine_tuning.jobs.checkpoints.list("ftjob-mine"))
        assert (await anext(records)).fine_tuning_job_id == "ftjob-mine"
        with pytest.raises(APIResponseValidationError, match="ftjob-y"):
            await anext(records)


async def test_learned_unknown_fields_do_not_hide_the_job() -> None:
    def answer(target: str) -> tuple[int, Any]:
        name = "ftjob-mine" if len(server.targets) != 3 else "ftjob-other"
        data = [{**checkpoint(name), "result_files": ["f"]}]
        return 200, {"object": "list", "data": data, "has_more": False}

    async with answering(answer) as server:
        assert await jobs_named("page", server) == ["ftjob-mine"]
        assert await jobs_named("page", server) == ["ftjob-mine"]
        assert await jobs_named("page", server) == ["ftjob-mine"]
        assert len(server.targets) == 4


def test_jobs_of_one_organization_are_not_compared() -> None:
    assert foreign_jobs(None, [object()]) == frozenset()
