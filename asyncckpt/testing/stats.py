"""Defines the counters of a sandbox."""

from __future__ import annotations

from collections import Counter

import attrs


@attrs.define
class Stats:
    """The counters of a sandbox.

    Args:
        requests: Requests received.
        responses: Responses by status code. They are counted before they are sent; a connection
            that is reset before the headers is not counted.
        refused: Requests that the rate limiter refused.
        faults: Requests that an injected fault applied to.
        connections: Connections opened.
        connections_open: Connections open now.
        in_flight: Requests in progress now.
        max_in_flight: The highest number of requests in progress at the same time.
    """

    requests: int = 0
    responses: Counter[int] = attrs.field(factory=Counter[int])
    refused: int = 0
    faults: int = 0
    connections: int = 0
    connections_open: int = 0
    in_flight: int = 0
    max_in_flight: int = 0

    @property
    def answers(self) -> Counter[int]:
        """The former name of `responses`."""
        return self.responses
