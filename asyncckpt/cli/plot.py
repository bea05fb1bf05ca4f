"""Implements `asyncckpt plot`."""

from __future__ import annotations

import codecs
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

import attrs

from asyncckpt.cli.logs import logged
from asyncckpt.cli.terminal import UsageError, print_to_stderr, printable
from asyncckpt.cli.writing import ToleratedFailures, example_of, status_line

if TYPE_CHECKING:
    from asyncckpt import AsyncClient
    from asyncckpt.export import Plot
    from asyncckpt.streams.criteria import Mode
    from asyncckpt.testing import Sandbox

__all__ = ["Plotting", "write_plot"]

_LEAST_WIDTH: Final = 20
_SIZE_OF_A_PIPE: Final = (80, 24)
_SHOWN_IDS: Final = 3
# Characters that a plot may have; the last one is a Braille pattern.
_NEEDED: Final = "○★│┤─┬└…\u28ff"


@attrs.define(kw_only=True)
class Plotting:
    """The arguments of `asyncckpt plot`.

    Args:
        job_ids: The ids of the jobs.
        all_jobs: Plot the best of all jobs of the account instead.
        metric: The metric to compare checkpoints by; None for the first that every job has.
        mode: Whether the lowest or the highest value is the best; None for what the name says.
        top: How many jobs to show at most.
        concurrency: The number of jobs to read at the same time.
        output: The file to write; None for text on standard output.
        verbose: Whether to write the log to standard error.
        failed: The number of jobs that could not be read.
    """

    job_ids: Sequence[str]
    all_jobs: bool = False
    metric: str | None
    mode: Mode | None
    top: int
    concurrency: int
    output: Path | None
    verbose: bool = False
    failed: int = attrs.field(init=False, default=0)

    def check_output(self) -> None:
        """Check the name of the file, before anything is requested.

        Raises:
            UsageError: Its suffix is unknown, its folder is missing, or an extra is.
        """
        if self.output is None:
            return
        from asyncckpt.export.figures import check_path

        try:
            check_path(self.output)
        except (ImportError, ValueError) as error:
            raise UsageError(str(error)) from None
        if not self.output.parent.is_dir():
            raise UsageError(f"there is no folder {self.output.parent}")

    async def draw(self, client: AsyncClient, sandbox: Sandbox | None) -> None:
        """Write the plot to the file, or as text to standard output.

        If one of several jobs cannot be read, this writes the error to standard error, and plots
        the other jobs.

        Args:
            client: The client to read with.
            sandbox: The sandbox that it is connected to, if any. Without job ids, this chooses one
                job of the sandbox.

        Raises:
            UsageError: An argument is invalid.
            NoCheckpointError: There is nothing to plot.
            APIError: The only job cannot be read, or the server rejects the API key.
            OSError: Writing failed.
        """
        is_example = sandbox is not None and not self.job_ids and not self.all_jobs
        if sandbox is not None and is_example:
            self.job_ids = [example_of(sandbox)]
        plot = await self._gathered(client)
        if self.output is None:
            write_plot(plot, sys.stdout)
        else:
            plot.save(self.output)
        self._report(plot)
        if sandbox is not None and is_example:
            print_to_stderr(
                f"This is one of {len(sandbox.job_ids)} jobs of the sandbox. The best of them:\n"
                "asyncckpt plot --sandbox --all\n"
            )

    async def _gathered(self, client: AsyncClient) -> Plot:
        from asyncckpt.export.gathering import Gathering
        from asyncckpt.streams.sources import JobSource

        line = status_line("record")
        failures = ToleratedFailures(line)
        jobs = (
            client.fine_tuning.jobs.list(on_expired_cursor="restart")
            if self.all_jobs
            else self.job_ids
        )
        try:
            gathering = Gathering(
                client,
                self.metric,
                self.mode,
                self.concurrency,
                "raise" if len(self.job_ids) == 1 else failures,
                line.arrived,
            )
        except (TypeError, ValueError) as error:
            raise UsageError(str(error)) from None
        with logged(line, verbose=self.verbose), line:
            try:
                return await gathering.plot(JobSource(jobs), self.top)
            finally:
                self.failed = failures.count

    def _report(self, plot: Plot) -> None:
        if plot.without_data:
            _note(f"nothing to plot of {_listed(plot.without_data)}")
        if plot.left_out and not self.all_jobs:
            total = self.top + plot.left_out
            _note(f"the best {self.top} of {total} jobs are plotted")


def _note(text: str) -> None:
    print_to_stderr(f"asyncckpt: {printable(text)}\n")


def _listed(ids: Sequence[str]) -> str:
    rest = len(ids) - _SHOWN_IDS
    others = f" and {rest} other{'s' * (rest != 1)}" if rest > 0 else ""
    return ", ".join(ids[:_SHOWN_IDS]) + others


def write_plot(plot: Plot, out: TextIO) -> None:
    """Write a plot as text, in the size of the terminal.

    A pipe or a file has 80 columns and 24 lines; COLUMNS and LINES set other sizes. If the encoding
    of the output lacks a character, the plot is in ASCII.

    Args:
        plot: The plot.
        out: The output.

    Raises:
        OSError: Writing failed.
    """
    columns, lines = shutil.get_terminal_size(_SIZE_OF_A_PIPE)
    # The last line is that of the prompt.
    height = max(1, lines - 1)
    out.write(
        plot.text(width=max(_LEAST_WIDTH, columns), height=height, ascii_only=not _can_encode(out))
    )
    out.flush()


def _can_encode(out: TextIO) -> bool:
    try:
        codecs.encode(_NEEDED, out.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True
