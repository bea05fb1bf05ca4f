"""Detects pages that repeat."""

from __future__ import annotations

__all__ = ["CycleDetector"]


class CycleDetector:
    """Detects a cycle in the cursors of a list, with Brent's algorithm.

    Args:
        after: The cursor of the first request; None for the beginning.
    """

    def __init__(self, after: str | None) -> None:
        self._last_two: tuple[str | None, str | None] = (None, after)
        self._kept = after
        self._pages = 1
        self._until_replaced = 1

    def is_repeated(self, cursor: str) -> bool:
        """Return whether a new cursor equals one of those kept for comparison, and keep it."""
        if cursor == self._kept or cursor in self._last_two:
            return True
        self._last_two = (self._last_two[1], cursor)
        self._until_replaced -= 1
        if not self._until_replaced:
            self._kept = cursor
            self._pages *= 2
            self._until_replaced = self._pages
        return False
