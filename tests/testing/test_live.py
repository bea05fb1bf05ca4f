"""Jobs that run by a clock."""

import random
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncckpt.testing import Clock, Sandbox

from support.browser import Browser
from support.strategies import thorough

START = 1_800_000_000
TIMES = {"validating": 10, "queued": 20, "seconds_per_step": 0.5}


@pytest.fixture
def clock() -> Clock:
    return Clock(speed=0, start=START)


@pytest.fixture
def live(clock: Clock) -> Sandbox:
    return Sandbox(jobs=2, clock=clock)


def job_of(box: Sandbox, job_id: str) -> Any:
    return next(job for job in box.jobs if job["id"] == job_id)


def walk(box: Sandbox, seconds: float, limit: int = 1_000) -> Iterator[Any]:
    """Yield the newest job, and again after each step of the clock, until it has ended."""
    for _ in range(limit):
        job = box.jobs[0]
        yield job
        if job["finished_at"] is not None:
            return
        box.clock.advance(seconds)
    raise AssertionError("the job never ended")


def test_it_goes_through_the_statuses_and_succeeds(live: Sandbox, clock: Clock) -> None:
    job = live.add_live_job(epochs=3, steps_per_epoch=4, **TIMES)
    seen: list[tuple[str, float, int]] = []
    for record in walk(live, 0.5):
        if not seen or seen[-1][::2] != (record["status"], len(live.checkpoints_of(job))):
            seen.append((record["status"], clock() - START, len(live.checkpoints_of(job))))
    assert seen == [
        ("validating_files", 0, 0),
        ("queued", 10, 0),
        ("running", 30, 0),
        ("running", 32, 1),
        ("running", 34, 2),
        ("running", 36, 3),
        ("succeeded", 41, 3),
    ]
    record = job_of(live, job)
    assert record["created_at"] == START
    assert record["finished_at"] == START + 41
    assert record["fine_tuned_model"].startswith(f"ft:{record['model']}:acme:")
    assert record["result_files"] != []
    assert record["hyperparameters"]["n_epochs"] == 3
    assert record["estimated_finish"] is None


def test_a_running_one_says_when_it_will_end(live: Sandbox, clock: Clock) -> None:
    job = live.add_live_job(epochs=3, steps_per_epoch=4, **TIMES)
    assert job_of(live, job)["estimated_finish"] is None
    clock.advance(31)
    assert job_of(live, job)["estimated_finish"] == START + 41


def test_its_events_tell_of_each_step_as_it_happens(live: Sandbox, clock: Clock) -> None:
    job = live.add_live_job(epochs=2, steps_per_epoch=3, **TIMES)
    counts: list[int] = []
    for _ in walk(live, 0.5):
        counts.append(len(live.events_of(job)))
        assert live.events_of(job)[0]["created_at"] <= clock()
    assert sorted(counts) == counts
    assert len(live.events_of(job)) == 4 + 6 + 2 + 2
    created = [c["created_at"] for c in live.checkpoints_of(job)]
    assert created == [START + 33, START + 31]


@thorough
@given(
    st.integers(1, 6),
    st.integers(1, 9),
    st.floats(0.01, 100),
    st.sampled_from(["succeeded", "failed", "cancelled"]),
    st.none() | st.integers(1, 4),
    st.integers(0, 2**32),
    st.integers(0, 2**32),
)
@example(1, 1, 10.5, "failed", None, 69, 2)
def test_what_it_has_done_does_not_depend_on_how_the_clock_got_there(
    epochs: int, steps: int, seconds: float, outcome: Any, keep: int | None, seed: int, walk: int
) -> None:
    def make(clock: Clock) -> tuple[Sandbox, str]:
        box = Sandbox(jobs=0, seed=seed, clock=clock)
        job = box.add_live_job(
            epochs=epochs,
            steps_per_epoch=steps,
            seconds_per_step=seconds,
            outcome=outcome,
            keep_epochs=keep,
        )
        return box, job

    stepped, job = make(Clock(speed=0, start=START))
    known: dict[str, Any] = {}
    chance = random.Random(walk)
    for _ in range(8):
        stepped.clock.advance(chance.random() * (30 + epochs * steps * seconds / 4))
        jumped, same_job = make(Clock(speed=0, start=START))
        jumped.clock.advance(stepped.clock() - START)
        assert same_job == job
        assert jumped.jobs == stepped.jobs
        assert jumped.checkpoints_of(job) == stepped.checkpoints_of(job)
        events = list(stepped.events_of(job))
        assert list(jumped.events_of(job)) == events
        assert len(stepped.checkpoints_of(job)) <= (keep or epochs)
        # What was there stays as it was, before what is new.
        assert [event for event in events if event["id"] in known] == list(reversed(known.values()))
        known = {event["id"]: event for event in reversed(events)}
        assert all(event["created_at"] <= stepped.clock() for event in events)


