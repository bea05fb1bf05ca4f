"""The lifetime of the sandbox and its arguments."""

import asyncio
from unittest.mock import patch

import aiohttp
import pytest

from asyncckpt.testing import Sandbox, faults
from asyncckpt.testing.limiters import FixedWindow, TokenBucket, Verdict

from support.browser import Browser
from support.turns import turns


def test_invalid_arguments_are_rejected() -> None:
    box = Sandbox(jobs=1)
    with pytest.raises(KeyError, match="no job 'ftjob-no'"):
        box.checkpoints_of("ftjob-no")
    with pytest.raises(ValueError, match="jobs must be at least 0"):
        Sandbox(jobs=-1)
    with pytest.raises(ValueError, match="latency is -1"):
        Sandbox(latency=-1)
    with pytest.raises(ValueError, match="burst needs a rate_limit"):
        Sandbox(burst=3)
    with pytest.raises(ValueError, match="burst must be at least 1"):
        Sandbox(rate_limit=1, burst=0)
    with pytest.raises(TypeError, match="burst must be an integer"):
        Sandbox(rate_limit=1, burst=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rate"):
        Sandbox(rate_limit=0)
    with pytest.raises(ValueError, match="burst needs a rate_limit in requests per second"):
        Sandbox(rate_limit=FixedWindow(limit=1), burst=3)
    for rate_limit in ("5", FixedWindow):
        with pytest.raises(TypeError, match="rate_limit must be requests per second, or a limiter"):
            Sandbox(rate_limit=rate_limit)  # type: ignore[arg-type]
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


async def test_start_and_stop_by_call() -> None:
    box = Sandbox(jobs=1)
    await box.start()
    with pytest.raises(RuntimeError, match="already serving"):
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


async def test_a_port_can_be_chosen_and_can_be_in_use(box: Sandbox) -> None:
    port = int(box.origin.rpartition(":")[2])
    second = Sandbox(jobs=1, port=port)
    with pytest.raises(OSError, match="in use"):
        await second.start()
    await box.aclose()
    async with second:
        assert second.origin == f"http://127.0.0.1:{port}"


async def test_the_host_can_be_a_name() -> None:
    async with Sandbox(jobs=1, host="localhost") as box, aiohttp.ClientSession() as session:
        assert box.base_url.startswith("http://localhost:")
        await Browser(box, session).page()


@pytest.mark.parametrize(("rate", "burst"), [(0.5, 1), (14, 1), (50, 5), (200, 20)])
def test_the_default_burst_is_a_tenth_of_a_second(rate: float, burst: int) -> None:
    # A clock that stands still: all requests come at once.
    with (
        patch.object(TokenBucket, "acquire", autospec=True, side_effect=acquire_at_zero),
        Sandbox(jobs=1, rate_limit=rate) as box,
    ):
        asyncio.run(request_often(box, burst + 3))
        assert box.stats.refused == 3


def acquire_at_zero(bucket: TokenBucket, now: float) -> Verdict:
    return ACQUIRE(bucket, 0.0)


ACQUIRE = TokenBucket.acquire


async def request_often(box: Sandbox, times: int) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(times):
            await Browser(box, session).get("/v1/fine_tuning/jobs")


async def test_the_rate_limit_can_be_any_limiter() -> None:
    async with (
        Sandbox(jobs=1, rate_limit=FixedWindow(limit=2, seconds=60)) as box,
        aiohttp.ClientSession() as session,
    ):
        browser = Browser(box, session)
        replies = [await browser.get("/v1/fine_tuning/jobs") for _ in range(3)]
        assert [reply.status for reply in replies] == [200, 200, 429]


@pytest.mark.parametrize("number", range(0, 40, 3))
async def test_after_idle_a_cancelled_call_sends_nothing_more(box: Sandbox, number: int) -> None:
    async with box.client() as client:
        listing = asyncio.ensure_future(client.fine_tuning.jobs.list())
        await turns(number)
        listing.cancel()
        await asyncio.gather(listing, return_exceptions=True)
        await assert_idle(box)


@pytest.mark.parametrize("hangs", [False, True])
async def test_after_idle_no_prefetched_page_is_in_progress(box: Sandbox, hangs: bool) -> None:
    async with box.client() as client:
        if hangs:
            box.inject(faults.Hang(), page=2)
        listing = client.fine_tuning.jobs.checkpoints.list(box.job_ids[0], limit=5)
        async for _ in listing:
            break
        await listing.aclose()
        await assert_idle(box)
        assert box.stats.requests == 2


async def test_after_idle_a_call_cancelled_between_retries_sends_nothing_more(box: Sandbox) -> None:
    async with box.client() as client:
        box.inject(faults.Status(503), times=None)
        call = asyncio.create_task(client.fine_tuning.jobs.retrieve(box.job_ids[0]))
        while not box.stats.responses[503]:
            await asyncio.sleep(0)
        await box.idle()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await assert_idle(box)
        assert box.stats.requests == 1


async def test_idle_waits_until_a_client_that_has_left_is_gone(box: Sandbox) -> None:
    async with box.client() as client:
        await client.fine_tuning.jobs.list()
    await box.idle()
    assert box.stats.connections_open == 0


async def assert_idle(box: Sandbox) -> None:
    """Call `idle`, and fail if a request is in progress, or reaches the sandbox later."""
    await box.idle()
    assert box.stats.in_flight == 0
    requests = box.stats.requests
    await turns(50)
    assert box.stats.requests == requests


async def test_busy_waits_for_requests_in_progress(box: Sandbox) -> None:
    async with box.client() as client:
        box.inject(faults.Hang(), times=2)
        both = asyncio.create_task(box.busy(2))
        calls = [asyncio.create_task(client.fine_tuning.jobs.retrieve(box.job_ids[0]))]
        await box.busy()
        assert not both.done()
        calls.append(asyncio.create_task(client.fine_tuning.jobs.retrieve(box.job_ids[1])))
        await both
        await box.busy(2)
        assert box.stats.in_flight == 2
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    with pytest.raises(ValueError, match="requests must be at least 1"):
        await box.busy(0)


async def test_giving_up_busy_leaves_nothing_behind(box: Sandbox) -> None:
    busy = asyncio.create_task(box.busy())
    await turns(2)
    busy.cancel()
    await asyncio.gather(busy, return_exceptions=True)
    assert busy.cancelled()
    async with box.client() as client:
        await client.fine_tuning.jobs.list()
