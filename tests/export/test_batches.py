"""Records in batches, and work in a thread."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from asyncckpt import FineTuningJob, FineTuningJobCheckpoint, Metrics
from asyncckpt.export.batches import Records, Source, in_thread
from asyncckpt.testing import Sandbox

from support.checkpoints import checkpoint, stream_of

THREE = [checkpoint(step=step) for step in range(3)]


async def sizes_of(records: Records[Any], size: int) -> list[int]:
    return [len(batch) async for batch in Source(records, None, size).batches()]


@pytest.mark.parametrize(("size", "sizes"), [(1, [1, 1, 1]), (2, [2, 1]), (3, [3]), (4, [3])])
async def test_a_batch_has_at_most_as_many_records(size: int, sizes: list[int]) -> None:
    assert await sizes_of(THREE, size) == sizes
    assert await sizes_of(iter(THREE), size) == sizes
    assert await sizes_of(stream_of(THREE), size) == sizes


async def test_no_record_is_no_batch() -> None:
    assert await sizes_of([], 2) == []
    assert await sizes_of(stream_of([]), 2) == []


@pytest.mark.parametrize("records", [None, 5, "ftckpt_1", b"ftckpt_1"])
def test_what_is_not_iterable_is_an_error(records: Any) -> None:
    with pytest.raises(TypeError, match="records must be an iterable or async iterable"):
        Source(records, None)


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_holds_at_least_one(size: int) -> None:
    with pytest.raises(ValueError, match="size"):
        Source(THREE, None, size)


@pytest.mark.parametrize("is_async", [False, True])
async def test_records_of_two_classes_are_an_error(is_async: bool) -> None:
    job = FineTuningJob("ftjob-a", 0, "gpt", "running", "file-a")
    mixed: list[Any] = [*THREE, job]
    records = stream_of(mixed) if is_async else mixed
    message = "record 3 is a FineTuningJob, expected a FineTuningJobCheckpoint"
    with pytest.raises(TypeError, match=message):
        await sizes_of(records, 2)


async def test_the_class_of_the_records_can_be_given() -> None:
    with pytest.raises(TypeError, match="record 0 is a FineTuningJobCheckpoint, expected a Fine"):
        _ = [batch async for batch in Source[Any](THREE, FineTuningJob).batches()]
    with pytest.raises(TypeError, match="Metrics has no columns"):
        Source[Any]([], Metrics)


async def test_without_a_record_the_class_must_be_known() -> None:
    with pytest.raises(ValueError, match="pass the class of the records as record_type"):
        _ = Source[Any]([], None).schema
    assert Source[Any]([], FineTuningJob).schema.record_name == "FineTuningJob"


async def test_the_streams_know_the_class_of_their_records(sandbox: Sandbox) -> None:
    async with sandbox.client() as client:
        jobs = client.fine_tuning.jobs
        streams: dict[str, Records[Any]] = {
            "FineTuningJobCheckpoint": jobs.checkpoints.list("ftjob-a"),
            "FineTuningJob": jobs.list(),
            "FineTuningJobEvent": jobs.list_events("ftjob-a"),
            "StepMetrics": jobs.step_metrics("ftjob-a"),
        }
        for name, stream in streams.items():
            assert Source(stream, None).schema.record_name == name
        many = jobs.checkpoints.list_many([])
        assert Source(many, None).schema.record_name == "FineTuningJobCheckpoint"
        assert not [batch async for batch in Source(many, None).batches()]


async def test_a_failure_comes_after_the_full_batches_before_it() -> None:
    async def failing() -> AsyncIterator[FineTuningJobCheckpoint]:
        for one in THREE:
            yield one
        raise OSError("lost")

    batches = Source(failing(), None, 2).batches()
    assert await anext(batches) == THREE[:2]
    with pytest.raises(OSError, match="lost"):
        await anext(batches)


async def test_the_iterator_is_closed_when_the_batches_are() -> None:
    closed = False

    async def endless() -> AsyncIterator[FineTuningJobCheckpoint]:
        nonlocal closed
        try:
            while True:
                yield THREE[0]
        finally:
            closed = True

    batches = Source(endless(), None, 2).batches()
    await anext(batches)
    await batches.aclose()
    assert closed


async def test_an_iterator_without_aclose_is_enough() -> None:
    class Once:
        def __init__(self) -> None:
            self._records = iter(THREE)

        def __aiter__(self) -> "Once":
            return self

        async def __anext__(self) -> FineTuningJobCheckpoint:
            try:
                return next(self._records)
            except StopIteration:
                raise StopAsyncIteration from None

    assert await sizes_of(Once(), 2) == [2, 1]


async def test_no_more_is_taken_than_a_batch() -> None:
    taken = 0

    def counted() -> Iterator[FineTuningJobCheckpoint]:
        nonlocal taken
        for one in THREE:
            taken += 1
            yield one

    batches = Source(counted(), None, 2).batches()
    await anext(batches)
    assert taken == 2
    await batches.aclose()


class TestInThread:
    async def test_the_event_loop_goes_on(self, nothing_left: None) -> None:
        loop, reached = asyncio.get_running_loop(), threading.Event()
        loop.call_soon(reached.set)
        assert await in_thread(lambda: reached.wait(30))

    async def test_an_exception_is_raised(self, nothing_left: None) -> None:
        with pytest.raises(ZeroDivisionError):
            await in_thread(lambda: 1 // 0)

    @pytest.mark.parametrize("fails", [False, True])
    async def test_a_cancelled_caller_waits_for_the_function(
        self, fails: bool, nothing_left: None
    ) -> None:
        begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

        def work() -> None:
            begun.set()
            go_on.wait(30)
            ended.set()
            if fails:
                raise OSError("lost")

        task = asyncio.create_task(in_thread(work))
        await in_thread(lambda: begun.wait(30))
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()


async def test_a_cancelled_caller_tells_the_thread_to_stop() -> None:
    stop, seen = threading.Event(), list[bool]()
    running = asyncio.create_task(in_thread(lambda: seen.append(stop.wait(30)), stop))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert seen == [True]
