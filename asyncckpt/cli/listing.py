"""`asyncckpt list`: from the API to standard output, record by record."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from asyncckpt.cli.output import Format, writer_for
from asyncckpt.cli.terminal import UsageError, complain
from asyncckpt.errors import AuthenticationError

if TYPE_CHECKING:
    from asyncckpt import AsyncClient, FineTuningJobCheckpoint, Pager
    from asyncckpt.streams.fanin import FanIn, JobFailure

__all__ = ["Listing"]


@attrs.define(kw_only=True)
class Listing:
    """What to list, and how to show it.

    Args:
        job_ids: The jobs.
        format: How to write; None lets the output decide.
        limit: Records a page; None lets the server decide.
        max_records: Records of each job at most; None for all.
        after: The checkpoint to continue after, for a single job; None for the beginning.
        concurrency: Jobs listed at the same time.
        failed: How many jobs could not be listed.
    """

    job_ids: Sequence[str]
    format: Format | None
    limit: int | None
    max_records: int | None
    after: str | None
    concurrency: int
    failed: int = attrs.field(init=False, default=0)

    async def write_to_stdout(self, client: AsyncClient) -> None:
        """Write the checkpoints, job after job.

        Of several jobs, one that cannot be listed is complained of, and the others go on.

        Args:
            client: Whom to ask.

        Raises:
            UsageError: An argument cannot be right; nothing has been sent.
            APIError: The only job cannot be listed, or the key is refused.
            OSError: Standard output cannot be written to.
        """
        stream = self._stream(client)
        writer = writer_for(self.format, sys.stdout)
        try:
            async with stream:
                async for checkpoint in stream:
                    writer.write(checkpoint)
        finally:
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
                on_error=self._complain,
                limit=self.limit,
                max_records_per_job=self.max_records,
            )
        except (TypeError, ValueError) as error:
            raise UsageError(str(error)) from None

    def _complain(self, failure: JobFailure) -> None:
        if isinstance(failure.error, AuthenticationError):
            # The other jobs would be refused for the same reason.
            raise failure.error
        self.failed += 1
        complain(failure.error)
