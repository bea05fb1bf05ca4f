"""Shows a status line on a terminal while the command waits for records."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Protocol, TextIO

from asyncckpt.cli.terminal import print_to_stderr, printable

__all__ = ["WaitingLine"]

QUIET_SECONDS = 2.0
"""The time without a record after which the line appears."""

UPDATE_SECONDS = 0.5
DEFAULT_COLUMNS = 80


class Timer(Protocol):
    """A scheduled call."""

    def cancel(self) -> None:
        """Cancel the call."""
        ...


class WaitingLine:
    """A line on standard error, updated in place while no record arrives.

    It appears only on a terminal.

    Args:
        what: What does not arrive, such as ``"checkpoint"``.
        clock: Returns the time in seconds.
        call_later: Schedules a call after a number of seconds.
    """

    def __init__(
        self,
        what: str,
        *,
        clock: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], Timer],
    ) -> None:
        self._what = what
        self._clock = clock
        self._call_later = call_later
        self._since = clock()
        self._message = ""
        self._noted_at = 0.0
        self._shown = 0
        self._timer: Timer | None = None

    def start(self) -> None:
        """Start to wait for records."""
        self._since = self._clock()
        if can_rewrite_a_line(sys.stderr):
            self._schedule()

    def progress(self) -> None:
        """Remove the line, because a record has arrived."""
        self._since = self._clock()
        self._message = ""
        if self._shown:
            self.clear()

    def note(self, message: str) -> None:
        """Show a log message in the line until the next message or record arrives."""
        self._message = message
        self._noted_at = self._clock()

    def clear(self) -> None:
        """Remove the line until the next update, so that other text can be written."""
        if self._shown:
            # Spaces also work on terminals without escape sequences.
            print_to_stderr(f"\r{' ' * self._shown}\r")
            self._shown = 0

    def stop(self) -> None:
        """Remove the line permanently."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.clear()

    def _schedule(self) -> None:
        self._timer = self._call_later(min(UPDATE_SECONDS, QUIET_SECONDS), self._update)

    def _update(self) -> None:
        self._schedule()
        now = self._clock()
        if now - self._since < QUIET_SECONDS:
            return
        text = f"asyncckpt: no {self._what} for {now - self._since:.0f} s: {self._reason(now)}"
        self.clear()
        print_to_stderr(self._fitted(text))

    def _reason(self, now: float) -> str:
        if not self._message:
            return "waiting for a response"
        return f"{printable(self._message)} ({now - self._noted_at:.0f} s ago)"

    def _fitted(self, text: str) -> str:
        from rich.cells import cell_len, chop_cells

        # Some terminals wrap the line if its last column is used.
        fitted = chop_cells(text, max(1, columns_of_stderr() - 1))[0]
        self._shown = cell_len(fitted)
        return fitted


def can_rewrite_a_line(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal on which a line can be overwritten."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def columns_of_stderr() -> int:
    """Return the number of columns of the terminal on standard error."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or DEFAULT_COLUMNS
    except (AttributeError, OSError, ValueError):
        return DEFAULT_COLUMNS
