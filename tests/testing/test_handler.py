"""How the sandbox handles a request: recorded, limited, delayed."""

import asyncio

import aiohttp
import pytest

from asyncckpt.testing import Sandbox, faults
from asyncckpt.testing.limiters import (
    Concurrency,
    FixedWindow,
    Hints,
)

from support.browser import KEY, Browser, checkpoints_path


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
    assert (box.stats.refused, box.stats.responses[429]) == (1, 1)


@pytest.mark.parametrize(
    ("hints", "expected"),
    [(Hints(None), None), (Hints(1), "1"), (Hints(0.5), "0.5"), (Hints("soon"), "soon")],
)
async def test_refusals_with_any_retry_after(
    box: Sandbox, browser: Browser, hints: Hints, expected: str | None
) -> None:
    box.limit(FixedWindow(limit=1, seconds=60), hints)
    await browser.page()
    refused = await browser.get(checkpoints_path(box))
    assert refused.headers.get("retry-after") == expected
    assert "x-ratelimit-limit-requests" not in refused.headers
    box.limit(None)
    await browser.page()


async def test_a_concurrency_limit_frees_its_slots(box: Sandbox, browser: Browser) -> None:
    box.limit(Concurrency(limit=2))
    box.inject(faults.Hang(), times=2)
    hanging = [asyncio.create_task(browser.page()) for _ in range(2)]
    while box.stats.in_flight < 2:
        await asyncio.sleep(0)
    assert (await browser.get(checkpoints_path(box))).status == 429
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    await box.idle()
    assert (await browser.get(checkpoints_path(box))).status == 200
    assert box.stats.max_in_flight == 3


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
async def test_latency_comes_before_every_response(latency: float | tuple[float, float]) -> None:
    loop = asyncio.get_running_loop()
    async with Sandbox(jobs=1, latency=latency) as box, aiohttp.ClientSession() as session:
        assert box.latency == latency
        start = loop.time()
        await Browser(box, session).page()
        assert loop.time() - start > 0.018


async def test_idle_waits_until_no_request_is_in_progress(box: Sandbox, browser: Browser) -> None:
    await box.idle()
    box.inject(faults.Hang(), times=2)
    hanging = [asyncio.create_task(browser.page()) for _ in range(2)]
    while box.stats.in_flight < 2:
        await asyncio.sleep(0)
    idle = asyncio.create_task(box.idle())
    hanging[0].cancel()
    while box.stats.in_flight == 2:
        await asyncio.sleep(0)
    assert not idle.done()
    hanging[1].cancel()
    await idle
    assert box.stats.in_flight == 0
    await asyncio.gather(*hanging, return_exceptions=True)


async def test_a_rate_limit_has_a_burst() -> None:
    async with (
        Sandbox(jobs=1, rate_limit=0.001, burst=3) as box,
        aiohttp.ClientSession() as session,
    ):
        browser = Browser(box, session)
        replies = [await browser.get(checkpoints_path(box)) for _ in range(5)]
        assert [reply.status for reply in replies] == [200, 200, 200, 429, 429]
        assert int(replies[-1].headers["retry-after"]) in range(998, 1002)
        box.clear()
        assert (await browser.get(checkpoints_path(box))).status == 200
