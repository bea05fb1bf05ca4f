"""Ending tasks."""

import asyncio
import contextlib

import pytest

from asyncckpt.streams.tasks import cancel_and_wait


async def resist(cancelled: list[int], number: int, turns: int) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        cancelled.append(number)
        for _ in range(turns):
            await asyncio.sleep(0)


async def begun(cancelled: list[int], turns: int) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(resist(cancelled, number, turns)) for number in range(3)]
    await asyncio.sleep(0)
    return tasks


@pytest.mark.parametrize("turns", [0, 5])
async def test_all_are_cancelled_and_awaited(turns: int) -> None:
    cancelled: list[int] = []
    tasks = await begun(cancelled, turns)
    await cancel_and_wait(tasks)
    assert all(task.cancelled() for task in tasks)
    assert sorted(cancelled) == [0, 1, 2]


async def test_tasks_that_are_done_are_left_alone() -> None:
    task = asyncio.create_task(asyncio.sleep(0))
    await task
    await cancel_and_wait([task])
    assert not task.cancelled()


async def test_a_cancelled_caller_waits_and_is_cancelled_afterwards() -> None:
    cancelled: list[int] = []
    tasks = await begun(cancelled, 10)
    caller = asyncio.create_task(cancel_and_wait(tasks))
    await asyncio.sleep(0)
    for _ in range(3):
        caller.cancel()
        await asyncio.sleep(0)
        assert not caller.done()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert all(task.done() for task in tasks)
    # Cancelled once, however often the caller was.
    assert sorted(cancelled) == [0, 1, 2]


async def test_a_task_that_ends_itself_does_not_wait_for_itself() -> None:
    tasks: list[asyncio.Task[None]] = []

    async def end_itself() -> None:
        await asyncio.sleep(0)
        await cancel_and_wait(tasks)
        await asyncio.Event().wait()

    tasks += [asyncio.create_task(end_itself()), *await begun([], 0)]
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert [task.cancelled() for task in tasks] == [True] * 4
