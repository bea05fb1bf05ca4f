"""What a benchmark asks of the origin: it stands in the path of the base URL."""

from __future__ import annotations

import random
from typing import Final

import attrs

NO_ORDERS: Final = "-"


@attrs.frozen(kw_only=True)
class Orders:
    """How the origin shall behave, for every request whose path begins with these orders.

    Attributes:
        latency: Seconds from a request to its answer.
        jitter: Whether the latency is exponentially distributed, with that mean.
        exact: Whether the latency is kept to 0.1 ms, at a cost that only few requests at once
            allow; an event loop's timers are good to 1 ms.
        rate: Requests a second that a token bucket lets through; 0 for no limit.
        burst: What the bucket holds.
        retry_after: What a refusal says in `Retry-After`; 0 for nothing.
        faults: The share of answers that are reset, failed or cut.
        run: Tells one run's limiter and counters from another's.
    """

    latency: float = 0.0
    jitter: bool = False
    exact: bool = False
    rate: float = 0.0
    burst: int = 1
    retry_after: int = 0
    faults: float = 0.0
    run: str = ""

    def segment(self) -> str:
        """The orders as a segment of a path."""
        given = [
            f"{field.name}={value:d}" if isinstance(value, bool) else f"{field.name}={value}"
            for field in attrs.fields(Orders)
            if (value := getattr(self, field.name)) != field.default
        ]
        return ",".join(given) or NO_ORDERS

    @classmethod
    def parse(cls, segment: str) -> Orders:
        """The orders of a segment."""
        given = dict(part.split("=") for part in segment.split(",") if "=" in part)
        return cls(
            latency=float(given.get("latency", 0)),
            jitter=given.get("jitter") == "1",
            exact=given.get("exact") == "1",
            rate=float(given.get("rate", 0)),
            burst=int(given.get("burst", 1)),
            retry_after=int(given.get("retry_after", 0)),
            faults=float(given.get("faults", 0)),
            run=given.get("run", ""),
        )

    def latency_of(self, start: int) -> float:
        """Seconds that the page from record `start` takes: the same in every run."""
        if not self.jitter:
            return self.latency
        return self.latency * random.Random(start).expovariate(1.0)
