"""The log of the package while the command runs."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator
from datetime import datetime

from asyncckpt.cli.terminal import printable, tell
from asyncckpt.cli.waiting import WaitingLine

__all__ = ["logged"]

_LOGGER = "asyncckpt"


class _Lines(logging.Handler):
    """Writes records to standard error, or hands them to the waiting line.

    Args:
        waiting: The line that says what the command waits for.
        level: Records of this level and above are written.
    """

    def __init__(self, waiting: WaitingLine, level: int) -> None:
        super().__init__()
        self._waiting = waiting
        self._written_from = level

    def emit(self, record: logging.LogRecord) -> None:
        """Handle one record."""
        try:
            message = record.getMessage()
        except Exception:
            self.handleError(record)
            return
        self._waiting.note(message)
        if record.levelno >= self._written_from:
            self._waiting.clear()
            time = datetime.fromtimestamp(record.created).astimezone()
            tell(f"asyncckpt: {time:%H:%M:%S} {record.levelname} {printable(message)}\n")


@contextlib.contextmanager
def logged(waiting: WaitingLine, *, verbose: bool) -> Generator[None, None, None]:
    """Handle the package's log records in the body of a ``with`` statement.

    Args:
        waiting: The line that says what the command waits for.
        verbose: Write records of level INFO and above, not only warnings.
    """
    logger = logging.getLogger(_LOGGER)
    handler = _Lines(waiting, logging.INFO if verbose else logging.WARNING)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
