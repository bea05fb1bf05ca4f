"""Defines the subcommands, with their arguments and exit codes."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, CycloptsError, Parameter
from cyclopts.validators import Number

from asyncckpt.cli.inputs import api_key_from, read_ids
from asyncckpt.cli.interrupts import run_until_interrupted
from asyncckpt.cli.output import Format
from asyncckpt.cli.terminal import AddressError, UsageError, discard, print_error

if TYPE_CHECKING:
    from asyncckpt.testing.options import ClientOptions

__all__ = ["run"]

FAILED, MISUSED, PIPE_CLOSED = 1, 2, 141


def _version() -> str:
    from asyncckpt import __version__

    return __version__


def _finite(_: object, number: float | None) -> None:
    if number is not None and not math.isfinite(number):
        raise ValueError("Must be a finite number.")


app = App(
    name="asyncckpt",
    help="List the checkpoints of OpenAI fine-tuning jobs.",
    help_format="plaintext",
    help_epilogue="""\
Examples:
  asyncckpt list --sandbox                     try it: no key, no network
  asyncckpt list ftjob-abc123                  a table on a terminal
  asyncckpt list ftjob-abc123 | jq .metrics    JSON lines in a pipe
  asyncckpt sandbox                            serve the API with test data

The API key is read from OPENAI_API_KEY. It cannot be an argument, because other
users of the machine can see arguments.

Exit codes: 0 success, 1 the API, the connection or the output failed,
2 wrong usage, 130 Ctrl-C, 141 the reader of the output has closed the pipe.
""",
    version=_version,
    version_flags=["--version"],
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
)

# To allow "-", this allows everything that looks like an option; `read_ids` rejects the rest.
JobIds = Parameter(name="JOB_ID", allow_leading_hyphen=True, show_default=False)
AtLeastOne = Parameter(validator=Number(gte=1))
NotNegative = Parameter(validator=Number(gte=0))
PageSize = Parameter(validator=Number(gte=1, lte=100))
# The sandbox keeps all jobs in memory.
UpTo100000 = Parameter(validator=Number(gte=0, lte=100_000))
FiniteNotNegative = Parameter(validator=(Number(gte=0), _finite))
FinitePositive = Parameter(validator=(Number(gt=0), _finite))
Port = Parameter(validator=Number(gte=0, lte=65535))


@app.command(
    name="list",
    help_epilogue="""\
Examples:
  asyncckpt list --sandbox
  asyncckpt list ftjob-abc123 --max-records 5
  asyncckpt list ftjob-abc123 ftjob-def456 --format csv > checkpoints.csv
  asyncckpt list - --format jsonl < job-ids.txt
""",
)
def list_checkpoints(
    job_ids: Annotated[tuple[str, ...], JobIds] = (),
    /,
    *,
    format: Annotated[Format | None, Parameter(alias="-f")] = None,  # noqa: A002 - the option's name
    limit: Annotated[int | None, PageSize] = None,
    max_records: Annotated[int | None, AtLeastOne] = None,
    after: str | None = None,
    concurrency: Annotated[int, AtLeastOne] = 10,
    base_url: str | None = None,
    api_key_env: str = "OPENAI_API_KEY",
    timeout: Annotated[float | None, FinitePositive] = None,
    max_retries: Annotated[int | None, NotNegative] = None,
    sandbox: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    verbose: Annotated[bool, Parameter(alias="-v", negative="", show_default=False)] = False,
) -> int:
    """List the checkpoints of jobs, newest first.

    Args:
        job_ids: Jobs, printed in this order; "-" reads ids from stdin, one per line.
        format: Default: table on a terminal, jsonl in a pipe or file.
        limit: Records per page, 1 to 100. Default: 100, or less if the server requires it.
        max_records: Maximum number of records of each job.
        after: Continue after this checkpoint id; for one job only.
        concurrency: Jobs listed at the same time.
        base_url: URL of the API. Default: OPENAI_BASE_URL, or https://api.openai.com/v1.
        api_key_env: Environment variable with the API key.
        timeout: Seconds for one attempt of a request. Default: 60, and 5 to connect.
        max_retries: Retries of a failed request. Default: 6.
        sandbox: Use a sandbox inside this command: no key, no network. JOB_ID is optional.
        verbose: Log retries, pauses and changes of the request rate to stderr.

    Returns:
        The exit code.
    """
    from asyncckpt.cli.listing import Listing, list_from_api, list_from_sandbox

    ids = read_ids(job_ids)
    if not ids and not sandbox:
        raise UsageError("pass at least one JOB_ID, or try --sandbox")
    if after is not None and len(ids) > 1:
        raise UsageError("--after is for a single job; pass only one JOB_ID")
    if sandbox and base_url is not None:
        raise UsageError("--sandbox and --base-url cannot be combined")
    listing = Listing(
        job_ids=ids,
        format=format,
        limit=limit,
        max_records=max_records,
        after=after,
        concurrency=concurrency,
        verbose=verbose,
    )
    options: ClientOptions = {}
    if timeout is not None:
        options["timeout"] = timeout
    if max_retries is not None:
        options["max_retries"] = max_retries
    if sandbox:
        run_until_interrupted(lambda: list_from_sandbox(listing, options))
    else:
        options |= {"base_url": base_url, "api_key": api_key_from(api_key_env)}
        run_until_interrupted(lambda: list_from_api(listing, options))
    return FAILED if listing.failed else 0


@app.command(
    name="sandbox",
    help_epilogue="""\
Examples:
  asyncckpt sandbox --port 8765
  asyncckpt sandbox --latency 0.05 --rate-limit 200 --burst 20
""",
)
def serve_sandbox(
    *,
    host: str = "127.0.0.1",
    port: Annotated[int, Port] = 0,
    jobs: Annotated[int, UpTo100000] = 12,
    checkpoints: Annotated[int, NotNegative] = 30,
    seed: int = 0,
    latency: Annotated[float, FiniteNotNegative] = 0.0,
    rate_limit: Annotated[float | None, FinitePositive] = None,
    burst: Annotated[int | None, AtLeastOne] = None,
) -> int:
    """Serve a sandbox of the API with test data until Ctrl-C.

    Args:
        host: Address to listen on; everyone who can reach it can use the sandbox.
        port: Port to listen on; 0 selects a free port.
        jobs: Number of jobs, at most 100000.
        checkpoints: Number of checkpoints of each job.
        seed: Seed of the data; the same seed gives the same data.
        latency: Seconds before each response.
        rate_limit: Requests per second; more are rejected with 429. Default: no limit.
        burst: Requests accepted at once after a pause. Default: 10% of --rate-limit, at least 1.

    Returns:
        The exit code.
    """
    from asyncckpt.cli.serving import serve
    from asyncckpt.testing import Sandbox

    if burst is not None and rate_limit is None:
        raise UsageError("--burst needs --rate-limit")
    sandbox = Sandbox(
        host=host,
        port=port,
        jobs=jobs,
        checkpoints=checkpoints,
        seed=seed,
        latency=latency,
        rate_limit=rate_limit,
        burst=burst,
    )
    # Ctrl-C is the normal way to stop a server, not a failure.
    with contextlib.suppress(KeyboardInterrupt):
        run_until_interrupted(lambda: serve(sandbox, host=host, port=port))
    return 0


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
        print_error(OSError(f"cannot write the output: {error.strerror or error}"))
        _discard_unwritten()
        return FAILED
    return code or 0


def _discard_unwritten() -> None:
    try:
        sys.stdout.flush()
    except OSError:
        discard(sys.stdout)
