"""The conditions that a benchmark asks of the server: a segment in the path of the base URL."""

from __future__ import annotations

import random
from typing import Final

import attrs
import msgspec

NO_CONDITIONS: Final = "-"


@attrs.frozen(kw_only=True)
class Conditions:
    """How the server treats every request whose path starts with these conditions.

    Attributes:
        latency: Seconds from a request to its response.
        jitter: Whether the latency is exponentially distributed, with that mean.
        exact: Whether the latency is kept to 0.1 ms, which works for few requests at once only; an
            event loop's timers are good to 1 ms.
        rate: Requests a second that a token bucket admits; 0 for no limit.
        burst: The size of the bucket.
        retry_after: The `Retry-After` of a 429; 0 for no such header.
        faults: The share of responses that are reset, fail with 500, or are cut.
        run: Separates the limiter and counters of one run from those of another.
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
        """Write the conditions as a segment of a path."""
        changed = attrs.asdict(self, filter=lambda field, value: value != field.default)
        return ",".join(f"{name}={value}" for name, value in changed.items()) or NO_CONDITIONS

    @classmethod
    def parse(cls, segment: str) -> Conditions:
        """Read the conditions of a segment."""
        given = dict(part.split("=") for part in segment.split(",") if "=" in part)
        return msgspec.convert(given, cls, strict=False)

    def latency_of(self, start: int) -> float:
        """Return the seconds that the page from record `start` takes, the same in every run."""
        if not self.jitter:
            return self.latency
        return self.latency * random.Random(start).expovariate(1.0)
