"""The lifetime of the sandbox and its arguments."""

import asyncio
from unittest.mock import patch

import aiohttp
import pytest

from asyncckpt.testing import Sandbox, faults
from asyncckpt.testing.limiters import TokenBucket, Verdict

from support.browser import Browser


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
