"""Follows the quota that the server announces in `x-ratelimit-*-requests`."""

from __future__ import annotations

import math

from asyncckpt.protocol.hints import RateLimitHints

__all__ = ["Quota"]


class Quota:
    """The quota that the server announces, of a window or of a bucket that refills all the time.

    The end of a window does not move. A bucket is full again the later the more is taken from it.

    Attributes:
        remaining: Requests left in the window.
        resets_at: When the full quota is available again, in monotonic seconds.
        refill_rate: Requests a second that a bucket refills by; None for a window.
    """

    def __init__(self) -> None:
        self.remaining: float = math.inf
        self.resets_at = -math.inf
        self.refill_rate: float | None = None
        self._longest_reset = 0.0
        self._moves = 0

    @property
    def is_window(self) -> bool:
        """Whether the quota is taken for that of a window."""
        # One move can be a late response from the previous window.
        return self._moves < 3

    def is_used_up(self, now: float, in_flight: int) -> bool:
        """Return whether no more may be sent before the reset."""
        return now < self.resets_at and in_flight >= self.remaining and self.is_window

    def hear(self, now: float, hints: RateLimitHints) -> None:
        """Take note of what a response announces."""
        remaining, reset = hints.remaining, hints.reset
        if remaining is None or reset is None:
            return
        self._longest_reset = max(self._longest_reset, reset)
        moved = now + reset > self.resets_at + self._longest_reset / 2
        if moved and now < self.resets_at:
            self._moves += 1
        if moved or now >= self.resets_at:
            self.resets_at, self._longest_reset, self.remaining = now + reset, reset, remaining
        else:
            self.remaining = min(self.remaining, remaining)
        if not self.is_window and reset > 0 and hints.limit is not None and hints.limit > remaining:
            self.refill_rate = (hints.limit - remaining) / reset
