"""A sandbox and plain requests to it."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from asyncckpt.testing import Sandbox

from support.browser import Browser


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    async with Sandbox(jobs=7, checkpoints=30) as sandbox:
        yield sandbox


@pytest.fixture
async def browser(box: Sandbox) -> AsyncIterator[Browser]:
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Browser(box, session)
