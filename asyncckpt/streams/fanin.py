"""Lists many jobs as one stream.

A fixed number of workers draw jobs from the source, one at a time, and put the pages they fetch
into queues that the consumer reads. Everything is bounded: the jobs under way by `concurrency`, the
waiting pages by the queues. So a slow consumer slows the fetching down.

A job is drawn from the source only when a worker is free to begin it. Besides the one being handed
out, at most one and a half times `concurrency` jobs (or two, if that is more) are drawn and not yet
handed out.

A failure takes its place in the queue among the pages, so that what was fetched before it is handed
out first. What the source raises comes last: the jobs drawn before it are listed to their end.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, Literal, TypeAlias, TypeVar

import attrs

from asyncckpt.counts import RequestCounts
from asyncckpt.errors import APIError
from asyncckpt.records.base import HasId
from asyncckpt.streams.channels import BoundedQueue, QueuePerJob, SharedQueue
from asyncckpt.streams.page import Fetch, Page, PageWalk, ignore
from asyncckpt.streams.sources import EXHAUSTED, Jobs, JobSource
from asyncckpt.streams.stream import Reader, Stream
from asyncckpt.streams.text import safe_text

__all__ = ["FanIn", "JobFailure", "Jobs", "OnError", "Progress"]

RecordT = TypeVar("RecordT", bound=HasId)


@attrs.frozen
class JobFailure:
    """A job that could not be listed to its end.

    Attributes:
        fine_tuning_job_id: The id of the job. If what the source gave has no valid id: its text,
            cut and escaped if need be.
        error: Why. Records that were fetched before have been handed out.
    """

    fine_tuning_job_id: str
    error: Exception


OnError: TypeAlias = Literal["raise", "collect"] | Callable[[JobFailure], Awaitable[None] | None]
"""What to do about a job that fails: see `AsyncCheckpoints.list_many`."""


@attrs.frozen
class Progress:
    """A snapshot of how far a stream has come.

    Attributes:
        jobs_begun: Jobs drawn from the source.
        jobs_done: Jobs fetched to their end.
        jobs_failed: Jobs that failed.
        records: Records handed out, counted page by page.
        requests: Requests sent, including retries.
        retries: Requests sent again because of a failure.
        refused: Requests that the server's rate limit refused.
        waited: Seconds that requests waited for the server's rate limit and between retries,
            summed.
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
    """One stream over many jobs; made by `AsyncCheckpoints.list_many`.

    ::

        stream = checkpoints.list_many(job_ids, concurrency=50, on_error="collect")
        async for checkpoint in stream:
            ...
        for failure in stream.failures:
            print(failure.fine_tuning_job_id, failure.error)

    It can be read once. As with a `Pager`, the iteration may be left at any moment, and ``async
    with`` makes sure that everything is cleaned up at the end of the block. If `aclose` is called
    while it is read, the reader gets a RuntimeError at the next step.
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
    ) -> None:
        super().__init__()
        if not callable(on_error) and on_error not in ("raise", "collect"):
            raise ValueError(f"on_error must be 'raise', 'collect' or a callable, not {on_error!r}")
        self._source = JobSource(jobs)
        self._fetch_of = fetch_of
        self._concurrency = concurrency
        self._ordered = ordered
        self._on_error = on_error
        self._max_records_per_job = max_records_per_job
        self._counts = counts
        self._jobs_done = 0
        self._records = 0
        self._failures: list[JobFailure] = []
        self._failed = 0
        self._is_used = False

    @property
    def failures(self) -> tuple[JobFailure, ...]:
        """The jobs that have failed so far, with ``on_error="collect"``, in the stream's order."""
        return tuple(self._failures)

    @property
    def progress(self) -> Progress:
        """How far the stream has come; may be read at any time, from any task."""
        return Progress(
            jobs_begun=self._source.drawn,
            jobs_done=self._jobs_done,
            jobs_failed=self._failed,
            records=self._records,
            requests=self._counts.requests,
            retries=self._counts.retries,
            refused=self._counts.refused,
            waited=self._counts.waited,
        )

    def __aiter__(self) -> AsyncGenerator[RecordT, None]:
        """Iterate over the records of all jobs.

        Yields:
            Each job's records in the server's order; those of different jobs as they come, page by
            page. With ``ordered=True``: job after job, in the order of the source.

        Raises:
            APIError: A job failed, with ``on_error="raise"``; its `fine_tuning_job_id` says which.
            RuntimeError: The client is closed, this stream was closed, or it was read before.
            BaseException: What the source of the jobs, an `on_error` or an `api_key` callable
                raises.
        """
        if self._is_used:
            raise RuntimeError(
                "this stream was read before, or closed; call list_many again for another"
            )
        self._is_used = True
        workers = _Workers(
            self._concurrency,
            self._source,
            self._list_job,
            ordered=self._ordered,
            stops_at_failure=self._on_error == "raise",
        )
        return self._iterate(self._track(workers))

    async def aclose(self) -> None:
        """Close the iteration, and wait until nothing of it is left.

        Requests under way are cancelled, and the source is closed if it is a generator. Whoever
        still reads from the iteration gets a RuntimeError at the next step, so that this never
        looks like the end of the stream.
        """
        self._is_used = True
        await super().aclose()

    async def _iterate(self, workers: _Workers[RecordT]) -> AsyncGenerator[RecordT, None]:
        item: Page[RecordT] | JobFailure | None = None
        try:
            while (item := await workers.next_item()) is not None:
                if isinstance(item, JobFailure):
                    await self._handle(item)
                    continue
                self._records += len(item.data)
                for record in item.data:
                    yield record
                    if workers.is_closed:
                        workers.check_open()
        finally:
            # The traceback of a failure refers to this frame; this breaks the cycle.
            item = None
            await workers.aclose()

    async def _handle(self, failure: JobFailure) -> None:
        self._failed += 1
        if self._on_error == "raise":
            try:
                raise failure.error
            finally:
                del failure
        if callable(self._on_error):
            returned: object = self._on_error(failure)
            if inspect.isawaitable(returned):
                await returned
        else:
            self._failures.append(failure)

    async def _list_job(
        self, job: object, queue: BoundedQueue[_Item[RecordT]]
    ) -> JobFailure | None:
        job_id = job
        try:
            if not isinstance(job, str):
                job_id = getattr(job, "id", job)
            fetch = self._fetch_of(job_id)
        except Exception as error:
            # No usable id. That is a failure of this job only: the source may be a file.
            error.add_note(f"asyncckpt was about to list job {safe_text(job_id, repr)}")
            return _failure(job_id, error)
        walk = PageWalk(fetch, after=None, max_records=self._max_records_per_job)
        try:
            while not walk.is_over:
                await queue.put(await walk.next_page(ignore))
        except APIError as error:
            error.fine_tuning_job_id = safe_text(job_id)
            return _failure(job_id, error)
        self._jobs_done += 1
        return None


