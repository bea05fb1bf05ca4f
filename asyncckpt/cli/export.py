"""Implements `asyncckpt export`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from asyncckpt.cli.logs import logged
from asyncckpt.cli.status import StatusLine
from asyncckpt.cli.terminal import UsageError, print_error, print_to_stderr
from asyncckpt.cli.writing import status_line
from asyncckpt.errors import ArchiveError
from asyncckpt.export.archiving import ArchiveResult, archive
from asyncckpt.export.progress import ArchiveProgress
from asyncckpt.export.tables import has_parquet

if TYPE_CHECKING:
    from asyncckpt import AsyncClient
    from asyncckpt.testing import Sandbox

__all__ = ["Export"]

_SHOWN_FAILURES: Final = 20
_CONTINUE: Final = "run the command again to continue"


@attrs.define(kw_only=True)
class Export:
    """The arguments of `asyncckpt export`.

    Args:
        directory: Where to save.
        events: Whether to save events.
        files: Whether to save result files.
        parquet: Whether to write Parquet; None if it depends on what is installed.
        concurrency: The number of jobs to fetch at the same time.
        verbose: Whether to write the log to standard error.
        failed: The number of jobs that could not be fetched completely.
        progress: How far the work is.
    """

    directory: Path
    events: bool
    files: bool
    parquet: bool | None = None
    concurrency: int
    verbose: bool = False
    failed: int = attrs.field(init=False, default=0)
    progress: ArchiveProgress = attrs.field(init=False, default=ArchiveProgress("checking"))

    async def save(self, client: AsyncClient, sandbox: Sandbox | None) -> None:
        """Save the account, and write to standard output what was saved.

        Args:
            client: The client of the account.
            sandbox: The sandbox that it is connected to, if any. It is not used.

        Raises:
            UsageError: pyarrow is not installed, and Parquet is to be written.
            ArchiveError: The directory cannot be used, or writing failed.
            APIError: The jobs cannot be listed, or the connection is lost.
            OSError: Writing to standard output failed.
        """
        try:
            has_parquet(self.parquet)
        except ImportError as error:
            raise UsageError(str(error)) from None
        line = status_line("record")
        try:
            with logged(line, verbose=self.verbose), line:
                result = await self._archive(client, line)
        except OSError as error:
            raise ArchiveError(
                f"cannot write to {self.directory}: {error.strerror or error}; {_CONTINUE}"
            ) from None
        except BaseException:
            if self.progress.jobs_listed:
                print_to_stderr(f"asyncckpt: the archive is not complete; {_CONTINUE}\n")
            raise
        self.failed = len(result.failures)
        for failure in result.failures[:_SHOWN_FAILURES]:
            print_error(failure.error)
        if self.failed:
            print_to_stderr(
                f"asyncckpt: {_counted(self.failed, 'job')} failed, see manifest.json; the next "
                "run fetches them first\n"
            )
        sys.stdout.write(_summary(result))
        sys.stdout.flush()

    async def _archive(self, client: AsyncClient, line: StatusLine) -> ArchiveResult:
        def show(progress: ArchiveProgress) -> None:
            before, self.progress = self.progress, progress
            if progress.phase in {"checking", "writing"}:
                line.note(f"{progress.phase} the files")
                return
            if progress.phase == "fetching":
                line.follow(self, progress.jobs_wanted)
            line.expect(progress.remaining)
            line.arrived(progress.records - before.records)

        return await archive(
            client,
            self.directory,
            events=self.events,
            files=self.files,
            parquet=self.parquet,
            concurrency=self.concurrency,
            on_progress=show,
        )


def _summary(result: ArchiveResult) -> str:
    contents = ", ".join(
        _counted(number, what)
        for number, what in (
            (result.jobs, "job"),
            (result.checkpoints, "checkpoint"),
            (result.events, "event"),
            (result.files, "result file"),
        )
    )
    missing = (
        f"; {_counted(result.missing_files, 'result file')} no longer on the server"
        if result.missing_files
        else ""
    )
    return (
        f"{result.path}: {contents}{missing}\n"
        f"fetched {_counted(result.fetched_jobs, 'job')} in {result.duration:.1f} s\n"
    )


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
