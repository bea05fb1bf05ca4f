"""Provides the bounded queues between the workers of a fan-in and its consumer."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Generic, TypeVar

__all__ = ["BoundedQueue", "QueuePerJob", "SharedQueue"]

_T = TypeVar("_T")

_PAGES_AHEAD: Final = 2
"""The capacity of a job's own queue, in pages."""


class BoundedQueue(Generic[_T]):
    """A queue with many producers and one consumer.

    Unlike an `asyncio.Queue`, it can be closed, and `put` adds the item before it waits for room.
    So the item is not lost if the task is cancelled while it waits.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[_T] = deque()
        # One future for each waiting producer, in the order of their items.
        self._putters: deque[asyncio.Future[None]] = deque()
        self._getter: asyncio.Future[None] | None = None
        self._is_closed = False

    async def put(self, item: _T) -> None:
        """Add an item, then wait until the consumer has made room for it."""
        self.put_nowait(item)
        if len(self._items) > self._capacity:
            putter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._putters.append(putter)
            await putter

    def put_nowait(self, item: _T) -> None:
        """Add an item without waiting, even beyond the capacity."""
        self._items.append(item)
        self._wake_getter()

    async def get(self) -> _T | None:
        """Return the next item; None if the queue is closed and empty."""
        while not self._items:
            if self._is_closed:
                return None
            self._getter = asyncio.get_running_loop().create_future()
            await self._getter
            self._getter = None
        if self._putters:
            putter = self._putters.popleft()
            if not putter.done():
                putter.set_result(None)
        return self._items.popleft()

    def close(self) -> None:
        """Let `get` return None after the last item."""
        self._is_closed = True
        self._wake_getter()

    def _wake_getter(self) -> None:
        if self._getter is not None and not self._getter.done():
            self._getter.set_result(None)


class SharedQueue(Generic[_T]):
    """One queue for all jobs: pages come out in the order in which they were fetched."""

    def __init__(self, concurrency: int) -> None:
        self._queue: BoundedQueue[_T] = BoundedQueue(max(1, concurrency // 2))

    async def admit(self) -> None:
        """Do nothing: the number of workers is the only limit."""

    def open(self) -> BoundedQueue[_T]:
        """Return the queue."""
        return self._queue

    def finish(self, queue: BoundedQueue[_T]) -> None:
        """Do nothing: other jobs use the same queue."""

    async def get(self) -> _T | None:
        """Return the next item; None after the last one."""
        return await self._queue.get()

    def close(self) -> None:
        """Let `get` return None after the last item."""
        self._queue.close()


class QueuePerJob(Generic[_T]):
    """A queue for each job: pages come out in the order of the jobs."""

    def __init__(self, concurrency: int) -> None:
        self._slots = asyncio.Semaphore(concurrency + concurrency // 2)
        # No capacity is needed: the semaphore bounds the number of queues.
        self._queues: BoundedQueue[BoundedQueue[_T]] = BoundedQueue(0)
        self._current: BoundedQueue[_T] | None = None

    async def admit(self) -> None:
        """Wait until the number of jobs ahead of the consumer is below the limit."""
        await self._slots.acquire()

    def open(self) -> BoundedQueue[_T]:
        """Return a new queue, which is read after all earlier ones."""
        queue: BoundedQueue[_T] = BoundedQueue(_PAGES_AHEAD)
        self._queues.put_nowait(queue)
        return queue

    def finish(self, queue: BoundedQueue[_T]) -> None:
        """Close the queue, so that the next one is read after it."""
        queue.close()

    async def get(self) -> _T | None:
        """Return the next item; None after the last one."""
        while True:
            if self._current is None:
                self._current = await self._queues.get()
            if self._current is None:
                return None
            item = await self._current.get()
            if item is not None:
                return item
            self._current = None
            self._slots.release()

    def close(self) -> None:
        """Let `get` return None after the last item."""
        self._queues.close()
