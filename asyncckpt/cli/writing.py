"""Writes the records of a stream, with a status line and messages about failed jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, TypeVar

from asyncckpt.cli.logs import logged
from asyncckpt.cli.output import Writer
from asyncckpt.cli.status import StatusLine, is_read_by_a_person
from asyncckpt.cli.terminal import print_error
from asyncckpt.errors import AuthenticationError

if TYPE_CHECKING:
    from asyncckpt.streams.failures import JobFailure
    from asyncckpt.testing import Sandbox

__all__ = ["ToleratedFailures", "examples_of", "status_line", "write_all"]

RecordT = TypeVar("RecordT")


def status_line(what: str) -> StatusLine:
    """Return a line that says how far the work in the running event loop is.

    Args:
        what: What arrives, such as ``"checkpoint"``.
    """
    loop = asyncio.get_running_loop()
    return StatusLine(what, clock=loop.time, call_later=loop.call_later)


async def write_all(
    records: AsyncIterable[RecordT], writer: Writer[RecordT], line: StatusLine, *, verbose: bool
) -> None:
    """Write records as they arrive.

    Args:
        records: The records.
        writer: Where to write them; it is closed at the end.
        line: The line that says how far that is.
        verbose: Whether to write the log to standard error.

    Raises:
        OSError: Writing failed.
        Exception: What the records raise.
    """
    gives_way = is_read_by_a_person(writer.out)
    with logged(line, verbose=verbose), line:
        try:
            async for record in records:
                if gives_way:
                    line.give_way()
                writer.write(record)
                # After the write, which may have waited for the reader.
                line.arrived()
        finally:
            writer.close()


class ToleratedFailures:
    """Handles failed jobs, so that the other jobs go on: an `on_error` of `list_many`.

    Attributes:
        count: The number of jobs that have failed.
    """

    def __init__(self, line: StatusLine) -> None:
        self.count = 0
        self._line = line

    def __call__(self, failure: JobFailure) -> None:
        """Write the error of a job to standard error.

        Raises:
            AuthenticationError: The server would reject the other requests too.
        """
        if isinstance(failure.error, AuthenticationError):
            raise failure.error
        self.count += 1
        self._line.clear()
        print_error(failure.error)


def examples_of(sandbox: Sandbox) -> tuple[str, str]:
    """Return the ids of two jobs of a sandbox that are good examples."""
    first, second, *_ = (
        job["id"]
        for job in sandbox.jobs
        if job["status"] == "succeeded" and job["method"]["type"] == "supervised"
    )
    return first, second
