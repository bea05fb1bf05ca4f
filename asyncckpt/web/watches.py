"""Shares one watch of a job among any number of readers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, Unpack

import attrs

from asyncckpt.options import WatchOptions, check_number
from asyncckpt.streams.tasks import cancel_and_wait
from asyncckpt.streams.updates import Update
from asyncckpt.web.messages import HEARTBEAT, ServerSentEvent, message_of
from asyncckpt.web.position import Position
from asyncckpt.web.results import error_json

if TYPE_CHECKING:
    from asyncckpt.client import AsyncClient
    from asyncckpt.streams.watch import Watch

__all__ = ["EventReader", "SharedWatches"]

_log: Final = logging.getLogger("asyncckpt")


@attrs.define(eq=False)
class _Shared:
    """One watch of a job, and the messages from it so far.

    Attributes:
        job_id: The job.
        updates: All updates of the watch, in order.
        messages: The message of each of them, and of a failure.
        readers: The number of readers.
        is_over: Whether no message follows.
        failure: The exception that ended the watch; None if it has not failed.
        changed: Set when there is another message, or none follows; then replaced.
        task: Reads the watch.
    """

    job_id: str
    updates: list[Update] = attrs.field(factory=list[Update])
    messages: list[ServerSentEvent] = attrs.field(factory=list[ServerSentEvent])
    readers: int = 0
    is_over: bool = False
    failure: Exception | None = None
    changed: asyncio.Event = attrs.field(factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    _position: Position = attrs.field(factory=Position)
    _lengths: dict[str, int] = attrs.field(factory=dict[str, int])

    def add(self, update: Update) -> None:
        """Add an update and its message."""
        self._position.add(update)
        event_id = self._position.id(self.job_id)
        self.updates.append(update)
        self.messages.append(message_of(update, event_id))
        if event_id is not None:
            self._lengths[event_id] = len(self.messages)
        self._wake_readers()

    def end(self, failure: Exception | None) -> None:
        """Note that no update follows, and why."""
        if failure is not None:
            self.failure = failure
            self.messages.append(ServerSentEvent("failure", error_json(failure)))
        self.is_over = True
        self._wake_readers()

    async def wait_for_first(self) -> None:
        """Wait for a message.

        Raises:
            Exception: The exception of the watch, if there is none before it.
        """
        while not self.messages and not self.is_over:
            await self.changed.wait()
        if self.failure is not None and not self.updates:
            raise self.failure.with_traceback(None)

    def length_at(self, event_id: str) -> int | None:
        """Return the number of messages up to an id; None if this watch has not sent it."""
        return self._lengths.get(event_id)

    def _wake_readers(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class EventReader:
    """One reader of a job; the result of `SharedWatches.read`.

    Iterate over it once, and close it: with ``async with``, or by `aclose`.
    """

    def __init__(
        self,
        shared: _Shared,
        last_event_id: str | None,
        heartbeat: float | None,
        leave: Callable[[], Awaitable[None]],
    ) -> None:
        self._shared = shared
        self._leave = leave
        self._heartbeat = heartbeat
        self._position = 0
        self._received: Position | None = None
        self._is_closed = False
        if last_event_id:
            self._continue_after(last_event_id)

    async def __aenter__(self) -> Self:
        """Return the reader itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the reader."""
        await self.aclose()

    def __aiter__(self) -> Self:
        """Return the reader itself."""
        return self

    async def __anext__(self) -> ServerSentEvent:
        """Return the next message, or a comment after `heartbeat` seconds without one.

        Raises:
            StopAsyncIteration: The job has ended or cannot be followed any more, or the reader or
                the `SharedWatches` is closed.
        """
        while not self._is_closed:
            message = self._next_message()
            if message is not None:
                return message
            if self._shared.is_over:
                break
            try:
                async with asyncio.timeout(self._heartbeat):
                    await self._shared.changed.wait()
            except TimeoutError:
                return HEARTBEAT
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Leave the job. The last reader ends the watch, and waits until it has ended."""
        if not self._is_closed:
            self._is_closed = True
            await self._leave()

    def _next_message(self) -> ServerSentEvent | None:
        shared = self._shared
        while self._position < len(shared.messages):
            position, self._position = self._position, self._position + 1
            is_update = position < len(shared.updates)
            if (
                self._received is None
                or not is_update
                or not self._received.includes(shared.updates[position])
            ):
                return shared.messages[position]
        return None

    def _continue_after(self, event_id: str) -> None:
        length = self._shared.length_at(event_id)
        if length is not None:
            self._position = length
        else:
            self._received = Position.from_id(event_id, self._shared.job_id)


