"""Defines the subcommands, with their arguments and exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Literal

from cyclopts import App, CycloptsError

from asyncckpt.cli.arguments import (
    DEFAULT_CONNECTION,
    DEFAULT_DESTINATION,
    FAILED,
    AllJobs,
    AtLeastOne,
    JobIds,
    MaxRecords,
    PageSize,
    Repeatable,
    chosen_ids,
)
from asyncckpt.cli.commands import export, plot, sandbox, watch
from asyncckpt.cli.connection import Connection
from asyncckpt.cli.destination import Destination
from asyncckpt.cli.inputs import metadata_from, read_ids, time_from
from asyncckpt.cli.terminal import AddressError, UsageError, discard, print_error

__all__ = ["run"]

MISUSED, PIPE_CLOSED = 2, 141


def _version() -> str:
    from asyncckpt import __version__

    return __version__


app = App(
    name="asyncckpt",
    help="List, watch, rank, plot and save the checkpoints of fine-tuning jobs.",
    help_format="plaintext",
    help_epilogue="""\
Examples:
  asyncckpt list --sandbox                     try it: no key, no network
  asyncckpt list ftjob-abc123                  a table on a terminal
  asyncckpt list ftjob-abc123 | jq .metrics    JSON lines in a pipe
  asyncckpt jobs --status succeeded            the jobs of the account
  asyncckpt events ftjob-abc123                what happened in a job
  asyncckpt watch ftjob-abc123                 follow a job until it ends
  asyncckpt best ftjob-abc123                  the checkpoint to use, and why
  asyncckpt plot ftjob-abc123                  its training curve
  asyncckpt export archive                     save all jobs of the account
  asyncckpt sandbox                            serve the API with test data

The API key is read from OPENAI_API_KEY, and with --azure from
AZURE_OPENAI_API_KEY. It cannot be an argument, because other users of the
machine can see arguments.

Exit codes: 0 success, 1 the API, the connection or the output failed, there is
nothing to rank or plot, or a watched job did not succeed, 2 wrong usage, 130
Ctrl-C, 141 the reader of the output has closed the pipe.
""",
    version=_version,
    version_flags=["--version"],
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
)

app.command(plot.plot_jobs, name="plot", help_epilogue=plot.EXAMPLES)
app.command(export.export_account, name="export", help_epilogue=export.EXAMPLES)
app.command(watch.watch_jobs, name="watch", help_epilogue=watch.EXAMPLES)
app.command(sandbox.serve_sandbox, name="sandbox", help_epilogue=sandbox.EXAMPLES)


@app.command(
    name="list",
    help_epilogue="""\
Examples:
  asyncckpt list --sandbox
  asyncckpt list ftjob-abc123 --max-records 5
  asyncckpt list ftjob-abc123 ftjob-def456 --output checkpoints.csv
  asyncckpt list - --format jsonl < job-ids.txt
  asyncckpt list --all --latest --sort full_valid_loss
""",
)
def list_checkpoints(
    job_ids: Annotated[tuple[str, ...], JobIds] = (),
    /,
    *,
    all_jobs: Annotated[bool, AllJobs] = False,
    limit: Annotated[int | None, PageSize] = None,
    max_records: Annotated[int | None, MaxRecords] = None,
    after: str | None = None,
    latest: Annotated[bool, Repeatable] = False,
    concurrency: Annotated[int, AtLeastOne] = 10,
    destination: Destination = DEFAULT_DESTINATION,
    connection: Connection = DEFAULT_CONNECTION,
) -> int:
    """List the checkpoints of jobs, in the server's order.

    Args:
        job_ids: Jobs, printed in this order; "-" reads ids from stdin, one per line.
        all_jobs: List all jobs of the account.
        limit: Records per page, 1 to 100. Default: 100, or less if the server requires it.
        max_records: Maximum number of records of each job.
        after: Continue after this checkpoint id; for one job only.
        latest: List only the newest checkpoint of each job.
        concurrency: Jobs listed at the same time.
        destination: Where and how to write.
        connection: How to reach the API.

    Returns:
        The exit code.
    """
    from asyncckpt.cli.listing import Listing

    ids = chosen_ids(job_ids, all_jobs, connection)
    if after is not None and (all_jobs or len(ids) > 1):
        raise UsageError("--after is for a single job; pass only one JOB_ID")
    if latest and (after, limit, max_records) != (None, None, None):
        raise UsageError("--latest cannot be combined with --after, --limit or --max-records")
    listing = Listing(
        job_ids=ids,
        all_jobs=all_jobs,
        destination=destination,
        limit=limit,
        max_records=max_records,
        after=after,
        latest=latest,
        concurrency=concurrency,
        verbose=connection.verbose,
    )
    connection.run(listing.write_records)
    return FAILED if listing.failed else 0


@app.command(
    name="jobs",
    help_epilogue="""\
Examples:
  asyncckpt jobs --sandbox
  asyncckpt jobs --status succeeded --since 7d
  asyncckpt jobs --metadata team=search --output jobs.parquet
