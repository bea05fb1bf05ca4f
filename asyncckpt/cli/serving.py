"""`asyncckpt sandbox`: the sandbox as a server of its own."""

from __future__ import annotations

import asyncio
import sys

from asyncckpt.testing import Sandbox
from asyncckpt.testing.limiters import TokenBucket

__all__ = ["serve"]


async def serve(
    *,
    host: str,
    port: int,
    jobs: int,
    checkpoints: int,
    seed: int,
    latency: float,
    rate_limit: float | None,
) -> None:
    """Serve a sandbox until cancelled.

    Args:
        host: The address to serve on.
        port: The port; 0 takes a free one.
        jobs: How many jobs there are.
        checkpoints: How many checkpoints a job has.
        seed: What the data is made from.
        latency: Seconds that every answer takes.
        rate_limit: Requests a second before answers are 429; None for no limit.

    Raises:
        OSError: The address cannot be served on.
    """
    async with Sandbox(
        host=host, port=port, jobs=jobs, checkpoints=checkpoints, seed=seed, latency=latency
    ) as sandbox:
        if rate_limit is not None:
            sandbox.limit(TokenBucket(rate=rate_limit, burst=max(1, round(rate_limit / 10))))
        sys.stdout.write(_welcome(sandbox))
        sys.stdout.flush()
        await asyncio.get_running_loop().create_future()


def _welcome(sandbox: Sandbox) -> str:
    """What to paste into another terminal; all else is a comment there."""
    lines = [
        f"# A sandbox of {len(sandbox.job_ids)} jobs. Ctrl-C stops it; in another terminal:",
        f"export OPENAI_BASE_URL={sandbox.base_url}",
        f"export OPENAI_API_KEY={sandbox.api_key}",
    ]
    if sandbox.job_ids:
        lines.append(f"asyncckpt list {sandbox.job_ids[0]}")
    return "\n".join(lines) + "\n"
