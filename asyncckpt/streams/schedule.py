"""Decides when a job is polled next. It has no clock: each function takes the time.

With a fixed or an adaptive interval, the polls of a job lie on a grid: its points are an interval
apart, and the phase of the job says where between the points of other jobs they lie. The phases
follow the golden ratio, which spreads any number of jobs evenly. A job that was polled out of turn,
because it was woken for example, returns to its grid.

The adaptive interval starts short and grows while nothing changes:

- It is `SHORTEST` after a change, and grows by half with each quiet poll.
- It grows up to `LONGEST`; in the queue and while the job is paused, to `LONGEST_WAITING`.
- Near `estimated_finish`, it is a quarter of the time that is left.
- All jobs together are polled at most `POLLS_PER_SECOND` times a second.
- Each poll is up to 5 % of the interval late, at random.
"""

from __future__ import annotations

import math
from typing import Final

import attrs

__all__ = [
    "LONGEST",
    "LONGEST_WAITING",
    "POLLS_PER_SECOND",
    "SETTLE",
    "SHORTEST",
    "TERMINAL",
    "WAITING",
    "Needs",
    "Rhythm",
    "needs_of",
    "phase_of",
    "seconds_until",
]

TERMINAL: Final = frozenset({"succeeded", "failed", "cancelled"})
"""The statuses of a job that has ended. All others, also unknown ones, are not terminal."""

WAITING: Final = frozenset({"queued", "paused", "pausing"})
"""The statuses in which a job does nothing."""

SHORTEST: Final = 2.0
LONGEST: Final = 30.0
LONGEST_WAITING: Final = 60.0
"""Bounds of the adaptive interval, in seconds."""

POLLS_PER_SECOND: Final = 20
"""The highest rate of polls with the adaptive interval, over all jobs of a watch."""

SETTLE: Final = 2.0
"""Seconds from the poll that sees the end of a job to the last look at its lists."""

_GROWTH: Final = 1.5
_JITTER: Final = 0.05
_GOLDEN: Final = (math.sqrt(5) - 1) / 2
_FULL_LOOK_EVERY: Final = 10
_FAR: Final = 10**12


def phase_of(number: int) -> float:
    """Return where the polls of a job lie in the interval, from 0 to 1.

    Args:
        number: The number of the job in the watch, from 0.
    """
    return number * _GOLDEN % 1.0


def seconds_until(time: int, now: float) -> float:
    """Return how long it takes until a time that a server sent; less than 0 if it is over.

    Args:
        time: The time, in Unix seconds. It may be too large for a float.
        now: The current time, in Unix seconds.
    """
    return max(-_FAR, min(time, _FAR)) - now


@attrs.frozen
class Needs:
    """What a poll has to request besides the job."""

    checkpoints: bool
    events: bool


def needs_of(status: str, *, is_first: bool, has_changed: bool, skipped: int) -> Needs:
    """Return what to request besides the job.

    A job that waits in the queue creates nothing, and one whose files are validated creates no
    checkpoints. To be safe, both lists are read every tenth time.

    Args:
        status: The status of the job.
        is_first: Whether this is the first poll of the job in this watch.
        has_changed: Whether the status has changed, or the job was woken.
        skipped: The number of polls since the checkpoints were read.
    """
    if is_first or has_changed or skipped >= _FULL_LOOK_EVERY - 1:
        return Needs(checkpoints=True, events=True)
    if status == "queued":
        return Needs(checkpoints=False, events=False)
    return Needs(checkpoints=status != "validating_files", events=True)


class Rhythm:
    """The times at which one job is polled.

    Args:
        phase: See `phase_of`.
        origin: The time at which the watch started.
        interval: The seconds between two polls; None for the server's hints, or an adaptive
            interval.
    """

    def __init__(self, phase: float, origin: float, interval: float | None) -> None:
        self._phase = phase
        self._origin = origin
        self._fixed = interval
        self._adaptive = SHORTEST
        self._last_hint: float | None = None

    def after_poll(
        self,
        now: float,
        *,
        status: str,
        has_changed: bool,
        hint: float | None,
        remaining: float | None,
        jobs: int,
        fraction: float,
    ) -> float:
        """Return the time of the next poll.

        Args:
            now: The current time, in seconds.
            status: The status of the job.
            has_changed: Whether the poll found anything new.
            hint: The seconds after which the server asks to be polled again, if it says.
            remaining: The seconds until the job is expected to end, if known.
            jobs: The number of jobs that the watch polls.
            fraction: A random number from 0 to 1, for the jitter.
        """
        if self._fixed is not None:
            return self._on_grid(now, self._fixed)
        if hint is not None:
            return self._after_hint(now, hint, fraction)
        self._last_hint = None
        longest = LONGEST_WAITING if status in WAITING else LONGEST
        self._adaptive = SHORTEST if has_changed else min(self._adaptive * _GROWTH, longest)
        interval = self._adaptive
        if remaining is not None and remaining > 0:
            interval = min(interval, max(SHORTEST, remaining / 4))
        interval = max(interval, jobs / POLLS_PER_SECOND)
        return self._on_grid(now, interval) + _JITTER * fraction * interval

    def after_failure(self, now: float, *, jobs: int, fraction: float) -> float:
        """Return the time of the next poll after one that failed."""
        if self._fixed is not None:
            return self._on_grid(now, self._fixed)
        self._adaptive = min(self._adaptive * _GROWTH, LONGEST)
        return now + max(self._adaptive, jobs / POLLS_PER_SECOND) * (1 + fraction) / 2

    def after_end(self, now: float) -> float:
        """Return the time of the last look, after a poll that saw the end of the job."""
        return now + (SETTLE if self._fixed is None else min(SETTLE, self._fixed))

    def _after_hint(self, now: float, hint: float, fraction: float) -> float:
        # The first time, the jobs are spread; they stay apart.
        late = _JITTER * fraction if hint == self._last_hint else self._phase
        self._last_hint = hint
        return now + hint * (1 + late)

    def _on_grid(self, now: float, interval: float) -> float:
        """Return the first point of the grid that is half an interval away, or more."""
        first = self._origin + self._phase * interval
        points = math.ceil((now + interval / 2 - first) / interval)
        return first + points * interval
