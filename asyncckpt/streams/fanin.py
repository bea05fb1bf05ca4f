"""Lists many jobs as one stream.

Up to `concurrency` workers take jobs from the source, one at a time, and put pages into bounded
queues. The consumer reads the queues. So a slow consumer slows the workers down.

A worker takes a job from the source only when it can start to list it. At most 1.5 times
`concurrency` jobs, and at least 2, are taken ahead of the job being yielded.

The failure of a job goes through its queue like a page, so that the pages fetched before it are
yielded first. An exception of the source ends the stream after all jobs taken before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

import attrs

from asyncckpt.counts import RequestCounts
from asyncckpt.errors import APIError
from asyncckpt.records.base import HasId
from asyncckpt.streams.channels import BoundedQueue, QueuePerJob, SharedQueue
from asyncckpt.streams.failures import (
    Failures,
    JobFailure,
    OnError,
    failure_of,
)
from asyncckpt.streams.page import Fetch, Page, PageWalk, ignore
from asyncckpt.streams.sources import EXHAUSTED, Jobs, JobSource
from asyncckpt.streams.stream import Reader, Stream
from asyncckpt.streams.text import safe_text

if TYPE_CHECKING:
    from asyncckpt.streams.observer import StreamHooks, StreamObserver

__all__ = ["FanIn", "Progress"]

RecordT = TypeVar("RecordT", bound=HasId)


@attrs.frozen
class Progress:
    """A snapshot of the progress of a stream.

    Attributes:
        jobs_begun: Jobs taken from the source.
        jobs_done: Jobs fetched completely.
        jobs_failed: Jobs that failed.
        records: Records yielded. A page is counted when its first record is yielded.
        requests: Requests sent, including retries.
        retries: Retries after a failure.
        refused: Responses with status 429.
        waited: Total seconds that requests waited for the rate limit and between retries.
    """

    jobs_begun: int
    jobs_done: int
    jobs_failed: int
    records: int
    requests: int
    retries: int
    refused: int
    waited: float


class FanIn(Stream, Generic[RecordT]):
    """The checkpoints of many jobs as one stream.

    `AsyncCheckpoints.list_many` and `AsyncCheckpoints.latest` return it.

    ::

        stream = checkpoints.list_many(job_ids, concurrency=50, on_error="collect")
        async for checkpoint in stream:
            ...
        for failure in stream.failures:
            print(failure.fine_tuning_job_id, failure.error)

    A stream can be iterated over once. As with a `Pager`, you can leave the iteration at any time;
    ``async with`` guarantees that everything is cleaned up at the end of the block.
    """

    def __init__(
        self,
        jobs: Jobs,
        fetch_of: Callable[[object], Fetch[RecordT]],
        *,
        concurrency: int,
        ordered: bool,
        on_error: OnError,
        max_records_per_job: int | None,
        counts: RequestCounts,
        restarts: bool = False,
        hooks: StreamHooks | None = None,
    ) -> None:
        super().__init__(hooks)
        self._failures = Failures(on_error)
        self._source = JobSource(jobs)
        self._fetch_of = fetch_of
        self._concurrency = concurrency
        self._ordered = ordered
        self._max_records_per_job = max_records_per_job
        self._restarts = restarts
        self._counts = counts
        self._jobs_done = 0
        self._records = 0
        self._is_used = False

    @property
    def failures(self) -> tuple[JobFailure, ...]:
        """The failures so far, in the order of the stream, with ``on_error="collect"``."""
        return tuple(self._failures.collected)

    @property
    def progress(self) -> Progress:
        """The progress so far; can be read at any time, from any task."""
        return Progress(
            jobs_begun=self._source.taken,
            jobs_done=self._jobs_done,
            jobs_failed=self._failures.count,
            records=self._records,
            requests=self._counts.requests,
            retries=self._counts.retries,
            refused=self._counts.refused,
            waited=self._counts.waited,
        )

    def __aiter__(self) -> AsyncGenerator[RecordT, None]:
        """Iterate over the records of all jobs.

        Yields:
            Records, page by page. Those of one job are in the server's order. The pages of
            different jobs are in the order of arrival; with ``ordered=True``, in the order of the
            jobs.

        Raises:
            APIError: A job failed, with ``on_error="raise"``; see its `fine_tuning_job_id`.
            RuntimeError: The client or the stream is closed, or the stream was already iterated
                over.
            BaseException: Any exception of the source, or of an `on_error` or `api_key` callable.
        """
        if self._is_used:
            raise RuntimeError(
                "this stream was already iterated over, or closed; call list_many again"
            )
        self._is_used = True
        workers = _Workers(
            self._concurrency,
            self._source,
            self._list_job,
            self._new_observer(),
            ordered=self._ordered,
            stops_at_failure=self._failures.end_the_stream,
        )
        return self._iterate(self._track(workers))

    async def aclose(self) -> None:
        """Close the stream.

        This cancels the requests in progress, waits until all tasks have ended, and closes the
        source if it is a generator. The next step of the iteration raises RuntimeError, so that it
        does not look like the end of the stream.
        """
        self._is_used = True
        await super().aclose()

    async def _iterate(self, workers: _Workers[RecordT]) -> AsyncGenerator[RecordT, None]:
        item: Page[RecordT] | JobFailure | None = None
        async with workers:
            try:
                while (item := await workers.next_item()) is not None:
                    if isinstance(item, JobFailure):
                        await self._failures.handle(item)
                        continue
                    records = item.data
                    self._records += len(records)
                    for record in records:
                        yield record
                        if workers.is_closed:
                            workers.check_open()
            finally:
                # The traceback of a failure refers to this frame; this breaks the reference cycle.
                item = None

    async def _list_job(
        self, job: object, queue: BoundedQueue[_Item[RecordT]]
    ) -> JobFailure | None:
        job_id = job
        try:
            if not isinstance(job, str):
                job_id = getattr(job, "id", job)
            fetch = self._fetch_of(job_id)
        except Exception as error:
            # The id is invalid. The other jobs can still be listed.
            error.add_note(f"asyncckpt could not list job {safe_text(job_id, repr)}")
            return failure_of(job_id, error)
        walk = PageWalk(
            fetch, after=None, max_records=self._max_records_per_job, restarts=self._restarts
        )
        try:
            while not walk.is_over:
                await queue.put(await walk.next_page(ignore))
        except APIError as error:
            return failure_of(job_id, error)
        self._jobs_done += 1
        return None


class _Stop:
    """Marks the position in a queue at which the stream raises its exception."""


_Item: TypeAlias = Page[RecordT] | JobFailure | _Stop


class _Workers(Reader, Generic[RecordT]):
    """The workers of one iteration, and their queues.

    Args:
        size: The highest number of workers. Each worker starts the next one when it takes a job.
        source: The source of the jobs.
        list_job: Puts the pages of a job into a queue, and returns a failure or None.
        observer: Reports the iteration to the hooks of the client.
        ordered: Whether the jobs are yielded one after the other.
        stops_at_failure: Whether the first failure of a job ends the stream.
    """

    def __init__(
        self,
        size: int,
        source: JobSource,
        list_job: Callable[[object, BoundedQueue[_Item[RecordT]]], Awaitable[JobFailure | None]],
        observer: StreamObserver | None,
        *,
        ordered: bool,
        stops_at_failure: bool,
    ) -> None:
        super().__init__(observer)
        self._size = size
        self._source = source
        self._list_job = list_job
        self._ordered = ordered
        self._stops_at_failure = stops_at_failure
        self._queues: QueuePerJob[_Item[RecordT]] | SharedQueue[_Item[RecordT]] = (
            QueuePerJob(size) if ordered else SharedQueue(size)
        )
        self._running = 0
        self._is_stopping = False

    async def next_item(self) -> Page[RecordT] | JobFailure | None:
        """Return the next page or failure; None after the last one.

        Raises:
            RuntimeError: The stream was closed, before or during this call.
            BaseException: Any exception that ended a worker, such as one of the source.
        """
        if not self._tasks:
            self.check_open()
            self._start_another()
        item = await self._queues.get()
        self.check_open()
        if item is not None and not isinstance(item, _Stop):
            if self._observer is not None and isinstance(item, Page):
                self._observer.page_delivered(item)
            return item
        self._raise_failure()
        return None

    async def _close(self) -> None:
        """Cancel all workers, wait until they have ended, and close the source."""
        self._is_stopping = True
        try:
            await super()._close()
        finally:
            await self._source.aclose()

    def _start_another(self) -> None:
        if len(self._tasks) < self._size and not self._is_stopping:
            self._running += 1
            worker = self._start(self._work(), "asyncckpt-list-many")
            # A `finally` in the worker would not run if it is cancelled before its first step.
            worker.add_done_callback(self._on_worker_done)

    def _on_worker_done(self, worker: asyncio.Task[None]) -> None:
        self._running -= 1
        if worker.cancelled():
            self._fail(asyncio.CancelledError())
        if not self._running:
            self._queues.close()

    def _fail(self, failure: BaseException) -> None:
        """Start no other job, and end the stream with the first exception passed to this method."""
        self._is_stopping = True
        if self._failure is None:
            self._failure = failure

    async def _work(self) -> None:
        """List one job after the other until the source is exhausted."""
        # With eager tasks, `_start` runs the first step of a worker. Without this sleep, each
        # worker would start the next one recursively.
        await asyncio.sleep(0)
        try:
            while (job := await self._take()) is not EXHAUSTED:
                self._start_another()
                await self._list(job)
        except asyncio.CancelledError as failure:
            self._fail(failure)
            raise
        except BaseException as failure:
            # A KeyboardInterrupt or SystemExit must not leave the task, because that would end the
            # event loop. The consumer raises it.
            self._fail(failure)

    async def _take(self) -> object:
        await self._queues.admit()
        job = EXHAUSTED if self._is_stopping else await self._source.take()
        return EXHAUSTED if self._is_stopping else job

    async def _list(self, job: object) -> None:
        queue = self._queues.open()
        try:
            failure = await self._list_job(job, queue)
            if failure is not None and self._stops_at_failure:
                queue.put_nowait(failure)
                self._stop()
            elif failure is not None:
                await queue.put(failure)
        except BaseException:
            queue.put_nowait(_Stop())
            self._stop()
            raise
        finally:
            self._queues.finish(queue)

    def _stop(self) -> None:
        """Start no other job; if the stream is not ordered, also cancel the running ones.

        In an ordered stream, the jobs before the failed one are still to be yielded.
        """
        is_first, self._is_stopping = not self._is_stopping, True
        if is_first and not self._ordered:
            for worker in self._tasks - {asyncio.current_task()}:
                worker.cancel()
