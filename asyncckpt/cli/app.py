"""The commands: their arguments, their errors and their exit codes."""

from __future__ import annotations

import asyncio
import math
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, CycloptsError, Parameter
from cyclopts.validators import Number

from asyncckpt.cli.output import Format
from asyncckpt.cli.terminal import UsageError, complain

if TYPE_CHECKING:
    from asyncckpt import AsyncClient
    from asyncckpt.cli.listing import Listing
    from asyncckpt.testing import Sandbox
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
    help="The checkpoints of OpenAI fine-tuning jobs.",
    help_format="plaintext",
    help_epilogue="""\
Examples:
  asyncckpt list --sandbox                     try it: no key, no network
  asyncckpt list ftjob-abc123                  a table on a terminal
  asyncckpt list ftjob-abc123 | jq .metrics    JSON lines in a pipe
  asyncckpt sandbox                            serve the API with made data

The API key is read from OPENAI_API_KEY; it is never an argument, which other
users of the machine could see.

Exit codes: 0 all well, 1 the API or the connection failed, 2 wrong usage,
130 interrupted, 141 the reader of the output went away.
""",
    version=_version,
    version_flags=["--version"],
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
)

# "-" looks like an option, so whatever does is let through, and sorted out in `_read_ids`.
JobIds = Parameter(name="JOB_ID", allow_leading_hyphen=True, show_default=False)
AtLeastOne = Parameter(validator=Number(gte=1))
NotNegative = Parameter(validator=Number(gte=0))
# Jobs are made when the sandbox starts, and take memory.
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
    limit: Annotated[int | None, AtLeastOne] = None,
    max_records: Annotated[int | None, AtLeastOne] = None,
    after: str | None = None,
    concurrency: Annotated[int, AtLeastOne] = 10,
    base_url: str | None = None,
    api_key_env: str = "OPENAI_API_KEY",
    timeout: Annotated[float | None, FinitePositive] = None,
    max_retries: Annotated[int | None, NotNegative] = None,
    sandbox: Annotated[bool, Parameter(negative="", show_default=False)] = False,
) -> int:
    """List checkpoints of jobs, newest first, as the pages come.

    Args:
        job_ids: Jobs, printed in this order; "-" reads ids from stdin, one a line.
        format: Without it: table on a terminal, jsonl in a pipe or file.
        limit: Records a page, 1 to 100. Without it the server decides.
        max_records: Stop after so many records of each job.
        after: Continue after this checkpoint id; for one job only.
        concurrency: Jobs listed at the same time.
        base_url: Without it: OPENAI_BASE_URL, or api.openai.com.
        api_key_env: Environment variable with the API key.
        timeout: Seconds for one attempt of a request. Without it: 60, of which 5 to connect.
        max_retries: Retries of a request that failed for now. Without it: 6.
        sandbox: Ask a sandbox made for this command: no key, no network. JOB_ID may be left out.

    Returns:
        The exit code.
    """
    from asyncckpt.cli.listing import Listing

    ids = _read_ids(job_ids)
    if not ids and not sandbox:
        raise UsageError("name at least one JOB_ID, or try it with --sandbox")
    if after is not None and len(ids) > 1:
        raise UsageError("--after continues the list of one job; name only that JOB_ID")
    if sandbox and base_url is not None:
        raise UsageError("--sandbox brings its own server; leave out --base-url")
    listing = Listing(
        job_ids=ids,
        format=format,
        limit=limit,
        max_records=max_records,
        after=after,
        concurrency=concurrency,
    )
    options: ClientOptions = {}
    if timeout is not None:
        options["timeout"] = timeout
    if max_retries is not None:
        options["max_retries"] = max_retries
    if sandbox:
        asyncio.run(_list_from_sandbox(listing, options))
    else:
        options |= {"base_url": base_url, "api_key": _api_key(api_key_env)}
        asyncio.run(_list_from_api(listing, options))
    return FAILED if listing.failed else 0


def _client(options: ClientOptions, sandbox: Sandbox | None = None) -> AsyncClient:
    from asyncckpt import AsyncClient

    try:
        return AsyncClient(**options) if sandbox is None else sandbox.client(**options)
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from None


