"""Implements `asyncckpt jobs`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING

import attrs

from asyncckpt.cli.destination import Destination
from asyncckpt.cli.layouts import JOBS
from asyncckpt.cli.terminal import UsageError
from asyncckpt.cli.writing import status_line, write_all

if TYPE_CHECKING:
    from asyncckpt import AsyncClient, FineTuningJob, Pager
    from asyncckpt.testing import Sandbox

__all__ = ["JobListing"]


@attrs.frozen(kw_only=True)
class JobListing:
    """The arguments of `asyncckpt jobs`.

    Args:
        statuses: Only jobs with one of these; empty for all.
        since: Only jobs that were created then or later, in Unix time; None for all.
        metadata: Only jobs with these keys and values.
        destination: Where and how to write them.
        limit: The number of jobs per page; None for the client's default.
        max_records: The maximum number of jobs; None for all.
        verbose: Whether to write the log to standard error.
    """

    statuses: Collection[str]
    since: float | None
    metadata: Mapping[str, str]
    destination: Destination
    limit: int | None
    max_records: int | None
    verbose: bool = False

    async def write_records(self, client: AsyncClient, sandbox: Sandbox | None) -> None:
        """List the jobs, and write them in the order of the server, unless they are to be sorted.

        Args:
            client: The client to list with.
            sandbox: The sandbox that it is connected to, if any. It is not used.

        Raises:
            UsageError: An argument is invalid.
            APIError: The jobs cannot be listed.
            OSError: Writing failed.
        """
        plan = self.destination.plan(JOBS)
        async with aclosing(self._chosen(self._pager(client))) as jobs:
            await write_all(jobs, plan, status_line("job"), verbose=self.verbose)

    def _pager(self, client: AsyncClient) -> Pager[FineTuningJob]:
        # The server cannot filter by status or time, so it must not count the jobs then.
        counts = self.since is None and not self.statuses
        try:
            return client.fine_tuning.jobs.list(
                limit=self.limit,
                metadata=self.metadata or None,
                max_records=self.max_records if counts else None,
                on_expired_cursor="restart",
            )
        except (TypeError, ValueError) as error:
            raise UsageError(str(error)) from None

    async def _chosen(self, pager: Pager[FineTuningJob]) -> AsyncGenerator[FineTuningJob, None]:
        # A server may list the oldest first, so an old job does not end the list.
        count = 0
        async with pager:
            async for job in pager:
                if self._matches(job):
                    count += 1
                    yield job
                if count == self.max_records:
                    return

    def _matches(self, job: FineTuningJob) -> bool:
        if self.statuses and job.status not in self.statuses:
            return False
        return self.since is None or job.created_at >= self.since
