"""Limits the retries of all calls of a client."""

from __future__ import annotations

__all__ = ["RetryBudget"]


class RetryBudget:
    """A token bucket for retries, as in the AWS SDKs' standard retry mode.

    A retry takes tokens, and a success returns them. So a server that is down gets few retries.

    Args:
        capacity: The highest number of tokens, which is also the initial number.
    """

    RETRY_COST = 5
    TIMEOUT_RETRY_COST = 10
    _SUCCESS = 1

    def __init__(self, capacity: int = 500) -> None:
        if capacity < 0:
            raise ValueError(f"the capacity of a retry budget must be at least 0, not {capacity}")
        self.capacity = capacity
        self.available = capacity

    def acquire(self, cost: int = RETRY_COST) -> bool:
        """Take the tokens for a retry if there are enough.

        Returns:
            Whether there were enough tokens.
        """
        if cost > self.available:
            return False
        self.available -= cost
        return True

    def succeeded(self, taken: int) -> None:
        """Return tokens after the success of a call.

        Args:
            taken: The tokens that the last retry of the call took; for 0, one token is returned.
        """
        self.available = min(self.capacity, self.available + (taken or self._SUCCESS))
