"""Counts the requests of one call."""

from __future__ import annotations

import attrs

__all__ = ["RequestCounts"]


@attrs.define
class RequestCounts:
    """What became of the requests of one call.

    Attributes:
        requests: Requests sent, retries among them.
        retries: Requests sent again because of a failure.
        refused: Requests that the rate limit refused.
        waited: Seconds that requests waited for the rate limit and between retries, summed.
    """

    requests: int = 0
    retries: int = 0
    refused: int = 0
    waited: float = 0.0
