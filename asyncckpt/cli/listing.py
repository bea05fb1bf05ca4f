"""Implements `asyncckpt list`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from asyncckpt.cli.logs import logged
from asyncckpt.cli.output import Format, writer_for
from asyncckpt.cli.terminal import UsageError, print_error, print_to_stderr
from asyncckpt.cli.waiting import WaitingLine
from asyncckpt.client import AsyncClient
from asyncckpt.errors import AuthenticationError

if TYPE_CHECKING:
    from asyncckpt import FineTuningJobCheckpoint, Pager
    from asyncckpt.streams.fanin import FanIn, JobFailure
    from asyncckpt.testing import Sandbox
    from asyncckpt.testing.options import ClientOptions

__all__ = ["Listing", "list_from_api", "list_from_sandbox"]


@attrs.define(kw_only=True)
class Listing:
    """The arguments of `asyncckpt list`.

    Args:
        job_ids: The ids of the jobs.
        format: The output format; None for a table on a terminal and JSON lines elsewhere.
        limit: The number of records per page; None for the client's default.
        max_records: The maximum number of records of each job; None for all.
        after: The checkpoint to continue after, for a single job; None for the beginning.
        concurrency: The number of jobs to list at the same time.
        verbose: Whether to write the log to standard error.
        failed: The number of jobs that could not be listed.
    """

    job_ids: Sequence[str]
    format: Format | None
    limit: int | None
    max_records: int | None
    after: str | None
    concurrency: int
    verbose: bool = False
    failed: int = attrs.field(init=False, default=0)
    _waiting: WaitingLine = attrs.field(init=False, repr=False)

    async def write_to_stdout(self, client: AsyncClient) -> None:
        """List the checkpoints, and write them to standard output, one job after the other.

        If one of several jobs cannot be listed, this writes the error to standard error, and
        continues with the other jobs.

        Args:
            client: The client to list with.

        Raises:
            UsageError: An argument is invalid.
            APIError: The only job cannot be listed, or the server rejects the API key.
            OSError: Writing to standard output failed.
        """
        loop = asyncio.get_running_loop()
        self._waiting = WaitingLine(clock=loop.time, call_later=loop.call_later)
        stream = self._stream(client)
        writer = writer_for(self.format, sys.stdout)
        with logged(self._waiting, verbose=self.verbose):
            self._waiting.start()
            try:
                async with stream:
                    async for checkpoint in stream:
                        self._waiting.progress()
                        writer.write(checkpoint)
            finally:
                self._waiting.stop()
                writer.close()

    def _stream(
        self, client: AsyncClient
    ) -> Pager[FineTuningJobCheckpoint] | FanIn[FineTuningJobCheckpoint]:
        checkpoints = client.fine_tuning.jobs.checkpoints
        try:
            if len(self.job_ids) == 1:
                return checkpoints.list(
                    self.job_ids[0],
                    after=self.after,
                    limit=self.limit,
                    max_records=self.max_records,
                )
            return checkpoints.list_many(
                self.job_ids,
                concurrency=self.concurrency,
                ordered=True,
                on_error=self._handle_failure,
                limit=self.limit,
                max_records_per_job=self.max_records,
            )
        except (TypeError, ValueError) as error:
            raise UsageError(str(error)) from None

    def _handle_failure(self, failure: JobFailure) -> None:
        if isinstance(failure.error, AuthenticationError):
            # The server would reject the other requests too.
            raise failure.error
        self.failed += 1
        self._waiting.clear()
        print_error(failure.error)


async def list_from_api(listing: Listing, options: ClientOptions) -> None:
    """List from the API.

    Args:
        listing: What to list.
        options: The options of the client.

    Raises:
        UsageError: An option of the client is invalid.
        Exception: See `Listing.write_to_stdout`.
    """
    async with _client(options) as client:
        await listing.write_to_stdout(client)


async def list_from_sandbox(listing: Listing, options: ClientOptions) -> None:
    """List from a sandbox, which is closed at the end.

    Args:
        listing: What to list. Without job ids, this lists one job and suggests another.
        options: The options of the client.

    Raises:
        UsageError: An option of the client is invalid.
        Exception: See `Listing.write_to_stdout`.
    """
    from asyncckpt.testing import Sandbox

    async with Sandbox() as sandbox, _client(options, sandbox) as client:
        if listing.job_ids:
            await listing.write_to_stdout(client)
            return
        chosen, *others = (
            job["id"]
            for job in sandbox.jobs
            if job["status"] == "succeeded" and job["method"]["type"] == "supervised"
        )
        listing.job_ids = [chosen]
        await listing.write_to_stdout(client)
        print_to_stderr(
            f"This is one of {len(sandbox.job_ids)} jobs of the sandbox. Another one:\n"
            f"asyncckpt list --sandbox {others[0]}\n"
        )


def _client(options: ClientOptions, sandbox: Sandbox | None = None) -> AsyncClient:
    try:
        return AsyncClient(**options) if sandbox is None else sandbox.client(**options)
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from None
