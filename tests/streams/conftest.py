"""Fixtures for the modules that test one kind of stream; each names those that it uses."""

from collections.abc import AsyncIterator

import pytest

from support import leftovers


@pytest.fixture
async def nothing_left() -> AsyncIterator[None]:
    """Fail a test that leaves a task behind, or something that asyncio logs."""
    async with leftovers.nothing_left():
        yield