@pytest.mark.parametrize("outcome", ["failed", "cancelled"])
def test_it_may_end_on_the_way(outcome: Any, live: Sandbox) -> None:
    job = live.add_live_job(epochs=10, outcome=outcome, **TIMES)
    *_, ended = walk(live, 1)
    assert ended["status"] == outcome
    assert 0 < len(live.checkpoints_of(job)) < 10
    assert ended["result_files"] == []
    assert (ended["error"] is not None) is (outcome == "failed")


def test_it_may_keep_the_checkpoints_of_the_last_epochs_only(live: Sandbox, clock: Clock) -> None:
    job = live.add_live_job(epochs=5, steps_per_epoch=4, keep_epochs=3, **TIMES)
    clock.advance(30 + 2 * 4)
    checkpoints = live.checkpoints_of(job)
    assert [c["step_number"] for c in checkpoints] == [16, 12, 8]
    oldest = checkpoints[-1]
    clock.advance(2)
    assert [c["step_number"] for c in checkpoints] == [16, 12, 8]
    checkpoints = live.checkpoints_of(job)
    assert [c["step_number"] for c in checkpoints] == [20, 16, 12]
    assert checkpoints.position_of(oldest["id"]) is None
    told = [event["message"] for event in live.events_of(job)]
    assert sum(oldest["fine_tuned_model_checkpoint"] in message for message in told) == 1


async def test_a_request_finds_it_up_to_date(clock: Clock) -> None:
    async with Sandbox(jobs=0, clock=clock) as box, aiohttp.ClientSession() as session:
        job = box.add_live_job(epochs=3, steps_per_epoch=4, **TIMES)
        browser = Browser(box, session)
        for seconds, status, checkpoints in ((0, "validating_files", 0), (34, "running", 2)):
            clock.advance(seconds)
            assert len((await browser.page(job))["data"]) == checkpoints
            found = (await browser.get(f"/v1/fine_tuning/jobs/{job}")).json
            assert found["status"] == status
        clock.advance(60)
        (listed,) = (await browser.get("/v1/fine_tuning/jobs")).json["data"]
        assert listed["status"] == "succeeded"
        file = f"/v1/files/{listed['result_files'][0]}/content"
        assert len((await browser.get(file)).body.splitlines()) == 13


def test_a_job_that_is_added_later_is_newer(live: Sandbox) -> None:
    live.add_live_job()
    live.add_job()
    times = [job["created_at"] for job in live.jobs]
    assert times == sorted(times, reverse=True)
    assert len(set(times)) == len(times)


def test_it_can_be_ended_by_hand_but_not_moved_on(live: Sandbox, clock: Clock) -> None:
    job = live.add_live_job(**TIMES)
    with pytest.raises(ValueError, match="is live"):
        live.add_checkpoint(job)
    clock.advance(15)
    live.finish(job, "cancelled")
    clock.advance(1_000)
    record = job_of(live, job)
    assert (record["status"], record["finished_at"]) == ("cancelled", START + 15)
    assert len(live.events_of(job)) == 4
    with pytest.raises(ValueError, match="has finished"):
        live.finish(job)


def test_a_clock_that_went_back_undoes_nothing(live: Sandbox, clock: Clock) -> None:
    job = live.add_live_job(**TIMES)
    clock.advance(35)
    before = job_of(live, job)["status"], len(live.events_of(job))
    live.clock.advance(0)
    live._dataset._clock = Clock(speed=0, start=START)  # pyright: ignore[reportPrivateUsage]
    assert (job_of(live, job)["status"], len(live.events_of(job))) == before