def _failure(job_id: object, error: Exception) -> JobFailure:
    # The frames of its traceback refer to the stream, which may keep the failure.
    error.__traceback__ = None
    return JobFailure(safe_text(job_id), error)


class _Stop:
    """Marks the place in a queue where the stream ends with an exception."""


_Item: TypeAlias = Page[RecordT] | JobFailure | _Stop


class _Workers(Reader, Generic[RecordT]):
    """The workers of one iteration, and the queues that they fill.

    Args:
        size: How many workers there may be. Each starts the next one when it begins a job.
        source: Where they draw the jobs.
        list_job: Puts the pages of a job into its queue; returns its failure, if it fails.
        ordered: Whether the jobs are handed out one after another.
        stops_at_failure: Whether the first job that fails ends the stream.
    """

    def __init__(
        self,
        size: int,
        source: JobSource,
        list_job: Callable[[object, BoundedQueue[_Item[RecordT]]], Awaitable[JobFailure | None]],
        *,
        ordered: bool,
        stops_at_failure: bool,
    ) -> None:
        super().__init__()
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
        self._failure: BaseException | None = None

    async def next_item(self) -> Page[RecordT] | JobFailure | None:
        """Return the next page or failure; None at the end.

        Raises:
            RuntimeError: The stream is closed, before or while it waits for an item.
            BaseException: Whatever ended a worker, other than the failure of a job.
        """
        if not self._tasks:
            self.check_open()
            self._start_another()
        item = await self._queues.get()
        self.check_open()
        if item is not None and not isinstance(item, _Stop):
            return item
        if self._failure is None:
            return None
        failure, self._failure = self._failure, None
        try:
            raise failure
        finally:
            # The traceback refers to this frame; this breaks the cycle.
            del failure

    async def aclose(self) -> None:
        """Cancel all workers, wait until the last one is gone, and close the source."""
        self._is_stopping = True
        try:
            await super().aclose()
        finally:
            # The traceback refers to this object; this breaks the cycle.
            self._failure = None
            await self._source.aclose()

    def _start_another(self) -> None:
        if len(self._tasks) < self._size and not self._is_stopping:
            self._running += 1
            worker = self._start(self._work(), "asyncckpt-list-many")
            # Not in the worker itself: one that is cancelled before its first step never runs.
            worker.add_done_callback(self._count_out)

    def _count_out(self, worker: asyncio.Task[None]) -> None:
        self._running -= 1
        if worker.cancelled():
            self._fail(asyncio.CancelledError())
        if not self._running:
            self._queues.close()

    def _fail(self, failure: BaseException) -> None:
        """Begin no further job, and end the stream with an exception; the first one counts."""
        self._is_stopping = True
        if self._failure is None:
            self._failure = failure

    async def _work(self) -> None:
        """List job after job until the source is exhausted."""
        # Eager tasks begin inside `_start`: each worker would start the next one frame deeper.
        await asyncio.sleep(0)
        try:
            while (job := await self._draw()) is not EXHAUSTED:
                self._start_another()
                await self._list(job)
        except asyncio.CancelledError as failure:
            self._fail(failure)
            raise
        except BaseException as failure:
            # Also one that would end the event loop if it left this task: it is the consumer's.
            self._fail(failure)

    async def _draw(self) -> object:
        await self._queues.admit()
        job = EXHAUSTED if self._is_stopping else await self._source.draw()
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
        """Begin no further job; cancel the others unless they are to be handed out before."""
        is_first, self._is_stopping = not self._is_stopping, True
        if is_first and not self._ordered:
            for worker in self._tasks - {asyncio.current_task()}:
                worker.cancel()
