"""The gate on a real event loop."""

from __future__ import annotations

import asyncio
import logging
import math
from time import monotonic

import pytest

from asyncckpt import hooks
from asyncckpt.hooks import Hooks
from asyncckpt.protocol.hints import RateLimitHints
from asyncckpt.testing.limiters import TokenBucket
from asyncckpt.transport.gate import Gate
from asyncckpt.transport.pacer import Pacer

from support import clock
from support.events import Recorder
from support.turns import turns


class Hand(Pacer):
    """A pacer whose delay the test sets."""

    def __init__(self, wait: float = 0.0) -> None:
        super().__init__()
        self.wait = wait

    def delay(self, now: float) -> float:
        return self.wait


def open_up(gate: Gate) -> None:
    """Let the pacer say 0, and have an answer come that makes the gate ask it."""
    assert isinstance(gate.pacer, Hand)
    gate.pacer.wait = 0.0
    gate.lost(gate.pacer.sent(monotonic()))


def timers() -> list[asyncio.TimerHandle]:
    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return [timer for timer in scheduled if not timer.cancelled()]


async def test_an_open_gate_is_passed_without_a_suspension() -> None:
    gate = Gate(Pacer())
    entering = gate.enter()
    with pytest.raises(StopIteration) as stopped:
        entering.send(None)
    gate.lost(stopped.value.value)
    assert gate.pacer.in_flight == 0


@pytest.mark.parametrize("end", ["accepted", "refused", "lost"])
def test_a_request_is_timed_from_its_entry_to_its_end(end: str) -> None:
    gate = Gate(Pacer())

    async def main() -> None:
        # Also one that is sent at the moment at which the gate first meets the loop.
        for _ in range(2):
            ticket = await gate.enter()
            assert ticket == asyncio.get_running_loop().time()
            assert gate.pacer.in_flight == 1
            await asyncio.sleep(0.5)
            getattr(gate, end)(ticket)
            assert gate.pacer.in_flight == 0

    clock.run(main(), monotonic=("asyncckpt.transport.gate.monotonic",))
    assert gate.pacer.round_trip == (0.5 if end == "accepted" else 0.0)


async def test_those_who_wait_are_let_in_in_their_order() -> None:
    gate, order = Gate(Hand(math.inf)), list[int]()

    async def caller(number: int) -> None:
        await gate.enter()
        order.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(caller(number))
        await turns(3)
        assert gate.waiting == 5
        open_up(gate)
    assert order == [0, 1, 2, 3, 4]
    assert gate.waiting == 0


@pytest.mark.parametrize("end", ["accepted", "refused", "lost"])
async def test_the_end_of_a_request_lets_the_next_one_in(end: str) -> None:
    pacer = Hand()
    gate = Gate(pacer)
    ticket = await gate.enter()
    pacer.wait = math.inf
    waiting = asyncio.create_task(gate.enter())
    await turns(3)
    pacer.wait = 0.0
    getattr(gate, end)(ticket)
    await turns(3)
    assert waiting.done()


async def test_a_newcomer_does_not_pass_those_who_wait() -> None:
    pacer = Hand(math.inf)
    gate = Gate(pacer)
    first = asyncio.create_task(gate.enter())
    await turns(3)
    pacer.wait = 0.0
    second = asyncio.create_task(gate.enter())
    earlier, later = await asyncio.gather(first, second)
    assert earlier <= later
    assert pacer.in_flight == 2


async def test_a_timer_opens_the_gate_and_is_the_only_one() -> None:
    gate = Gate(Pacer(max_requests_per_second=1000))

    async def caller() -> float:
        began = asyncio.get_running_loop().time()
        gate.lost(await gate.enter())
        return asyncio.get_running_loop().time() - began

    async with asyncio.TaskGroup() as group:
        callers = [group.create_task(caller()) for _ in range(40)]
        await turns(3)
        assert gate.waiting > 0
        assert len(timers()) == 1
    assert callers[-1].result() > 0.02
    assert timers() == []


async def test_a_cancelled_caller_gives_its_place_to_the_next() -> None:
    pacer = Hand(math.inf)
    gate = Gate(pacer)
    first, second = (asyncio.create_task(gate.enter()) for _ in range(2))
    await turns(3)
    first.cancel()
    await turns(3)
    assert first.cancelled()
    assert gate.waiting == 1
    open_up(gate)
    await second
    assert pacer.in_flight == 1


