"""Fixtures that the tests share."""

import asyncio
import gc
import os
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest
from aioresponses import aioresponses as AioResponses  # noqa: N812  (upstream writes its class small)
from hypothesis import settings

from asyncckpt import AsyncClient
from asyncckpt.protocol import retries
from asyncckpt.resources import endpoint
from asyncckpt.testing import Sandbox, pytest_plugin

from support.leftovers import complaints, strays
from support.turns import until

# How long an example takes depends on how busy the machine is.
settings.register_profile("asyncckpt", deadline=None)
settings.load_profile("asyncckpt")


def pytest_configure(config: pytest.Config) -> None:
    # An installed copy announces it; a tree that is not installed does not.
    if not config.pluginmanager.is_registered(pytest_plugin):
        config.pluginmanager.register(pytest_plugin)


@pytest.fixture(autouse=True, scope="module")
def small_heap() -> None:
    """Spare the many collections of garbage what pytest and earlier modules hold."""
    gc.collect()
    gc.freeze()


class MockedResponse(aiohttp.ClientResponse):
    """The response that aioresponses would have built for the aiohttp in use."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # aiohttp 3.14 requires `stream_writer`, which aioresponses 0.7.9 does not pass. This class
        # and `Mocked` can go with the first release of aioresponses that does.
        kwargs.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **kwargs)


class Mocked(AioResponses):
    def add(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("response_class", MockedResponse)
        super().add(*args, **kwargs)


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the settings and proxies of whoever runs the tests."""
    for name in os.environ:
        if name.startswith(("OPENAI_", "AZURE_OPENAI_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Request ten records a page by default: the jobs of a sandbox have few checkpoints.

    A module that needs the real page size overrides this fixture.
    """
    monkeypatch.setattr(endpoint, "PAGE_SIZE", 10)


@pytest.fixture
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry after a millisecond."""
    monkeypatch.setattr(retries, "_FIRST_BACKOFF", 0.001)


@pytest.fixture
def mocked() -> Iterator[Mocked]:
    """aioresponses in place of the network: `mocked.get(url, payload=...)`."""
    with Mocked() as mock:
        yield mock


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A sandbox of 12 jobs, 30 checkpoints each."""
    async with Sandbox() as running:
        yield running


@pytest.fixture
async def client(sandbox: Sandbox, leaks: None) -> AsyncIterator[AsyncClient]:
    """A client of `sandbox`; whatever it leaves behind fails the test."""
    async with sandbox.client() as opened:
        yield opened


@pytest.fixture
async def leaks(sandbox: Sandbox) -> AsyncIterator[None]:
    """Fail a test that leaves a task, a connection to `sandbox`, a warning or a log entry behind.

    Request it before any fixture that must be closed first: fixtures end in reverse order.
    """
    before = asyncio.all_tasks()
    with complaints() as complained, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        yield
        # A sandbox learns of a closed socket some turns of the event loop later.
        await until(lambda: not sandbox.stats.connections_open)
        left = strays(before)
        assert not left, f"tasks left running: {left}"
        gc.collect()
    assert not complained
    assert not [str(warning.message) for warning in caught]