""",
)
def list_jobs(
    *,
    status: Annotated[tuple[str, ...], Repeatable] = (),
    since: str | None = None,
    metadata: Annotated[tuple[str, ...], Repeatable] = (),
    limit: Annotated[int | None, PageSize] = None,
    max_records: Annotated[int | None, MaxRecords] = None,
    destination: Destination = DEFAULT_DESTINATION,
    connection: Connection = DEFAULT_CONNECTION,
) -> int:
    """List the jobs of the account, in the server's order.

    Args:
        status: Only jobs with this status, such as succeeded; may be repeated.
        since: Only jobs created since then: a date or time in UTC, or 7d, 12h, 30m ago.
        metadata: Only jobs with this KEY=VALUE; may be repeated.
        limit: Jobs per page, 1 to 100. Default: 100, or less if the server requires it.
        max_records: Maximum number of jobs.
        destination: Where and how to write.
        connection: How to reach the API.

    Returns:
        The exit code.
    """
    from asyncckpt.cli.jobs import JobListing

    listing = JobListing(
        statuses=status,
        since=None if since is None else time_from(since),
        metadata=metadata_from(metadata),
        destination=destination,
        limit=limit,
        max_records=max_records,
        verbose=connection.verbose,
    )
    connection.run(listing.write_records)
    return 0


@app.command(
    name="events",
    help_epilogue="""\
Examples:
  asyncckpt events --sandbox
  asyncckpt events ftjob-abc123 --type message
  asyncckpt events ftjob-abc123 ftjob-def456 --level error --level warn
  asyncckpt events ftjob-abc123 --type metrics | jq .data
""",
)
def list_events(
    job_ids: Annotated[tuple[str, ...], JobIds] = (),
    /,
    *,
    level: Annotated[tuple[str, ...], Repeatable] = (),
    type: Annotated[tuple[str, ...], Repeatable] = (),  # noqa: A002 - the option's name
    limit: Annotated[int | None, PageSize] = None,
    max_records: Annotated[int | None, MaxRecords] = None,
    destination: Destination = DEFAULT_DESTINATION,
    connection: Connection = DEFAULT_CONNECTION,
) -> int:
    """List the events of jobs, in the server's order.

    Args:
        job_ids: Jobs, printed in this order; "-" reads ids from stdin, one per line.
        level: Only events of this level: info, warn or error; may be repeated.
        type: Only events of this type: message or metrics; may be repeated.
        limit: Events per page, 1 to 100. Default: 100, or less if the server requires it.
        max_records: Maximum number of events of each job.
        destination: Where and how to write.
        connection: How to reach the API.

    Returns:
        The exit code.
    """
    from asyncckpt.cli.events import EventListing

    ids = read_ids(job_ids)
    if not ids and not connection.sandbox:
        raise UsageError("pass at least one JOB_ID, or try --sandbox")
    listing = EventListing(
        job_ids=ids,
        levels=level,
        types=type,
        destination=destination,
        limit=limit,
        max_records=max_records,
        verbose=connection.verbose,
    )
    connection.run(listing.write_records)
    return FAILED if listing.failed else 0


@app.command(
    name="best",
    help_epilogue="""\
Examples:
  asyncckpt best --sandbox
  asyncckpt best ftjob-abc123 ftjob-def456 --metric valid_loss --top 3
  asyncckpt best --all
  MODEL=$(asyncckpt best ftjob-abc123)
""",
)
def find_best(
    job_ids: Annotated[tuple[str, ...], JobIds] = (),
    /,
    *,
    all_jobs: Annotated[bool, AllJobs] = False,
    metric: str | None = None,
    mode: Literal["min", "max"] | None = None,
    top: Annotated[int, AtLeastOne] = 1,
    concurrency: Annotated[int, AtLeastOne] = 10,
    connection: Connection = DEFAULT_CONNECTION,
) -> int:
    """Find the best checkpoint of jobs: explained on a terminal, only the model's name in a pipe.

    Args:
        job_ids: Jobs to choose from; "-" reads ids from stdin, one per line.
        all_jobs: Choose from all jobs of the account.
        metric: Any metric of the checkpoints. Default: the first of full_valid_loss, valid_loss,
            full_valid_mean_token_accuracy, valid_mean_token_accuracy, train_loss that every job
            has.
        mode: Whether the lowest or the highest value is the best. Default: by the name
            of the metric.
        top: Checkpoints to show, the best first.
        concurrency: Jobs listed at the same time.
        connection: How to reach the API.

    Returns:
        The exit code.
    """
    from asyncckpt.cli.best import Choice

    if mode is not None and metric is None:
        raise UsageError("--mode needs --metric")
    choice = Choice(
        job_ids=chosen_ids(job_ids, all_jobs, connection),
        all_jobs=all_jobs,
        metric=metric,
        mode=mode,
        count=top,
        concurrency=concurrency,
        verbose=connection.verbose,
    )
    connection.run(choice.write_to_stdout)
    return FAILED if choice.failed else 0


def run(arguments: Sequence[str]) -> int:
    """Run the command. Write an error as one line to standard error.

    Args:
        arguments: The arguments without the name of the command.

    Returns:
        The exit code.
    """
    from asyncckpt.errors import OpenAIError

    if sys.stdout is None:
        print_error(OSError("standard output is closed"))
        return FAILED
    try:
        code: int | None = app([*arguments])
        sys.stdout.flush()
    except (CycloptsError, UsageError) as error:
        print_error(error)
        return MISUSED
    except (OpenAIError, AddressError) as error:
        print_error(error)
        return FAILED
    except BrokenPipeError:
        _discard_unwritten()
        return PIPE_CLOSED
    except SystemExit:
        # rich, which prints the help, raises this if the reader has closed the pipe.
        return PIPE_CLOSED
    except OSError as error:
        target = error.filename or "the output"
        print_error(OSError(f"cannot write {target}: {error.strerror or error}"))
        _discard_unwritten()
        return FAILED
    return code or 0


def _discard_unwritten() -> None:
    try:
        sys.stdout.flush()
    except OSError:
        discard(sys.stdout)
