"""Provides a sandbox of the API for tests: a real HTTP server in the process, with data and faults.

It needs no key and no network. A test of your own code looks like this::

    import asyncckpt
    from asyncckpt.testing import Sandbox, faults


    async def test_my_report_survives_a_bad_gateway() -> None:
        async with Sandbox(jobs=1, checkpoints=30) as sandbox, sandbox.client() as client:
            sandbox.inject(faults.Status(502))

            report = await my_report(client, sandbox.job_ids[0])

            assert report.count == 30
            assert sandbox.stats.responses == {200: 1, 502: 1}

With pytest, the fixtures `asyncckpt_sandbox` and `asyncckpt_client` need no import; marks give the
arguments of the sandbox and of the client, and inject faults::

    @pytest.mark.asyncckpt_sandbox(jobs=3, checkpoints=100, latency=0.01)
    async def test_my_report(asyncckpt_client: asyncckpt.AsyncClient) -> None: ...
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncckpt.testing import faults, limiters
    from asyncckpt.testing.clocks import Clock
    from asyncckpt.testing.server import Sandbox
    from asyncckpt.testing.stats import Stats

__all__ = ["Clock", "Sandbox", "Stats", "faults", "limiters"]


_MODULES = {
    "Clock": "asyncckpt.testing.clocks",
    "Sandbox": "asyncckpt.testing.server",
    "Stats": "asyncckpt.testing.stats",
}

if not TYPE_CHECKING:  # a type checker would accept every name

    def __getattr__(name: str) -> object:
        # Test runs that never use the sandbox load the pytest plugin of this package too.
        if name in _MODULES:
            return getattr(importlib.import_module(_MODULES[name]), name)
        if name in {"faults", "limiters"}:
            return importlib.import_module(f"asyncckpt.testing.{name}")
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
