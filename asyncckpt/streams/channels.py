"""Bounded queues from the workers of a fan-in to its one consumer."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Generic, TypeVar

__all__ = ["BoundedQueue", "QueuePerJob", "SharedQueue"]

_T = TypeVar("_T")

_PAGES_AHEAD_OF_TURN: Final = 2
"""Pages that a job may have ready while an earlier one is still being handed out."""


class BoundedQueue(Generic[_T]):
    """A queue from several tasks to one. Tasks that wait for room are served in turn.

    Unlike an `asyncio.Queue` it can be closed, and it keeps an item whose task is cancelled while
    it waits for room: the item was there before.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[_T] = deque()
        # One for each item beyond the capacity.
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._getting: asyncio.Future[None] | None = None
        self._is_closed = False

    async def put(self, item: _T) -> None:
        """Add an item, and wait until it is within the capacity."""
        self.put_nowait(item)
        if len(self._items) > self._capacity:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn

    def put_nowait(self, item: _T) -> None:
        """Add an item, whatever the capacity."""
        self._items.append(item)
        if self._getting is not None:
            self._wake()

    async def get(self) -> _T | None:
        """Return the next item; None when the queue is closed and empty."""
        while not self._items:
            if self._is_closed:
                return None
            self._getting = asyncio.get_running_loop().create_future()
            await self._getting
            self._getting = None
        if self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
        return self._items.popleft()

    def close(self) -> None:
        """End the queue after the items that are in it."""
        self._is_closed = True
        self._wake()

    def _wake(self) -> None:
        if self._getting is not None and not self._getting.done():
            self._getting.set_result(None)


class SharedQueue(Generic[_T]):
    """All jobs put their pages into one queue, in the order in which they are fetched."""

    def __init__(self, concurrency: int) -> None:
        self._queue: BoundedQueue[_T] = BoundedQueue(max(1, concurrency // 2))

    async def admit(self) -> None:
        """Return at once: another job may be begun whenever a worker is free."""

    def open(self) -> BoundedQueue[_T]:
        """Return the one queue."""
        return self._queue

    def finish(self, queue: BoundedQueue[_T]) -> None:
        """Do nothing: the queue goes on with other jobs."""

    async def get(self) -> _T | None:
        """Return the next item; None at the end."""
        return await self._queue.get()

    def close(self) -> None:
        """End the stream after what is in the queue."""
        self._queue.close()


class QueuePerJob(Generic[_T]):
    """Each job has a queue of its own; they are read in the order of the jobs."""

    def __init__(self, concurrency: int) -> None:
        self._room = asyncio.Semaphore(concurrency + concurrency // 2)
        # The semaphore bounds it.
        self._queues: BoundedQueue[BoundedQueue[_T]] = BoundedQueue(0)
        self._current: BoundedQueue[_T] | None = None

    async def admit(self) -> None:
        """Wait until few enough jobs have been begun and not yet handed out."""
        await self._room.acquire()

    def open(self) -> BoundedQueue[_T]:
        """Return a new queue, which is read after those before it."""
        queue: BoundedQueue[_T] = BoundedQueue(_PAGES_AHEAD_OF_TURN)
        self._queues.put_nowait(queue)
        return queue

    def finish(self, queue: BoundedQueue[_T]) -> None:
        """End the queue, so that the one after it is read next."""
        queue.close()

    async def get(self) -> _T | None:
        """Return the next item; None at the end."""
        while True:
            if self._current is None:
                self._current = await self._queues.get()
            if self._current is None:
                return None
            item = await self._current.get()
            if item is not None:
                return item
            self._current = None
            self._room.release()

    def close(self) -> None:
        """End the stream after what is in the queues."""
        self._queues.close()
