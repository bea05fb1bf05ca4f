"""Draws lines at the bottom of a terminal that change, below others that stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TextIO

import attrs

__all__ = ["Line", "LiveLines"]


@attrs.frozen
class Line:
    """A line of a terminal.

    Attributes:
        text: The text, with escape sequences for its style.
        columns: The number of columns that it takes.
    """

    text: str
    columns: int


class LiveLines:
    """The last lines on a terminal, drawn again and again.

    Args:
        out: The terminal.
        columns: Returns its number of columns, which changes with the size of its window.
    """

    def __init__(self, out: TextIO, columns: Callable[[], int]) -> None:
        self._out = out
        self._columns = columns
        self._drawn: Sequence[Line] = ()

    def draw(self, lines: Sequence[Line], above: Sequence[Line] = ()) -> None:
        """Replace the lines.

        Args:
            lines: The lines; they must be fewer than those of the terminal.
            above: Lines to write above them, which stay.

        Raises:
            OSError: Writing failed.
        """
        text = "".join(f"{line.text}\n" for line in (*above, *lines))
        # In one piece, so that the lines do not flicker.
        self._out.write(self._erasure() + text)
        self._out.flush()
        self._drawn = lines

    def clear(self) -> None:
        """Remove the lines until they are drawn again.

        Raises:
            OSError: Writing failed.
        """
        if self._drawn:
            self.draw(())

    def _erasure(self) -> str:
        # A line that is longer than the window is now takes several rows.
        columns = max(1, self._columns())
        rows = sum(max(1, -(-line.columns // columns)) for line in self._drawn)
        # The terminal may have echoed ^C, so the cursor need not be in the first column.
        return f"\r\x1b[{rows}A\x1b[J" if rows else ""
