"""Which requests a fault applies to, and how often."""

import aiohttp
import attrs

from asyncckpt.testing import Sandbox, faults
from asyncckpt.testing.responses import ServerResponse

from support.browser import Browser, checkpoints_path


async def test_a_rule_for_reused_connections(box: Sandbox) -> None:
    rule = box.inject(faults.Status(500), times=None, reused=True)
    async with aiohttp.ClientSession() as session:
        browser = Browser(box, session)
        replies = [await browser.get(checkpoints_path(box)) for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 500, 500]
    assert [request.reused for request in box.requests] == [False, True, True]
    assert (rule.hits, box.stats.connections) == (2, 1)


async def test_rules_apply_in_turn_and_only_to_matching_requests(
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


async def test_a_rule_is_stopped_and_all_are_cleared(box: Sandbox, browser: Browser) -> None:
    rule = box.inject(faults.Status(500), times=None)
    box.inject(faults.Status(502), times=None)
    assert (await browser.get("/v1/fine_tuning/jobs")).status == 500
    rule.stop()
    assert (await browser.get("/v1/fine_tuning/jobs")).status == 502
    box.clear()
    assert (await browser.get("/v1/fine_tuning/jobs")).status == 200


async def test_probabilities_come_from_the_seed() -> None:
    async def statuses(seed: int) -> list[int]:
        async with Sandbox(seed=seed, jobs=1) as box, aiohttp.ClientSession() as session:
            box.inject(faults.Status(500), times=None, probability=0.3)
            browser = Browser(box, session)
            return [(await browser.get("/v1/fine_tuning/jobs")).status for _ in range(60)]

    first = await statuses(1)
    assert 6 < first.count(500) < 32
    assert first == await statuses(1)
    assert first != await statuses(2)


async def test_a_custom_fault(box: Sandbox, browser: Browser) -> None:
    class Shout:
        def apply(self, response: ServerResponse, exchange: object) -> ServerResponse:
            return attrs.evolve(response, body=response.content().replace(b"list", b"LIST"))

    box.inject(Shout(), faults.Header("x-loud", "yes"), faults.Header("x-request-id", None))
    reply = await browser.get(checkpoints_path(box))
    assert reply.json["object"] == "LIST"
    assert reply.headers["x-loud"] == "yes"
    assert "x-request-id" not in reply.headers