async def test_a_caller_cancelled_after_its_turn_came_gives_the_ticket_back() -> None:
    pacer = Hand(math.inf)
    gate = Gate(pacer)
    caller = asyncio.create_task(gate.enter())
    await turns(3)
    open_up(gate)
    assert pacer.in_flight == 1
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert pacer.in_flight == 0


async def test_no_timer_is_left_when_all_are_cancelled() -> None:
    gate = Gate(Hand(60.0))
    callers = [asyncio.create_task(gate.enter()) for _ in range(3)]
    await turns(3)
    assert len(timers()) == 1
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    assert gate.waiting == 0
    assert timers() == []


def test_a_second_loop_starts_with_nobody_waiting_and_nothing_in_flight() -> None:
    gate = Gate(Hand(math.inf))
    left_over = list[float]()

    async def first_life() -> None:
        assert isinstance(gate.pacer, Hand)
        gate.pacer.wait = 0.0
        left_over.append(await gate.enter())
        gate.pacer.wait = math.inf
        waiting = gate.enter()
        asyncio.get_running_loop().call_soon(waiting.send, None)
        await turns(3)
        assert gate.waiting == 1
        waiting.close()

    async def second_life() -> None:
        assert isinstance(gate.pacer, Hand)
        gate.pacer.wait = 0.0
        ticket = await gate.enter()
        assert gate.waiting == 0
        assert gate.pacer.in_flight == 1
        gate.lost(left_over[0])
        assert gate.pacer.in_flight == 1
        gate.accepted(ticket)

    asyncio.run(first_life())
    asyncio.run(second_life())
    assert gate.pacer.in_flight == 0


async def test_a_gate_in_front_of_a_real_limiter_keeps_to_it() -> None:
    gate, loop = Gate(Pacer()), asyncio.get_running_loop()
    limiter, refused = TokenBucket(500, 20), 0

    async def caller() -> None:
        nonlocal refused
        for _ in range(10):
            while True:
                ticket = await gate.enter()
                await asyncio.sleep(0.0005)
                if limiter.acquire(loop.time()).admitted:
                    gate.accepted(ticket)
                    break
                refused += 1
                gate.refused(ticket, RateLimitHints(retry_after=1))

    async with asyncio.TaskGroup() as group:
        for _ in range(30):
            group.create_task(caller())
    assert gate.pacer.accepted_count == 300
    assert refused < 60
    assert gate.pacer.in_flight == 0
    assert timers() == []


async def test_what_was_learned_and_long_pauses_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "asyncckpt")
    pacer = Hand()
    gate = Gate(pacer)
    for limit in (None, 190.0, 191.0, 100.0):
        pacer.limit = limit
        gate.accepted(await gate.enter())
        gate.accepted(await gate.enter())
    pacer.is_closed, pacer.wait = True, 4.0
    waiting = [asyncio.create_task(gate.enter()) for _ in range(3)]
    await turns(3)
    assert caplog.messages == [
        "rate limit: sending at most 190 requests/s",
        "rate limit: sending at most 100 requests/s",
        "rate limit: pausing for 4.0 s",
    ]
    for caller in waiting:
        caller.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_the_callers_own_rate_is_not_logged_as_a_pause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "asyncckpt")
    gate = Gate(Pacer(max_requests_per_second=0.5))
    gate.accepted(await gate.enter())
    caller = asyncio.create_task(gate.enter())
    await turns(3)
    assert caplog.messages == []
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)


class Steered(Pacer):
    """A pacer whose rate the test sets."""

    steered: float | None = None

    @property
    def rate(self) -> float | None:
        return self.steered


def test_a_change_of_pace_is_reported_once_and_only_if_it_is_large() -> None:
    events = Recorder()
    pacer = Steered()
    gate = Gate(pacer, Hooks([events]))

    async def main() -> None:
        for rate in (None, 100.0, 105.0, 111.0, 111.0, 50.0):
            pacer.steered = rate
            gate.accepted(gate.enter_at_once() or 0.0)
        gate.refused(gate.enter_at_once() or 0.0)

    clock.run(main(), monotonic=("asyncckpt.transport.gate.monotonic",))
    assert [(change.before, change.after) for change in events.of(hooks.PaceChanged)] == [
        (None, 100.0),
        (100.0, 111.0),
        (111.0, 50.0),
        (50.0, 0.0),
    ]


def test_the_pace_at_the_start_is_no_change() -> None:
    events = Recorder()
    gate = Gate(Pacer(max_requests_per_second=5), Hooks([events]))

    async def main() -> None:
        gate.accepted(gate.enter_at_once() or 0.0)

    clock.run(main(), monotonic=("asyncckpt.transport.gate.monotonic",))
    assert events == []
