"""Holds the arguments of a watch, and its jobs."""

from __future__ import annotations

from collections.abc import Collection

import attrs

from asyncckpt.options import check_number
from asyncckpt.streams.job_watch import JobWatch
from asyncckpt.streams.resumption import JobState, Kind
from asyncckpt.streams.sources import Jobs

__all__ = ["Roster", "WatchSettings"]


def _optional_seconds(_: object, field: attrs.Attribute[float], value: float | None) -> None:
    if value is not None:
        check_number(field.name, value, "seconds", above=0)


@attrs.frozen(kw_only=True)
class WatchSettings:
    """The arguments of a watch; see `AsyncJobs.watch`.

    Raises:
        TypeError: An argument is not a number.
        ValueError: An argument is not more than 0.
    """

    interval: float | None = attrs.field(validator=_optional_seconds)
    timeout: float | None = attrs.field(validator=_optional_seconds)
    max_silence: float | None = attrs.field(validator=_optional_seconds)


class Roster:
    """The jobs of a watch, and what has been handed out of them.

    The stream and its reader share it. The stream must not refer to the reader, so that a dropped
    iteration ends.

    Args:
        kind: The kind of the watch.
        jobs: The source of the jobs.
        states: What an earlier watch has handed out.

    Attributes:
        known: The ids of all jobs taken from the source.
        watched: The jobs that are polled.
        is_complete: Whether the source is exhausted.
    """

    def __init__(self, kind: Kind, jobs: Jobs, states: dict[str, JobState]) -> None:
        self.kind: Kind = kind
        self.states = states
        self.known: set[str] = set()
        self.watched: dict[str, JobWatch] = {}
        self.is_complete = False
        self._jobs = jobs

    def may_have(self, job_id: str) -> bool:
        """Return whether a job is in the source, or may still come from it."""
        if job_id in self.known:
            return True
        if self.is_complete or not isinstance(self._jobs, Collection):
            return not self.is_complete
        return any(job_id in (job, getattr(job, "id", None)) for job in self._jobs)
