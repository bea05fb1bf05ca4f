"""The behaviour of the API in the sandbox, over plain aiohttp."""

from typing import Any

import aiohttp
import pytest

from asyncckpt.testing import Sandbox

from support.browser import Browser, checkpoints_path


async def test_pages_lead_from_the_first_record_to_the_last(box: Sandbox, browser: Browser) -> None:
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


async def test_the_default_page_has_ten_checkpoints_or_twenty_jobs() -> None:
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


async def test_the_page_after_the_last_record_is_empty(box: Sandbox, browser: Browser) -> None:
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
async def test_an_invalid_query_gets_a_400(
    box: Sandbox, browser: Browser, query: dict[str, Any], param: str
) -> None:
    reply = await browser.get(checkpoints_path(box), **query)
    assert reply.status == 400
    assert reply.error["param"] == param
    assert reply.error["type"] == "invalid_request_error"
    assert set(reply.error) == {"message", "type", "param", "code"}


async def test_the_cursor_of_another_job_is_rejected(box: Sandbox, browser: Browser) -> None:
    stranger = box.checkpoints_of(box.job_ids[1])[5]["id"]
    assert (await browser.get(checkpoints_path(box), after=stranger)).status == 400


async def test_an_unknown_job_and_an_unknown_path_get_a_404(browser: Browser) -> None:
    reply = await browser.get("/v1/fine_tuning/jobs/ftjob-x/checkpoints")
    assert (reply.status, reply.error["param"]) == (404, "fine_tuning_job_id")
    assert reply.error["message"] == "Could not find fine tune: ftjob-x"
    assert (await browser.get("/v1/models")).status == 404
    assert (await browser.get("/v1/fine_tuning/jobs", method="POST")).status == 405


async def test_a_wrong_key_gets_a_401_that_shows_it_masked(box: Sandbox, browser: Browser) -> None:
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
    for prefix in ("/openai/v1", "/api/projects/my-project/openai/v1"):
        v1 = await browser.get(checkpoints_path(box).replace("/v1", prefix), key)
        assert v1.json == page.json
    dated = checkpoints_path(box).replace("/v1", "/api/projects/my-project/openai")
    assert (await browser.get(dated, key)).status == 404
    assert (await browser.get(dated, key, **{"api-version": "2024-10-21"})).json == page.json
    wrong = await browser.get(path, {"api-key": "no"}, **{"api-version": "2024-10-21"})
    assert wrong.status == 401
