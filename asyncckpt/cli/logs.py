"""Writes the package's log to standard error while the command runs."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator
from datetime import datetime

from asyncckpt.cli.status import StatusLine
from asyncckpt.cli.terminal import print_to_stderr, printable

__all__ = ["logged"]

_LOGGER = "asyncckpt"


class _Handler(logging.Handler):
    """Writes log records to standard error, and shows the latest in the status line.

    Args:
        line: The status line, which shows messages of all levels.
        level: The lowest level of the records to write.
    """

    def __init__(self, line: StatusLine, level: int) -> None:
        super().__init__()
        self._line = line
        self._lowest_level = level

    def emit(self, record: logging.LogRecord) -> None:
        """Write or show one record."""
        try:
            message = record.getMessage()
        except Exception:
            self.handleError(record)
            return
        self._line.note(message)
        if record.levelno >= self._lowest_level:
            self._line.clear()
            time = datetime.fromtimestamp(record.created).astimezone()
            print_to_stderr(f"asyncckpt: {time:%H:%M:%S} {record.levelname} {printable(message)}\n")


@contextlib.contextmanager
def logged(line: StatusLine, *, verbose: bool) -> Generator[None, None, None]:
    """Write the package's log during the block of a ``with`` statement.

    Args:
        line: The status line.
        verbose: Whether to write records of level INFO too, and not only warnings and errors.
    """
    logger = logging.getLogger(_LOGGER)
    handler = _Handler(line, logging.INFO if verbose else logging.WARNING)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
