"""The fan-in: the lists of many jobs as one stream.

A fixed number of workers draw jobs from the source, one at a time, and put the pages they fetch
into a channel that the consumer reads. Everything is bounded: jobs under way by `concurrency`,
pages that wait by the channel, and so a consumer that is slow slows the fetching down.

A job is drawn from the source only when a worker is free to begin it. Besides
the one being handed out, never more than one and a half times `concurrency` jobs (and two, where
that is less) are drawn and not yet handed out.
"""

from __future__ import annotations

import asyncio
import inspect
import weakref
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from types import TracebackType
from typing import Final, Generic, Literal, TypeAlias, TypeVar

import attrs

from asyncckpt.counts import RequestCounts
from asyncckpt.errors import APIError
from asyncckpt.records.base import HasId
from asyncckpt.streams.page import Fetch, Page, Walk, ignore
from asyncckpt.streams.tasks import cancel_and_wait, close_unless_running

__all__ = ["FanIn", "JobFailure", "Jobs", "OnError", "Progress"]

RecordT = TypeVar("RecordT", bound=HasId)
_T = TypeVar("_T")

Jobs: TypeAlias = Iterable[str | HasId] | AsyncIterable[str | HasId]
"""Where the jobs come from: ids or records of them, from anything that can be iterated over."""

_PAGES_AHEAD_OF_TURN: Final = 2
"""Pages that a job may have ready while an earlier one is still being handed out."""


@attrs.frozen
class JobFailure:
    """A job that could not be listed to its end.

    Attributes:
        fine_tuning_job_id: The job; what stood in its place, if that was no id.
        error: Why; records that were had before have been handed out.
    """

    fine_tuning_job_id: str
    error: Exception


OnError: TypeAlias = Literal["raise", "collect"] | Callable[[JobFailure], Awaitable[None] | None]
"""What to do about a job that fails: see `AsyncCheckpoints.list_many`."""


@attrs.frozen
class Progress:
    """How far a stream has come: a snapshot.

    Attributes:
        jobs_begun: Jobs drawn from the source.
        jobs_done: Jobs fetched to their end.
        jobs_failed: Jobs that failed.
        records: Records handed out, counted page by page.
        requests: Requests sent, retries among them.
        retries: Requests sent again because of a failure.
        refused: Requests that the server's rate limit refused.
        waited: Seconds that requests waited for the server's rate limit, and between retries, all
            added up.
    """

    jobs_begun: int
    jobs_done: int
    jobs_failed: int
    records: int
    requests: int
    retries: int
    refused: int
    waited: float


class FanIn(Generic[RecordT]):
    """One stream over many jobs; made by `AsyncCheckpoints.list_many`.

    ::

        stream = checkpoints.list_many(job_ids, concurrency=50, on_error="collect")
        async for checkpoint in stream:
            ...
        for failure in stream.failures:
            print(failure.fine_tuning_job_id, failure.error)

    It is read once. As with a `Pager`, the iteration may be left at any moment, and ``async with``
    makes sure that all is cleaned up by the end of the block.
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
        if not callable(on_error) and on_error not in ("raise", "collect"):
            raise ValueError(f"on_error must be 'raise', 'collect' or a callable, not {on_error!r}")
        self._source = _Source(jobs)
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
        # Held weakly, for an iteration that is dropped ends at once.
        self._iteration: weakref.ref[AsyncGenerator[RecordT, None]] | None = None
        self._crew: _Crew[RecordT] | None = None
        self._is_closed = False

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
            Exception: What the source of the jobs, an `on_error` or an `api_key` callable raises.
            RuntimeError: The client is closed, or the stream was read before.
        """
        if self._iteration is not None or self._is_closed:
            raise RuntimeError(
                "this stream was read before, or closed; call list_many again for another"
            )
        iteration = self._iterate()
        self._iteration = weakref.ref(iteration)
        return iteration

    async def __aenter__(self) -> FanIn[RecordT]:
        """Enter a block by whose end the iteration is cleaned up."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the iteration; requests under way are cancelled, and the source is closed."""
        await self.aclose()

    async def aclose(self) -> None:
        """End the iteration, and wait until nothing of it is left."""
        self._is_closed = True
        await self._end()
        iteration = self._iteration() if self._iteration is not None else None
        if iteration is not None:
            await close_unless_running(iteration)

    async def _iterate(self) -> AsyncGenerator[RecordT, None]:
        crew = self._crew = _Crew[RecordT](
            self._concurrency,
            self._work,
            _InOrder(self._concurrency) if self._ordered else _AsTheyCome(self._concurrency),
        )
        item: _Item[RecordT] | None = None
        try:
            while (item := await crew.next_item()) is not None:
                if isinstance(item, JobFailure):
                    await self._meet(item)
                    continue
                self._records += len(item.data)
                for record in item.data:
                    yield record
        finally:
            # The traceback of a failure refers to this frame; this breaks the circle.
            item = None
            await self._end()

    async def _end(self) -> None:
        try:
            if self._crew is not None:
                await self._crew.aclose()
        finally:
            await self._source.aclose()
        # The crew refers to this object; without this the two would keep each other.
        self._crew = None

    async def _meet(self, failure: JobFailure) -> None:
        self._failed += 1
        if self._on_error == "raise":
            try:
                raise failure.error
            finally:
                del failure
        if callable(self._on_error):
            answer: object = self._on_error(failure)
            if inspect.isawaitable(answer):
                await answer
        else:
            self._failures.append(failure)

    async def _work(self, crew: _Crew[RecordT]) -> None:
        """List job after job until the source is exhausted."""
        while crew.may_begin_another():
            await crew.lanes.admit()
            if not crew.may_begin_another():
                return
            try:
                job = await self._source.draw()
            except StopAsyncIteration:
                return
            except Exception as failure:
                # Jobs that were drawn before are listed to their end.
                crew.fail(failure, cancel=False)
                return
            if not crew.may_begin_another():
                return
            crew.hire()
            lane = await crew.lanes.open()
            try:
                await self._list_job(job, lane, crew)
            finally:
                crew.lanes.close_lane(lane)

    async def _list_job(
        self, job: object, lane: _Channel[_Item[RecordT]], crew: _Crew[RecordT]
    ) -> None:
        job_id = job if isinstance(job, str) else getattr(job, "id", job)
        try:
            fetch = self._fetch_of(job_id)
        except (TypeError, ValueError) as error:
            # An id that is none is a failure of that job: the source may be a file.
            error.add_note(f"asyncckpt was about to list job {job_id!r}")
            await self._fail(JobFailure(str(job_id), error), lane, crew)
            return
        try:
            walk = Walk(fetch, None, self._max_records_per_job)
            while not walk.is_over:
                await lane.put(await walk.next_page(ignore))
            self._jobs_done += 1
        except APIError as error:
            error.fine_tuning_job_id = str(job_id)
            await self._fail(JobFailure(str(job_id), error), lane, crew)

    async def _fail(
        self, failure: JobFailure, lane: _Channel[_Item[RecordT]], crew: _Crew[RecordT]
    ) -> None:
        # The frames of its traceback refer to this object, which may keep the failure.
        failure.error.with_traceback(None)
        if self._on_error == "raise":
            # In order, the jobs before this one are still to be handed out.
            crew.stop(cancel=not self._ordered)
        await lane.put(failure)


