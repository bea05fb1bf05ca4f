"""Watches running jobs as one stream of updates.

One task draws the jobs from the source and starts a task for each of them. A job's task polls the
job, puts what is new into a queue as one batch, and waits until the consumer has taken all of it.
Only then it waits for its next poll. At most `CONCURRENCY` jobs poll or hold a batch at a time, so
a slow consumer slows the polls down, and memory is bounded.

What has been handed out is recorded when it is handed out, and at no other time. So a token always
describes what the consumer has received.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from asyncckpt.errors import (
    APIConnectionError,
    APIError,
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
)
from asyncckpt.streams.channels import BoundedQueue
from asyncckpt.streams.failures import JobFailure, failure_of
from asyncckpt.streams.follower import TooManyRecordsError
from asyncckpt.streams.job_watch import JobFeed, JobWatch, Look
from asyncckpt.streams.resumption import JobState
from asyncckpt.streams.roster import Roster, WatchSettings
from asyncckpt.streams.schedule import Rhythm, phase_of, seconds_until
from asyncckpt.streams.sources import EXHAUSTED, JobSource
from asyncckpt.streams.stream import Reader
from asyncckpt.streams.text import safe_text
from asyncckpt.streams.updates import Update

if TYPE_CHECKING:
    from asyncckpt.streams.observer import StreamObserver

__all__ = ["Watching"]

CONCURRENCY: Final = 50
"""How many jobs may poll, or hold updates that the consumer has not taken, at the same time."""

_PERMANENT: Final = (
    AuthenticationError,
    PermissionDeniedError,
    NotFoundError,
    TooManyRecordsError,
)

_FINAL_ERRORS: Final = 3
"""How many errors that no retry can mend end a job that has never been polled with success."""

_log: Final = logging.getLogger("asyncckpt")


class _Batch:
    """The updates of one poll, on their way to the consumer.

    Args:
        job: The job.
        updates: Its updates.

    Attributes:
        is_taken: Set when the consumer has taken the last one.
    """

    def __init__(self, job: JobWatch, updates: Sequence[Update]) -> None:
        self.is_taken = asyncio.Event()
        self._job = job
        self._updates = deque(updates)

    def take(self) -> Update | None:
        """Return the next update, which counts as handed out; None after the last one."""
        if not self._updates:
            return None
        update = self._updates.popleft()
        self._job.hand_out(update)
        if not self._updates:
            self._job.settle()
            self.is_taken.set()
        return update


class _Stop:
    """Marks the position in the queue at which the stream raises its exception."""


_Item: TypeAlias = _Batch | JobFailure | _Stop


class Watching(Reader):
    """The tasks of one iteration of a watch.

    Args:
        source: The source of the jobs.
        feed_of: Returns the feed of a job.
        roster: The jobs.
        settings: The arguments of the watch.
        observer: Reports the iteration to the hooks of the client.
        stops_at_failure: Whether the first failure of a job ends the stream.
    """

    def __init__(
        self,
        source: JobSource,
        feed_of: Callable[[object], JobFeed],
        roster: Roster,
        settings: WatchSettings,
        observer: StreamObserver | None,
        *,
        stops_at_failure: bool,
    ) -> None:
        super().__init__(observer)
        self._source = source
        self._feed_of = feed_of
        self._roster = roster
        self._settings = settings
        self._stops_at_failure = stops_at_failure
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._queue: BoundedQueue[_Item] = BoundedQueue(CONCURRENCY)
        self._batch: _Batch | None = None
        self._running = 0
        self._is_started = False
        self._is_stopping = False
        self._is_expired = False
        self._timer: asyncio.TimerHandle | None = None
        self._started_at = 0.0

    async def next_item(self) -> Update | JobFailure | None:
        """Return the next update or failure; None after the last one.

        Raises:
            RuntimeError: The stream was closed, before or during this call.
            TimeoutError: The time of the watch is over.
            BaseException: Any exception that ended a task, such as one of the source.
        """
        self.check_open()
        self._begin()
        while True:
            if self._is_expired:
                raise TimeoutError(
                    f"the jobs have not ended within timeout={self._settings.timeout:g} s; to "
                    "continue, pass resume=watch.resume_token to another watch"
                )
            if self._batch is not None and (update := self._batch.take()) is not None:
                return update
            item = self._batch = None
            item = await self._queue.get()
            self.check_open()
            if isinstance(item, JobFailure):
                return item
            if isinstance(item, _Batch):
                self._batch = item
            elif not self._is_expired:
                self._raise_failure()
                return None

    async def _close(self) -> None:
        """Cancel all tasks, wait until they have ended, and close the source."""
        if self._timer is not None:
            self._timer.cancel()
        try:
            await super()._close()
        finally:
            self._batch = None
            self._roster.watched.clear()
            await self._source.aclose()

    def _begin(self) -> None:
        if self._is_started:
            return
        self._is_started = True
        loop = asyncio.get_running_loop()
        self._started_at = loop.time()
        if self._settings.timeout is not None:
            self._timer = loop.call_later(self._settings.timeout, self._expire)
        self._begin_task(self._draw, "asyncckpt-watch-jobs")

    def _expire(self) -> None:
        self._is_expired = True
        self._stop()
        self._queue.put_nowait(_Stop())

    def _begin_task(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        self._running += 1
        # A `finally` in the task would not run if it is cancelled before its first step.
        self._start(self._guard(work), name).add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._running -= 1
        self._tasks.discard(task)
        if task.cancelled():
            self._fail(asyncio.CancelledError())
        if not self._running:
            self._queue.close()

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except asyncio.CancelledError:
            raise
        except BaseException as failure:
            # A KeyboardInterrupt or SystemExit must not leave the task, because that would end the
            # event loop. The consumer raises it.
            self._fail(failure)

    def _fail(self, failure: BaseException) -> None:
        """End the stream with the first exception passed to this method."""
        if self._failure is None:
            self._failure = failure
            self._queue.put_nowait(_Stop())
        self._stop()

    def _stop(self) -> None:
        """Poll no more; what is in the queue is still handed out."""
        is_first, self._is_stopping = not self._is_stopping, True
        if is_first:
            for task in self._tasks - {asyncio.current_task()}:
                task.cancel()

    async def _draw(self) -> None:
        """Take the jobs from the source, and start a task for each of them."""
        while True:
            await self._slots.acquire()
            job = await self._source.take()
            if job is EXHAUSTED:
                self._slots.release()
                break
            # The task releases the slot.
            self._begin_task(functools.partial(self._watch, job), "asyncckpt-watch")
        self._roster.is_complete = True

    async def _watch(self, source_item: object) -> None:
        """Watch a job until its end."""
        try:
            job = self._open(source_item)
            due = None if job is None else await self._poll(job)
        finally:
            self._slots.release()
        while job is not None and due is not None:
            await job.sleep_until(due)
            async with self._slots:
                due = await self._poll(job)
        if job is not None:
            self._roster.watched.pop(job.job_id, None)

    def _open(self, source_item: object) -> JobWatch | None:
        """Return a job to watch; None if it is invalid, has finished, or is watched already."""
        job_id = source_item
        try:
            if not isinstance(source_item, str):
                job_id = getattr(source_item, "id", source_item)
            feed = self._feed_of(job_id)
        except Exception as error:
            # The id is invalid. The other jobs can still be watched.
            error.add_note(f"asyncckpt could not watch job {safe_text(job_id, repr)}")
            self._report(job_id, error)
            return None
        roster, job_id = self._roster, str(job_id)
        if job_id in roster.known:
            return None
        rhythm = Rhythm(phase_of(len(roster.known)), self._started_at, self._settings.interval)
        roster.known.add(job_id)
        state = roster.states.setdefault(job_id, JobState())
        if state.finished:
            return None
        job = roster.watched[job_id] = JobWatch(job_id, feed, state, roster.kind, rhythm)
        return job

    async def _poll(self, job: JobWatch) -> float | None:
        """Poll a job, and hand over what is new.

        Returns:
            The time of the next poll; None after the last one.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            look = await job.look()
        except APIError as error:
            return self._after_failure(job, error, started)
        job.silent_since = None
        job.has_succeeded = True
        if look.updates:
            batch = _Batch(job, look.updates)
            self._queue.put_nowait(batch)
            await batch.is_taken.wait()
        else:
            job.settle()
        if job.is_over:
            return None
        if job.is_ending:
            return job.rhythm.after_end(loop.time())
        return self._after_poll(job, look, loop.time())

    def _after_poll(self, job: JobWatch, look: Look, now: float) -> float:
        estimated = look.estimated_finish
        return job.rhythm.after_poll(
            now,
            status=look.status,
            has_changed=look.has_changed,
            hint=look.poll_after,
            remaining=None if estimated is None else seconds_until(estimated, time.time()),
            jobs=len(self._roster.watched),
            fraction=random.random(),
        )

    def _after_failure(self, job: JobWatch, error: APIError, started: float) -> float | None:
        now = asyncio.get_running_loop().time()
        if job.silent_since is None:
            job.silent_since = started
        max_silence = self._settings.max_silence
        silence = now - job.silent_since
        if isinstance(error, _PERMANENT) or self._is_hopeless(job, error):
            self._report(job.job_id, error)
            return None
        if max_silence is not None and silence >= max_silence:
            error.add_note(f"asyncckpt has polled the job for {silence:.0f} s without success")
            self._report(job.job_id, error)
            return None
        due = job.rhythm.after_failure(
            now, jobs=len(self._roster.watched), fraction=random.random()
        )
        kind, shown = type(error).__name__, safe_text(job.job_id)
        _log.info("%s: polling job %s again in %.1f s", kind, shown, due - now)
        return due

    def _is_hopeless(self, job: JobWatch, error: APIError) -> bool:
        """Return whether the server could not be reached from the beginning, and never will be."""
        job.failed_polls += 1
        is_final = isinstance(error, APIConnectionError) and error.is_final
        return is_final and not job.has_succeeded and job.failed_polls >= _FINAL_ERRORS

    def _report(self, job_id: object, error: Exception) -> None:
        self._queue.put_nowait(failure_of(job_id, error))
        if self._stops_at_failure:
            self._stop()
