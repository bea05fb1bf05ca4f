"""Implements `asyncckpt watch`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import attrs

from asyncckpt.cli.logs import logged
from asyncckpt.cli.resumption import ResumeFile
from asyncckpt.cli.status import can_rewrite_a_line
from asyncckpt.cli.terminal import UsageError, print_error
from asyncckpt.cli.watch_views import LiveTable, RowWriter, UpdateWriter, View, WriterView
from asyncckpt.cli.writing import ToleratedFailures, status_line
from asyncckpt.errors import APIError
from asyncckpt.protocol.request import path_segment
from asyncckpt.streams.criteria import criterion_of
from asyncckpt.streams.updates import Finished

if TYPE_CHECKING:
    from asyncckpt import AsyncClient, JobFailure, Update, Watch
    from asyncckpt.testing import Sandbox

__all__ = ["Watching"]

_IDLE = "Ctrl-C stops watching, not the job"


@attrs.define(kw_only=True)
class Watching:
    """The arguments of `asyncckpt watch`, and how the jobs have ended.

    Args:
        job_ids: The ids of the jobs.
        metric: The metric to draw.
        interval: The seconds between two polls of a job; None for the client's default.
        max_time: The seconds after which to stop; None for no limit.
        resume: The file that records what has been shown; None for no such file.
        format: The output format; None for a table on a terminal and JSON lines elsewhere.
        verbose: Whether to write the log to standard error.
    """

    job_ids: Sequence[str]
    metric: str
    interval: float | None
    max_time: float | None
    resume: Path | None
    format: Literal["table", "jsonl"] | None
    verbose: bool = False
    _statuses: dict[str, str] = attrs.field(init=False, factory=dict[str, str])
    _failed: set[str] = attrs.field(init=False, factory=set[str])
    _is_timed_out: bool = attrs.field(init=False, default=False)

    @property
    def has_failed(self) -> bool:
        """Whether a job has not succeeded, as far as it was watched."""
        has_not = any(status != "succeeded" for status in self._statuses.values())
        return has_not or bool(self._failed) or self._is_timed_out

    @property
    def progress(self) -> Self:
        """How many jobs have ended, for the status line."""
        return self

    @property
    def jobs_done(self) -> int:
        """The number of jobs that have ended."""
        return len(self._statuses)

    @property
    def jobs_failed(self) -> int:
        """The number of jobs that could not be watched to their end."""
        return len(self._failed)

    async def write_to_stdout(self, client: AsyncClient, sandbox: Sandbox | None) -> None:
        """Watch the jobs, and write updates to standard output.

        If a job cannot be watched, this writes the error to standard error, and continues with the
        other jobs.

        Args:
            client: The client to watch with.
            sandbox: The sandbox that it is connected to, if any. Without job ids, this watches its
                live jobs.

        Raises:
            UsageError: An argument is invalid.
            APIError: The server rejects the API key.
            OSError: Writing to standard output or to the file failed.
        """
        if sandbox is not None and not self.job_ids:
            self.job_ids = _live_jobs_of(sandbox)
        self.job_ids = list(dict.fromkeys(self.job_ids))
        view = self._view()
        failures = ToleratedFailures(view)

        def fail(failure: JobFailure) -> None:
            failures(failure)
            self._failed.add(failure.fine_tuning_job_id)
            view.fail(failure.fine_tuning_job_id)

        file = None
        if self.resume is not None:
            file = ResumeFile(self.resume, asyncio.get_running_loop().call_later)
        try:
            for job_id in self.job_ids:
                path_segment("JOB_ID", job_id)
            watch = client.fine_tuning.jobs.watch(
                self.job_ids,
                interval=self.interval,
                timeout=self.max_time,
                resume=None if file is None else file.read(),
                on_error=fail,
            )
        except (TypeError, ValueError) as error:
            raise UsageError(str(error)) from None
        if file is not None:
            file.start(lambda: watch.resume_token)
        async with watch:
            with logged(view, verbose=self.verbose), view:
                await self._show_all(watch, view, file)
                await self._look_up(client, view)
        if self._is_timed_out:
            print_error(TimeoutError(f"not all jobs have ended within {self.max_time:g} s"))

    def _view(self) -> View:
        from rich.console import Console

        out = sys.stdout
        try:
            # A mode, because not every name tells whether lower values are better.
            criterion = criterion_of(self.metric, "min")
        except ValueError as error:
            raise UsageError(str(error)) from None
        console = Console(file=out, highlight=False, markup=False, emoji=False)
        if (self.format or "table") == "table" and can_rewrite_a_line(out):
            loop = asyncio.get_running_loop()
            return LiveTable(
                out,
                console,
                self.job_ids,
                criterion,
                clock=loop.time,
                call_later=loop.call_later,
            )
        line = status_line("update", _IDLE)
        line.follow(self, len(self.job_ids))
        is_table = self.format == "table" or (self.format is None and out.isatty())
        writer = RowWriter(out, console, criterion) if is_table else UpdateWriter(out)
        return WriterView(writer, line)

    async def _show_all(self, watch: Watch, view: View, file: ResumeFile | None) -> None:
        is_written = True
        try:
            async for update in watch:
                is_written = False
                self._note(update)
                view.show(update)
                is_written = True
                if file is not None:
                    file.changed()
        except TimeoutError:
            self._is_timed_out = True
        finally:
            if file is not None:
                # An update that could not be written comes again.
                file.save() if is_written else file.cancel()

    def _note(self, update: Update) -> None:
        if isinstance(update, Finished):
            self._statuses[update.fine_tuning_job_id] = update.job.status

    async def _look_up(self, client: AsyncClient, view: View) -> None:
        """Request the jobs whose end was shown by an earlier watch, for the exit code."""
        if self._is_timed_out:
            return
        for job_id in self.job_ids:
            if job_id in self._statuses or job_id in self._failed:
                continue
            try:
                job = await client.fine_tuning.jobs.retrieve(job_id)
            except APIError as error:
                view.clear()
                print_error(error)
                self._failed.add(job_id)
                view.fail(job_id)
                continue
            self._statuses[job_id] = job.status
            if isinstance(view, LiveTable):
                view.show(Finished(job, fine_tuning_job_id=job_id))


def _live_jobs_of(sandbox: Sandbox) -> list[str]:
    from asyncckpt.cli.commands.watch import LIVE_JOBS

    # They are the newest.
    return sandbox.job_ids[:LIVE_JOBS]