_Item: TypeAlias = Page[RecordT] | JobFailure


class _Source:
    """Draws jobs one at a time, whoever asks; an async iterable cannot be asked twice at once."""

    def __init__(self, jobs: Jobs) -> None:
        if isinstance(jobs, str | bytes) or not isinstance(jobs, Iterable | AsyncIterable):
            raise TypeError(
                "jobs must be several: ids or FineTuningJob records from an iterable or async "
                f"iterable, not {type(jobs).__name__}; for a single job use list()"
            )
        self.drawn = 0
        self._jobs = jobs
        self._iterator: Iterator[object] | AsyncIterator[object] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._is_exhausted = False

    async def draw(self) -> object:
        """The next job.

        Raises:
            StopAsyncIteration: There is none.
            Exception: Whatever the source raises.
        """
        if self._iterator is None:
            jobs = self._jobs
            self._iterator = aiter(jobs) if isinstance(jobs, AsyncIterable) else iter(jobs)
        async with self._one_at_a_time:
            if self._is_exhausted:
                raise StopAsyncIteration
            try:
                if isinstance(self._iterator, AsyncIterator):
                    job = await anext(self._iterator)
                else:
                    job = next(self._iterator)
            except (StopIteration, StopAsyncIteration):
                # A source like a queue would wait for ever when asked once more.
                self._is_exhausted = True
                raise StopAsyncIteration from None
        self.drawn += 1
        return job

    async def aclose(self) -> None:
        """Close the source's own iteration, if it has begun and can be closed."""
        iterator: object = self._iterator
        async with self._one_at_a_time:
            if isinstance(iterator, AsyncGenerator):
                await iterator.aclose()
            elif isinstance(iterator, Generator):
                iterator.close()


