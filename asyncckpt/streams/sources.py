"""Takes jobs from an iterable or async iterable."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Generator,
    Iterable,
    Iterator,
)
from typing import Final, TypeAlias, cast

from asyncckpt.records.base import HasId

__all__ = ["EXHAUSTED", "JobSource", "Jobs", "jobs_of"]

Jobs: TypeAlias = Iterable[str | HasId] | AsyncIterable[str | HasId]
"""The jobs to list: ids or records, from any iterable or async iterable."""

EXHAUSTED: Final = object()
"""Returned by `JobSource.take` if there are no more jobs."""


def jobs_of(jobs: str | HasId | Jobs) -> Jobs:
    """Return several jobs unchanged, and one job as an iterable of one."""
    # A record of the official SDK can be iterated over, too.
    is_one = isinstance(jobs, str) or isinstance(getattr(jobs, "id", None), str)
    return cast("Jobs", (jobs,) if is_one else jobs)


class JobSource:
    """Takes jobs one at a time, even if several tasks call `take` concurrently.

    An async generator allows only one call of `anext` at a time.

    Args:
        jobs: The jobs.

    Attributes:
        taken: The number of jobs taken so far.

    Raises:
        TypeError: `jobs` is a single id, or cannot be iterated over.
    """

    def __init__(self, jobs: Jobs) -> None:
        if isinstance(jobs, str | bytes) or not isinstance(jobs, Iterable | AsyncIterable):
            raise TypeError(
                "jobs must be an iterable or async iterable of ids or FineTuningJob records, not "
                f"{type(jobs).__name__}; for a single job use list()"
            )
        self.taken = 0
        self._jobs = jobs
        self._iterator: Iterator[object] | AsyncIterator[object] | None = None
        self._lock = asyncio.Lock()
        self._is_exhausted = False

    async def take(self) -> object:
        """Return the next job, or `EXHAUSTED`.

        Raises:
            BaseException: Any exception of the iterator; the source is exhausted afterwards.
        """
        async with self._lock:
            if self._is_exhausted:
                return EXHAUSTED
            # After its end or an exception, the iterator is not called again: one that reads from
            # a queue would wait forever.
            self._is_exhausted = True
            job = await self._next()
            if job is not EXHAUSTED:
                self._is_exhausted = False
                self.taken += 1
            return job

    async def _next(self) -> object:
        if self._iterator is None:
            jobs = self._jobs
            self._iterator = aiter(jobs) if isinstance(jobs, AsyncIterable) else iter(jobs)
        # A StopAsyncIteration from a synchronous iterator is an error, not its end.
        if not isinstance(self._iterator, AsyncIterator):
            return next(self._iterator, EXHAUSTED)
        try:
            return await anext(self._iterator)
        except StopAsyncIteration:
            return EXHAUSTED

    async def aclose(self) -> None:
        """Close the iterator if it is a generator that has been started."""
        iterator: object = self._iterator
        async with self._lock:
            if isinstance(iterator, Generator):
                iterator.close()
            elif isinstance(iterator, AsyncGenerator):
                # At its end, an event loop closes all async generators concurrently, and closing
                # one twice is an error. After one iteration of the loop, `ag_running` tells whether
                # the loop is closing this one.
                try:
                    await asyncio.sleep(0)
                finally:
                    if not _is_running(self._iterator):
                        await iterator.aclose()


def _is_running(iterator: object) -> bool:
    return getattr(iterator, "ag_running", False)
