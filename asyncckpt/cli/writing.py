"""Writes the records of a stream, with a status line and messages about failed jobs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from asyncckpt.cli.destination import Order, Plan
from asyncckpt.cli.logs import Display, logged
from asyncckpt.cli.output import Writer, writer_for
from asyncckpt.cli.status import StatusLine, is_read_by_a_person
from asyncckpt.cli.terminal import print_error, print_to_stderr, printable
from asyncckpt.errors import AuthenticationError
from asyncckpt.records.base import Record

if TYPE_CHECKING:
    from asyncckpt.streams.failures import JobFailure
    from asyncckpt.testing import Sandbox

__all__ = [
    "ToleratedFailures",
    "counted",
    "example_of",
    "print_next_example",
    "status_line",
    "write_all",
]

RecordT = TypeVar("RecordT", bound=Record)


def status_line(what: str, idle: str = "waiting for a response") -> StatusLine:
    """Return a line that says how far the work in the running event loop is.

    Args:
        what: What arrives, such as ``"checkpoint"``.
        idle: What to say while nothing arrives, unless a log message says why.
    """
    loop = asyncio.get_running_loop()
    return StatusLine(what, idle, clock=loop.time, call_later=loop.call_later)


async def write_all(
    records: AsyncIterable[RecordT], plan: Plan[RecordT], line: StatusLine, *, verbose: bool
) -> None:
    """Write records as they arrive, or sorted once all of them have arrived.

    Args:
        records: The records.
        plan: Where and how to write them.
        line: The line that says how far that is.
        verbose: Whether to write the log to standard error.

    Raises:
        ColumnError: A value does not fit its column.
        OSError: Writing failed.
        Exception: What the records raise. Nothing is written then that would have to be sorted, and
            no file.
    """
    with logged(line, verbose=verbose), line:
        if plan.path is not None:
            await _write_file(plan.path, records, plan, line)
        elif plan.order is not None:
            ordered = await _sorted(records, plan.order, line)
            layout = plan.layout.in_order(ordered, plan.order.column.name)
            with closing(writer_for(plan.format, sys.stdout, layout)) as writer:
                for record in ordered:
                    writer.write(record)
        else:
            with closing(writer_for(plan.format, sys.stdout, plan.layout)) as writer:
                await _write_rows(records, writer, line)


async def _write_rows(
    records: AsyncIterable[RecordT], writer: Writer[RecordT], line: StatusLine
) -> None:
    gives_way = is_read_by_a_person(writer.out)
    async for record in records:
        if gives_way:
            line.give_way()
        writer.write(record)
        # After the write, which may have waited for the reader.
        line.arrived()


async def _write_file(
    path: Path, records: AsyncIterable[RecordT], plan: Plan[RecordT], line: StatusLine
) -> None:
    from asyncckpt.export import write

    layout = plan.layout
    arriving: Iterable[RecordT] | AsyncIterable[RecordT] = counted(records, line)
    if plan.order is not None:
        arriving = await _sorted(records, plan.order, line)
    count = await write(
        arriving,
        path,
        fields=layout.schema.names if layout.is_selection else None,
        record_type=layout.schema.record_type(),
    )
    line.clear()
    if sys.stderr is not None and sys.stderr.isatty():
        print_to_stderr(f"asyncckpt: {count:,} records written to {printable(str(path))}\n")


async def _sorted(
    records: AsyncIterable[RecordT], order: Order[RecordT], line: StatusLine
) -> list[RecordT]:
    return order.sort([record async for record in counted(records, line)])


async def counted(
    records: AsyncIterable[RecordT], line: StatusLine
) -> AsyncGenerator[RecordT, None]:
    """Yield records, and count them in a status line."""
    async for record in records:
        line.arrived()
        yield record


class ToleratedFailures:
    """Handles failed jobs, so that the other jobs go on: an `on_error` of `list_many`.

    Attributes:
        count: The number of jobs that have failed.
    """

    def __init__(self, display: Display) -> None:
        self.count = 0
        self._display = display

    def __call__(self, failure: JobFailure) -> None:
        """Write the error of a job to standard error.

        Raises:
            AuthenticationError: The server would reject the other requests too.
        """
        if isinstance(failure.error, AuthenticationError):
            raise failure.error
        self.count += 1
        self._display.clear()
        print_error(failure.error)


def example_of(sandbox: Sandbox) -> str:
    """Return the id of a job of a sandbox that is a good example."""
    return _examples_of(sandbox)[0]


def print_next_example(sandbox: Sandbox, command: str) -> None:
    """Suggest a command on another job than `example_of` to standard error.

    Args:
        sandbox: The sandbox.
        command: The name of the command, such as ``"list"``.
    """
    print_to_stderr(
        f"This is one of {len(sandbox.job_ids)} jobs of the sandbox. Another one:\n"
        f"asyncckpt {command} --sandbox {_examples_of(sandbox)[1]}\n"
    )


def _examples_of(sandbox: Sandbox) -> tuple[str, str]:
    first, second, *_ = (
        job["id"]
        for job in sandbox.jobs
        if job["status"] == "succeeded" and job["method"]["type"] == "supervised"
    )
    return first, second
