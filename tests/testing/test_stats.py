"""The counters of a sandbox."""

import asyncio

import aiohttp
import pytest

from asyncckpt.testing import Sandbox, faults
from asyncckpt.testing.limiters import FixedWindow

from support.browser import Browser


async def test_the_former_name_of_the_responses_still_works(box: Sandbox, browser: Browser) -> None:
    await browser.page()
    assert box.stats.answers is box.stats.responses
    assert box.stats.responses == {200: 1}


async def test_each_counter_counts_what_it_says(box: Sandbox, browser: Browser) -> None:
    box.inject(faults.Status(500))
    assert (await browser.get("/v1/fine_tuning/jobs")).status == 500
    await browser.page()
    box.limit(FixedWindow(limit=1, seconds=60))
    for _ in range(3):
        await browser.get("/v1/fine_tuning/jobs")
    stats = box.stats
    assert (stats.requests, stats.refused, stats.faults) == (5, 2, 1)
    assert stats.responses == {200: 2, 429: 2, 500: 1}
    assert stats.connections == 5
    await box.idle()
    assert (stats.connections_open, stats.in_flight, stats.max_in_flight) == (0, 0, 1)


async def test_a_reset_connection_has_no_response(box: Sandbox) -> None:
    box.inject(faults.Reset(), times=None)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await Browser(box, session).get("/v1/fine_tuning/jobs")
    assert box.stats.requests == box.stats.faults > 0
    assert box.stats.responses == {}


async def test_the_highest_number_in_flight_stays(box: Sandbox, browser: Browser) -> None:
    box.latency = 0.01
    await asyncio.gather(*(browser.page() for _ in range(4)))
    await box.idle()
    assert box.stats.in_flight == 0
    assert 2 <= box.stats.max_in_flight <= 4
