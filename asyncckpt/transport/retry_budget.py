"""Bounds the retries of a whole client."""

from __future__ import annotations

__all__ = ["RetryBudget"]


class RetryBudget:
    """A token bucket for retries, as in the AWS SDKs' standard retry mode.

    Retries take tokens and successes return them, so that retries cannot pile up on a server that
    is down.

    Args:
        capacity: The most tokens it holds, and the number it starts with.
    """

    RETRY_COST = 5
    TIMEOUT_RETRY_COST = 10
    _SUCCESS = 1

    def __init__(self, capacity: int = 500) -> None:
        if capacity < 0:
            raise ValueError(f"the capacity of a retry budget must not be negative, not {capacity}")
        self.capacity = capacity
        self.available = capacity

    def acquire(self, cost: int = RETRY_COST) -> bool:
        """Take the tokens for a retry.

        Returns:
            Whether there were enough; otherwise none are taken.
        """
        if cost > self.available:
            return False
        self.available -= cost
        return True

    def succeeded(self, paid: int) -> None:
        """Return the tokens that a call took for its last retry; 1 if it took none."""
        self.available = min(self.capacity, self.available + (paid or self._SUCCESS))
