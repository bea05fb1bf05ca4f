"""Keeps the resume token of a watch in a file."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from asyncckpt.cli.terminal import UsageError

if TYPE_CHECKING:
    from asyncckpt.cli.status import Timer

__all__ = ["ResumeFile"]

SAVE_SECONDS: Final = 5.0
"""The time from an update to the next save; after a crash, these updates come again."""


class ResumeFile:
    """A file with the resume token of a watch.

    Args:
        path: Its path.
        call_later: Schedules a call after a number of seconds.
    """

    def __init__(
        self, path: Path, call_later: Callable[[float, Callable[[], None]], Timer]
    ) -> None:
        self._path = path
        self._call_later = call_later
        self._timer: Timer | None = None

    def read(self) -> str | None:
        """Return the token; None if there is no such file.

        Raises:
            UsageError: The file cannot be read.
        """
        try:
            return self._path.read_text("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise self._unusable("read", error) from None

    def start(self, token: Callable[[], str]) -> None:
        """Write the file for the first time, so that a wrong path is an error at the start.

        Args:
            token: Returns the token.

        Raises:
            UsageError: The file cannot be written.
        """
        self._token = token
        try:
            self.save()
        except OSError as error:
            raise self._unusable("write", error) from None

    def changed(self) -> None:
        """Write the file in a few seconds."""
        if self._timer is None:
            self._timer = self._call_later(SAVE_SECONDS, self._save_later)

    def save(self) -> None:
        """Write the file.

        Raises:
            OSError: Writing failed.
        """
        self.cancel()
        # A crash leaves the earlier file or the new one, never a part.
        written = self._path.with_name(f"{self._path.name}.tmp")
        written.write_text(self._token(), "utf-8")
        written.replace(self._path)

    def cancel(self) -> None:
        """Write the file no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _save_later(self) -> None:
        # The last save reports what is wrong.
        with contextlib.suppress(OSError):
            self.save()

    def _unusable(self, verb: str, error: Exception) -> UsageError:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        return UsageError(f"cannot {verb} {self._path}: {reason}")
