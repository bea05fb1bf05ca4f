"""Faults of the connection and of time."""

import asyncio

import aiohttp
import pytest

from asyncckpt.testing import Sandbox, faults

from support.browser import KEY, Browser, checkpoints_path


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
async def test_faults_break_the_response(
    box: Sandbox, browser: Browser, fault: faults.Fault, complaint: type[Exception]
) -> None:
    # aiohttp asks once more by itself when the connection breaks before the headers.
    rule = box.inject(fault, times=2)
    with pytest.raises(complaint):
        await browser.page()
    assert rule.hits == (2 if fault == faults.Reset() else 1)
    rule.stop()
    assert len((await browser.page())["data"]) == 10


async def test_a_reset_is_a_socket_error_and_a_cut_body_is_an_end(
    box: Sandbox, browser: Browser
) -> None:
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
async def test_endless_faults_stop_with_the_sandbox(
    box: Sandbox, browser: Browser, fault: faults.Fault
) -> None:
    box.inject(fault)
    asking = asyncio.create_task(browser.page())
    while not box.stats.in_flight:
        await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await box.aclose()
    with pytest.raises(aiohttp.ClientError):
        await asking
    assert box.stats.in_flight == box.stats.connections_open == 0


async def test_a_client_that_disconnects_ends_its_request(box: Sandbox, browser: Browser) -> None:
    box.inject(faults.EndlessBody())
    url = box.origin + checkpoints_path(box)
    async with asyncio.timeout(30):
        async with browser.session.get(url, headers=KEY) as response:
            assert len(await response.content.readexactly(3_000_000)) == 3_000_000
        await box.idle()


@pytest.mark.parametrize("fault", [faults.SlowHeaders(0.05, 5), faults.SlowBody(0.05, 5)])
async def test_slow_responses_arrive_complete(
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
async def test_valid_responses_in_another_form(
    box: Sandbox, browser: Browser, harmless: faults.Fault
) -> None:
    expected = await browser.page()
    box.inject(harmless)
    assert await browser.page() == expected


async def test_a_connection_closed_unannounced(box: Sandbox) -> None:
    async with aiohttp.ClientSession() as session:
        browser = Browser(box, session)
        box.inject(faults.CloseAfter())
        reply = await browser.get(checkpoints_path(box))
        assert "connection" not in reply.headers
        while box.stats.connections_open:
            await asyncio.sleep(0)
