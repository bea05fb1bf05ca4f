"""Provides the base classes of streams and of the background work of an iteration.

An iteration is an async generator that reads from a `Reader`. The reader owns the tasks that fetch
ahead. `Stream.aclose` closes the readers of all iterations.

It does not close the generators themselves, for two reasons. A closed generator looks exhausted, so
a consumer would mistake the closing for the end of the list. And closing a generator twice at the
same time is an error, which can happen because an event loop closes all async generators at its
end.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from asyncckpt.streams.tasks import cancel_and_wait

if TYPE_CHECKING:
    from asyncckpt.streams.observer import StreamHooks, StreamObserver

__all__ = ["Reader", "Stream"]

_ReaderT = TypeVar("_ReaderT", bound="Reader")


class Reader:
    """The background work of one iteration; as a context manager, it is closed at the end.

    Args:
        observer: Reports the iteration to the hooks of the client; None if it has none.

    Attributes:
        is_closed: Whether `aclose` was called.
    """

    def __init__(self, observer: StreamObserver | None = None) -> None:
        self.is_closed = False
        self._observer = observer
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None

    async def __aenter__(self) -> Self:
        """Return the reader itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the reader, and report how the iteration ended."""
        if self._observer is not None:
            self._observer.note_outcome(error, was_closed=self.is_closed)
        await self.aclose()

    def check_open(self) -> None:
        """Check that the iteration is not closed.

        Raises:
            RuntimeError: It is closed.
        """
        if self.is_closed:
            raise RuntimeError(
                "this iteration was closed before the end of the list: by aclose(), or at the end "
                "of an `async with` block"
            )

    async def aclose(self) -> None:
        """Cancel the tasks, and wait until they have ended; release everything else."""
        self.is_closed = True
        try:
            await self._close()
        finally:
            if self._observer is not None:
                self._observer.ended()

    async def _close(self) -> None:
        """Do what `aclose` does; subclasses extend it."""
        try:
            await cancel_and_wait(self._tasks)
            # The tracebacks of the tasks and of the failure refer to this object; clearing both
            # breaks the reference cycles. If the caller is one of the tasks, the wait raises
            # CancelledError, and the tasks are kept, so that another call can wait for the caller.
            self._tasks.clear()
        finally:
            self._failure = None

    def count_delivered(self, records: int) -> None:
        """Count records that are handed to the consumer, and do not come in pages."""
        if self._observer is not None:
            self._observer.records_delivered(records)

    def _raise_failure(self) -> None:
        """Raise the exception that ended the background work, if there is one."""
        failure, self._failure = self._failure, None
        try:
            if failure is not None:
                raise failure
        finally:
            # The traceback refers to this frame; this breaks the reference cycle.
            del failure

    def _start(self, work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        context = None if self._observer is None else self._observer.task_context()
        task = asyncio.create_task(work, name=name, context=context)
        self._tasks.add(task)
        return task


class Stream:
    """Base class of an async iterable whose iterations can be closed with `aclose`.

    Args:
        hooks: The hooks of the client, with what they are told; None if it has none.

    Attributes:
        record_type: The class of the records; None if it is not known. Tables need it for a stream
            without records.
    """

    record_type: type[object] | None = None

    def __init__(self, hooks: StreamHooks | None = None) -> None:
        self._hooks = hooks
        # The generator of an iteration refers to its reader. With strong references here, a dropped
        # iteration would not end until the stream is closed.
        self._readers: weakref.WeakSet[Reader] = weakref.WeakSet()

    async def __aenter__(self) -> Self:
        """Return the stream itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all iterations, and cancel their requests in progress."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close all iterations started so far.

        This cancels their requests in progress, and waits until all tasks have ended. The next step
        of a closed iteration raises RuntimeError, so that it does not look like the end of the
        list.
        """
        async with AsyncExitStack() as stack:
            for reader in self._readers:
                stack.push_async_callback(reader.aclose)

    def _new_observer(self) -> StreamObserver | None:
        """Return what reports one iteration to the hooks of the client."""
        if self._hooks is None:
            return None
        from asyncckpt.streams.observer import StreamObserver

        return StreamObserver(self._hooks)

    def _track(self, reader: _ReaderT) -> _ReaderT:
        self._readers.add(reader)
        return reader
