"""Defines the arguments of `asyncckpt watch`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import Parameter

from asyncckpt.cli.arguments import DEFAULT_CONNECTION, FinitePositive, JobIds
from asyncckpt.cli.connection import Connection
from asyncckpt.cli.inputs import read_ids
from asyncckpt.cli.terminal import UsageError

if TYPE_CHECKING:
    from asyncckpt.testing import Sandbox

__all__ = ["EXAMPLES", "watch_jobs"]

EXAMPLES: Final = """\
Examples:
  asyncckpt watch --sandbox
  asyncckpt watch ftjob-abc123 ftjob-def456 --metric valid_loss
  asyncckpt watch ftjob-abc123 --resume watch.json >> updates.jsonl
  asyncckpt jobs --status running | jq -r .id | asyncckpt watch -
  asyncckpt watch ftjob-abc123 && asyncckpt best ftjob-abc123

Exit codes: 0 all jobs succeeded, 1 a job failed, was cancelled or could not be
watched, or --max-time is over, 130 Ctrl-C.
"""

LIVE_JOBS: Final = 3
SANDBOX_SPEED: Final = 10.0
SANDBOX_INTERVAL: Final = 0.5
"""With these, the jobs of the sandbox end within 20 seconds."""


def watch_jobs(
    job_ids: Annotated[tuple[str, ...], JobIds] = (),
    /,
    *,
    metric: str = "train_loss",
    interval: Annotated[float | None, FinitePositive] = None,
    max_time: Annotated[float | None, FinitePositive] = None,
    resume: Path | None = None,
    format: Annotated[Literal["table", "jsonl"] | None, Parameter(alias="-f")] = None,  # noqa: A002 - the option's name
    connection: Connection = DEFAULT_CONNECTION,
) -> int:
    """Watch running jobs until they end. Ctrl-C stops watching, not the job.

    Args:
        job_ids: Jobs to watch; "-" reads ids from stdin, one per line.
        metric: Metric to draw on a terminal: any metric of the events or the checkpoints.
        interval: Seconds between two polls of a job. Default: what the server asks for, or 2 to 60.
        max_time: Seconds to watch at most. --timeout is for one request.
        resume: File that records what has been shown. If it exists, continue from there.
        format: Default: a live table on a terminal, jsonl in a pipe or file.
        connection: How to reach the API.

    Returns:
        The exit code.
    """
    from asyncckpt.cli.watch import Watching

    ids = read_ids(job_ids)
    if not ids and not connection.sandbox:
        raise UsageError("pass at least one JOB_ID, or try --sandbox")
    watching = Watching(
        job_ids=ids,
        metric=metric,
        interval=SANDBOX_INTERVAL if interval is None and connection.sandbox else interval,
        max_time=max_time,
        resume=resume,
        format=format,
        verbose=connection.verbose,
    )
    connection.run(watching.write_to_stdout, _live_sandbox)
    return int(watching.has_failed)


def _live_sandbox() -> Sandbox:
    from asyncckpt.testing import Clock, Sandbox

    return Sandbox(live=LIVE_JOBS, clock=Clock(speed=SANDBOX_SPEED))
