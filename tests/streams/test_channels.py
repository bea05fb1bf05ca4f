"""The bounded queues between the workers of a fan-in and its consumer."""

import asyncio

import pytest

from asyncckpt.streams.channels import BoundedQueue, QueuePerJob, SharedQueue

from support.turns import turns


def start(coroutine: object) -> asyncio.Future[object]:
    return asyncio.ensure_future(coroutine)  # type: ignore[arg-type]


class TestBoundedQueue:
    async def test_items_are_returned_in_order(self) -> None:
        queue: BoundedQueue[int] = BoundedQueue(3)
        for number in range(3):
            await queue.put(number)
        assert [await queue.get() for _ in range(3)] == [0, 1, 2]

    async def test_put_waits_for_room_in_order(self) -> None:
        queue: BoundedQueue[int] = BoundedQueue(1)
        await queue.put(0)
        waiting = [start(queue.put(number)) for number in (1, 2)]
        await turns(5)
        assert [task.done() for task in waiting] == [False, False]
        assert await queue.get() == 0
        await turns(5)
        assert [task.done() for task in waiting] == [True, False]
        assert await queue.get() == 1
        await turns(5)
        assert waiting[1].done()
        assert await queue.get() == 2

    async def test_get_waits_for_an_item(self) -> None:
        queue: BoundedQueue[int] = BoundedQueue(1)
        getting = start(queue.get())
        await turns(5)
        assert not getting.done()
        await queue.put(7)
        assert await getting == 7

    async def test_the_item_of_a_task_that_is_cancelled_is_kept(self) -> None:
        queue: BoundedQueue[int] = BoundedQueue(1)
        await queue.put(0)
        cancelled, waiting = start(queue.put(1)), start(queue.put(2))
        await turns(5)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        assert [await queue.get() for _ in range(3)] == [0, 1, 2]
        await asyncio.wait_for(waiting, 1)

    async def test_put_nowait_takes_its_place_behind_those_that_wait(self) -> None:
        queue: BoundedQueue[int] = BoundedQueue(1)
        await queue.put(0)
        waiting = start(queue.put(1))
        await turns(5)
        queue.put_nowait(2)
        assert [await queue.get() for _ in range(3)] == [0, 1, 2]
        await asyncio.wait_for(waiting, 1)

    async def test_a_closed_queue_ends_after_its_items(self) -> None:
        queue: BoundedQueue[int] = BoundedQueue(2)
        await queue.put(0)
        queue.close()
        assert [await queue.get(), await queue.get(), await queue.get()] == [0, None, None]

    async def test_closing_wakes_waiting_tasks(self) -> None:
        queue: BoundedQueue[int] = BoundedQueue(2)
        getting = start(queue.get())
        await turns(5)
        queue.close()
        assert await asyncio.wait_for(getting, 1) is None


class TestSharedQueue:
    @pytest.mark.parametrize(("concurrency", "capacity"), [(1, 1), (2, 1), (5, 2), (50, 25)])
    async def test_holds_half_as_many_pages_as_there_are_workers(
        self, concurrency: int, capacity: int
    ) -> None:
        queues: SharedQueue[int] = SharedQueue(concurrency)
        for number in range(capacity):
            await queues.admit()
            await asyncio.wait_for(queues.open().put(number), 1)
        waiting = start(queues.open().put(capacity))
        await turns(5)
        assert not waiting.done()
        assert [await queues.get() for _ in range(capacity + 1)] == list(range(capacity + 1))
        await waiting

    async def test_goes_on_when_a_job_is_finished(self) -> None:
        queues: SharedQueue[int] = SharedQueue(4)
        queues.finish(queues.open())
        await queues.open().put(1)
        queues.close()
        assert [await queues.get(), await queues.get()] == [1, None]


class TestQueuePerJob:
    async def test_jobs_are_returned_one_after_another(self) -> None:
        queues: QueuePerJob[str] = QueuePerJob(2)
        first, second = queues.open(), queues.open()
        await second.put("second")
        queues.finish(second)
        getting = start(queues.get())
        await turns(5)
        assert not getting.done()
        await first.put("first")
        assert await getting == "first"
        queues.finish(first)
        queues.close()
        assert [await queues.get(), await queues.get()] == ["second", None]

    @pytest.mark.parametrize(("concurrency", "jobs"), [(1, 1), (2, 3), (4, 6)])
    async def test_admits_as_many_jobs_as_can_wait(self, concurrency: int, jobs: int) -> None:
        queues: QueuePerJob[str] = QueuePerJob(concurrency)
        for _ in range(jobs):
            await asyncio.wait_for(queues.admit(), 1)
            queues.finish(queues.open())
        waiting = start(queues.admit())
        await turns(5)
        assert not waiting.done()
        last = queues.open()
        getting = start(queues.get())
        await turns(5)
        # All the finished ones have been passed over.
        assert waiting.done()
        queues.finish(last)
        queues.close()
        assert await getting is None

    async def test_a_job_can_have_two_pages_ready(self) -> None:
        queue = QueuePerJob[str](1).open()
        for name in "ab":
            await asyncio.wait_for(queue.put(name), 1)
        waiting = start(queue.put("c"))
        await turns(5)
        assert not waiting.done()
        waiting.cancel()
