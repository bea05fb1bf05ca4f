"""The sandbox, asked with plain aiohttp."""

import asyncio
import gzip
import itertools
import json
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest

from asyncckpt import APIError
from asyncckpt.testing import Sandbox, faults
from asyncckpt.testing.responses import ServerResponse
from asyncckpt.testing.data import METHODS
from asyncckpt.testing.shapes import Status
from asyncckpt.testing.limiters import (
    Concurrency,
    FixedWindow,
    Hints,
    Limiter,
    SlidingWindow,
    TokenBucket,
    duration,
)

KEY = {"authorization": "Bearer sk-sandbox"}


@attrs.frozen
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        return self.json["error"]


class Browser:
    """Asks one sandbox, by a session that is lent."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.session = session

    async def get(
        self, path: str, headers: Mapping[str, str] = KEY, method: str = "GET", **query: object
    ) -> Reply:
        params = {name: str(value) for name, value in query.items()}
        async with self.session.request(
            method,
            self.sandbox.origin + path,
            headers=headers,
            params=params,
            allow_redirects=False,
        ) as response:
            return Reply(response.status, response.headers, await response.read())

    async def page(self, job: str | None = None, **query: object) -> Any:
        job = job or self.sandbox.job_ids[0]
        reply = await self.get(f"/v1/fine_tuning/jobs/{job}/checkpoints", **query)
        assert reply.status == 200, reply.body
        return reply.json


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    async with Sandbox(jobs=7, checkpoints=30) as sandbox:
        yield sandbox


@pytest.fixture
async def browser(box: Sandbox) -> AsyncIterator[Browser]:
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Browser(box, session)


def checkpoints_path(box: Sandbox) -> str:
    return f"/v1/fine_tuning/jobs/{box.job_ids[0]}/checkpoints"


# What the API answers.


async def test_pages_follow_one_another_to_the_end(box: Sandbox, browser: Browser) -> None:
    job = box.job_ids[2]
    seen: list[Any] = []
    after: dict[str, str] = {}
    for expected_more in (True, True, True, False):
        page = await browser.page(job, limit=8, **after)
        assert page["has_more"] is expected_more
        assert page["first_id"] == page["data"][0]["id"]
        assert page["last_id"] == page["data"][-1]["id"]
        seen += page["data"]
        after = {"after": page["last_id"]}
    assert seen == box.checkpoints_of(job)
    assert len(seen) == 30


async def test_ten_checkpoints_and_twenty_jobs_a_page_by_default() -> None:
    async with Sandbox(jobs=25, checkpoints=11) as box, aiohttp.ClientSession() as session:
        browser = Browser(box, session)
        assert len((await browser.page())["data"]) == 10
        jobs = (await browser.get("/v1/fine_tuning/jobs")).json
        assert [job["id"] for job in jobs["data"]] == box.job_ids[:20]
        assert jobs["has_more"] is True
        rest = (await browser.get("/v1/fine_tuning/jobs", after=box.job_ids[19])).json
        assert rest["data"] == box.jobs[20:]
        assert rest["has_more"] is False


async def test_a_page_that_ends_with_the_last_record_has_no_more(browser: Browser) -> None:
    assert (await browser.page(limit=30))["has_more"] is False
    assert (await browser.page(limit=29))["has_more"] is True


async def test_after_the_last_record_comes_an_empty_page(box: Sandbox, browser: Browser) -> None:
    page = await browser.page(after=box.checkpoints_of(box.job_ids[0])[-1]["id"])
    assert page == {
        "object": "list",
        "data": [],
        "has_more": False,
        "first_id": None,
        "last_id": None,
    }


async def test_a_job_is_retrieved(box: Sandbox, browser: Browser) -> None:
    reply = await browser.get(f"/v1/fine_tuning/jobs/{box.job_ids[3]}")
    assert reply.json == box.jobs[3]
    assert reply.headers["x-request-id"].startswith("req_")
    assert int(reply.headers["openai-processing-ms"]) > 0


async def test_jobs_are_filtered_by_metadata(box: Sandbox, browser: Browser) -> None:
    tagged = box.add_job(metadata={"team": "red", "env": "prod"})
    box.add_job(metadata={"team": "red", "env": "test"})
    found = await browser.get(
        "/v1/fine_tuning/jobs", **{"metadata[team]": "red", "metadata[env]": "prod"}
    )
    assert [job["id"] for job in found.json["data"]] == [tagged]
    none = await browser.get("/v1/fine_tuning/jobs", metadata="null")
    assert none.json["data"] == [job for job in box.jobs if job["metadata"] is None] != []


@pytest.mark.parametrize(
    ("query", "param"),
    [({"limit": 0}, "limit"), ({"limit": 101}, "limit"), ({"limit": "x"}, "limit"),
     ({"after": "ftckpt_unknown"}, "after"), ({"after": "?"}, "after"), ({"after": ""}, "after")],
)  # fmt: skip
async def test_a_bad_query_is_answered_with_400(
    box: Sandbox, browser: Browser, query: dict[str, Any], param: str
) -> None:
    reply = await browser.get(checkpoints_path(box), **query)
    assert reply.status == 400
    assert reply.error["param"] == param
    assert reply.error["type"] == "invalid_request_error"
    assert set(reply.error) == {"message", "type", "param", "code"}


async def test_the_cursor_of_another_job_is_refused(box: Sandbox, browser: Browser) -> None:
    stranger = box.checkpoints_of(box.job_ids[1])[5]["id"]
    assert (await browser.get(checkpoints_path(box), after=stranger)).status == 400


async def test_an_unknown_job_and_an_unknown_path_are_answered_with_404(browser: Browser) -> None:
    reply = await browser.get("/v1/fine_tuning/jobs/ftjob-x/checkpoints")
    assert (reply.status, reply.error["param"]) == (404, "fine_tuning_job_id")
    assert reply.error["message"] == "Could not find fine tune: ftjob-x"
    assert (await browser.get("/v1/models")).status == 404
    assert (await browser.get("/v1/fine_tuning/jobs", method="POST")).status == 405


async def test_a_wrong_key_is_answered_with_401_and_shown_masked(
    box: Sandbox, browser: Browser
) -> None:
    wrong = await browser.get(checkpoints_path(box), {"authorization": "Bearer sk-wrong-thing"})
    assert (wrong.status, wrong.error["code"]) == (401, "invalid_api_key")
    assert "sk-wr*******ng" in wrong.error["message"]
    assert b"sk-wrong-thing" not in wrong.body
    missing = await browser.get(checkpoints_path(box), {})
    assert (missing.status, missing.error["code"]) == (401, None)
    box.api_key = "sk-wrong-thing"
    right = await browser.get(checkpoints_path(box), {"authorization": "Bearer sk-wrong-thing"})
    assert right.status == 200


async def test_the_azure_form(box: Sandbox, browser: Browser) -> None:
    path = checkpoints_path(box).replace("/v1", "/openai")
    key = {"api-key": "sk-sandbox"}
    page = await browser.get(path, key, **{"api-version": "2024-10-21"})
    assert page.json.keys() == {"object", "data", "has_more"}
    assert page.json["data"] == box.checkpoints_of(box.job_ids[0])[:10]
    assert (await browser.get(path, key)).status == 404
    wrong = await browser.get(path, {"api-key": "no"}, **{"api-version": "2024-10-21"})
    assert wrong.status == 401


# The data.


def test_the_seed_decides_the_data() -> None:
    one, same, other = Sandbox(seed=1), Sandbox(seed=1), Sandbox(seed=2)
    assert one.jobs == same.jobs
    assert one.checkpoints_of(one.job_ids[4]) == same.checkpoints_of(one.job_ids[4])
    assert not set(one.job_ids) & set(other.job_ids)


def test_the_newest_job_is_supervised_and_has_succeeded() -> None:
    for jobs in (1, 2, 12):
        newest = Sandbox(jobs=jobs).jobs[0]
        assert (newest["status"], newest["method"]["type"]) == ("succeeded", "supervised")
        assert newest["created_at"] == max(job["created_at"] for job in Sandbox(jobs=jobs).jobs)


def test_every_job_has_as_many_checkpoints_as_were_asked_for() -> None:
    box = Sandbox(jobs=21, checkpoints=4)
    assert [len(box.checkpoints_of(job)) for job in box.job_ids] == [4] * 21
    kinds = {(job["method"]["type"], job["status"]) for job in box.jobs}
    assert kinds == {
        (m, s) for m in METHODS for s in ("succeeded", "running", "cancelled", "failed")
    }
    ids = [record["id"] for job in box.job_ids for record in box.checkpoints_of(job)]
    assert len(set(ids)) == 84


@pytest.mark.parametrize("seed", range(5))
def test_losses_fall_and_overfit(seed: int) -> None:
    box = Sandbox(jobs=6, checkpoints=40, seed=seed, statuses=["succeeded"])
    for job in box.job_ids:
        metrics = [record["metrics"] for record in reversed(box.checkpoints_of(job))]
        train = [metric["train_loss"] for metric in metrics]
        valid = [metric["valid_loss"] for metric in metrics]
        assert train[-1] < 0.6 * train[0]
        best = valid.index(min(valid))
        assert 10 < best < 39
        assert min(valid) < 0.7 * valid[0]
        assert valid[-1] > 1.15 * min(valid)
        full = [metric for metric in metrics if "full_valid_loss" in metric]
        assert 2 < len(full) < 10
        assert "full_valid_loss" in metrics[-1]


def test_checkpoints_are_newest_first_in_every_respect() -> None:
    box = Sandbox(jobs=3, checkpoints=50)
    for job in box.jobs:
        records = list(box.checkpoints_of(job["id"]))
        for field in ("created_at", "step_number"):
            values = [record[field] for record in records]
            assert all(newer > older for newer, older in itertools.pairwise(values))
        assert records[-1]["created_at"] > job["created_at"]
        name = records[0]["fine_tuned_model_checkpoint"]
        assert name.startswith(f"ft:{job['model']}:acme:")
        assert name.endswith(f":ckpt-step-{records[0]['step_number']}")


async def test_a_million_checkpoints_are_there_when_asked_for() -> None:
    box = Sandbox(jobs=1, checkpoints=1_000_000)
    records = box.checkpoints_of(box.job_ids[0])
    assert len(records) == 1_000_000
    assert records[-1]["metrics"]["step"] == records[-1]["step_number"]
    assert records[999_999] == records[-1]
    async with box, aiohttp.ClientSession() as session:
        page = await Browser(box, session).page(after=records[654_320]["id"], limit=3)
    assert page["data"] == records[654_321:654_324]
    with pytest.raises(IndexError):
        records[1_000_000]


@pytest.mark.parametrize("status", ["queued", "validating_files"])
def test_a_job_that_waits_has_no_checkpoints_until_it_runs(status: Status) -> None:
    box = Sandbox(jobs=1, statuses=[status])
    job = box.job_ids[0]
    assert not box.checkpoints_of(job)
    box.add_checkpoint(job)
    assert len(box.checkpoints_of(job)) == 1
    assert box.jobs[0]["status"] == "running"


def test_a_running_job_grows_and_finishes() -> None:
    box = Sandbox(jobs=0)
    job = box.add_job(status="running", checkpoints=2)
    before = list(box.checkpoints_of(job))
    new = box.add_checkpoint(job)
    assert box.checkpoints_of(job) == [new, *before]
    assert box.jobs[0]["fine_tuned_model"] is None
    box.finish(job)
    assert box.jobs[0]["status"] == "succeeded"
    assert str(box.jobs[0]["fine_tuned_model"]).startswith("ft:")
    assert (box.jobs[0]["finished_at"] or 0) > new["created_at"]
    assert box.checkpoints_of(job) == [new, *before]
    with pytest.raises(ValueError, match="has finished"):
        box.add_checkpoint(job)
    with pytest.raises(ValueError, match="has finished"):
        box.finish(job)


def test_a_failed_job_says_why() -> None:
    box = Sandbox(jobs=1, statuses=["running"])
    with pytest.raises(ValueError, match="a job ends as"):
        box.finish(box.job_ids[0], "queued")
    box.finish(box.job_ids[0], "failed")
    assert box.jobs[0]["error"] is not None


def test_without_validation_there_are_no_validation_metrics() -> None:
    box = Sandbox(jobs=0)
    job = box.add_job(validation=False, method="supervised", checkpoints=3)
    for record in box.checkpoints_of(job):
        assert record["metrics"].keys() == {"step", "train_loss", "train_mean_token_accuracy"}
    assert box.jobs[0]["validation_file"] is None


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_a_body_leaves_the_connection_in_order(status: int) -> None:
    async with Sandbox(jobs=1) as box, box.client(max_retries=0) as client:
        box.inject(faults.Status(status))
        with pytest.raises(APIError):
            await client.fine_tuning.jobs.list()
        await client.fine_tuning.jobs.list()
    assert box.stats.connections == 1


def test_mistakes_are_told_at_once() -> None:
    box = Sandbox(jobs=1)
    with pytest.raises(KeyError, match="no job 'ftjob-no'"):
        box.checkpoints_of("ftjob-no")
    with pytest.raises(ValueError, match="jobs must be at least 0"):
        Sandbox(jobs=-1)
    with pytest.raises(ValueError, match="latency is -1"):
        Sandbox(latency=-1)
    with pytest.raises(ValueError, match="give some of .*'succeeded'"):
        Sandbox(statuses=["done"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="at least one fault"):
        box.inject()
    with pytest.raises(ValueError, match="probability"):
        box.inject(faults.Reset(), probability=2)
    with pytest.raises(ValueError, match="times"):
        box.inject(faults.Reset(), times=-1)
    with pytest.raises(RuntimeError, match="no address yet"):
        _ = box.base_url


# Faults.


async def test_faults_leave_errors_and_jobs_alone_where_they_do_not_apply(
    box: Sandbox, browser: Browser
) -> None:
    box.inject(faults.EmptyPage(), faults.CyclingCursor(), times=None, path=box.job_ids[0])
    job = await browser.get(f"/v1/fine_tuning/jobs/{box.job_ids[0]}")
    assert job.json == box.jobs[0]
    box.inject(
        faults.RawBody(b"{}"), faults.SetField("a.b", 1), faults.SetField("c", 1), times=None
    )
    assert (await browser.get("/v1/fine_tuning/jobs")).body == b"{}"


async def test_any_status_and_body_and_headers(box: Sandbox, browser: Browser) -> None:
    path = checkpoints_path(box)
    box.inject(faults.Status(503))
    box.inject(faults.Status(418, "short and stout", {"x-pot": "tea", "Content-Type": "text/x"}))
    usual = await browser.get(path)
    assert (usual.status, usual.error["code"]) == (503, "server_overloaded")
    odd = await browser.get(path)
    assert (odd.status, odd.body, odd.headers["x-pot"]) == (418, b"short and stout", "tea")
    assert odd.headers["content-type"] == "text/x"
    assert (await browser.get(path)).status == 200
    assert box.stats.answers == {503: 1, 418: 1, 200: 1}
    assert box.stats.faults == 2


async def test_429_with_and_without_hints(box: Sandbox, browser: Browser) -> None:
    path = checkpoints_path(box)
    box.inject(faults.RateLimited())
    box.inject(faults.RateLimited(retry_after=2, retry_after_ms=1500))
    bare, told = await browser.get(path), await browser.get(path)
    assert (bare.status, bare.error["code"]) == (429, "rate_limit_exceeded")
    assert "retry-after" not in bare.headers
    assert (told.headers["retry-after"], told.headers["retry-after-ms"]) == ("2", "1500")


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        (faults.Reset(), aiohttp.ClientConnectionError),
        (faults.Reset("headers"), aiohttp.ClientPayloadError),
        (faults.Reset("body"), aiohttp.ClientPayloadError),
        (faults.CutBody(), aiohttp.ClientPayloadError),
        (faults.CutBody(0.9, chunked=True), aiohttp.ClientPayloadError),
        (faults.NotGzip(), aiohttp.ClientPayloadError),
        (faults.HeaderBomb(), aiohttp.ClientResponseError),
    ],
)
async def test_faults_that_break_the_answer(
    box: Sandbox, browser: Browser, fault: faults.Fault, complaint: type[Exception]
) -> None:
    # aiohttp asks once more by itself when the connection breaks before the headers.
    order = box.inject(fault, times=2)
    with pytest.raises(complaint):
        await browser.page()
    assert order.hits == (2 if fault == faults.Reset() else 1)
    order.stop()
    assert len((await browser.page())["data"]) == 10


async def test_a_reset_is_a_reset_and_a_cut_is_none(box: Sandbox, browser: Browser) -> None:
    """A client sees the one as an error of the socket, the other as an end."""
    box.inject(faults.Reset("body"))
    box.inject(faults.CutBody())
    for expected in (ConnectionResetError, type(None)):
        url = box.origin + checkpoints_path(box)
        async with browser.session.get(url, headers=KEY) as response:
            with pytest.raises(aiohttp.ClientPayloadError) as caught:
                await response.read()
        reset = "ConnectionResetError" in repr(caught.value)
        assert reset is (expected is ConnectionResetError)


@pytest.mark.parametrize(
    "fault",
    [
        faults.Hang(),
        faults.Hang("headers"),
        faults.Hang("body"),
        faults.SlowHeaders(60),
        faults.SlowBody(60),
        faults.Latency(60),
        faults.EndlessBody(),
    ],
)
async def test_faults_without_end_stop_with_the_sandbox(
    box: Sandbox, browser: Browser, fault: faults.Fault
) -> None:
    box.inject(fault)
    asking = asyncio.create_task(browser.page())
    while not box.stats.in_flight:
        await asyncio.sleep(0)
    async with asyncio.timeout(1):
        await box.aclose()
    with pytest.raises(aiohttp.ClientError):
        await asking
    assert box.stats.in_flight == box.stats.connections_open == 0


async def test_a_client_that_leaves_ends_its_request(box: Sandbox, browser: Browser) -> None:
    box.inject(faults.EndlessBody())
    url = box.origin + checkpoints_path(box)
    async with asyncio.timeout(5):
        async with browser.session.get(url, headers=KEY) as response:
            assert len(await response.content.readexactly(3_000_000)) == 3_000_000
        while box.stats.in_flight:
            await asyncio.sleep(0)


@pytest.mark.parametrize("fault", [faults.SlowHeaders(0.05, 5), faults.SlowBody(0.05, 5)])
async def test_slow_answers_arrive_whole(
    box: Sandbox, browser: Browser, fault: faults.Fault
) -> None:
    loop = asyncio.get_running_loop()
    box.inject(fault)
    start = loop.time()
    page = await browser.page()
    assert loop.time() - start >= 0.045
    assert page["data"] == box.checkpoints_of(box.job_ids[0])[:10]


@pytest.mark.parametrize(
    "harmless", [faults.Chunked(), faults.Gzip(), faults.ReverseFields(), faults.CloseAfter()]
)
async def test_answers_that_are_good_in_another_form(
    box: Sandbox, browser: Browser, harmless: faults.Fault
) -> None:
    expected = await browser.page()
    box.inject(harmless)
    assert await browser.page() == expected


async def test_bodies_that_are_no_json(box: Sandbox, browser: Browser) -> None:
    path = checkpoints_path(box)
    for fault in (faults.Html(), faults.MalformedJSON(), faults.RawBody(b"\xff\x00")):
        box.inject(fault)
        reply = await browser.get(path)
        assert reply.status == 200
        with pytest.raises(ValueError):  # noqa: PT011 - either of JSON's or of UTF-8's
            _ = reply.json
    box.inject(faults.ContentType(None))
    assert "json" not in (await browser.get(path)).headers.get("content-type", "")


async def test_a_bomb_unpacks_to_its_size(box: Sandbox, browser: Browser) -> None:
    box.inject(faults.GzipBomb(8 << 20))
    url = box.origin + checkpoints_path(box)
    async with aiohttp.ClientSession(auto_decompress=False, headers=KEY) as session:
        packed = await (await session.get(url)).read()
    assert len(packed) < 100_000
    assert len(gzip.decompress(packed)) > 8 << 20
    assert len(json.loads(gzip.decompress(packed))["data"]) == 10


@pytest.mark.parametrize(
    ("path", "value", "look"),
    [
        ("has_more", "yes", lambda page: page["has_more"] == "yes"),
        ("data", None, lambda page: page["data"] is None),
        ("data.0.metrics", None, lambda page: page["data"][0]["metrics"] is None),
        ("data.-1.id", 7, lambda page: [r["id"] == 7 for r in page["data"]].index(True) == 9),
        (
            "data.*.metrics.valid_loss",
            None,
            lambda page: not page["data"][5]["metrics"]["valid_loss"],
        ),
        ("data.*.colour", "blue", lambda page: all(r["colour"] == "blue" for r in page["data"])),
        ("data.99", 1, lambda page: len(page["data"]) == 10),
    ],
)
async def test_a_field_is_set(
    box: Sandbox, browser: Browser, path: str, value: object, look: Any
) -> None:
    box.inject(faults.SetField(path, value))
    assert look(await browser.page())
    assert box.checkpoints_of(box.job_ids[0]) == (await browser.page(limit=100))["data"]


async def test_fields_are_dropped_and_duplicated(box: Sandbox, browser: Browser) -> None:
    box.inject(faults.DropField("last_id"), faults.DropField("data.*.created_at"))
    page = await browser.page()
    assert "last_id" not in page
    assert all("created_at" not in record for record in page["data"])
    box.inject(faults.DropField("data.*"))
    assert (await browser.page())["data"] == []
    box.inject(faults.DuplicateField("has_more", "no"))
    body = (await browser.get(checkpoints_path(box))).body
    assert body.count(b'"has_more"') == 2
    assert json.loads(body)["has_more"] is True


async def test_a_job_as_served_is_never_altered_by_a_fault(box: Sandbox, browser: Browser) -> None:
    box.inject(faults.SetField("status", "lost"))
    path = f"/v1/fine_tuning/jobs/{box.job_ids[0]}"
    assert (await browser.get(path)).json["status"] == "lost"
    assert (await browser.get(path)).json == box.jobs[0]


async def test_an_empty_page_with_more(box: Sandbox, browser: Browser) -> None:
    box.inject(faults.EmptyPage(), page=2)
    first = await browser.page()
    page = await browser.page(after=first["last_id"])
    assert (page["data"], page["has_more"], page["last_id"]) == ([], True, None)


async def cursors(browser: Browser, pages: int) -> list[str]:
    seen: list[str] = []
    for _ in range(pages):
        page = await browser.page(**({"after": seen[-1]} if seen else {}))
        assert page["has_more"] is True
        seen.append(page["last_id"])
    return seen


async def test_a_cursor_that_is_stuck(box: Sandbox, browser: Browser) -> None:
    box.inject(faults.StuckCursor(), times=None)
    assert len(set(await cursors(browser, 5))) == 1


@pytest.mark.parametrize("pages", [2, 3])
async def test_a_cursor_that_cycles(box: Sandbox, browser: Browser, pages: int) -> None:
    box.inject(faults.CyclingCursor(pages), times=None)
    seen = await cursors(browser, 2 * pages)
    assert seen[:pages] == seen[pages:]
    assert len(set(seen)) == pages


async def test_redirects(box: Sandbox, browser: Browser) -> None:
    path = checkpoints_path(box)
    box.inject(faults.Redirect())
    box.inject(faults.Redirect("other", status=302))
    box.inject(faults.Redirect(location="https://example.com/"))
    same = await browser.get(path, limit=3)
    assert (same.status, same.headers["location"]) == (307, f"{box.origin}{path}?limit=3")
    other = await browser.get(path)
    assert other.status == 302
    assert other.headers["location"] == f"{box.origin}{path}".replace("127.0.0.1", "localhost")
    assert (await browser.get(path)).headers["location"] == "https://example.com/"
    box.inject(faults.Redirect(), times=None)
    with pytest.raises(aiohttp.TooManyRedirects):
        await browser.session.get(box.origin + path, headers=KEY)


async def test_a_connection_closed_without_notice(box: Sandbox) -> None:
    async with aiohttp.ClientSession() as session:
        browser = Browser(box, session)
        box.inject(faults.CloseAfter())
        reply = await browser.get(checkpoints_path(box))
        assert "connection" not in reply.headers
        while box.stats.connections_open:
            await asyncio.sleep(0)


async def test_only_reused_connections_are_met(box: Sandbox) -> None:
    order = box.inject(faults.Status(500), times=None, reused=True)
    async with aiohttp.ClientSession() as session:
        browser = Browser(box, session)
        replies = [await browser.get(checkpoints_path(box)) for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 500, 500]
    assert [request.reused for request in box.requests] == [False, True, True]
    assert (order.hits, box.stats.connections) == (2, 1)


async def test_orders_are_met_in_turn_and_only_where_they_match(
    box: Sandbox, browser: Browser
) -> None:
    job = box.job_ids[1]
    box.inject(faults.Status(500), times=2, job=job)
    box.inject(faults.Status(502), job=job)
    box.inject(faults.Status(503), path="/checkpoints", page=2)
    path = f"/v1/fine_tuning/jobs/{job}"
    assert (await browser.get(checkpoints_path(box))).status == 200
    assert [(await browser.get(path)).status for _ in range(4)] == [500, 500, 502, 200]
    assert (await browser.get(f"{path}/checkpoints", limit=7)).status == 200
    after = box.checkpoints_of(job)[6]["id"]
    assert (await browser.get(f"{path}/checkpoints", limit=7, after=after)).status == 503


async def test_an_order_is_stopped_and_all_are_cleared(box: Sandbox, browser: Browser) -> None:
    order = box.inject(faults.Status(500), times=None)
    box.inject(faults.Status(502), times=None)
    assert (await browser.get("/v1/fine_tuning/jobs")).status == 500
    order.stop()
    assert (await browser.get("/v1/fine_tuning/jobs")).status == 502
    box.clear()
    assert (await browser.get("/v1/fine_tuning/jobs")).status == 200


async def test_chances_come_from_the_seed() -> None:
    async def statuses(seed: int) -> list[int]:
        async with Sandbox(seed=seed, jobs=1) as box, aiohttp.ClientSession() as session:
            box.inject(faults.Status(500), times=None, probability=0.3)
            browser = Browser(box, session)
            return [(await browser.get("/v1/fine_tuning/jobs")).status for _ in range(60)]

    first = await statuses(1)
    assert 6 < first.count(500) < 32
    assert first == await statuses(1)
    assert first != await statuses(2)


async def test_a_fault_of_the_users_own(box: Sandbox, browser: Browser) -> None:
    class Shout:
        def apply(self, response: ServerResponse, exchange: object) -> ServerResponse:
            return attrs.evolve(response, body=response.content().replace(b"list", b"LIST"))

    box.inject(Shout(), faults.Header("x-loud", "yes"), faults.Header("x-request-id", None))
    reply = await browser.get(checkpoints_path(box))
    assert reply.json["object"] == "LIST"
    assert reply.headers["x-loud"] == "yes"
    assert "x-request-id" not in reply.headers


# Limits, counts and latency.


LIMITERS = {
    "token bucket": lambda: TokenBucket(rate=10, burst=5),
    "fixed window": lambda: FixedWindow(limit=10, seconds=1),
    "sliding window": lambda: SlidingWindow(limit=10, seconds=1),
}


@pytest.mark.parametrize("name", LIMITERS)
def test_a_limiter_admits_its_rate(name: str) -> None:
    """Asked far too often for ten seconds, it admits ten a second, and a burst at the most."""
    limiter: Limiter = LIMITERS[name]()
    admitted = sum(limiter.acquire(tick / 100).admitted for tick in range(1000))
    assert 100 <= admitted <= 105


@pytest.mark.parametrize("name", LIMITERS)
def test_a_limiter_admits_whoever_waits_as_long_as_it_says(name: str) -> None:
    limiter: Limiter = LIMITERS[name]()
    now, refused = 100.0, 0
    for _ in range(200):
        verdict = limiter.acquire(now)
        if not verdict.admitted:
            refused += 1
            assert verdict.remaining == 0
            assert not limiter.acquire(now + 0.9 * verdict.retry_after).admitted
            now += verdict.retry_after + 1e-9
            assert limiter.acquire(now).admitted
    assert refused > 10


@pytest.mark.parametrize(
    "limiter",
    [
        TokenBucket(rate=10, burst=5, count_refused=True),
        SlidingWindow(limit=10, seconds=1, count_refused=True),
    ],
)
def test_a_limiter_that_counts_refusals_starves_who_insists(limiter: Limiter) -> None:
    admitted = sum(limiter.acquire(tick / 100).admitted for tick in range(1000))
    assert admitted <= 11


def test_a_fixed_window_may_carry_refusals_over() -> None:
    window = FixedWindow(limit=10, seconds=1, count_refused=True)
    assert sum(window.acquire(0.5).admitted for _ in range(15)) == 10
    assert sum(window.acquire(1.6).admitted for _ in range(15)) == 5


async def test_refusals_with_hints(box: Sandbox, browser: Browser) -> None:
    box.limit(FixedWindow(limit=1, seconds=60), Hints(retry_after_ms=True, ratelimit=True))
    good, refused = await browser.get(checkpoints_path(box)), await browser.get("/v1/nothing")
    assert good.status == 200
    assert good.headers["x-ratelimit-limit-requests"] == "1"
    assert good.headers["x-ratelimit-remaining-requests"] == "0"
    assert good.headers["x-ratelimit-reset-requests"] in {"1m0s", "59.999s", "60s"}
    assert "retry-after" not in good.headers
    assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
    assert refused.headers["retry-after"] == "60"
    assert 59_000 < int(refused.headers["retry-after-ms"]) <= 60_000
    assert (box.stats.refused, box.stats.answers[429]) == (1, 1)


@pytest.mark.parametrize(
    ("hints", "expected"),
    [(Hints(None), None), (Hints(1), "1"), (Hints(0.5), "0.5"), (Hints("soon"), "soon")],
)
async def test_refusals_may_say_anything(
    box: Sandbox, browser: Browser, hints: Hints, expected: str | None
) -> None:
    box.limit(FixedWindow(limit=1, seconds=60), hints)
    await browser.page()
    refused = await browser.get(checkpoints_path(box))
    assert refused.headers.get("retry-after") == expected
    assert "x-ratelimit-limit-requests" not in refused.headers
    box.limit(None)
    await browser.page()


async def test_a_concurrency_limit_gives_its_places_back(box: Sandbox, browser: Browser) -> None:
    box.limit(Concurrency(limit=2))
    box.inject(faults.Hang(), times=2)
    hanging = [asyncio.create_task(browser.page()) for _ in range(2)]
    while box.stats.in_flight < 2:
        await asyncio.sleep(0)
    assert (await browser.get(checkpoints_path(box))).status == 429
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    while box.stats.in_flight:
        await asyncio.sleep(0)
    assert (await browser.get(checkpoints_path(box))).status == 200
    assert box.stats.max_in_flight == 3


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.02, "20ms"), (1, "1s"), (1.5, "1.5s"), (360, "6m0s"), (3_661, "1h1m1s")],
)
def test_durations_as_the_api_writes_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


async def test_requests_are_recorded_without_secrets(box: Sandbox, browser: Browser) -> None:
    await browser.page(box.job_ids[1], limit=4, after=box.checkpoints_of(box.job_ids[1])[7]["id"])
    await browser.get("/v1/fine_tuning/jobs", KEY | {"api-key": "sk-secret", "X-Mine": "1"})
    one, two = box.requests
    assert (one.method, one.path) == ("GET", f"/v1/fine_tuning/jobs/{box.job_ids[1]}/checkpoints")
    assert (one.query["limit"], one.job_id, one.page) == ("4", box.job_ids[1], 3)
    assert (two.job_id, two.page, two.headers["x-mine"]) == (None, 1, "1")
    assert two.headers["authorization"] == two.headers["api-key"] == "***"
    assert 0 < one.at < two.at
    assert "sk-s" not in repr(box.requests)
    assert (box.stats.requests, box.stats.connections) == (2, 2)


@pytest.mark.parametrize("latency", [0.02, (0.02, 0.03)])
async def test_latency_comes_before_every_answer(latency: float | tuple[float, float]) -> None:
    loop = asyncio.get_running_loop()
    async with Sandbox(jobs=1, latency=latency) as box, aiohttp.ClientSession() as session:
        start = loop.time()
        await Browser(box, session).page()
        assert loop.time() - start > 0.018


async def test_start_and_stop_by_hand() -> None:
    box = Sandbox(jobs=1)
    await box.start()
    with pytest.raises(RuntimeError, match="serves already"):
        await box.start()
    async with aiohttp.ClientSession() as session:
        await Browser(box, session).page()
        await box.aclose()
        await box.aclose()
        with pytest.raises(aiohttp.ClientConnectorError):
            await Browser(box, session).page()
        await box.start()
        await Browser(box, session).page()
    await box.aclose()


async def test_a_port_may_be_asked_for_and_may_be_taken(box: Sandbox) -> None:
    port = int(box.origin.rpartition(":")[2])
    second = Sandbox(jobs=1, port=port)
    with pytest.raises(OSError, match="in use"):
        await second.start()
    await box.aclose()
    async with second:
        assert second.origin == f"http://127.0.0.1:{port}"


async def test_the_loopback_may_be_ipv6_or_a_name() -> None:
    async with Sandbox(jobs=1, host="localhost") as box, aiohttp.ClientSession() as session:
        assert box.base_url.startswith("http://localhost:")
        await Browser(box, session).page()


# The plugin.


PLUGIN = "asyncckpt.testing.pytest_plugin"


@pytest.mark.asyncckpt_sandbox(jobs=2, checkpoints=5)
async def test_the_mark_sets_the_fixture_up(asyncckpt_sandbox: Sandbox) -> None:
    assert len(asyncckpt_sandbox.job_ids) == 2
    assert len(asyncckpt_sandbox.checkpoints_of(asyncckpt_sandbox.job_ids[0])) == 5


async def test_the_client_asks_the_sandbox(
    asyncckpt_sandbox: Sandbox, asyncckpt_client: Any
) -> None:
    job = await asyncckpt_client.fine_tuning.jobs.retrieve(asyncckpt_sandbox.job_ids[0])
    assert job.id == asyncckpt_sandbox.job_ids[0]


def test_loading_the_plugin_loads_no_aiohttp() -> None:
    code = f"import sys, {PLUGIN}; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def run_pytest(
    directory: Path, before: str, *options: str, mark: str = "asyncckpt_sandbox(jobs=3)"
) -> str:
    """Run a user's test in a pytest of its own, and return what it says."""
    (directory / "test_user.py").write_text(
        textwrap.dedent(f"""
            import pytest

            @pytest.mark.asyncio
            @pytest.mark.{mark}
            async def test_it(asyncckpt_sandbox):
                assert len(asyncckpt_sandbox.job_ids) == 3

            def test_plain(asyncckpt_sandbox):
                pass
        """)
    )
    if not any(entry.value == PLUGIN for entry in entry_points(group="pytest11")):
        options = (*options, "-p", PLUGIN)
    arguments = ["-rs", "-p", "no:cacheprovider", "-c", "none.ini", *options]
    (directory / "none.ini").touch()
    code = f"{before}; import sys, pytest; sys.exit(pytest.main({arguments!r}))"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return ran.stdout + ran.stderr


def test_the_mark_takes_no_positional_arguments(tmp_path: Path) -> None:
    said = run_pytest(tmp_path, "pass", "--strict-markers", mark="asyncckpt_sandbox(3)")
    assert "takes keyword arguments, such as jobs=3, and not (3,)" in said


def test_the_fixtures_work_in_the_strict_mode_of_pytest_asyncio(tmp_path: Path) -> None:
    assert "2 passed" in run_pytest(tmp_path, "pass", "--strict-markers")


def test_without_pytest_asyncio_the_fixtures_skip_and_say_why(tmp_path: Path) -> None:
    absent = (
        "import importlib.util as u; real = u.find_spec; "
        "u.find_spec = lambda name, *rest: None if name == 'pytest_asyncio' else real(name, *rest)"
    )
    said = run_pytest(tmp_path, absent, "-p", "no:asyncio", "-k", "plain")
    assert "1 skipped" in said
    assert "needs pytest-asyncio" in said
