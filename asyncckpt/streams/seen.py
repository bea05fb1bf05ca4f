"""Remembers which items of a list have been handed out, in bounded memory.

`Seen` keeps the newest items as digests of their ids, and a time, the floor: every item that is not
newer than the floor counts as handed out. So its size does not depend on the length of the list,
and items of the same second are told apart by their ids.

An item that appears late, with a time in the past, is found if it is newer than the floor: newer
than the `window` newest items handed out. The items of one second are kept or dropped together. If
more than `MAX_KEPT` items share a second, other items of this second count as handed out.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final, cast

__all__ = ["MAX_KEPT", "WINDOW", "Seen", "digest_of"]

WINDOW: Final = 64
"""How many of the newest items are kept at least, by default."""

MAX_KEPT: Final = 10_000
"""The highest number of items that are kept, if many have the same time."""

_DIGEST_BYTES: Final = 6
_DIGEST_CHARACTERS: Final = 8


def digest_of(item_id: str) -> str:
    """Return 8 ASCII characters that stand for an id of any length."""
    digest = hashlib.blake2b(item_id.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES)
    return base64.urlsafe_b64encode(digest.digest()).decode()


class Seen:
    """The items of one list that have been handed out.

    Args:
        window: The number of the newest items that are kept at least.

    Attributes:
        floor: All items up to this time count as handed out; None at first.
    """

    def __init__(self, window: int = WINDOW) -> None:
        self._window = window
        self.floor: int | None = None
        self._times: dict[str, int] = {}
        self._trim_at = 2 * window

    def __len__(self) -> int:
        return len(self._times)

    def has(self, digest: str, time: int) -> bool:
        """Return whether an item has been handed out."""
        return digest in self._times or (self.floor is not None and time <= self.floor)

    def add(self, digest: str, time: int) -> None:
        """Record that an item is handed out.

        Args:
            digest: The digest of its id.
            time: Its time. Items must be added in ascending order of time, except those that
                appeared late.
        """
        if self.has(digest, time):
            return
        self._times[digest] = time
        if len(self._times) > self._trim_at:
            self._trim()

    def _trim(self) -> None:
        newest_first = sorted(self._times.items(), key=lambda item: item[1], reverse=True)
        oldest_kept = newest_first[self._window - 1][1]
        kept = [item for item in newest_first if item[1] >= oldest_kept]
        dropped = newest_first[len(kept) :]
        if len(kept) > MAX_KEPT:
            dropped, kept = kept[self._window :], kept[: self._window]
        if dropped:
            self.floor = dropped[0][1]
        self._times = dict(reversed(kept))
        self._trim_at = len(kept) + self._window

    def to_json(self) -> list[int | str | None]:
        """Return the state as JSON: the floor, then pairs of a time and the digests of this time.

        Each time is the difference to the time before it.
        """
        groups: dict[int, list[str]] = {}
        for digest, time in sorted(self._times.items(), key=lambda item: item[1]):
            groups.setdefault(time, []).append(digest)
        encoded: list[int | str | None] = [self.floor]
        before = 0
        for time, digests in groups.items():
            encoded += (time - before, "".join(digests))
            before = time
        return encoded

    @classmethod
    def from_json(cls, state: object) -> Seen:
        """Restore the state that `to_json` returned.

        Raises:
            ValueError: It is malformed.
        """
        items = cast("list[object]", state) if isinstance(state, list) else []
        if len(items) % 2 == 0 or not (items[0] is None or _is_integer(items[0])):
            raise ValueError("a list has no valid state")
        seen = cls()
        seen.floor = cast("int | None", items[0])
        time = 0
        for step, digests in zip(items[1::2], items[2::2], strict=True):
            if not _is_integer(step) or not isinstance(digests, str):
                raise ValueError("a list has an item without a valid time or digest")
            if len(digests) % _DIGEST_CHARACTERS or not digests.isascii():
                raise ValueError("a list has a malformed digest")
            time += cast("int", step)
            for start in range(0, len(digests), _DIGEST_CHARACTERS):
                seen._times[digests[start : start + _DIGEST_CHARACTERS]] = time
        if len(seen) > MAX_KEPT + WINDOW:
            raise ValueError("a list has too many items")
        seen._trim_at = max(2 * WINDOW, len(seen) + WINDOW)
        return seen


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