async def _list_from_api(listing: Listing, options: ClientOptions) -> None:
    async with _client(options) as client:
        await listing.write_to_stdout(client)


async def _list_from_sandbox(listing: Listing, options: ClientOptions) -> None:
    from asyncckpt.testing import Sandbox

    async with Sandbox() as sandbox, _client(options, sandbox) as client:
        if listing.job_ids:
            await listing.write_to_stdout(client)
            return
        shown, *others = (
            job["id"]
            for job in sandbox.jobs
            if job["status"] == "succeeded" and job["method"]["type"] == "supervised"
        )
        listing.job_ids = [shown]
        await listing.write_to_stdout(client)
        sys.stderr.write(
            f"One of the sandbox's {len(sandbox.job_ids)} jobs; "
            f"another: asyncckpt list --sandbox {others[0]}\n"
        )


@app.command(
    name="sandbox",
    help_epilogue="""\
Examples:
  asyncckpt sandbox --port 8765
  asyncckpt sandbox --latency 0.05 --rate-limit 200
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
) -> int:
    """Serve a sandbox of the API until Ctrl-C: made data, no key of yours.

    Args:
        host: Address to serve on; whoever reaches it is served.
        port: Port to serve on; 0 takes a free one.
        jobs: Number of jobs, 100000 at most.
        checkpoints: Number of checkpoints of each job.
        seed: What the data is made from; the same seed makes the same data.
        latency: Seconds before each answer.
        rate_limit: Requests a second before answers are 429; without it: no limit.

    Returns:
        The exit code.
    """
    from asyncckpt.cli.serving import serve

    serving = serve(
        host=host,
        port=port,
        jobs=jobs,
        checkpoints=checkpoints,
        seed=seed,
        latency=latency,
        rate_limit=rate_limit,
    )
    try:
        asyncio.run(serving)
    except KeyboardInterrupt:
        # It is how a server is meant to end.
        return 0
    return 0


def _read_ids(arguments: Sequence[str]) -> list[str]:
    # Standard input is read before there is an event loop: a read that blocks one would keep
    # Ctrl-C from getting through.
    ids: list[str] = []
    for argument in arguments:
        if argument == "-":
            if sys.stdin is None:
                raise UsageError('"-" reads ids from standard input, which is closed')
            # Some editors begin a file with a byte order mark.
            try:
                ids += filter(None, (line.lstrip("\ufeff").strip() for line in sys.stdin))
            except UnicodeDecodeError:
                encoding = sys.stdin.encoding
                raise UsageError(
                    f"the ids on standard input are not {encoding}; save them in that encoding"
                ) from None
        elif argument.startswith("-"):
            raise UsageError(f"Unknown option: {argument}. See: asyncckpt list --help")
        else:
            ids.append(argument)
    return ids


def _api_key(variable: str) -> str:
    if not variable:
        raise UsageError("--api-key-env takes the name of the variable with your API key")
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UsageError(f"set {variable} to your API key, or try --sandbox, which needs none")
    return key


def run(arguments: Sequence[str]) -> int:
    """Run the command; whatever ends it becomes an exit code and at most one line on stderr.

    Args:
        arguments: What follows the command's name.

    Returns:
        The exit code.
    """
    from asyncckpt.errors import OpenAIError

    if sys.stdout is None:
        complain(OSError("standard output is closed"))
        return FAILED
    try:
        code: int | None = app([*arguments])
        sys.stdout.flush()
    except (CycloptsError, UsageError) as error:
        complain(error)
        return MISUSED
    except OpenAIError as error:
        complain(error)
        return FAILED
    except BrokenPipeError:
        _drop_what_cannot_be_written()
        return PIPE_CLOSED
    except OSError as error:
        # The disk is full, the port is taken.
        complain(error)
        _drop_what_cannot_be_written()
        return FAILED
    return code or 0


def _drop_what_cannot_be_written() -> None:
    """Python flushes stdout once more as it exits, and would complain in its own words then."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
