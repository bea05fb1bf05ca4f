"""Tests of a user of the pytest plugin, for a pytest of their own."""

import pytest

from asyncckpt import AsyncClient
from asyncckpt.testing import Sandbox


@pytest.mark.asyncio
@pytest.mark.asyncckpt_sandbox(jobs=3)
async def test_asynchronous(asyncckpt_sandbox: Sandbox) -> None:
    assert len(asyncckpt_sandbox.job_ids) == 3


def test_synchronous(asyncckpt_sandbox: Sandbox) -> None:
    assert len(asyncckpt_sandbox.job_ids) == 12


@pytest.mark.asyncio
async def test_client(asyncckpt_client: AsyncClient) -> None:
    assert (await asyncckpt_client.fine_tuning.jobs.list()).data


def test_client_without_a_loop(asyncckpt_client: AsyncClient) -> None:
    assert not asyncckpt_client.is_closed


@pytest.mark.asyncio(loop_scope="module")
async def test_other_loop(asyncckpt_sandbox: Sandbox, asyncckpt_client: AsyncClient) -> None:
    job = await asyncckpt_client.fine_tuning.jobs.retrieve(asyncckpt_sandbox.job_ids[0])
    assert job.id == asyncckpt_sandbox.job_ids[0]
    await asyncckpt_sandbox.idle()


@pytest.mark.asyncckpt_sandbox(3)
def test_positional(asyncckpt_sandbox: Sandbox) -> None:
    raise AssertionError("the fixture fails")
