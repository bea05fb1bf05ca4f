"""Defines the arguments of `asyncckpt export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from asyncckpt.cli.arguments import DEFAULT_CONNECTION, FAILED, AtLeastOne
from asyncckpt.cli.connection import Connection

__all__ = ["EXAMPLES", "export_account"]

EXAMPLES: Final = """\
Examples:
  asyncckpt export demo --sandbox
  asyncckpt export archive
  asyncckpt export archive --no-events --no-files
"""


def export_account(
    directory: Annotated[Path, Parameter(name="DIRECTORY")],
    /,
    *,
    events: bool = True,
    files: bool = True,
    parquet: bool | None = None,
    concurrency: Annotated[int, AtLeastOne] = 10,
    connection: Connection = DEFAULT_CONNECTION,
) -> int:
    """Save all jobs of the account, with checkpoints, events and result files.

    Run it again to add what is new, or to continue after an interruption.

    Args:
        directory: Where to save; empty, new, or an archive.
        events: Save the events of the jobs.
        files: Save the result files of the jobs.
        parquet: Write Parquet too. Default: if the extra arrow is installed.
        concurrency: Jobs fetched at the same time.
        connection: How to reach the API.

    Returns:
        The exit code.
    """
    from asyncckpt.cli.export import Export

    export = Export(
        directory=directory,
        events=events,
        files=files,
        parquet=parquet,
        concurrency=concurrency,
        verbose=connection.verbose,
    )
    connection.run(export.save)
    return FAILED if export.failed else 0
