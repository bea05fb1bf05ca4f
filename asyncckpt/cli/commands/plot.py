"""Defines the arguments of `asyncckpt plot`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from asyncckpt.cli.arguments import (
    DEFAULT_CONNECTION,
    FAILED,
    AllJobs,
    AtLeastOne,
    JobIds,
    chosen_ids,
)
from asyncckpt.cli.connection import Connection
from asyncckpt.cli.terminal import UsageError

__all__ = ["EXAMPLES", "plot_jobs"]

EXAMPLES: Final = """\
Examples:
  asyncckpt plot --sandbox
  asyncckpt plot ftjob-abc123 ftjob-def456 --metric valid_loss
  asyncckpt plot ftjob-abc123 -o curve.svg
  asyncckpt plot --all --top 1
"""

JobsOfAPlot = Parameter(validator=Number(gte=1, lte=20))


def plot_jobs(
    job_ids: Annotated[tuple[str, ...], JobIds] = (),
    /,
    *,
    all_jobs: Annotated[bool, AllJobs] = False,
    metric: str | None = None,
    mode: Literal["min", "max"] | None = None,
    top: Annotated[int, JobsOfAPlot] = 10,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    concurrency: Annotated[int, AtLeastOne] = 10,
    connection: Connection = DEFAULT_CONNECTION,
) -> int:
    """Plot the training curves of jobs, with their checkpoints and the best one.

    Args:
        job_ids: Jobs to plot; "-" reads ids from stdin, one per line.
        all_jobs: Plot the best of all jobs of the account.
        metric: Any metric of the checkpoints. Default: as for asyncckpt best.
        mode: Whether the lowest or the highest value is the best. Default: by the name
            of the metric.
        top: Jobs to plot, at most 20: those with the best checkpoints.
        output: Write a .png or .svg file instead; it needs asyncckpt[plots].
        concurrency: Jobs read at the same time.
        connection: How to reach the API.

    Returns:
        The exit code.
    """
    from asyncckpt.cli.plot import Plotting

    if mode is not None and metric is None:
        raise UsageError("--mode needs --metric")
    plotting = Plotting(
        job_ids=chosen_ids(job_ids, all_jobs, connection),
        all_jobs=all_jobs,
        metric=metric,
        mode=mode,
        top=top,
        concurrency=concurrency,
        output=output,
        verbose=connection.verbose,
    )
    plotting.check_output()
    connection.run(plotting.draw)
    return FAILED if plotting.failed else 0
