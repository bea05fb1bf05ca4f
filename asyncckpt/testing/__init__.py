"""A sandbox of the API for tests: a real HTTP server in process, with made data and faults.

No key and no network are needed. A test of your own code looks like this::

    import asyncckpt
    from asyncckpt.testing import Sandbox, faults


    async def test_my_report_survives_a_bad_gateway() -> None:
        async with Sandbox(jobs=1, checkpoints=30) as sandbox, sandbox.client() as client:
            sandbox.inject(faults.Status(502), page=2)

            report = await my_report(client, sandbox.job_ids[0])

            assert report.count == 30
            assert sandbox.stats.answers == {200: 3, 502: 1}

With pytest and pytest-asyncio the fixtures `asyncckpt_sandbox` and `asyncckpt_client` are there
without an import; a mark sets the sandbox up::

    @pytest.mark.asyncckpt_sandbox(jobs=3, checkpoints=100, latency=0.01)
    async def test_my_report(asyncckpt_client: asyncckpt.AsyncClient) -> None: ...
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncckpt.testing import faults, limiters
    from asyncckpt.testing.server import Sandbox, Stats

__all__ = ["Sandbox", "Stats", "faults", "limiters"]


if not TYPE_CHECKING:  # a type checker would take it for a yes to every name

    def __getattr__(name: str) -> object:
        # The pytest plugin lives here too, and is loaded in test runs that never use the sandbox.
        if name in {"Sandbox", "Stats"}:
            return getattr(importlib.import_module("asyncckpt.testing.server"), name)
        if name in {"faults", "limiters"}:
            return importlib.import_module(f"asyncckpt.testing.{name}")
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
