"""Implements `asyncckpt list`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from asyncckpt.cli.destination import Destination
from asyncckpt.cli.layouts import CHECKPOINTS
from asyncckpt.cli.terminal import UsageError
from asyncckpt.cli.writing import (
    ToleratedFailures,
    example_of,
    print_next_example,
    status_line,
    write_all,
)
from asyncckpt.client import AsyncClient

if TYPE_CHECKING:
    from asyncckpt import FineTuningJobCheckpoint, Pager
    from asyncckpt.cli.status import StatusLine
    from asyncckpt.streams.fanin import FanIn
    from asyncckpt.testing import Sandbox

__all__ = ["Listing"]


@attrs.define(kw_only=True)
class Listing:
    """The arguments of `asyncckpt list`.

    Args:
        job_ids: The ids of the jobs.
        all_jobs: List every job of the account instead.
        destination: Where and how to write them.
        limit: The number of records per page; None for the client's default.
        max_records: The maximum number of records of each job; None for all.
        after: The checkpoint to continue after, for a single job; None for the beginning.
        latest: List only the newest checkpoint of each job.
        concurrency: The number of jobs to list at the same time.
        verbose: Whether to write the log to standard error.
        failed: The number of jobs that could not be listed.
    """

    job_ids: Sequence[str]
    all_jobs: bool = False
    destination: Destination
    limit: int | None
    max_records: int | None
    after: str | None
    latest: bool = False
    concurrency: int
    verbose: bool = False
    failed: int = attrs.field(init=False, default=0)

    async def write_records(self, client: AsyncClient, sandbox: Sandbox | None) -> None:
        """List the checkpoints, and write them, one job after the other.

        If one of several jobs cannot be listed, this writes the error to standard error, and
        continues with the other jobs.

        Args:
            client: The client to list with.
            sandbox: The sandbox that it is connected to, if any. Without job ids, this lists one
                job of the sandbox and suggests another.

        Raises:
            UsageError: An argument is invalid.
            APIError: The only job cannot be listed, or the server rejects the API key.
            OSError: Writing failed.
        """
        if sandbox is None or self.job_ids or self.all_jobs:
            await self._write(client)
            return
        self.job_ids = [example_of(sandbox)]
        await self._write(client)
        print_next_example(sandbox, "list")

    async def _write(self, client: AsyncClient) -> None:
        plan = self.destination.plan(CHECKPOINTS)
        line = status_line("checkpoint")
        failures = ToleratedFailures(line)
        try:
            async with self._stream(client, line, failures) as stream:
                await write_all(stream, plan, line, verbose=self.verbose)
        finally:
            self.failed = failures.count

    def _stream(
        self, client: AsyncClient, line: StatusLine, failures: ToleratedFailures
    ) -> Pager[FineTuningJobCheckpoint] | FanIn[FineTuningJobCheckpoint]:
        jobs = client.fine_tuning.jobs
        chosen = jobs.list(on_expired_cursor="restart") if self.all_jobs else self.job_ids
        try:
            if self.latest:
                stream = jobs.checkpoints.latest(
                    chosen, concurrency=self.concurrency, ordered=True, on_error=failures
                )
            elif len(self.job_ids) == 1:
                return jobs.checkpoints.list(
                    self.job_ids[0],
                    after=self.after,
                    limit=self.limit,
                    max_records=self.max_records,
                    on_expired_cursor="restart",
                )
            else:
                stream = jobs.checkpoints.list_many(
                    chosen,
                    concurrency=self.concurrency,
                    ordered=True,
                    on_error=failures,
                    limit=self.limit,
                    max_records_per_job=self.max_records,
                    on_expired_cursor="restart",
                )
        except (TypeError, ValueError) as error:
            raise UsageError(str(error)) from None
        line.follow(stream, None if self.all_jobs else len(self.job_ids))
        return stream
