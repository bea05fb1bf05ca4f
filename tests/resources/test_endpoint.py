"""Options of calls, and the page size that iterations request."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from asyncckpt import (
    NOT_GIVEN,
    AsyncClient,
    BadRequestError,
    NotFoundError,
    Response,
    UnprocessableEntityError,
    omit,
)
from asyncckpt.records.checkpoints import (
    FineTuningJobCheckpoint,
    ListFineTuningJobCheckpointsResponse,
)
from asyncckpt.records.codec import ListDecoder
from asyncckpt.resources.endpoint import ListFetch
from asyncckpt.testing import Sandbox, faults

from support.exchanges import ScriptedExchange, ScriptedSession, call, response
from support.servers import answering


@pytest.fixture
def small_pages() -> None:
    """Leave the page size as users have it."""


def queries(sandbox: Sandbox) -> list[dict[str, str]]:
    return [dict(request.query) for request in sandbox.requests]


# The page size.


async def test_an_iteration_requests_pages_of_100() -> None:
    async with Sandbox(jobs=1, checkpoints=250) as box, box.client() as client:
        jobs = client.fine_tuning.jobs
        seen = [checkpoint.id async for checkpoint in jobs.checkpoints.list(box.job_ids[0])]
        assert seen == [checkpoint["id"] for checkpoint in box.checkpoints_of(box.job_ids[0])]
        assert [query.get("limit") for query in queries(box)] == ["100"] * 3
        assert [job.id async for job in jobs.list()] == [job["id"] for job in box.jobs]
        assert queries(box)[3:] == [{"limit": "100"}]


async def test_list_many_requests_pages_of_100(sandbox: Sandbox, client: AsyncClient) -> None:
    stream = client.fine_tuning.jobs.checkpoints.list_many(sandbox.job_ids)
    assert len([checkpoint async for checkpoint in stream]) == 30 * len(sandbox.job_ids)
    assert queries(sandbox) == [{"limit": "100"}] * len(sandbox.job_ids)


async def test_an_awaited_page_has_the_size_that_the_server_chooses(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    page = await client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0])
    assert len(page.data) == 10
    assert len((await page.get_next_page()).data) == 10
    assert [query.get("limit") for query in queries(sandbox)] == [None, None]


@pytest.mark.parametrize(("most", "requested"), [(1, "1"), (7, "7"), (100, "100"), (150, "100")])
async def test_no_more_is_requested_than_max_records(most: int, requested: str) -> None:
    async with Sandbox(jobs=1, checkpoints=200) as box, box.client() as client:
        checkpoints = client.fine_tuning.jobs.checkpoints
        pager = checkpoints.list(box.job_ids[0], max_records=most)
        assert len([checkpoint async for checkpoint in pager]) == most
        stream = checkpoints.list_many(box.job_ids, max_records_per_job=most)
        assert len([checkpoint async for checkpoint in stream]) == most
        assert {query["limit"] for query in queries(box)} == {requested}


SET_BY_THE_CALLER: list[tuple[dict[str, Any], dict[str, Any], str | None]] = [
    ({}, {"limit": 7}, "7"),
    ({}, {"extra_query": {"limit": 8}}, "8"),
    ({}, {"extra_query": {"limit": None}}, None),
    ({}, {"extra_query": {"limit": omit}}, None),
    ({"default_query": {"limit": 9}}, {}, "9"),
    ({"default_query": {"limit": 9}}, {"limit": 7}, "7"),
]


@pytest.mark.parametrize(("of_client", "of_call", "sent"), SET_BY_THE_CALLER)
async def test_a_page_size_of_the_caller_is_kept(
    of_client: dict[str, Any], of_call: dict[str, Any], sent: str | None, sandbox: Sandbox
) -> None:
    async with sandbox.client(**of_client) as client:
        pager = client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0], **of_call)
        assert len([checkpoint async for checkpoint in pager]) == 30
    assert {query.get("limit") for query in queries(sandbox)} == {sent}


def picky(status: int, error: Mapping[str, Any]) -> Callable[[str], tuple[int, Any]]:
    """A server of three pages that takes no limit above 50."""

    def answer(target: str) -> tuple[int, Any]:
        if "limit=100" in target:
            return status, error
        start = int(target.partition("after=c")[2] or -1) + 1
        data = [
            {
                "id": f"c{number}",
                "created_at": 1,
                "fine_tuned_model_checkpoint": "m",
                "fine_tuning_job_id": target.partition("/jobs/")[2].partition("/")[0],
                "metrics": {},
                "step_number": number,
            }
            for number in range(start, min(start + 2, 6))
        ]
        return 200, {"object": "list", "data": data, "has_more": start + 2 < 6}

    return answer


REJECTIONS = [
    (400, {"error": {"message": "Too large.", "param": "limit"}}),
    (400, {"error": {"message": "'limit' must be at most 50."}}),
    (422, {"detail": [{"loc": ["query", "limit"], "msg": "less than or equal to 50"}]}),
    (400, {"error": {"message": "Page size too large.", "param": None}}),
    (400, {"message": "Expected at most 50, got 100."}),
    (400, {"error": {"message": "Too many items: the maximum is 50."}}),
    (422, {"error": {"message": "No.", "param": "query.Limit"}}),
    (400, None),
]


@pytest.mark.parametrize(("status", "error"), REJECTIONS)
@pytest.mark.parametrize("after", [None, "c1"])
async def test_a_rejected_page_size_is_left_out_from_then_on(
    status: int, error: Any, after: str | None
) -> None:
    async with answering(picky(status, error)) as server, server.client() as client:
        for _ in range(2):
            pager = client.fine_tuning.jobs.checkpoints.list("ftjob-1", after=after)
            seen = [checkpoint.id async for checkpoint in pager]
            assert seen == [f"c{number}" for number in range(2 if after else 0, 6)]
        other = client.with_options(max_retries=1)
        assert len([c async for c in other.fine_tuning.jobs.checkpoints.list("ftjob-1")]) == 6
        assert sum("limit=" in target for target in server.targets) == 1
        # Another base URL may be another server.
        other = client.with_options(base_url=server.base_url + "/x")
        assert len([c async for c in other.fine_tuning.jobs.checkpoints.list("ftjob-1")]) == 6
        assert sum("limit=" in target for target in server.targets) == 2


async def test_a_rejected_page_size_costs_list_many_no_record_and_is_no_retry() -> None:
    async with answering(picky(*REJECTIONS[0])) as server, server.client() as client:
        jobs = [f"ftjob-{number}" for number in range(5)]
        stream = client.fine_tuning.jobs.checkpoints.list_many(jobs, ordered=True)
        seen = [(c.fine_tuning_job_id, c.id) async for c in stream]
        assert seen == [(job, f"c{number}") for job in jobs for number in range(6)]
        assert stream.progress.retries == 0
        assert stream.progress.requests == len(server.targets)


async def test_another_error_is_not_taken_for_a_rejected_page_size(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    jobs = client.fine_tuning.jobs
    with pytest.raises(NotFoundError):
        await anext(aiter(jobs.checkpoints.list("ftjob-none")))
    with pytest.raises(BadRequestError):
        await anext(aiter(jobs.checkpoints.list(sandbox.job_ids[0], after="nonsense")))
    assert len(sandbox.requests) == 2
    words = {"message": "No.", "param": "limit"}
    sandbox.inject(faults.Status(422, body={"error": words}), times=2)
    with pytest.raises(UnprocessableEntityError) as caught:
        await anext(aiter(jobs.checkpoints.list(sandbox.job_ids[0])))
    assert caught.value.__context__ is None
    assert len([c async for c in jobs.checkpoints.list(sandbox.job_ids[0])]) == 30
    assert queries(sandbox)[4:] == [{"limit": "100"}], "what failed for both proves nothing"


# Options.


async def test_extra_query_replaces_what_the_call_and_the_client_send(sandbox: Sandbox) -> None:
    async with sandbox.client(default_query={"a": 1, "b": True, "c": 2.5}) as client:
        await client.fine_tuning.jobs.list(
            limit=5, metadata={"x y": "z"}, extra_query={"limit": 6, "b": omit, "c": None, "d": "e"}
        )
    assert queries(sandbox) == [{"a": "1", "metadata[x y]": "z", "limit": "6", "d": "e"}]


@pytest.mark.parametrize("nothing", [None, omit, NOT_GIVEN, {}])
async def test_arguments_that_are_left_out(
    nothing: Any, sandbox: Sandbox, client: AsyncClient
) -> None:
    jobs = client.fine_tuning.jobs
    await jobs.list(metadata=nothing)
    if nothing != {}:
        await jobs.list(after=nothing, limit=nothing)
        await jobs.checkpoints.list(sandbox.job_ids[0], after=nothing, limit=nothing)
    assert all(query == {} for query in queries(sandbox))


async def test_jobs_without_metadata(sandbox: Sandbox, client: AsyncClient) -> None:
    found = [job async for job in client.fine_tuning.jobs.list(extra_query={"metadata": "null"})]
    assert [job.id for job in found] == [job["id"] for job in sandbox.jobs if not job["metadata"]]


async def test_an_omitted_header_is_not_sent(sandbox: Sandbox) -> None:
    async with sandbox.client(default_headers={"X-One": "1", "X-Two": "2"}) as client:
        await client.fine_tuning.jobs.list(extra_headers={"x-one": omit})
        with pytest.raises(Exception, match="401"):
            await client.fine_tuning.jobs.list(extra_headers={"authorization": omit})
    first, second = sandbox.requests
    assert "x-one" not in first.headers
    assert first.headers["x-two"] == "2"
    assert "authorization" in first.headers
    assert "authorization" not in second.headers


MISSPELT = [
    ("max_retrys", "max_retries"),
    ("time_out", "timeout"),
    ("limits", "limit"),
    ("extra_header", "extra_headers"),
    ("zzz", None),
]


@pytest.mark.parametrize(("name", "meant"), MISSPELT)
async def test_an_unknown_option_names_the_closest_one(
    name: str, meant: str | None, client: AsyncClient
) -> None:
    jobs, options = client.fine_tuning.jobs, {name: None}
    checkpoints = jobs.checkpoints
    for method, first in (
        (jobs.list, []),
        (checkpoints.list, ["id"]),
        (checkpoints.list_many, [[]]),
    ):
        with pytest.raises(TypeError) as caught:
            method(*first, **options)  # type: ignore[operator]
        expected = f".{method.__name__}() got an unexpected keyword argument {name!r}"
        assert str(caught.value).endswith(
            f"{expected}; did you mean {meant!r}?" if meant else expected
        )
    with pytest.raises(TypeError, match=f"retrieve.*{name}"):
        await jobs.retrieve("ftjob-1", **options)


@pytest.mark.parametrize("name", ["extra_headers", "extra_query"])
async def test_an_option_that_is_not_a_mapping(name: str, client: AsyncClient) -> None:
    options: dict[str, Any] = {name: [("a", "b")]}
    with pytest.raises(TypeError, match=f"{name} must be a mapping, not list"):
        client.fine_tuning.jobs.checkpoints.list("ftjob-1", **options)


async def test_the_decoder_is_built_while_the_server_works_on_the_first_page() -> None:
    prepared: list[bool] = []
    decoder = ListDecoder(ListFineTuningJobCheckpointsResponse, FineTuningJobCheckpoint)

    async def respond() -> Response:
        prepared.append(decoder._decoder._wire_decoder is not None)
        return response(200, b'{"object": "list", "data": [], "has_more": false}')

    session: Any = ScriptedSession(ScriptedExchange([respond]))
    assert decoder._decoder._wire_decoder is None
    page = await ListFetch(session, call(), decoder, None)(None, lambda: None)
    assert page.data == []
    assert prepared == [True]
