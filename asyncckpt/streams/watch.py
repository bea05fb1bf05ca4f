"""Watches running jobs as one stream of updates."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, TypeVar

from asyncckpt.records.checkpoints import FineTuningJobCheckpoint
from asyncckpt.streams.failures import Failures, JobFailure, OnError
from asyncckpt.streams.job_watch import JobFeed
from asyncckpt.streams.resumption import Kind, decode_token, encode_token
from asyncckpt.streams.roster import Roster, WatchSettings
from asyncckpt.streams.sources import Jobs, JobSource
from asyncckpt.streams.stream import Stream
from asyncckpt.streams.text import safe_text
from asyncckpt.streams.updates import CheckpointCreated, Update
from asyncckpt.streams.watching import Watching

if TYPE_CHECKING:
    from asyncckpt.streams.observer import StreamHooks

__all__ = ["CheckpointWatch", "Watch"]

_T = TypeVar("_T")


class _WatchBase(Stream):
    """What `Watch` and `CheckpointWatch` have in common."""

    _KIND: Kind

    def __init__(
        self,
        jobs: Jobs,
        feed_of: Callable[[object], JobFeed],
        settings: WatchSettings,
        *,
        on_error: OnError,
        resume: str | None,
        hooks: StreamHooks | None = None,
    ) -> None:
        super().__init__(hooks)
        self._failures = Failures(on_error)
        self._roster = Roster(
            self._KIND, jobs, {} if resume is None else decode_token(self._KIND, resume)
        )
        self._source = JobSource(jobs)
        self._feed_of = feed_of
        self._settings = settings
        self._is_used = False

    @property
    def failures(self) -> tuple[JobFailure, ...]:
        """The failures so far, with ``on_error="collect"``."""
        return tuple(self._failures.collected)

    @property
    def resume_token(self) -> str:
        """What has been yielded so far, as a JSON string.

        Pass it as `resume` to another watch of the same jobs, in this process or another one: it
        yields the rest. The token can be read at any time. Its size depends on the number of jobs,
        not on the number of updates: 2 to 5 kB for each running job, less for others. Reading it
        takes about 0.05 ms for each running job.
        """
        return encode_token(self._KIND, self._roster.states)

    def wake(self, fine_tuning_job_id: str) -> None:
        """Poll a job now, for example because a webhook says that it has changed.

        A job that has ended is not polled again. Call this in the event loop of the watch.

        Args:
            fine_tuning_job_id: The id of the job.

        Raises:
            ValueError: The watch has no such job. If `jobs` is not a collection, and the watch has
                not reached its end, the job may still come, and this does nothing.
        """
        roster = self._roster
        if (job := roster.watched.get(fine_tuning_job_id)) is not None:
            job.wake()
        elif not roster.may_have(fine_tuning_job_id):
            known = safe_text(", ".join(sorted(roster.known)) or "no jobs so far")
            raise ValueError(
                f"this watch has no job {safe_text(fine_tuning_job_id, repr)}; it has {known}"
            )

    async def aclose(self) -> None:
        """Close the watch.

        This cancels the requests in progress, waits until all tasks have ended, and closes `jobs`
        if it is a generator. The next step of the iteration raises RuntimeError, so that it does
        not look like the end of the jobs.
        """
        self._is_used = True
        await super().aclose()

    def _start_iteration(self, select: Callable[[Update], _T | None]) -> AsyncGenerator[_T, None]:
        if self._is_used:
            raise RuntimeError(
                "this watch was already iterated over, or closed; start another one, with "
                "resume=watch.resume_token to continue it"
            )
        self._is_used = True
        reader = Watching(
            self._source,
            self._feed_of,
            self._roster,
            self._settings,
            self._new_observer(),
            stops_at_failure=self._failures.end_the_stream,
        )
        return self._iterate(self._track(reader), select)

    async def _iterate(
        self, reader: Watching, select: Callable[[Update], _T | None]
    ) -> AsyncGenerator[_T, None]:
        item: Update | JobFailure | None = None
        async with reader:
            try:
                while (item := await reader.next_item()) is not None:
                    if isinstance(item, JobFailure):
                        await self._failures.handle(item)
                    elif (selected := select(item)) is not None:
                        reader.count_delivered(1)
                        yield selected
            finally:
                # The traceback of a failure refers to this frame; this breaks the reference cycle.
                item = None


class Watch(_WatchBase):
    """The updates of running jobs as one stream; the result of `AsyncJobs.watch`.

    ::

        async for update in jobs.watch(["ftjob-abc123", "ftjob-abc456"]):
            match update:
                case CheckpointCreated(checkpoint):
                    print(checkpoint.step_number, checkpoint.metrics.valid_loss)
                case Finished(job):
                    print(job.id, job.status)

    A watch can be iterated over once. As with a `Pager`, you can leave the iteration at any time;
    ``async with`` guarantees that everything is cleaned up at the end of the block.
    """

    _KIND = "updates"

    def __aiter__(self) -> AsyncGenerator[Update, None]:
        """Iterate over the updates of all jobs until all have ended.

        Yields:
            Updates: for each job, the existing checkpoints and events in order of time,
            `CaughtUp`, what happens from then on, and `Finished`.

        Raises:
            APIError: A job failed, with ``on_error="raise"``; see its `fine_tuning_job_id`.
            TimeoutError: The jobs have not ended within `timeout`.
            RuntimeError: The client or the watch is closed, or the watch was already iterated over.
            BaseException: Any exception of `jobs`, or of an `on_error` or `api_key` callable.
        """
        return self._start_iteration(_everything)


class CheckpointWatch(_WatchBase):
    """The checkpoints of running jobs as one stream; the result of `AsyncCheckpoints.watch`.

    It can be used like a `Watch`.
    """

    record_type = FineTuningJobCheckpoint
    _KIND = "checkpoints"

    def __aiter__(self) -> AsyncGenerator[FineTuningJobCheckpoint, None]:
        """Iterate over the checkpoints of all jobs until all have ended.

        Yields:
            Checkpoints, those of each job in ascending order of `step_number`.

        Raises:
            APIError: A job failed, with ``on_error="raise"``; see its `fine_tuning_job_id`.
            TimeoutError: The jobs have not ended within `timeout`.
            RuntimeError: The client or the watch is closed, or the watch was already iterated over.
            BaseException: Any exception of `jobs`, or of an `on_error` or `api_key` callable.
        """
        return self._start_iteration(_checkpoint_of)


def _everything(update: Update) -> Update:
    return update


def _checkpoint_of(update: Update) -> FineTuningJobCheckpoint | None:
    return update.checkpoint if isinstance(update, CheckpointCreated) else None
