"""Tests of a user of the pytest plugin and of anyio's, for a pytest of their own."""

from collections.abc import AsyncIterator, Iterator

import pytest

from asyncckpt import AsyncClient
from asyncckpt.testing import Sandbox

BACKENDS = ["asyncio", ("asyncio", {"debug": True}), "trio"]


@pytest.fixture
def used() -> Iterator[list[AsyncClient]]:
    """Collect the clients of a test, which must be closed when it ends."""
    clients = list[AsyncClient]()
    yield clients
    assert all(client.is_closed for client in clients)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", BACKENDS)
async def test_client(
    used: list[AsyncClient], asyncckpt_client: AsyncClient, asyncckpt_sandbox: Sandbox
) -> None:
    used.append(asyncckpt_client)
    checkpoints = asyncckpt_client.fine_tuning.jobs.checkpoints
    async for _ in checkpoints.list(asyncckpt_sandbox.job_ids[0], limit=5):
        break
    await asyncckpt_sandbox.idle()


@pytest.fixture
async def service(asyncckpt_client: AsyncClient) -> AsyncIterator[AsyncClient]:
    yield asyncckpt_client
    await asyncckpt_client.fine_tuning.jobs.list()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_fixture(service: AsyncClient) -> None:
    assert (await service.fine_tuning.jobs.list()).data


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_sandbox_alone(asyncckpt_sandbox: Sandbox) -> None:
    assert asyncckpt_sandbox.job_ids
