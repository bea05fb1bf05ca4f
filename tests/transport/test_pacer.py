"""How fast the client may send: units with a made clock, simulated limiters, the gate on a loop."""

from __future__ import annotations

import asyncio
import math
import statistics
from collections.abc import Callable
from itertools import pairwise
from time import monotonic

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncckpt.protocol.hints import RateLimitHints
from asyncckpt.transport.gate import Gate
from asyncckpt.transport.pacer import Pacer

from support.limiters import (
    ConcurrencyLimit,
    FixedWindow,
    Limiter,
    Run,
    Simulation,
    SlidingWindow,
    TokenBucket,
    Unlimited,
)

SEEDS = range(5)


def simulate(make: Callable[[], Limiter], **options: float) -> list[Run]:
    runs = [Simulation(make(), Pacer(), seed=seed, **options).run() for seed in SEEDS]  # type: ignore[arg-type]
    wanted = int(options.get("jobs", 400)) * 3
    assert [len(run.accepted) for run in runs] == [wanted] * len(runs), "a job was lost"
    return runs


# -- simulated limiters -----------------------------------------------------------------------

# limiter, options of the simulation, most time over the ideal, most refused (%)
SCENARIOS = {
    "200/s, no hint": (lambda: TokenBucket(200, 20), {}, 1.02, 2.5),
    "200/s, Retry-After: 1": (lambda: TokenBucket(200, 20, retry_after=1), {}, 1.02, 2.5),
    "200/s, loopback": (lambda: TokenBucket(200, 20), {"latency": 0.0003}, 1.02, 2.5),
    "200/s, 3 ms": (lambda: TokenBucket(200, 20, retry_after=1), {"latency": 0.003}, 1.02, 2.5),
    "200/s, 10 ms": (lambda: TokenBucket(200, 20, retry_after=1), {"latency": 0.01}, 1.02, 3.0),
    "200/s, 20 ms": (lambda: TokenBucket(200, 20, retry_after=1), {"latency": 0.02}, 1.03, 4.0),
    "200/s, 100 ms": (lambda: TokenBucket(200, 20, retry_after=1), {"latency": 0.1}, 1.16, 7.0),
    "200/s, announced": (lambda: TokenBucket(200, 20, announces=True), {}, 1.02, 1.5),
    "200/s, announced, 20 ms": (
        lambda: TokenBucket(200, 20, announces=True),
        {"latency": 0.02},
        1.03,
        2.5,
    ),
    "50/s": (lambda: TokenBucket(50, 5), {}, 1.08, 2.5),
    "50/s, 20 ms": (lambda: TokenBucket(50, 5), {"latency": 0.02}, 1.08, 2.5),
    "1000/s": (lambda: TokenBucket(1000, 100), {}, 1.02, 4.0),
    "1000/s, 10 ms": (lambda: TokenBucket(1000, 100), {"latency": 0.01}, 1.03, 6.0),
    "200/s falls to 100/s": (
        lambda: TokenBucket(200, 20, changes_at=3, changes_to=100),
        {},
        1.02,
        3.0,
    ),
    "200/s rises to 400/s": (
        lambda: TokenBucket(200, 20, changes_at=3, changes_to=400),
        {},
        1.15,
        3.0,
    ),
    "refused at once, served in 20 ms": (
        lambda: TokenBucket(200, 20, retry_after=1),
        {"service": 0.02},
        1.06,
        2.5,
    ),
    "refusals empty the bucket": (
        lambda: TokenBucket(200, 20, charges_refused=True),
        {},
        1.03,
        3.0,
    ),
    # These save nothing up: what is not used of them is gone, and learning takes some of it.
    "fixed window": (lambda: FixedWindow(100, 0.5), {}, 1.4, 5.0),
    "fixed window, begun before": (lambda: FixedWindow(100, 0.5, offset=0.2), {}, 1.4, 5.0),
    "fixed window, announced": (lambda: FixedWindow(100, 0.5, announces=True), {}, 1.02, 0.0),
    "sliding window": (lambda: SlidingWindow(100, 0.5), {}, 1.7, 5.0),
    "sliding window that counts refusals": (
        lambda: SlidingWindow(100, 0.5, charges_refused=True),
        {},
        1.7,
        5.0,
    ),
    "8 at a time": (lambda: ConcurrencyLimit(8, 0.02), {"service": 0.02}, 1.65, 2.0),
    "a minute's window, announced": (
        lambda: FixedWindow(100, 60, announces=True, offset=25),
        {"jobs": 120, "latency": 0.05},
        1.01,
        0.0,
    ),
    "a minute's window, Retry-After": (
        lambda: FixedWindow(100, 60, retry_after=True),
        {"jobs": 120, "latency": 0.05},
        1.25,
        17.0,
    ),
    "500 a minute, announced": (
        lambda: TokenBucket(500 / 60, 500, announces=True),
        {"jobs": 300, "latency": 0.2},
        1.03,
        2.0,
    ),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_keeps_just_below_the_limit(name: str) -> None:
    make, options, over_ideal, percent_refused = SCENARIOS[name]
    runs = simulate(make, **options)
    assert max(run.over_ideal for run in runs) <= over_ideal
    assert max(100 * run.share_refused for run in runs) <= percent_refused


def test_a_limiter_that_is_really_limiting_refuses_an_unpaced_client() -> None:
    class Unpaced(Pacer):
        def delay(self, now: float) -> float:
            return 0.0

    run = Simulation(TokenBucket(200, 20), Unpaced()).run()
    assert run.share_refused > 0.5


@pytest.mark.parametrize("latency", [0.0003, 0.001, 0.02, 0.1])
def test_without_a_limit_only_the_first_round_trips_are_slower(latency: float) -> None:
    callers, flights = (200, 10) if latency > 0.01 else (50, 20)
    run = Simulation(
        Unlimited(),
        Pacer(),
        jobs=callers * flights,
        pages=1,
        concurrency=callers,
        latency=latency,
        jitter=0,
    ).run()
    extra = run.seconds - flights * latency
    assert extra <= max(0.010, 4.01 * latency)
    assert run.most_in_flight == callers


def test_a_refused_request_goes_behind_because_else_it_spends_all_its_attempts() -> None:
    def most_attempts(behind: bool) -> int:
        runs = [
            Simulation(FixedWindow(100, 0.5), Pacer(), seed=seed, behind=behind).run()
            for seed in SEEDS
        ]
        return max(max(run.attempts) for run in runs)

    assert most_attempts(behind=True) <= 3
    assert most_attempts(behind=False) > 6


def test_the_learnt_rate_is_the_refill_rate() -> None:
    for rate, burst in [(50, 5), (200, 20), (1000, 100)]:
        pacer = Pacer()
        Simulation(TokenBucket(rate, burst), pacer).run()
        assert pacer.rate == pytest.approx(rate, rel=0.15)


def test_a_rate_of_the_callers_own_is_never_exceeded() -> None:
    pacer = Pacer(max_requests_per_second=100)
    run = Simulation(Unlimited(), pacer, jobs=100).run()
    assert not run.refused
    assert run.seconds == pytest.approx(3.0, rel=0.03)
    for first in run.sent:
        assert sum(first <= sent < first + 1 for sent in run.sent) <= 102


def test_a_rate_of_the_callers_own_holds_under_a_higher_limit_too() -> None:
    run = Simulation(TokenBucket(200, 5), Pacer(max_requests_per_second=50), jobs=100).run()
    assert run.seconds == pytest.approx(6.0, rel=0.03)
    assert not run.refused


def test_a_limit_that_falls_later_is_found_by_a_client_that_was_never_refused() -> None:
    run = Simulation(
        TokenBucket(50_000, 50_000, changes_at=0.05, changes_to=100), Pacer(), jobs=50, latency=0.02
    ).run()
    assert not run.refused


# -- single decisions, with a made clock ------------------------------------------------------


def flight(pacer: Pacer, now: float) -> list[float]:
    """Send all that the pacer lets out now."""
    tickets = []
    while pacer.delay(now) == 0:
        tickets.append(pacer.sent(now))
    return tickets


def test_the_first_flight_is_small_and_grows_with_every_answer() -> None:
    pacer = Pacer()
    sizes = []
    for trip in range(5):
        tickets = flight(pacer, trip * 0.02)
        sizes.append(len(tickets))
        assert pacer.delay(trip * 0.02) == math.inf
        for ticket in tickets:
            pacer.accepted(ticket, (trip + 1) * 0.02)
    assert sizes[0] == 10
    assert sizes == sorted(sizes)
    assert sizes[-1] > 90


def test_a_flight_that_is_not_used_does_not_grow() -> None:
    pacer = Pacer()
    for step in range(1000):
        pacer.accepted(pacer.sent(float(step)), step + 0.5)
    assert len(flight(pacer, 1000.0)) <= 11


@pytest.mark.parametrize("hinted", [5.0, 60.0])
def test_a_lone_refused_request_waits_as_long_as_it_is_told(hinted: float) -> None:
    pacer = Pacer()
    pacer.refused(pacer.sent(0.0), 0.1, RateLimitHints(retry_after=hinted))
    assert pacer.delay(0.1) == pytest.approx(hinted)
    assert pacer.delay(0.1 + hinted) == 0


def test_after_such_a_wait_the_others_follow_at_once() -> None:
    class ClosedAtFirst(Unlimited):
        def admits(self, now: float) -> bool:
            return now > 30

        def hints(self, now: float, admitted: bool) -> RateLimitHints | None:
            return None if admitted else RateLimitHints(retry_after=30)

    run = Simulation(ClosedAtFirst(), Pacer(), jobs=100, latency=0.02).run()
    assert run.seconds < 32
    assert len(run.refused) <= 10


def test_a_server_that_was_closed_for_a_minute_without_a_hint_is_not_taken_for_slow() -> None:
    class ClosedAtFirst(Unlimited):
        def admits(self, now: float) -> bool:
            return now > 60

    run = Simulation(ClosedAtFirst(), Pacer(), jobs=100, latency=0.02).run()
    assert run.seconds < 2.2 * 60
    assert len(run.refused) <= 30


def test_a_reset_with_nothing_remaining_is_such_a_hint_too() -> None:
    pacer = Pacer()
    pacer.refused(pacer.sent(0.0), 0.1, RateLimitHints(remaining=0, limit=10, reset=6.0))
    assert pacer.delay(0.1) == pytest.approx(6.0)


def test_without_a_hint_the_pause_doubles() -> None:
    pacer = Pacer()
    now, pauses = 0.0, []
    for _ in range(6):
        ticket = pacer.sent(now)
        now += 0.01
        pacer.refused(ticket, now)
        pauses.append(pacer.delay(now))
        now += pauses[-1]
    ratios = [later / earlier for earlier, later in pairwise(pauses)]
    assert ratios == pytest.approx([2.0] * 5)


def test_a_hint_is_tested_when_others_were_accepted_just_before() -> None:
    pacer = Pacer()
    first, second = pacer.sent(0.0), pacer.sent(0.001)
    pacer.accepted(first, 0.010)
    pacer.refused(second, 0.011, RateLimitHints(retry_after=1))
    assert pacer.delay(0.011) < 0.1


def test_a_hint_that_proved_right_is_obeyed_from_then_on() -> None:
    run = Simulation(FixedWindow(50, 30, retry_after=True), Pacer(), jobs=60, latency=0.05).run()
    in_third_window = [at for at in run.refused if 61 < at < 90]
    in_first_window = [at for at in run.refused if 1 < at < 30]
    assert len(in_first_window) > len(in_third_window)


def test_the_refusals_of_one_flight_are_one_event() -> None:
    pacer = Pacer()
    tickets = flight(pacer, 0.0)
    for ticket in tickets:
        pacer.refused(ticket, 0.1)
    alone = Pacer()
    alone.refused(alone.sent(0.0), 0.1)
    assert pacer.delay(0.1) == alone.delay(0.1)


def test_no_more_are_in_flight_than_an_announced_window_has_left() -> None:
    pacer = Pacer()
    pacer.accepted(pacer.sent(0.0), 0.01, RateLimitHints(limit=4, remaining=3, reset=60))
    tickets = flight(pacer, 0.02)
    assert len(tickets) == 3
    for left, ticket in zip([2, 1, 0], tickets, strict=True):
        pacer.accepted(ticket, 0.03, RateLimitHints(limit=4, remaining=left, reset=59.98))
    assert pacer.delay(0.03) == pytest.approx(59.98)
    assert pacer.delay(60.02) == 0


def test_hints_in_part_or_past_are_no_reason_to_wait() -> None:
    for hints in [
        RateLimitHints(),
        RateLimitHints(remaining=0),
        RateLimitHints(reset=60.0),
        RateLimitHints(remaining=0, reset=0.0),
        RateLimitHints(limit=0, remaining=5, reset=1.0),
    ]:
        pacer = Pacer()
        pacer.accepted(pacer.sent(0.0), 0.01, hints)
        assert pacer.delay(0.01) == 0, hints


def test_a_lost_request_leaves_the_flight_and_says_nothing() -> None:
    pacer = Pacer()
    tickets = flight(pacer, 0.0)
    assert pacer.delay(1.0) == math.inf
    pacer.lost(tickets[0], 1.0)
    assert pacer.in_flight == len(tickets) - 1
    assert (pacer.accepted_count, pacer.rate) == (0, None)
    assert pacer.delay(1.0) == 0


def test_idle_time_does_not_count_as_time_in_which_the_server_bore_little() -> None:
    pacer = Pacer()
    limiter = TokenBucket(200, 20)
    Simulation(limiter, pacer).run()
    before = pacer.rate
    assert before is not None
    now = 1000.0
    while pacer.delay(now) > 0:
        now += pacer.delay(now)
    pacer.refused(pacer.sent(now), now + 0.001)
    assert pacer.rate is not None
    assert pacer.rate > before / 2


@pytest.mark.parametrize("rate", [0, -1, math.inf, math.nan])
def test_a_rate_that_is_none_is_an_error_at_the_call(rate: float) -> None:
    with pytest.raises(ValueError, match="max_requests_per_second must be a positive number"):
        Pacer(max_requests_per_second=rate)


# -- any order of events ----------------------------------------------------------------------

hints = st.none() | st.builds(
    RateLimitHints,
    retry_after=st.none() | st.floats(0, 100),
    limit=st.none() | st.integers(0, 1000),
    remaining=st.none() | st.integers(0, 1000),
    reset=st.none() | st.floats(0, 100),
)
events = st.lists(
    st.tuples(
        st.sampled_from(["send", "accepted", "refused", "lost"]),
        st.sampled_from([0.0, 1e-4, 0.01, 1.0, 50.0]),
        st.integers(0, 1000),
        hints,
    ),
    max_size=150,
)


@settings(max_examples=300, deadline=None)
@given(events, st.none() | st.floats(0.1, 1000))
def test_whatever_happens_the_pacer_lets_the_next_one_out(
    events: list[tuple[str, float, int, RateLimitHints | None]], limit: float | None
) -> None:
    pacer, now, tickets = Pacer(max_requests_per_second=limit), 0.0, list[float]()
    for kind, later, which, said in events:
        now += later
        delay = pacer.delay(now)
        assert delay >= 0
        if kind == "send":
            if delay == 0:
                tickets.append(pacer.sent(now))
        elif tickets:
            ticket = tickets.pop(which % len(tickets))
            if kind == "lost":
                pacer.lost(ticket, now)
            else:
                getattr(pacer, kind)(ticket, now, said)
        assert pacer.in_flight == len(tickets)
        assert pacer.rate is None or 0 < pacer.rate < math.inf
    for ticket in tickets:
        pacer.lost(ticket, now)
    for _ in range(100):
        delay = pacer.delay(now)
        if delay == 0:
            return
        assert delay < math.inf, "nothing is in flight, so no answer will come"
        now += delay
    raise AssertionError("the pacer never lets another request out")


# -- the retry budget -------------------------------------------------------------------------


# -- the gate, on a real loop -----------------------------------------------------------------


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


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


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


async def test_those_who_wait_are_let_in_in_their_order() -> None:
    gate, order = Gate(Hand(math.inf)), list[int]()

    async def caller(number: int) -> None:
        await gate.enter()
        order.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(caller(number))
        await turns()
        assert gate.waiting == 5
        open_up(gate)
    assert order == [0, 1, 2, 3, 4]
    assert gate.waiting == 0


async def test_a_newcomer_does_not_pass_those_who_wait() -> None:
    pacer = Hand(math.inf)
    gate = Gate(pacer)
    first = asyncio.create_task(gate.enter())
    await turns()
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
        await turns()
        assert gate.waiting > 0
        assert len(timers()) == 1
    assert callers[-1].result() > 0.02
    assert timers() == []


async def test_a_cancelled_caller_gives_its_place_to_the_next() -> None:
    pacer = Hand(math.inf)
    gate = Gate(pacer)
    first, second = (asyncio.create_task(gate.enter()) for _ in range(2))
    await turns()
    first.cancel()
    await turns()
    assert first.cancelled()
    assert gate.waiting == 1
    open_up(gate)
    await second
    assert pacer.in_flight == 1


async def test_a_caller_cancelled_after_its_turn_came_gives_the_ticket_back() -> None:
    pacer = Hand(math.inf)
    gate = Gate(pacer)
    caller = asyncio.create_task(gate.enter())
    await turns()
    open_up(gate)
    assert pacer.in_flight == 1
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert pacer.in_flight == 0


async def test_no_timer_is_left_when_all_are_cancelled() -> None:
    gate = Gate(Hand(60.0))
    callers = [asyncio.create_task(gate.enter()) for _ in range(3)]
    await turns()
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
        await turns()
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
    limiter = TokenBucket(500, 20, retry_after=1)
    begun, refused = loop.time(), 0

    async def caller() -> None:
        nonlocal refused
        for _ in range(10):
            while True:
                ticket = await gate.enter()
                await asyncio.sleep(0.0005)
                now = loop.time() - begun
                if limiter.admits(now):
                    gate.accepted(ticket)
                    break
                refused += 1
                gate.refused(ticket, limiter.hints(now, admitted=False))

    async with asyncio.TaskGroup() as group:
        for _ in range(30):
            group.create_task(caller())
    assert gate.pacer.accepted_count == 300
    assert refused < 60
    assert loop.time() - begun < 3 * limiter.ideal(300)
    assert gate.pacer.in_flight == 0
    assert timers() == []


def test_the_worst_seeds_are_not_far_from_the_mean() -> None:
    runs = [
        Simulation(TokenBucket(200, 20, retry_after=1), Pacer(), seed=s).run() for s in range(40)
    ]
    assert statistics.mean(run.share_refused for run in runs) < 0.02
    assert max(run.share_refused for run in runs) < 0.03
    assert max(run.over_ideal for run in runs) < 1.06
