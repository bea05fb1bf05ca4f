"""The retry budget: a bound on the retries of a whole client."""

from __future__ import annotations

__all__ = ["RetryBudget"]


class RetryBudget:
    """A bound on the retries of a whole client, after the AWS SDKs' standard retry mode.

    Retries draw on a bucket that successes fill up again, so that they cannot pile up on a server
    that is down.

    Args:
        capacity: What the bucket holds, and holds to begin with.
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
        """Take the cost of a retry. False: the budget is used up, do not retry."""
        if cost > self.available:
            return False
        self.available -= cost
        return True

    def refund(self, cost: int) -> None:
        """Give back what a retry has cost that has succeeded."""
        self.available = min(self.capacity, self.available + cost)

    def success(self) -> None:
        """Note a request that succeeded at the first attempt."""
        self.refund(self._SUCCESS)
