"""What every request asks of its event loop: whether it is the same, and to end in time."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager

import pytest

from asyncckpt.event_loop import Deadlines, HomeLoop

Within = Callable[[float | None], AbstractAsyncContextManager[object]]


class TestHomeLoop:
    async def test_at_home(self) -> None:
        assert HomeLoop(asyncio.get_running_loop()).is_running_here()

    def test_where_nothing_runs(self) -> None:
        loop = asyncio.new_event_loop()
        try:
            assert not HomeLoop(loop).is_running_here()
        finally:
            loop.close()

    def test_under_another_loop(self) -> None:
        async def home() -> HomeLoop:
            return HomeLoop(asyncio.get_running_loop())

        async def ask(other: HomeLoop) -> bool:
            return other.is_running_here()

        assert not asyncio.run(ask(asyncio.run(home())))

    async def test_from_another_thread_while_it_runs(self) -> None:
        home = HomeLoop(asyncio.get_running_loop())
        with ThreadPoolExecutor(1) as threads:
            assert not threads.submit(home.is_running_here).result()

    async def test_from_another_loop_in_another_thread_while_it_runs(self) -> None:
        home = HomeLoop(asyncio.get_running_loop())

        async def ask() -> bool:
            return home.is_running_here()

        with ThreadPoolExecutor(1) as threads:
            assert not threads.submit(lambda: asyncio.run(ask())).result()

    def test_a_loop_that_moved_to_another_thread_is_the_same(self) -> None:
        loop = asyncio.new_event_loop()
        home = HomeLoop(loop)

        async def ask() -> list[bool]:
            return [home.is_running_here(), home.is_running_here()]

        try:
            with ThreadPoolExecutor(1) as threads:
                moved: Future[list[bool]] = threads.submit(loop.run_until_complete, ask())
                assert moved.result() == [True, True]
            assert loop.run_until_complete(ask()) == [True, True]
        finally:
            loop.close()


def asyncio_timeout() -> Within:
    return asyncio.timeout


def deadlines() -> Within:
    ours = Deadlines(asyncio.get_running_loop())

    @contextlib.asynccontextmanager
    async def within(seconds: float | None):  # type: ignore[no-untyped-def]
        with ours.within(seconds):
            yield

    return within


async def for_ever() -> None:
    await asyncio.get_running_loop().create_future()


async def in_time(within: Within) -> None:
    async with within(60):
        await asyncio.sleep(0)


async def never(within: Within) -> None:
    async with within(None):
        await asyncio.sleep(0)


async def too_late(within: Within) -> None:
    async with within(0.001):
        await for_ever()


async def at_once(within: Within) -> None:
    async with within(0):
        await for_ever()


async def fails(within: Within) -> None:
    async with within(60):
        raise KeyError("mine")


async def fails_when_it_is_late(within: Within) -> None:
    async with within(0.001):
        try:
            await for_ever()
        finally:
            raise KeyError("mine")


async def survives_its_end(within: Within) -> None:
    async with within(0.001):
        with contextlib.suppress(asyncio.CancelledError):
            await for_ever()
    await asyncio.sleep(0)


async def is_cancelled(within: Within) -> None:
    task = asyncio.current_task()
    assert task is not None
    async with within(60):
        asyncio.get_running_loop().call_soon(task.cancel)
        await for_ever()


async def is_cancelled_when_it_is_late(within: Within) -> None:
    task = asyncio.current_task()
    assert task is not None
    async with within(0.001):
        try:
            await for_ever()
        finally:
            task.cancel()


async def inner_is_late(within: Within) -> None:
    async with within(60), within(0.001):
        await for_ever()


async def outer_is_late(within: Within) -> None:
    async with within(0.001), within(60):
        await for_ever()


async def goes_on_after_it_was_late(within: Within) -> None:
    with contextlib.suppress(TimeoutError):
        await too_late(within)
    async with within(60):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("scenario", "outcome"),
    [
        (in_time, None),
        (never, None),
        (too_late, TimeoutError),
        (at_once, TimeoutError),
        (fails, KeyError),
        (fails_when_it_is_late, KeyError),
        (survives_its_end, None),
        (is_cancelled, asyncio.CancelledError),
        (is_cancelled_when_it_is_late, asyncio.CancelledError),
        (inner_is_late, TimeoutError),
        (outer_is_late, TimeoutError),
        (goes_on_after_it_was_late, None),
    ],
)
@pytest.mark.parametrize("implementation", [asyncio_timeout, deadlines])
async def test_a_deadline_is_like_a_timeout_of_asyncio(
    scenario: Callable[[Within], Awaitable[None]],
    outcome: type[BaseException] | None,
    implementation: Callable[[], Within],
) -> None:
    cancelling = -1

    async def run() -> None:
        nonlocal cancelling
        try:
            await scenario(implementation())
        finally:
            task = asyncio.current_task()
            assert task is not None
            cancelling = task.cancelling()

    task = asyncio.create_task(run())
    await asyncio.wait([task])
    error = asyncio.CancelledError() if task.cancelled() else task.exception()
    assert type(error) is (outcome or type(None))
    # A request to cancel that was the deadline's own is taken back.
    assert cancelling == (1 if outcome is asyncio.CancelledError else 0)


class CountingLoop(asyncio.SelectorEventLoop):
    """Remembers the timers that were set."""

    def __init__(self) -> None:
        super().__init__()
        self.timers: list[asyncio.TimerHandle] = []

    def call_at(self, when, callback, *args, context=None):  # type: ignore[no-untyped-def]
        timer = super().call_at(when, callback, *args, context=context)
        self.timers.append(timer)
        return timer


def on_a_counting_loop(main: Callable[[CountingLoop], Awaitable[None]]) -> CountingLoop:
    loop = CountingLoop()

    async def run() -> None:
        await main(loop)

    try:
        loop.run_until_complete(run())
    finally:
        loop.close()
    return loop


def test_many_deadlines_share_a_timer() -> None:
    async def main(loop: CountingLoop) -> None:
        deadlines = Deadlines(loop)
        for _ in range(1000):
            with deadlines.within(60):
                await asyncio.sleep(0)
        assert len(loop.timers) == 1
        deadlines.close()

    assert all(timer.cancelled() for timer in on_a_counting_loop(main).timers)


def test_each_comes_in_its_own_time() -> None:
    ended: list[float] = []

    async def main(loop: CountingLoop) -> None:
        deadlines = Deadlines(loop)

        async def wait(seconds: float) -> None:
            began = loop.time()
            with pytest.raises(TimeoutError), deadlines.within(seconds):
                await for_ever()
            assert loop.time() - began >= seconds
            ended.append(seconds)

        async with asyncio.TaskGroup() as group:
            for seconds in (0.03, 0.01, 0.02, 0.01):
                group.create_task(wait(seconds))

    loop = on_a_counting_loop(main)
    assert ended == [0.01, 0.01, 0.02, 0.03]
    # Nothing is set when nothing is pending.
    assert all(timer.cancelled() or timer.when() <= loop.time() for timer in loop.timers)


async def test_a_deadline_needs_a_task() -> None:
    loop = asyncio.get_running_loop()
    failure: Future[BaseException] = Future()

    def without_a_task() -> None:
        try:
            with Deadlines(loop).within(1):
                failure.set_exception(AssertionError("it was let in"))
        except RuntimeError as error:
            failure.set_result(error)

    loop.call_soon(without_a_task)
    await asyncio.sleep(0)
    assert "task" in str(failure.result(0))
