"""Implements `asyncckpt sandbox`."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

from asyncckpt.cli.terminal import AddressError

if TYPE_CHECKING:
    from asyncckpt.testing import Sandbox

__all__ = ["serve"]


async def serve(sandbox: Sandbox, live: int, *, host: str, port: int) -> None:
    """Serve a sandbox until this coroutine is cancelled.

    Args:
        sandbox: The sandbox.
        live: The number of its live jobs.
        host: Its address, for the error message.
        port: Its port, for the error message.

    Raises:
        AddressError: The sandbox cannot listen on the address.
    """
    try:
        await sandbox.start()
    except OSError as error:
        # asyncio puts its own text into `strerror`. The codes of failed DNS lookups are negative.
        code = error.errno or 0
        reason = os.strerror(code) if code > 0 else error.strerror or error
        raise AddressError(f"cannot serve on {host}, port {port}: {reason}") from None
    try:
        sys.stdout.write(_welcome(sandbox, live))
        sys.stdout.flush()
        await asyncio.get_running_loop().create_future()
    finally:
        await sandbox.aclose()


def _welcome(sandbox: Sandbox, live: int) -> str:
    """Return the text to print: shell commands for another terminal."""
    lines = [
        f"# A sandbox with {len(sandbox.job_ids)} jobs. Ctrl-C stops it. In another terminal:",
        f"export OPENAI_BASE_URL={sandbox.base_url}",
        f"export OPENAI_API_KEY={sandbox.api_key}",
    ]
    if live:
        lines.append(" ".join(["asyncckpt watch", *sandbox.job_ids[: min(live, 3)]]))
    elif sandbox.job_ids:
        lines.append(f"asyncckpt list {sandbox.job_ids[0]}")
    return "\n".join(lines) + "\n"
