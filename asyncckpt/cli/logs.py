"""Writes the package's log to standard error while the command runs."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator
from datetime import datetime
from typing import Protocol

from asyncckpt.cli.terminal import print_to_stderr, printable

__all__ = ["Display", "logged"]

_LOGGER = "asyncckpt"


class Display(Protocol):
    """Something on the terminal that changes in place, such as `StatusLine`."""

    def note(self, message: str) -> None:
        """Show a log message."""
        ...

    def clear(self) -> None:
        """Make way for another line, until the next update."""
        ...


class _Handler(logging.Handler):
    """Writes log records to standard error, and shows the latest in the display.

    Args:
        display: What is on the terminal; it shows messages of all levels.
        level: The lowest level of the records to write.
    """

    def __init__(self, display: Display, level: int) -> None:
        super().__init__()
        self._display = display
        self._lowest_level = level

    def emit(self, record: logging.LogRecord) -> None:
        """Write or show one record."""
        try:
            message = record.getMessage()
        except Exception:
            self.handleError(record)
            return
        self._display.note(message)
        if record.levelno >= self._lowest_level:
            self._display.clear()
            time = datetime.fromtimestamp(record.created).astimezone()
            print_to_stderr(f"asyncckpt: {time:%H:%M:%S} {record.levelname} {printable(message)}\n")


@contextlib.contextmanager
def logged(display: Display, *, verbose: bool) -> Generator[None, None, None]:
    """Write the package's log during the block of a ``with`` statement.

    Args:
        display: What is on the terminal.
        verbose: Whether to write records of level INFO too, and not only warnings and errors.
    """
    logger = logging.getLogger(_LOGGER)
    handler = _Handler(display, logging.INFO if verbose else logging.WARNING)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
