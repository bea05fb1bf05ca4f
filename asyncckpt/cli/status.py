"""Shows a status line on a terminal: how far the command is, or what it waits for."""

from __future__ import annotations

import os
import stat
import sys
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol, Self, TextIO

from asyncckpt.cli.terminal import print_to_stderr, printable

__all__ = ["StatusLine", "is_read_by_a_person"]

QUIET_SECONDS = 2.0
"""The line appears after this time, and says after this time without a record what is missing."""

UPDATE_SECONDS = 0.5
DEFAULT_COLUMNS = 80

_RATED_UPDATES: Final = 10
"""The number of updates over which the rate is measured."""

_LONGEST_BAR, _SHORTEST_BAR = 20, 8


class Timer(Protocol):
    """A scheduled call."""

    def cancel(self) -> None:
        """Cancel the call."""
        ...


class JobCounts(Protocol):
    """How many jobs are done, such as `asyncckpt.Progress`."""

    @property
    def jobs_done(self) -> int:
        """The number of jobs that are complete."""
        ...

    @property
    def jobs_failed(self) -> int:
        """The number of jobs that have failed."""
        ...


class OverJobs(Protocol):
    """Work on many jobs, such as `asyncckpt.FanIn`."""

    @property
    def progress(self) -> JobCounts:
        """How many jobs are done at the moment."""
        ...


class StatusLine:
    """A line on standard error, updated in place. It appears only on a terminal.

    It says how far the command is, and if no record arrives, for how long and why::

        asyncckpt: [=========>          ] 61/120 jobs, 1,830 checkpoints, 412/s
        asyncckpt: 61/120 jobs, no checkpoint for 5 s: RateLimitError (429): waiting 7.00 s

    If the command knows how long its work still takes, the line says that too.

    A command enters it, and says what arrives::

        with line:
            line.follow(stream, total=len(job_ids))
            async for record in stream:
                line.arrived()

    Args:
        what: What arrives, such as ``"checkpoint"``.
        idle: What to say while nothing arrives, unless a log message says why.
        clock: Returns the time in seconds.
        call_later: Schedules a call after a number of seconds.
    """

    def __init__(
        self,
        what: str,
        idle: str = "waiting for a response",
        *,
        clock: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], Timer],
    ) -> None:
        self._what = what
        self._idle = idle
        self._clock = clock
        self._call_later = call_later
        self._started_at = self._since = clock()
        self._count = 0
        self._counts: deque[tuple[float, int]] = deque(maxlen=_RATED_UPDATES)
        self._jobs: OverJobs | None = None
        self._total: int | None = None
        self._remaining: float | None = None
        self._is_between_rows = False
        self._message = ""
        self._noted_at = 0.0
        self._shown = 0
        self._timer: Timer | None = None

    def __enter__(self) -> Self:
        """Start to wait for records."""
        self._started_at = self._since = self._clock()
        self._counts.append((self._since, self._count))
        if can_rewrite_a_line(sys.stderr):
            self._schedule()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the line permanently."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.clear()

    def follow(self, jobs: OverJobs, total: int | None = None) -> None:
        """Show how many jobs are done.

        Args:
            jobs: The work on them.
            total: The number of jobs, for a bar; None if it is not known.
        """
        self._jobs, self._total = jobs, total

    def expect(self, seconds: float | None) -> None:
        """Show how long the work still takes; None if that is not known."""
        self._remaining = seconds

    def arrived(self, count: int = 1) -> None:
        """Note that records have arrived."""
        self._count += count
        self._since = self._clock()
        self._message = ""

    def give_way(self) -> None:
        """Remove the line for a row that is written to the same terminal.

        From the first row on, rows show how far the command is. The line then appears only while
        nothing arrives.
        """
        self._is_between_rows = True
        if self._shown:
            self.clear()

    def note(self, message: str) -> None:
        """Show a log message as the reason, until the next message or record arrives."""
        self._message = message
        self._noted_at = self._clock()

    def clear(self) -> None:
        """Remove the line until the next update, so that other text can be written."""
        if self._shown:
            # Spaces also work on terminals without escape sequences.
            print_to_stderr(f"\r{' ' * self._shown}\r")
            self._shown = 0

    def _schedule(self) -> None:
        self._timer = self._call_later(min(UPDATE_SECONDS, QUIET_SECONDS), self._update)

    def _update(self) -> None:
        self._schedule()
        now = self._clock()
        self._counts.append((now, self._count))
        is_quiet = now - self._since >= QUIET_SECONDS
        if now - self._started_at < QUIET_SECONDS or (self._is_between_rows and not is_quiet):
            return
        text = self._missing(now) if is_quiet else self._progress()
        before, fitted = self._shown, self._fitted(text)
        # In one piece, so that the line does not flicker.
        print_to_stderr(f"\r{' ' * before}\r{fitted}" if before else fitted)

    def _missing(self, now: float) -> str:
        missing = f"no {self._what} for {now - self._since:.0f} s: {self._reason(now)}"
        return ", ".join(filter(None, [self._job_counts(), missing]))

    def _reason(self, now: float) -> str:
        if not self._message:
            return self._idle
        return f"{printable(self._message)} ({now - self._noted_at:.0f} s ago)"

    def _progress(self) -> str:
        records = f"{self._count:,} {self._what}{'s' * (self._count != 1)}"
        (then, before), (now, count) = self._counts[0], self._counts[-1]
        rate = f"{(count - before) / (now - then):,.0f}/s" if now > then else ""
        left = "" if self._remaining is None else f"{_duration(self._remaining)} left"
        text = ", ".join(filter(None, [self._job_counts(), records, rate, left]))
        return self._bar(columns_of_stderr() - len(text)) + text

    def _job_counts(self) -> str:
        if self._jobs is None:
            return ""
        progress = self._jobs.progress
        done = progress.jobs_done + progress.jobs_failed
        named = done if self._total is None else self._total
        of_total = "" if self._total is None else f"/{self._total:,}"
        failed = f", {progress.jobs_failed:,} failed" if progress.jobs_failed else ""
        return f"{done:,}{of_total} job{'s' * (named != 1)}{failed}"

    def _bar(self, room: int) -> str:
        width = min(_LONGEST_BAR, room - len("asyncckpt: [] ") - 1)
        if self._jobs is None or not self._total or width < _SHORTEST_BAR:
            return ""
        progress = self._jobs.progress
        done = (progress.jobs_done + progress.jobs_failed) * width // self._total
        return f"[{('=' * done + '>')[:width].ljust(width)}] "

    def _fitted(self, text: str) -> str:
        from rich.cells import cell_len, chop_cells

        # Some terminals wrap the line if its last column is used.
        fitted = chop_cells(f"asyncckpt: {text}", max(1, columns_of_stderr() - 1))[0]
        self._shown = cell_len(fitted)
        return fitted


def _duration(seconds: float) -> str:
    """Return a duration of which only the largest units matter."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def can_rewrite_a_line(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal on which a line can be overwritten."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def is_read_by_a_person(out: TextIO) -> bool:
    """Return whether what is written may appear on the terminal that shows the status line.

    This is so for a terminal, and for a pipe: the reader may be a pager such as ``less``.
    """
    try:
        return out.isatty() or stat.S_ISFIFO(os.fstat(out.fileno()).st_mode)
    except (OSError, ValueError):
        # It has no file descriptor, as in tests.
        return False


def columns_of_stderr() -> int:
    """Return the number of columns of the terminal on standard error."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or DEFAULT_COLUMNS
    except (AttributeError, OSError, ValueError):
        return DEFAULT_COLUMNS
