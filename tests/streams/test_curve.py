"""The iterations of a curve, over steps from a script."""

import asyncio
import contextlib
import gc
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from asyncckpt import Curve, StepMetrics
from asyncckpt.records.steps import Source


@attrs.define
class Script:
    """Steps that come as a test says.

    Args:
        parts: What `read` returns in turn; an exception is raised, a future awaited first.
    """

    parts: list[Any]
    source: Source = "result_file"
    opened: int = 0
    closed: int = 0
    reading: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def open(self) -> "Script":
        self.opened += 1
        return self

    async def read(self) -> list[StepMetrics] | None:
        part = self.parts.pop(0) if self.parts else None
        if isinstance(part, asyncio.Future):
            self.reading.set()
            part = await part
        if isinstance(part, BaseException):
            raise part
        return part

    def close(self) -> None:
        self.closed += 1


def steps(*numbers: int) -> list[StepMetrics]:
    return [StepMetrics(number) for number in numbers]


def forever() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


def strays() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]


async def test_steps_come_in_turn() -> None:
    script = Script([steps(1, 2), [], steps(3)])
    curve = Curve(script.open)
    assert curve.source is None
    assert [step.step async for step in curve] == [1, 2, 3]
    assert curve.source == "result_file"
    assert (script.opened, script.closed) == (1, 1)


async def test_nothing_happens_before_the_first_step_is_wanted() -> None:
    script = Script([steps(1)])
    iteration = aiter(Curve(script.open))
    assert script.opened == 0
    assert (await anext(iteration)).step == 1
    await iteration.aclose()


async def test_awaiting_gives_a_list() -> None:
    script = Script([steps(1, 2), steps(3)])
    assert [step.step for step in await Curve(script.open)] == [1, 2, 3]
    assert script.closed == 1


async def test_awaiting_does_not_end_another_iteration() -> None:
    scripts = [Script([steps(1), steps(2)]), Script([steps(1), steps(2)])]
    left = iter(scripts)

    async def open_next() -> Script:
        return next(left)

    curve = Curve(open_next)
    iteration = aiter(curve)
    assert (await anext(iteration)).step == 1
    assert len(await curve) == 2
    assert [step.step async for step in iteration] == [2]


async def test_steps_come_out_before_the_error_after_them() -> None:
    script = Script([steps(1), ValueError("broken")])
    seen: list[int] = []

    async def consume() -> None:
        async for step in Curve(script.open):
            seen.append(step.step)  # noqa: PERF401  (what came before the error counts)

    with pytest.raises(ValueError, match="broken"):
        await consume()
    assert seen == [1]
    assert script.closed == 1


async def test_what_ends_an_event_loop_is_raised_in_the_consumer() -> None:
    script = Script([KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt):
        await Curve(script.open)
    assert script.closed == 1


async def test_an_error_on_opening() -> None:
    async def refuse() -> Script:
        raise LookupError

    curve = Curve(refuse)
    with pytest.raises(LookupError):
        await curve
    assert curve.source is None


async def leave_by_break(curve: Curve) -> None:
    async with curve:
        async for _ in curve:
            break


async def consume(curve: Curve, error: Exception | None = None) -> None:
    async with curve:
        async for _ in curve:
            if error is not None:
                raise error


async def leave_by_exception(curve: Curve) -> None:
    with pytest.raises(ZeroDivisionError):
        await consume(curve, ZeroDivisionError())


async def leave_by_timeout(curve: Curve) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(consume(curve), 0.001)


async def leave_by_cancellation(curve: Curve) -> None:
    task = asyncio.create_task(consume(curve))
    while curve.source is None:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    "leave", [leave_by_break, leave_by_exception, leave_by_timeout, leave_by_cancellation]
)
async def test_leaving_early_leaves_nothing(leave: Callable[[Curve], Any]) -> None:
    script = Script([steps(1, 2), forever()])
    await leave(Curve(script.open))
    assert strays() == set()
    assert script.closed > 0
    assert script.opened == 1


async def test_dropping_an_iteration_closes_it() -> None:
    script = Script([steps(1, 2), forever()])
    async for _ in Curve(script.open):
        break
    gc.collect()
    for _ in range(5):
        await asyncio.sleep(0)
    assert script.closed == 1
    assert strays() == set()


@pytest.mark.parametrize("where", ["between two steps", "while it reads"])
async def test_closing_from_outside_never_looks_like_the_end(where: str) -> None:
    script = Script([steps(1, 2), forever()])
    curve = Curve(script.open)
    iteration = aiter(curve)
    await anext(iteration)
    if where == "between two steps":
        await curve.aclose()
        with pytest.raises(RuntimeError, match="was closed"):
            await anext(iteration)
    else:
        await anext(iteration)
        waiting = asyncio.ensure_future(anext(iteration))
        await script.reading.wait()
        await curve.aclose()
        with pytest.raises(RuntimeError, match="was closed"):
            await waiting
    assert script.closed >= 1
    assert strays() == set()


async def test_an_iteration_leaves_no_garbage() -> None:
    gc.collect()
    gc.disable()
    try:
        for last in (None, ValueError("broken")):
            script = Script([steps(1), last])
            with contextlib.suppress(ValueError):
                await Curve(script.open)
            del script
            await asyncio.sleep(0)
            assert gc.collect() == 0
    finally:
        gc.enable()