class SharedWatches:
    """Lets any number of readers follow jobs, with one watch for each job.

    The watch of a job starts with its first reader, and ends when its last reader has left. A
    reader that joins later gets everything from the beginning. The messages of a job are kept once
    for all its readers, as long as there are any. So a slow reader needs no memory, and does not
    slow down others.

    Use it as an async context manager, or call `aclose`::

        async with SharedWatches(client) as watches:
            async with await watches.read("ftjob-abc123") as reader:
                async for message in reader:
                    await response.write(message.encode())

    Args:
        client: The client to watch with.
        interval: Seconds between two polls of a job; see `AsyncJobs.watch`.
        options: See `WatchOptions`.

    Raises:
        TypeError: An argument has the wrong type, or an option is unknown.
        ValueError: An argument is out of its range.
    """

    def __init__(
        self,
        client: AsyncClient,
        *,
        interval: float | None = None,
        **options: Unpack[WatchOptions],
    ) -> None:
        self._client = client
        self._interval = interval
        self._options = options
        self._shared: dict[str, _Shared] = {}
        self._is_closed = False
        # This checks the options, and sends nothing.
        self._watch_of("ftjob")

    async def __aenter__(self) -> Self:
        """Return the object itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.aclose()

    async def read(
        self,
        fine_tuning_job_id: str,
        last_event_id: str | None = None,
        *,
        heartbeat: float | None = 15.0,
    ) -> EventReader:
        """Follow a job.

        This waits for the first message. So a job that does not exist is an exception here, and the
        app can still respond with 404.

        Args:
            fine_tuning_job_id: The job, such as ``"ftjob-abc123"``.
            last_event_id: The header ``Last-Event-ID`` of a reader that returns: it gets what it
                has not received, also from another process. An id that is not from here is ignored.
            heartbeat: Seconds without a message after which a comment is sent. It keeps proxies
                from closing the connection. None for no comments.

        Returns:
            The messages, in the order of the updates of a `Watch`. Close it. After `aclose` it has
            no messages.

        Raises:
            APIError: The job cannot be followed.
            TypeError: An argument has the wrong type.
            ValueError: `heartbeat` is not more than 0.
        """
        if heartbeat is not None:
            check_number("heartbeat", heartbeat, "seconds", above=0)
        shared = self._shared.get(fine_tuning_job_id)
        if self._is_closed:
            # Requests still arrive while an app stops.
            shared = _Shared(fine_tuning_job_id, is_over=True)
        elif shared is None or shared.failure is not None:
            shared = self._start(fine_tuning_job_id)
        shared.readers += 1
        reader = EventReader(shared, last_event_id, heartbeat, lambda: self._leave(shared))
        try:
            await shared.wait_for_first()
        except BaseException:
            await reader.aclose()
            raise
        return reader

    async def aclose(self) -> None:
        """End all watches, and wait until their requests have ended. The readers end too."""
        self._is_closed = True
        shared, self._shared = [*self._shared.values()], {}
        for one in shared:
            one.end(None)
        await cancel_and_wait([one.task for one in shared if one.task is not None])

    def _start(self, job_id: str) -> _Shared:
        watch = self._watch_of(job_id)
        self._shared[job_id] = shared = _Shared(job_id)
        shared.task = asyncio.create_task(_follow(watch, shared), name="asyncckpt-shared-watch")
        return shared

    def _watch_of(self, job_id: str) -> Watch:
        return self._client.fine_tuning.jobs.watch(job_id, interval=self._interval, **self._options)

    async def _leave(self, shared: _Shared) -> None:
        shared.readers -= 1
        if shared.readers:
            return
        if self._shared.get(shared.job_id) is shared:
            del self._shared[shared.job_id]
        if shared.task is not None:
            await cancel_and_wait([shared.task])


async def _follow(watch: Watch, shared: _Shared) -> None:
    failure: Exception | None = None
    try:
        async with watch:
            async for update in watch:
                shared.add(update)
    except Exception as error:
        # It is raised in the tasks of all readers.
        failure = error.with_traceback(None)
        _log.warning("the watch of a job has ended: %s", type(error).__name__)
    finally:
        shared.end(failure)
