"""Tests of a user of the pytest plugin and of pytest-aiohttp, for a pytest of their own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from asyncckpt import AsyncClient
from asyncckpt.testing import Sandbox, faults

OpenBrowser = Callable[[web.Application], Awaitable[TestClient[web.Request, web.Application]]]


def service(client: AsyncClient) -> web.Application:
    async def count(request: web.Request) -> web.Response:
        listing = client.fine_tuning.jobs.checkpoints.list(request.match_info["job"])
        return web.json_response(len([record async for record in listing]))

    async def running(_: web.Application) -> AsyncIterator[None]:
        yield
        # The client is still open while the service stops.
        await client.fine_tuning.jobs.list()

    app = web.Application()
    app.router.add_get("/{job}", count)
    app.cleanup_ctx.append(running)
    return app


@pytest.mark.asyncio
@pytest.mark.asyncckpt_sandbox(jobs=1, checkpoints=25)
async def test_service(
    asyncckpt_sandbox: Sandbox, asyncckpt_client: AsyncClient, aiohttp_client: OpenBrowser
) -> None:
    browser = await aiohttp_client(service(asyncckpt_client))
    async with browser.get(f"/{asyncckpt_sandbox.job_ids[0]}") as response:
        assert await response.json() == 25


@pytest.mark.asyncio
async def test_disconnect(
    asyncckpt_sandbox: Sandbox, asyncckpt_client: AsyncClient, aiohttp_client: OpenBrowser
) -> None:
    browser = await aiohttp_client(service(asyncckpt_client))
    asyncckpt_sandbox.inject(faults.Hang())

    async def read() -> None:
        async with browser.get(f"/{asyncckpt_sandbox.job_ids[0]}"):
            pass

    reading = asyncio.create_task(read())
    await asyncckpt_sandbox.busy()
    reading.cancel()
    await asyncckpt_sandbox.idle()
    assert asyncckpt_sandbox.stats.requests == 1
