"""Draws jobs from whatever a caller gives."""

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
from typing import Final, TypeAlias

from asyncckpt.records.base import HasId

__all__ = ["EXHAUSTED", "JobSource", "Jobs"]

Jobs: TypeAlias = Iterable[str | HasId] | AsyncIterable[str | HasId]
"""Where the jobs come from: ids or records of them, from anything that can be iterated over."""

EXHAUSTED: Final = object()
"""What is drawn when there are no more jobs."""


class JobSource:
    """Draws jobs one at a time, whoever asks: an async iterator cannot be asked twice at once.

    Args:
        jobs: The jobs; nothing is drawn yet.

    Attributes:
        drawn: How many jobs have been drawn.

    Raises:
        TypeError: `jobs` is a single id, or cannot be iterated over.
    """

    def __init__(self, jobs: Jobs) -> None:
        if isinstance(jobs, str | bytes) or not isinstance(jobs, Iterable | AsyncIterable):
            raise TypeError(
                "jobs must be several: ids or FineTuningJob records from an iterable or async "
                f"iterable, not {type(jobs).__name__}; for a single job use list()"
            )
        self.drawn = 0
        self._jobs = jobs
        self._iterator: Iterator[object] | AsyncIterator[object] | None = None
        self._lock = asyncio.Lock()
        self._is_exhausted = False

    async def draw(self) -> object:
        """Return the next job, or `EXHAUSTED`.

        Raises:
            BaseException: Whatever the source raises. It is exhausted then.
        """
        async with self._lock:
            if self._is_exhausted:
                return EXHAUSTED
            # Whatever comes now other than a job, the source is not asked again: one like a queue
            # would wait for ever.
            self._is_exhausted = True
            job = await self._next()
            if job is not EXHAUSTED:
                self._is_exhausted = False
                self.drawn += 1
            return job

    async def _next(self) -> object:
        if self._iterator is None:
            jobs = self._jobs
            self._iterator = aiter(jobs) if isinstance(jobs, AsyncIterable) else iter(jobs)
        # Each kind has its own signal of the end; that of the other kind is an error.
        if not isinstance(self._iterator, AsyncIterator):
            return next(self._iterator, EXHAUSTED)
        try:
            return await anext(self._iterator)
        except StopAsyncIteration:
            return EXHAUSTED

    async def aclose(self) -> None:
        """Close the source's own iteration, if it has begun and can be closed."""
        iterator: object = self._iterator
        async with self._lock:
            if isinstance(iterator, Generator):
                iterator.close()
            elif isinstance(iterator, AsyncGenerator):
                # An event loop that ends closes all async generators side by side, and takes one
                # that is being closed already for an error. After a turn, it has begun to.
                try:
                    await asyncio.sleep(0)
                finally:
                    if not _is_running(self._iterator):
                        await iterator.aclose()


def _is_running(iterator: object) -> bool:
    return getattr(iterator, "ag_running", False)
