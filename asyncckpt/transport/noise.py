"""Tells refusals that have nothing to do with the pace from those of a rate limit.

Refusals by a rate limit get rarer when the client slows down. Those of one bad replica, or of one
job, do not: then slowing down is wrong, and a share of refusals has to be tolerated.
"""

from __future__ import annotations

import math
from typing import Final

__all__ = ["Noise"]

_RUNS: Final = 4
"""Refusals after which it is decided whether going slower has helped."""
_NOISE_MEMORY: Final = 512
"""Responses after which noise is forgotten, and has to be found again."""
_TOLERANCE: Final = 1.5
"""The share of refusals that is tolerated, over the share that was seen."""
_STREAK: Final = 3.0
"""Refusals beyond the tolerated share that end the tolerance."""


class Noise:
    """Refusals that have nothing to do with the pace, and how many of them are tolerated.

    Attributes:
        share: The share of requests that is refused whatever the pace; 0.0 if none is known.
    """

    def __init__(self) -> None:
        self.share = 0.0
        self._responses_left = 0
        self._excess = 0.0
        # The highest pace since going slower last helped, and the runs of accepted requests since.
        self._top = 0.0
        self._runs = 0
        self._accepted = 0

    def note_response(self) -> None:
        """Count a response, whatever it was."""
        self._excess = max(0.0, self._excess - _TOLERANCE * self.share)
        self._responses_left -= 1
        if self._responses_left <= 0:
            self.share = 0.0

    def tolerates_refusal(self) -> bool:
        """Count a refusal, and return whether it is within the known share."""
        self.note_response()
        self._excess += 1
        if self.share and self._excess <= _STREAK:
            return True
        # A limit, so that less of what was seen may have been noise.
        self._excess = 0.0
        self.share = self.share / 2 if self.share > 0.04 else 0.0
        return False

    def forget_runs(self) -> None:
        """Start again: the server was really closed."""
        self._top, self._runs, self._accepted = 0.0, 0, 0

    def pace_before(self, run: int, pace: float, measured: float) -> float | None:
        """Return the pace to go back to if going slower has not made refusals rarer.

        Args:
            run: Requests accepted since the refusal before.
            pace: The pace at the refusal.
            measured: What the pace would be reduced to.
        """
        mean = self._accepted / self._runs if self._runs else math.inf
        if pace > self._top or run > 2 * mean + 8:
            self._top, self._runs, self._accepted = pace, 0, 0
        self._runs += 1
        self._accepted += run
        if self._runs < _RUNS or measured >= self._top / 2:
            return None
        self.share = min(self._runs / (self._runs + self._accepted), 1 / 3)
        self._responses_left = _NOISE_MEMORY
        self._excess = 0.0
        top = self._top
        self.forget_runs()
        return 2 * top
