"""The base class of all streams, and what does the work of one iteration in the background.

An iteration is an async generator, which reads from a `Reader`. The reader owns the tasks that
fetch ahead. A stream keeps track of the readers of its iterations and can close them from outside.
It never closes the generators themselves: Python reports a closed generator as exhausted, so a
consumer would take the closing for the end of the list. And a generator can be closed only once at
a time: when an event loop ends it closes all of them side by side, and one that is being closed
elsewhere is an error to it.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, TypeVar

from asyncckpt.streams.tasks import cancel_and_wait

__all__ = ["Reader", "Stream"]

_ReaderT = TypeVar("_ReaderT", bound="Reader")


class Reader:
    """The background work of one iteration.

    Attributes:
        is_closed: Whether `aclose` was called.
    """

    def __init__(self) -> None:
        self.is_closed = False
        self._tasks: set[asyncio.Task[None]] = set()

    def check_open(self) -> None:
        """Check that the iteration was not closed.

        Raises:
            RuntimeError: It was.
        """
        if self.is_closed:
            raise RuntimeError(
                "this iteration was closed before it came to the end of the list: by aclose(), or "
                "at the end of an `async with` block"
            )

    async def aclose(self) -> None:
        """Cancel what is under way, and wait until it is gone."""
        self.is_closed = True
        await cancel_and_wait(self._tasks)
        # The traceback of a task's exception refers to this object; this breaks the cycle.
        self._tasks.clear()

    def _start(self, work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        return task


class Stream:
    """A source of records whose iterations can be closed from outside."""

    def __init__(self) -> None:
        # The generator of an iteration holds its reader. Held weakly here, so that an iteration
        # that is dropped ends at once.
        self._readers: weakref.WeakSet[Reader] = weakref.WeakSet()

    async def __aenter__(self) -> Self:
        """Enter a block; at its end, every iteration begun in it is closed."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all iterations; requests under way are cancelled."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close all iterations begun so far, and wait until nothing of them is left.

        Requests under way are cancelled. Whoever still reads from such an iteration gets a
        RuntimeError at the next step, so that this never looks like the end of the list.
        """
        async with AsyncExitStack() as stack:
            for reader in self._readers:
                stack.push_async_callback(reader.aclose)

    def _track(self, reader: _ReaderT) -> _ReaderT:
        self._readers.add(reader)
        return reader
