"""Watches one job: polls it, and turns what is new into updates.

A poll requests the job first and its lists afterwards. So the lists of a poll that sees the end of
the job were read after the end. `SETTLE` seconds later they are read once more, for a server whose
lists lag behind its jobs. This is left out if the job had ended long before the watch began.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final, Protocol

import attrs

from asyncckpt.records import FineTuningJob, FineTuningJobEvent
from asyncckpt.records.checkpoints import FineTuningJobCheckpoint, order_step
from asyncckpt.streams.follower import Follower, ListSource
from asyncckpt.streams.reading import Place
from asyncckpt.streams.resumption import JobState, Kind
from asyncckpt.streams.schedule import TERMINAL, Needs, Rhythm, needs_of, seconds_until
from asyncckpt.streams.updates import (
    CaughtUp,
    CheckpointCreated,
    EventLogged,
    Finished,
    StatusChanged,
    Update,
)

__all__ = ["JobFeed", "JobWatch", "Look", "Sighting"]

_RECENT: Final = 60.0
"""For how many seconds after the end of a job its lists may lag behind."""


@attrs.frozen
class Sighting:
    """A job as it is now.

    Attributes:
        job: The job.
        poll_after: The seconds after which the server asks to be polled again; None if it does not.
    """

    job: FineTuningJob
    poll_after: float | None = None


class JobFeed(Protocol):
    """Where a watch gets a job and its lists from."""

    @property
    def checkpoints(self) -> ListSource[FineTuningJobCheckpoint]:
        """Fetches pages of checkpoints."""
        ...

    @property
    def events(self) -> ListSource[FineTuningJobEvent]:
        """Fetches pages of events."""
        ...

    async def job(self) -> Sighting:
        """Fetch the job."""
        ...


@attrs.frozen
class Look:
    """The result of a poll.

    Attributes:
        updates: What is new, in the order in which to hand it out.
        has_changed: Whether the job has changed since the last poll.
        poll_after: See `Sighting`.
        estimated_finish: The estimated end of the job, in Unix seconds.
        status: The status of the job.
    """

    updates: Sequence[Update]
    has_changed: bool
    poll_after: float | None
    estimated_finish: int | None
    status: str


class JobWatch:
    """Watches one job.

    Args:
        job_id: The id of the job.
        feed: Where to get the job and its lists from.
        state: What has been handed out.
        kind: Whether to read events, too.
        rhythm: When to poll.

    Attributes:
        silent_since: The time of the first poll that failed since the last one that succeeded.
        has_succeeded: Whether a poll has succeeded.
        failed_polls: The number of polls that failed.
        is_over: Whether the end of the job has been found.
    """

    def __init__(
        self, job_id: str, feed: JobFeed, state: JobState, kind: Kind, rhythm: Rhythm
    ) -> None:
        self.job_id = job_id
        self.state = state
        self.rhythm = rhythm
        self.silent_since: float | None = None
        self.has_succeeded = False
        self.failed_polls = 0
        self.is_over = False
        self._feed = feed
        self._kind = kind
        by_time = kind == "updates"
        self._checkpoints = Follower(
            feed.checkpoints, _place_by_time if by_time else _place_by_step, state.checkpoints
        )
        self._events = Follower(feed.events, _place_of_event, state.events)
        self._is_caught_up = False
        self._ended: FineTuningJob | None = None
        self._skipped = 0
        self._is_woken = False
        self._sleeper: asyncio.Future[None] | None = None

    @property
    def is_ending(self) -> bool:
        """Whether the job has ended, and only the last look is missing."""
        return self._ended is not None and not self.is_over

    def wake(self) -> None:
        """End the pause before the next poll; during a poll, leave out the next pause."""
        self._is_woken = True
        if self._sleeper is not None and not self._sleeper.done():
            self._sleeper.set_result(None)

    async def sleep_until(self, due: float) -> None:
        """Wait until a time of the event loop, or until the job is woken."""
        if self._is_woken:
            return
        loop = asyncio.get_running_loop()
        self._sleeper = sleeper = loop.create_future()
        timer = loop.call_at(due, _end, sleeper)
        try:
            await sleeper
        finally:
            timer.cancel()
            self._sleeper = None

    async def look(self) -> Look:
        """Poll the job once.

        Raises:
            APIError: A request failed.
        """
        is_woken, self._is_woken = self._is_woken, False
        if self._ended is not None:
            return await self._last_look(self._ended)
        sighting = await self._feed.job()
        job, previous = sighting.job, self.state.status
        is_first = not self._is_caught_up
        is_new_status = previous is not None and job.status != previous
        needs = needs_of(
            job.status,
            is_first=is_first,
            has_changed=is_new_status or is_woken,
            skipped=self._skipped,
        )
        items = await self._items(needs, thorough=is_first)
        has_ended = job.status in TERMINAL
        updates: list[Update] = []
        if previous is not None and is_new_status:
            updates.append(StatusChanged(job, previous, fine_tuning_job_id=self.job_id))
        # What was there before the end, or before this watch, comes before the new status.
        updates = [*items, *updates] if is_first or has_ended else [*updates, *items]
        if is_first:
            updates.append(CaughtUp(job, fine_tuning_job_id=self.job_id))
            self._is_caught_up = True
        self._skipped = 0 if needs.checkpoints else self._skipped + 1
        if has_ended and (previous is not None or _has_ended_recently(job)):
            self._ended = job
        elif has_ended:
            updates.append(Finished(job, fine_tuning_job_id=self.job_id))
            self.is_over = True
        return Look(
            updates,
            is_first or is_new_status or is_woken or bool(items),
            sighting.poll_after,
            job.estimated_finish,
            job.status,
        )

    async def _last_look(self, job: FineTuningJob) -> Look:
        items = await self._items(Needs(checkpoints=True, events=True), thorough=True)
        self.is_over = True
        finished = Finished(job, fine_tuning_job_id=self.job_id)
        return Look([*items, finished], True, None, None, job.status)

    def hand_out(self, update: Update) -> None:
        """Record that an update is handed out."""
        match update:
            case CheckpointCreated(checkpoint):
                self._checkpoints.hand_out(checkpoint)
            case EventLogged(event):
                self._events.hand_out(event)
            case StatusChanged(job) | CaughtUp(job):
                self.state.status = job.status
            case Finished():
                self.state.finish()

    def settle(self) -> None:
        """Record that all updates of the last poll have been handed out."""
        self._checkpoints.settle()
        self._events.settle()

    async def _items(self, needs: Needs, *, thorough: bool) -> list[Update]:
        """Read the lists, and merge what is new by time."""
        checkpoints: list[FineTuningJobCheckpoint] = []
        events: list[FineTuningJobEvent] = []
        if needs.checkpoints:
            checkpoints = await self._checkpoints.read(thorough=thorough)
        if needs.events and self._kind == "updates":
            events = await self._events.read(thorough=thorough)
        self._checkpoints.commit()
        self._events.commit()
        items: list[CheckpointCreated | EventLogged] = [
            *(CheckpointCreated(item, fine_tuning_job_id=self.job_id) for item in checkpoints),
            *(EventLogged(item, fine_tuning_job_id=self.job_id) for item in events),
        ]
        if events:
            # Both lists are in order, and sorting keeps the order of equal items.
            items.sort(key=_time_of)
        return list[Update](items)


def _end(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)


def _has_ended_recently(job: FineTuningJob) -> bool:
    ended = job.finished_at
    return ended is not None and seconds_until(ended, time.time()) > -_RECENT


def _time_of(item: CheckpointCreated | EventLogged) -> int:
    record = item.checkpoint if isinstance(item, CheckpointCreated) else item.event
    return record.created_at


def _place_by_time(checkpoint: FineTuningJobCheckpoint) -> Place:
    return Place(checkpoint.created_at, order_step(checkpoint))


def _place_by_step(checkpoint: FineTuningJobCheckpoint) -> Place:
    return Place(order_step(checkpoint), checkpoint.created_at)


def _place_of_event(event: FineTuningJobEvent) -> Place:
    return Place(event.created_at)
