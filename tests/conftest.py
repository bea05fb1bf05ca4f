"""Fixtures that the tests share."""

import asyncio
import contextlib
import gc
import logging
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import aiohttp
import pytest
from aioresponses import aioresponses as AioResponses  # noqa: N812  (upstream writes its class small)

from asyncckpt.resources import endpoint

if TYPE_CHECKING:
    from asyncckpt import AsyncClient
    from asyncckpt.testing import Sandbox


def pytest_collection_finish() -> None:
    # Every test with `leaks` collects garbage; what pytest itself holds need not be gone through.
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
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Request ten records a page by default: the jobs of a sandbox have few checkpoints.

    A module that needs the real page size overrides this fixture.
    """
    monkeypatch.setattr(endpoint, "PAGE_SIZE", 10)


@pytest.fixture
def mocked() -> Iterator[Mocked]:
    """aioresponses in place of the network: `mocked.get(url, payload=...)`."""
    with Mocked() as mock:
        yield mock


@pytest.fixture
async def sandbox() -> AsyncIterator["Sandbox"]:
    """A sandbox of 12 jobs, 30 checkpoints each."""
    from asyncckpt.testing import Sandbox

    async with Sandbox() as running:
        yield running


@pytest.fixture
async def client(sandbox: "Sandbox", leaks: None) -> AsyncIterator["AsyncClient"]:
    """A client of `sandbox`; whatever it leaves behind fails the test."""
    async with sandbox.client() as opened:
        yield opened


class _Complaints(logging.Handler):
    """Keeps what asyncio logs, such as "Task exception was never retrieved"."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextlib.contextmanager
def _complaints() -> Iterator[list[str]]:
    handler = _Complaints()
    logger = logging.getLogger("asyncio")
    logger.addHandler(handler)
    try:
        yield handler.messages
    finally:
        logger.removeHandler(handler)


def _belongs_to_sandbox(task: asyncio.Task[Any]) -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and (
        Path(code.co_filename).match("aiohttp/web_*.py")
        or code.co_name == "_accept_connection2"  # asyncio's own, of a server
    )


async def _until_disconnected(sandbox: "Sandbox") -> None:
    try:
        async with asyncio.timeout(2):
            # A closed socket is known at the far end some turns of the loop later.
            while sandbox.stats.connections_open:
                await asyncio.sleep(0)
    except TimeoutError:
        pytest.fail(f"{sandbox.stats.connections_open} connections to the sandbox are open")


@pytest.fixture
async def leaks(sandbox: "Sandbox") -> AsyncIterator[None]:
    """Fail a test that leaves a task, a connection to `sandbox`, a warning or a complaint behind.

    Ask for it before anything that is to be closed first: fixtures end in reverse order.
    """
    before = asyncio.all_tasks()
    with _complaints() as complaints, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        yield
        await _until_disconnected(sandbox)
        left = asyncio.all_tasks() - before - {asyncio.current_task()}
        strays = [task for task in left if not _belongs_to_sandbox(task)]
        assert not strays, f"tasks left running: {strays}"
        del left, strays
        gc.collect()
    assert not complaints
    assert not [str(warning.message) for warning in caught]
