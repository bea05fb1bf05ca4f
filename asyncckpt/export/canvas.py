"""Draws lines and characters on a grid of character cells, for plots in a terminal.

Each cell has 2 by 4 dots. They become a Braille character, or one of a few ASCII characters.
"""

from __future__ import annotations

from typing import Final, TypeAlias

__all__ = ["DASHED", "DOTTED", "SOLID", "Canvas", "Dashes"]

Dashes: TypeAlias = tuple[int, int]
"""For how many dots a line is drawn, and for how many it is not, in turn."""

SOLID: Final[Dashes] = (1, 0)
DASHED: Final[Dashes] = (5, 4)
DOTTED: Final[Dashes] = (1, 2)

_BRAILLE: Final = 0x2800
# The bits of the dots of a cell, by row and column (Unicode, Braille Patterns).
_BITS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_UPPER: Final = 0x01 | 0x08 | 0x02 | 0x10


class Canvas:
    """A grid of cells; the origin is at the top left.

    Args:
        columns: Its width in cells.
        rows: Its height in cells.
        ascii_only: Whether to use ASCII characters instead of Braille.
    """

    def __init__(self, columns: int, rows: int, *, ascii_only: bool = False) -> None:
        self.columns = columns
        self.rows = rows
        self._ascii_only = ascii_only
        self._dots = [[0] * columns for _ in range(rows)]
        self._texts: dict[tuple[int, int], str] = {}

    @property
    def dots(self) -> tuple[int, int]:
        """The width and height in dots."""
        return 2 * self.columns, 4 * self.rows

    def line(self, start: tuple[int, int], end: tuple[int, int], dashes: Dashes = SOLID) -> None:
        """Draw a line between two dots, each given by its column and row, which are in the grid."""
        (x, y), (to_x, to_y) = start, end
        on, off = dashes
        count = max(abs(to_x - x), abs(to_y - y))
        is_steep = abs(to_y - y) > abs(to_x - x)
        for n in range(count + 1):
            share = n / count if count else 0.0
            column, row = round(x + (to_x - x) * share), round(y + (to_y - y) * share)
            # By the place, not by the length of the line: a noisy curve would be all grey.
            if (row if is_steep else column) % (on + off) < on:
                self._dots[row // 4][column // 2] |= _BITS[row % 4][column % 2]

    def text(self, column: int, row: int, text: str) -> None:
        """Put characters into cells, over the dots. The part outside of the grid is left out."""
        for cell, character in enumerate(text, start=column):
            if 0 <= cell < self.columns and 0 <= row < self.rows:
                self._texts[row, cell] = character

    def is_free(self, column: int, row: int, width: int) -> bool:
        """Return whether cells are in the grid and empty."""
        cells = range(column, column + width)
        return (
            column >= 0
            and cells.stop <= self.columns
            and 0 <= row < self.rows
            and not any(self._dots[row][cell] or (row, cell) in self._texts for cell in cells)
        )

    def lines(self) -> list[str]:
        """Return the rows as text."""
        return [
            "".join(
                self._texts.get((row, column)) or self._character(dots)
                for column, dots in enumerate(cells)
            )
            for row, cells in enumerate(self._dots)
        ]

    def _character(self, dots: int) -> str:
        if not dots:
            return " "
        if not self._ascii_only:
            return chr(_BRAILLE + dots)
        is_upper, is_lower = dots & _UPPER, dots & ~_UPPER
        return ":" if is_upper and is_lower else "'" if is_upper else "."