class _Channel(Generic[_T]):
    """A bounded queue from several tasks to one; whoever waits to put is served in turn."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[_T] = deque()
        self._putting: deque[tuple[asyncio.Future[None], _T]] = deque()
        self._getting: asyncio.Future[None] | None = None
        self._is_closed = False

    async def put(self, item: _T) -> None:
        if len(self._items) < self._capacity:
            self._items.append(item)
            self._wake()
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._putting.append((turn, item))
        await turn

    async def get(self) -> _T | None:
        """The next item; None when the channel is closed and empty."""
        while not self._items:
            if self._is_closed:
                return None
            self._getting = asyncio.get_running_loop().create_future()
            await self._getting
        item = self._items.popleft()
        while self._putting and len(self._items) < self._capacity:
            # Also that of a task that was cancelled meanwhile: it was there before.
            turn, waiting = self._putting.popleft()
            self._items.append(waiting)
            if not turn.done():
                turn.set_result(None)
        return item

    def close(self) -> None:
        self._is_closed = True
        self._wake()

    def _wake(self) -> None:
        if self._getting is not None and not self._getting.done():
            self._getting.set_result(None)


class _AsTheyCome(Generic[RecordT]):
    """All jobs put their pages into one channel."""

    def __init__(self, concurrency: int) -> None:
        self._channel: _Channel[_Item[RecordT]] = _Channel(max(1, concurrency // 2))

    async def admit(self) -> None:
        """Wait until another job may be begun: whenever a worker is free."""

    async def open(self) -> _Channel[_Item[RecordT]]:
        return self._channel

    def close_lane(self, lane: _Channel[_Item[RecordT]]) -> None:
        """The job is done; the others go on."""

    async def get(self) -> _Item[RecordT] | None:
        return await self._channel.get()

    def close(self) -> None:
        self._channel.close()


class _InOrder(Generic[RecordT]):
    """Each job has a channel of its own, and they are read in the order of the jobs."""

    def __init__(self, concurrency: int) -> None:
        self._room = asyncio.Semaphore(concurrency + concurrency // 2)
        # With room for all that are admitted, so that opening a lane never waits.
        self._lanes: _Channel[_Channel[_Item[RecordT]]] = _Channel(2 * concurrency)
        self._current: _Channel[_Item[RecordT]] | None = None

    async def admit(self) -> None:
        """Wait until another job may be begun: whenever few enough wait to be handed out."""
        await self._room.acquire()

    async def open(self) -> _Channel[_Item[RecordT]]:
        lane: _Channel[_Item[RecordT]] = _Channel(_PAGES_AHEAD_OF_TURN)
        await self._lanes.put(lane)
        return lane

    def close_lane(self, lane: _Channel[_Item[RecordT]]) -> None:
        """The job is done; what follows it may be read."""
        lane.close()

    async def get(self) -> _Item[RecordT] | None:
        while True:
            if self._current is None:
                self._current = await self._lanes.get()
            if self._current is None:
                return None
            item = await self._current.get()
            if item is not None:
                return item
            self._current = None
            self._room.release()

    def close(self) -> None:
        self._lanes.close()


class _Crew(Generic[RecordT]):
    """The workers of one iteration, and the lanes that they fill."""

    def __init__(
        self,
        size: int,
        work: Callable[[_Crew[RecordT]], Awaitable[None]],
        lanes: _AsTheyCome[RecordT] | _InOrder[RecordT],
    ) -> None:
        self.lanes = lanes
        self._is_stopping = False
        self._size = size
        self._work = work
        self._workers: set[asyncio.Task[None]] = set()
        self.is_closed = False
        self._has_begun = False
        self._is_broken = False
        self._hired = 0
        self._failure: BaseException | None = None

    async def next_item(self) -> _Item[RecordT] | None:
        """The next page or failure; None at the end.

        Raises:
            Exception: Whatever ended a worker, other than the failure of a job.
        """
        if not self._has_begun:
            self._has_begun = True
            self.hire()
        item = None if self._is_broken else await self.lanes.get()
        if self.is_closed:
            raise RuntimeError("this stream was closed while it was read")
        if self._failure is not None and (item is None or self._is_broken):
            failure, self._failure = self._failure, None
            try:
                raise failure
            finally:
                # The traceback refers to this frame; without this the two would keep each other.
                del failure
        return item

    def may_begin_another(self) -> bool:
        """Whether another job may be begun."""
        return not self._is_stopping

    def hire(self) -> None:
        """Set another worker to work, unless the crew is complete."""
        if self._hired < self._size and not self._is_stopping:
            self._hired += 1
            worker = asyncio.create_task(self._employ(), name="asyncckpt-list-many")
            self._workers.add(worker)
            # Not in the worker itself: one that is cancelled before its first step never runs.
            worker.add_done_callback(self._dismiss)

    def fail(self, failure: Exception, *, cancel: bool) -> None:
        """End the stream with a failure: at once, or after what has been begun."""
        self._failure = failure
        self._is_broken = cancel
        self.stop(cancel=cancel)

    def stop(self, *, cancel: bool) -> None:
        """Begin no further job, and perhaps cancel all workers but the one that says so."""
        self._is_stopping = True
        if cancel:
            for worker in self._workers - {asyncio.current_task()}:
                worker.cancel()

    async def aclose(self) -> None:
        """Cancel all workers, and wait until the last one is gone."""
        self.is_closed = self._is_stopping = True
        await cancel_and_wait(self._workers)
        # Their tracebacks refer to this object; without this they would keep each other.
        self._workers.clear()
        self._failure = None

    async def _employ(self) -> None:
        # Eager tasks begin inside `hire`: each worker would hire the next from one frame deeper.
        await asyncio.sleep(0)
        try:
            await self._work(self)
        except Exception as failure:
            self.fail(failure, cancel=True)

    def _dismiss(self, worker: asyncio.Task[None]) -> None:
        self._hired -= 1
        if worker.cancelled() and not self._is_stopping:
            # Somebody else's doing; the stream must not end as if it were complete.
            self._failure, self._is_broken = asyncio.CancelledError(), True
        if not self._hired:
            self.lanes.close()
