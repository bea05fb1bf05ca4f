"""Defines the arguments of `asyncckpt sandbox`."""

from __future__ import annotations

import contextlib
from typing import Annotated, Final, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from asyncckpt.cli.arguments import AtLeastOne, FinitePositive, finite
from asyncckpt.cli.interrupts import run_until_interrupted
from asyncckpt.cli.terminal import UsageError

__all__ = ["EXAMPLES", "serve_sandbox"]

EXAMPLES: Final = """\
Examples:
  asyncckpt sandbox --port 8765
  asyncckpt sandbox --latency 0.05 --rate-limit 200 --burst 20
  asyncckpt sandbox --live 3 --speed 60
  asyncckpt sandbox --profile nebius
"""

NotNegative = Parameter(validator=Number(gte=0))
# The sandbox keeps all jobs in memory.
UpTo100000 = Parameter(validator=Number(gte=0, lte=100_000))
FiniteNotNegative = Parameter(validator=(Number(gte=0), finite))
Port = Parameter(validator=Number(gte=0, lte=65535))


def serve_sandbox(
    *,
    host: str = "127.0.0.1",
    port: Annotated[int, Port] = 0,
    jobs: Annotated[int, UpTo100000] = 12,
    checkpoints: Annotated[int, NotNegative] = 30,
    live: Annotated[int, UpTo100000] = 0,
    seed: int = 0,
    latency: Annotated[float, FiniteNotNegative] = 0.0,
    rate_limit: Annotated[float | None, FinitePositive] = None,
    burst: Annotated[int | None, AtLeastOne] = None,
    speed: Annotated[float, FinitePositive] = 1.0,
    profile: Literal["openai", "azure", "nebius", "minimal"] = "openai",
) -> int:
    """Serve a sandbox of the API with test data until Ctrl-C.

    Args:
        host: Address to listen on; everyone who can reach it can use the sandbox.
        port: Port to listen on; 0 selects a free port.
        jobs: Number of jobs, at most 100000.
        checkpoints: Number of checkpoints of each job.
        live: Number of further jobs, which run for a few minutes from now on.
        seed: Seed of the data; the same seed gives the same data.
        latency: Seconds before each response.
        rate_limit: Requests per second; more are rejected with 429. Default: no limit.
        burst: Requests accepted at once after a pause. Default: 10% of --rate-limit, at least 1.
        speed: Seconds of training in a second, for the jobs of --live.
        profile: Kind of server to behave like.

    Returns:
        The exit code.
    """
    from asyncckpt.cli.serving import serve
    from asyncckpt.testing import Clock, Sandbox

    if burst is not None and rate_limit is None:
        raise UsageError("--burst needs --rate-limit")
    if speed != 1 and not live:
        raise UsageError("--speed needs --live")
    sandbox = Sandbox(
        host=host,
        port=port,
        jobs=jobs,
        checkpoints=checkpoints,
        live=live,
        seed=seed,
        latency=latency,
        rate_limit=rate_limit,
        burst=burst,
        clock=Clock(speed),
        profile=profile,
    )
    # Ctrl-C is the normal way to stop a server, not a failure.
    with contextlib.suppress(KeyboardInterrupt):
        run_until_interrupted(lambda: serve(sandbox, live, host=host, port=port))
    return 0
