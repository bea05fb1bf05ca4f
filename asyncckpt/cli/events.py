"""Implements `asyncckpt events`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

import attrs

from asyncckpt.cli.destination import Destination
from asyncckpt.cli.layouts import EVENTS
from asyncckpt.cli.terminal import UsageError
from asyncckpt.cli.writing import (
    ToleratedFailures,
    example_of,
    print_next_example,
    status_line,
    write_all,
)
from asyncckpt.errors import APIError
from asyncckpt.records.events import JobEvent
from asyncckpt.streams.failures import JobFailure

if TYPE_CHECKING:
    from asyncckpt import AsyncClient, FineTuningJobEvent, Pager
    from asyncckpt.testing import Sandbox

__all__ = ["EventListing"]


@attrs.define(kw_only=True)
class EventListing:
    """The arguments of `asyncckpt events`.

    Args:
        job_ids: The ids of the jobs.
        levels: Only events of one of these; empty for all.
        types: Only events of one of these; empty for all.
        destination: Where and how to write them.
        limit: The number of events per page; None for the client's default.
        max_records: The maximum number of events of each job; None for all.
        verbose: Whether to write the log to standard error.
        failed: The number of jobs whose events could not be listed.
    """

    job_ids: Sequence[str]
    levels: Collection[str]
    types: Collection[str]
    destination: Destination
    limit: int | None
    max_records: int | None
    verbose: bool = False
    failed: int = attrs.field(init=False, default=0)

    async def write_records(self, client: AsyncClient, sandbox: Sandbox | None) -> None:
        """List the events, and write them, one job after the other.

        If one of several jobs fails, this writes the error to standard error, and continues with
        the other jobs.

        Args:
            client: The client to list with.
            sandbox: The sandbox that it is connected to, if any. Without job ids, this lists one
                job of the sandbox and suggests another.

        Raises:
            UsageError: An argument is invalid.
            APIError: The events of the only job cannot be listed, or the server rejects the API
                key.
            OSError: Writing failed.
        """
        if sandbox is None or self.job_ids:
            await self._write(client)
            return
        self.job_ids = [example_of(sandbox)]
        await self._write(client)
        print_next_example(sandbox, "events")

    async def _write(self, client: AsyncClient) -> None:
        plan = self.destination.plan(EVENTS)
        line = status_line("event")
        failures = ToleratedFailures(line)
        pagers = self._pagers(client)
        try:
            async with aclosing(self._events(pagers, failures)) as events:
                await write_all(events, plan, line, verbose=self.verbose)
        finally:
            self.failed = failures.count

    def _pagers(self, client: AsyncClient) -> list[Pager[FineTuningJobEvent]]:
        # The server cannot filter, so it must not count the events then.
        counts = not self.levels and not self.types
        try:
            return [
                client.fine_tuning.jobs.list_events(
                    job_id,
                    limit=self.limit,
                    max_records=self.max_records if counts else None,
                    on_expired_cursor="restart",
                )
                for job_id in self.job_ids
            ]
        except (TypeError, ValueError) as error:
            raise UsageError(str(error)) from None

    async def _events(
        self, pagers: Sequence[Pager[FineTuningJobEvent]], failures: ToleratedFailures
    ) -> AsyncGenerator[JobEvent, None]:
        for job_id, pager in zip(self.job_ids, pagers, strict=True):
            try:
                async with aclosing(self._chosen(pager)) as events:
                    async for event in events:
                        yield JobEvent.of(job_id, event)
            except APIError as error:
                if len(pagers) == 1:
                    raise
                error.fine_tuning_job_id = job_id
                failures(JobFailure(job_id, error))

    async def _chosen(
        self, pager: Pager[FineTuningJobEvent]
    ) -> AsyncGenerator[FineTuningJobEvent, None]:
        count = 0
        async with pager:
            async for event in pager:
                if self._matches(event):
                    count += 1
                    yield event
                if count == self.max_records:
                    return

    def _matches(self, event: FineTuningJobEvent) -> bool:
        if self.levels and event.level not in self.levels:
            return False
        return not self.types or event.type in self.types
