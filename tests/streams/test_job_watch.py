"""One job, in random histories: every item exactly once, also across restarts."""

import json
from typing import Any

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asyncckpt import CaughtUp, CheckpointCreated, EventLogged, Finished, InternalServerError
from asyncckpt.streams.job_watch import JobWatch
from asyncckpt.streams.resumption import JobState, Kind
from asyncckpt.streams.schedule import Rhythm

from support.watched import Order, WatchedJob, drive, server_error

actions = st.one_of(
    st.tuples(st.just("log"), st.integers(1, 40), st.integers(0, 3)),
    st.tuples(st.just("create"), st.integers(1, 5), st.integers(0, 3)),
    st.tuples(st.just("late"), st.integers(1, 4), st.integers(1, 8)),
    st.tuples(st.just("vanish"), st.integers(0, 3), st.just(0)),
    st.tuples(st.just("poll"), st.just(0), st.just(0)),
    st.tuples(st.just("fail"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("restart"), st.integers(0, 50), st.just(0)),
)
orders = st.sampled_from(["newest first", "oldest first", "none"])


@attrs.define
class History:
    """A job, a watch of it, and what the watch has handed out.

    Late items are a few places behind the newest ones.
    """

    order: Order
    kind: Kind = "updates"
    now: int = 1_700_000_000
    seen: list[str] = attrs.field(factory=list)
    listed: set[str] = attrs.field(factory=set)
    job: WatchedJob = attrs.field(init=False)
    watch: JobWatch = attrs.field(init=False)
    made: int = 0
    caught_up: int = 0
    finished: int = 0

    def __attrs_post_init__(self) -> None:
        self.job = WatchedJob(order=self.order)
        self.restart(JobState())

    def restart(self, state: JobState) -> None:
        self.watch = JobWatch("ftjob-a", self.job, state, self.kind, Rhythm(0.0, 0.0, 1.0))

    def act(self, action: str, number: int, step: int) -> None:
        match action:
            case "log":
                for _ in range(number):
                    self.now += step
                    self.job.log(self.now)
            case "create":
                for _ in range(number):
                    self.now += step
                    self.made += 1
                    self.job.create(self.now, 10 * self.made)
            case "late":
                times = sorted(event.created_at for event in self.job.events.records)
                for _ in range(number):
                    self.job.log(times[-step] if len(times) >= step else self.now)
            case "vanish":
                records = self.job.checkpoints.records
                del records[: max(0, len(records) - number)]
            case "poll":
                self.poll()
            case "fail":
                served = (self.job, self.job.checkpoints, self.job.events)[number]
                served.failing = server_error
                if number < 2 or self.kind == "updates":
                    with pytest.raises(InternalServerError):
                        drive(self.watch.look())
                served.failing = lambda: None
            case "restart":
                self.poll(number)
                state = json.loads(json.dumps(self.watch.state.to_json()))
                self.restart(JobState.from_json(state))

    def poll(self, taken: int | None = None) -> None:
        """Poll, and take all updates, or only the first ones."""
        now = {record.id for record in self.job.checkpoints.records}
        if self.kind == "updates":
            now |= {record.id for record in self.job.events.records}
        look = drive(self.watch.look())
        times = []
        for update in list(look.updates)[:taken]:
            self.watch.hand_out(update)
            match update:
                case CheckpointCreated(record) | EventLogged(record):
                    self.seen.append(record.id)
                    by_step = self.kind == "checkpoints"
                    times.append(record.step_number if by_step else record.created_at)  # type: ignore[union-attr]
                case CaughtUp():
                    self.caught_up += 1
                case Finished():
                    self.finished += 1
                case _:
                    pass
        assert times == sorted(times)
        if taken is None or taken >= len(look.updates):
            self.watch.settle()
        # What was listed, but not taken, may vanish before the next poll.
        self.listed |= now if taken is None else {*self.seen}

    def end(self) -> None:
        self.job.status = "succeeded"
        while not self.watch.is_over:
            self.poll()


@settings(max_examples=150, deadline=None)
@given(orders, st.sampled_from(["updates", "checkpoints"]), st.lists(actions, max_size=25))
@example("newest first", "updates", [("log", 40, 1), ("restart", 12, 0), ("late", 4, 5)])
def test_every_item_comes_exactly_once(
    order: Order, kind: Kind, history: list[tuple[Any, int, int]]
) -> None:
    story = History(order, kind)
    for action in history:
        story.act(*action)
    story.end()
    assert len(story.seen) == len({*story.seen})
    assert {*story.seen} >= story.listed
    assert story.finished == 1


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(["newest first", "oldest first"]), st.integers(0, 400), st.booleans())
def test_a_quiet_poll_needs_three_requests(order: Order, items: int, is_resumed: bool) -> None:
    story = History(order)
    for number in range(items):
        story.job.log(number)
        story.job.create(number)
    story.poll()
    if is_resumed:
        story.restart(JobState.from_json(json.loads(json.dumps(story.watch.state.to_json()))))
        before = story.job.requests
        story.poll()
        assert story.job.requests - before == 3
    for _ in range(3):
        before = story.job.requests
        story.poll()
        assert story.job.requests - before == 3


def test_a_server_that_ignores_cursors_is_read_again() -> None:
    story = History("oldest first")
    story.act("log", 30, 1)
    story.poll()
    story.job.events.ignores_cursors = True
    story.job.events.small = 1000
    story.act("log", 3, 1)
    story.poll()
    assert len(story.seen) == 33


def test_a_server_that_reorders_its_list_is_read_completely() -> None:
    story = History("newest first")
    story.act("log", 40, 1)
    story.poll()
    story.job.events.order = "none"
    story.act("log", 30, 1)
    story.poll()
    assert len(story.seen) == len({*story.seen}) == 70
