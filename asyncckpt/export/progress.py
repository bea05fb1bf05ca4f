"""Tells how far an archive is, and how long it will still take."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import attrs

__all__ = ["ArchiveProgress", "Estimate", "Phase"]

Phase: TypeAlias = Literal["checking", "listing", "fetching", "writing"]

_WINDOW: Final = 60.0
_ENOUGH_JOBS: Final = 10
_ENOUGH_SECONDS: Final = 2.0
_SAMPLE_EVERY: Final = 0.5


@attrs.frozen
class ArchiveProgress:
    """A snapshot of an archive that is being written.

    Attributes:
        phase: What is being done: ``"checking"`` the existing files, ``"listing"`` the jobs,
            ``"fetching"`` their records and files, or ``"writing"`` the new files.
        jobs_listed: The number of jobs that the server has listed.
        jobs_wanted: The number of jobs to fetch; it is known when all jobs are listed.
        jobs_done: The number of these that have been fetched completely.
        jobs_failed: The number of these that have failed.
        records: The number of checkpoints and events fetched.
        bytes: The size of the result files fetched.
        elapsed: The seconds since the start.
        remaining: The seconds until all jobs are fetched, at the rate of the last minute, or
            of the last ten jobs if these took longer. None
            until ten jobs have been fetched, and in the other phases.
    """

    phase: Phase
    jobs_listed: int = 0
    jobs_wanted: int = 0
    jobs_done: int = 0
    jobs_failed: int = 0
    records: int = 0
    bytes: int = 0
    elapsed: float = 0.0
    remaining: float | None = None


class Estimate:
    """Estimates the remaining time from the rate of the last minute.

    The rate since the start would be wrong after the server has changed its limit.

    Args:
        clock: Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque()

    def remaining(self, done: int, wanted: int) -> float | None:
        """Return the seconds that are left; None if too little is known.

        Args:
            done: The number of jobs that are done.
            wanted: The number of all jobs.
        """
        now = self._clock()
        samples = self._samples
        if not samples or now - samples[-1][0] >= _SAMPLE_EVERY:
            samples.append((now, done))
        # At a slow server, ten jobs take longer than a minute.
        while now - samples[0][0] > _WINDOW and done - samples[1][1] >= _ENOUGH_JOBS:
            samples.popleft()
        since, done_then = samples[0]
        if done - done_then < _ENOUGH_JOBS or now - since < _ENOUGH_SECONDS:
            return None
        return (wanted - done) * (now - since) / (done - done_then)
