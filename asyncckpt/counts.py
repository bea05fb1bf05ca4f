"""Counts the requests of one call."""

from __future__ import annotations

import attrs

__all__ = ["RequestCounts"]


@attrs.define
class RequestCounts:
    """The requests of one call, and their waiting time.

    Attributes:
        requests: Requests sent, including retries.
        retries: Retries after a failure.
        refused: Responses with status 429.
        waited: Total seconds that requests waited for the rate limit and between retries.
    """

    requests: int = 0
    retries: int = 0
    refused: int = 0
    waited: float = 0.0
