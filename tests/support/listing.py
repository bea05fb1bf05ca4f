"""The ids that a client lists, and those that a sandbox has."""

from typing import Any

from asyncckpt import AsyncClient
from asyncckpt.testing import Sandbox


async def list_ids(client: AsyncClient, job: str, **options: Any) -> list[str]:
    """Return the ids of a job's checkpoints as the client lists them."""
    pager = client.fine_tuning.jobs.checkpoints.list(job, **options)
    return [checkpoint.id async for checkpoint in pager]


def served_ids(sandbox: Sandbox, job: str) -> list[str]:
    """Return the ids of a job's checkpoints as the sandbox has them."""
    return [checkpoint["id"] for checkpoint in sandbox.checkpoints_of(job)]
