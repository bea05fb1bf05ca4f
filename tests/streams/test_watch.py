"""Watches of jobs that do what a test says, under a virtual clock."""

import asyncio
import contextlib
import gc
import itertools
import json
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from asyncckpt import (
    APIConnectionError,
    CaughtUp,
    CheckpointCreated,
    Finished,
    InternalServerError,
    JobFailure,
    NotFoundError,
    StatusChanged,
    Watch,
)
from asyncckpt.streams.roster import WatchSettings
from asyncckpt.streams.schedule import SHORTEST

from support.clock import in_virtual_time
from support.watched import (
    WatchedJob,
    brief,
    briefly,
    later,
    not_found,
    server_error,
    watch,
    watch_checkpoints,
)


def untrusted() -> Exception:
    return APIConnectionError("untrusted", is_final=True)


@in_virtual_time
async def test_what_exists_comes_first_in_order_of_time_then_what_happens() -> None:
    job = WatchedJob()
    for at in (1, 3, 5):
        job.log(at)
    job.create(2)
    job.create(5)

    def go_on() -> None:
        job.log(8)
        job.create(7)

    def end() -> None:
        job.log(9)
        job.create(9)
        job.status = "succeeded"

    later(25, go_on)
    later(45, end)
    assert await briefly(watch([job])) == [
        "EventLogged ftevent-ftjob-a-0",
        "CheckpointCreated ftckpt_ftjob-a_1",
        "EventLogged ftevent-ftjob-a-1",
        "CheckpointCreated ftckpt_ftjob-a_2",
        "EventLogged ftevent-ftjob-a-2",
        "CaughtUp running",
        "CheckpointCreated ftckpt_ftjob-a_3",
        "EventLogged ftevent-ftjob-a-3",
        "CheckpointCreated ftckpt_ftjob-a_4",
        "EventLogged ftevent-ftjob-a-4",
        "StatusChanged succeeded",
        "Finished succeeded",
    ]


@in_virtual_time
async def test_every_update_names_its_job() -> None:
    job = WatchedJob()
    job.log(1)
    job.create(1)
    later(15, lambda: setattr(job, "status", "failed"))
    updates = [update async for update in watch([job])]
    assert len(updates) == 5
    assert {update.fine_tuning_job_id for update in updates} == {"ftjob-a"}
    assert updates[3] == StatusChanged(job.record, "running", fine_tuning_job_id="ftjob-a")


@in_virtual_time
async def test_a_job_that_has_ended_needs_one_poll() -> None:
    job = WatchedJob(status="cancelled", finished_at=int(time.time()) - 3_600)
    job.create(1)
    assert await briefly(watch([job])) == [
        "CheckpointCreated ftckpt_ftjob-a_1",
        "CaughtUp cancelled",
        "Finished cancelled",
    ]
    assert job.requests == 3


@in_virtual_time
async def test_a_checkpoint_that_is_listed_after_the_end_is_not_missed() -> None:
    job = WatchedJob()
    later(15, lambda: setattr(job, "status", "succeeded"))
    later(21, lambda: job.create(20))
    assert await briefly(watch([job])) == [
        "CaughtUp running",
        "StatusChanged succeeded",
        "CheckpointCreated ftckpt_ftjob-a_1",
        "Finished succeeded",
    ]


@in_virtual_time
async def test_lists_that_lag_are_read_again_if_a_job_has_just_ended() -> None:
    job = WatchedJob(status="succeeded", finished_at=int(time.time()))
    later(1, lambda: job.create(20))
    assert await briefly(watch([job])) == [
        "CaughtUp succeeded",
        "CheckpointCreated ftckpt_ftjob-a_1",
        "Finished succeeded",
    ]


@in_virtual_time
async def test_lists_that_lag_are_read_again_by_a_watch_that_continues_at_the_end() -> None:
    job = WatchedJob(status="running")
    first = watch([job])
    async for update in first:
        job.status = "succeeded"
        if isinstance(update, StatusChanged):
            break
    await first.aclose()
    later(1, lambda: job.create(20))
    assert await briefly(watch([job], resume=first.resume_token)) == [
        "CaughtUp succeeded",
        "CheckpointCreated ftckpt_ftjob-a_1",
        "Finished succeeded",
    ]


@pytest.mark.parametrize("status", ["validating_files", "paused", "pausing", "what?", "", "error"])
def test_other_statuses_do_not_end_a_watch(status: str) -> None:
    @in_virtual_time
    async def check() -> None:
        job = WatchedJob(status=status)
        later(3600, lambda: setattr(job, "status", "succeeded"))
        assert await briefly(watch([job])) == [
            f"CaughtUp {status}",
            "StatusChanged succeeded",
            "Finished succeeded",
        ]
        assert len(job.polls) == 361

    check()


@in_virtual_time
async def test_several_jobs_come_in_one_stream() -> None:
    jobs = [WatchedJob(f"ftjob-{number}") for number in range(20)]
    for number, job in enumerate(jobs):
        job.create(number)
        later(50 + number, lambda job=job: setattr(job, "status", "succeeded"))  # type: ignore[misc]
    updates = [update async for update in watch(jobs)]
    for job in jobs:
        own = [brief(one) for one in updates if one.fine_tuning_job_id == job.id]
        assert own == [
            f"CheckpointCreated ftckpt_{job.id}_1",
            "CaughtUp running",
            "StatusChanged succeeded",
            "Finished succeeded",
        ]


@in_virtual_time
async def test_the_checkpoints_of_a_job_come_in_order_of_their_steps() -> None:
    job = WatchedJob()
    # The times contradict the steps.
    for step, at in ((10, 30), (20, 20), (30, 10)):
        job.create(at, step)
    job.log(1)

    def end() -> None:
        job.create(5, 50)
        job.create(6, 40)
        job.status = "succeeded"

    later(15, end)
    async with watch_checkpoints([job]) as stream:
        assert [one.step_number async for one in stream] == [10, 20, 30, 40, 50]
    assert job.events.asked == []


@in_virtual_time
async def test_updates_come_in_order_of_time_whatever_their_steps_are() -> None:
    job = WatchedJob(status="succeeded")
    for at, step in ((1, 30), (2, 10), (3, 20)):
        job.create(at, step)
    updates = [update async for update in watch([job])]
    steps = [one.checkpoint.step_number for one in updates if isinstance(one, CheckpointCreated)]
    assert steps == [30, 10, 20]


@in_virtual_time
async def test_a_quiet_job_costs_three_small_requests_a_poll() -> None:
    job = WatchedJob()
    for at in range(250):
        job.log(at)
        job.create(at)
    with contextlib.suppress(TimeoutError):
        await briefly(watch([job], timeout=105))
    assert len(job.polls) == 11
    for served in (job.checkpoints, job.events):
        assert [is_small for _, is_small in served.asked] == [False] * 3 + [True] * 10


@in_virtual_time
async def test_the_server_says_when_to_poll_again() -> None:
    job = WatchedJob(hint=100.0)
    with contextlib.suppress(TimeoutError):
        await briefly(watch([job], interval=None, timeout=1000))
    waits = [second - first for first, second in itertools.pairwise(job.polls)]
    assert len(waits) == 9
    assert all(100 <= wait <= 105 for wait in waits)


@in_virtual_time
async def test_the_end_of_a_job_is_expected_at_the_estimated_time() -> None:
    job = WatchedJob(estimated_finish=int(time.time()) + 100_000)
    with contextlib.suppress(TimeoutError):
        await briefly(watch([job], interval=None, timeout=1000))
    far = len(job.polls)
    job.estimated_finish = int(time.time()) + 10
    with contextlib.suppress(TimeoutError):
        await briefly(watch([job], interval=None, timeout=1000))
    assert len(job.polls) - far > 5 * far


@in_virtual_time
async def test_times_of_the_server_may_be_absurd() -> None:
    job = WatchedJob(estimated_finish=10**400, finished_at=10**400)
    later(15, lambda: setattr(job, "status", "succeeded"))
    seen = await briefly(watch([job], interval=None))
    assert seen == ["CaughtUp running", "StatusChanged succeeded", "Finished succeeded"]


@in_virtual_time
async def test_a_queued_job_costs_one_request_a_poll() -> None:
    job = WatchedJob(status="queued")
    job.log(1)
    with contextlib.suppress(TimeoutError):
        await briefly(watch([job], timeout=95))
    assert len(job.polls) == 10
    assert job.requests == 12


@in_virtual_time
async def test_a_server_that_lists_the_oldest_first_is_read_from_its_end() -> None:
    job = WatchedJob(order="oldest first")
    for at in range(250):
        job.log(at)

    def go_on() -> None:
        for at in range(250, 280):
            job.log(at)

    later(35, go_on)
    seen: list[str] = []
    with contextlib.suppress(TimeoutError):
        await briefly(watch([job], timeout=75), seen)
    assert seen[250:] == ["CaughtUp running"] + [
        f"EventLogged ftevent-ftjob-a-{number}" for number in range(250, 280)
    ]
    assert len(job.polls) == 8
    assert len(job.events.asked) == 3 + 3 + 2 + 3


@in_virtual_time
async def test_two_jobs_of_the_same_id_are_watched_once() -> None:
    job = WatchedJob(status="failed")
    assert await briefly(watch([job], source=["ftjob-a", "ftjob-a"])) == [
        "CaughtUp failed",
        "Finished failed",
    ]


@in_virtual_time
async def test_jobs_may_come_from_an_async_generator() -> None:
    jobs = [WatchedJob(f"ftjob-{number}", status="failed") for number in range(3)]
    closed = []

    async def source() -> AsyncIterator[Any]:
        try:
            for job in jobs:
                await asyncio.sleep(100)
                yield job
        finally:
            closed.append(True)

    assert len(await briefly(watch(jobs, source=source()))) == 6
    assert closed == [True]


@in_virtual_time
async def test_no_job_is_a_watch_that_ends_at_once() -> None:
    assert await briefly(watch([])) == []


@in_virtual_time
async def test_transient_faults_do_not_end_a_watch() -> None:
    job = WatchedJob()
    later(5, lambda: setattr(job, "failing", server_error))
    later(595, lambda: setattr(job, "failing", lambda: None))
    later(605, lambda: setattr(job, "status", "succeeded"))
    assert (await briefly(watch([job])))[-1] == "Finished succeeded"


@in_virtual_time
async def test_a_list_that_fails_is_read_again() -> None:
    job = WatchedJob(order="oldest first")
    for at in range(30):
        job.create(at)
        job.log(at)
    seen = []
    async for update in watch([job]):
        seen.append(brief(update))
        if seen[-1].startswith("CaughtUp"):
            job.create(50)
            job.events.failing = server_error
            later(35, lambda: setattr(job.events, "failing", lambda: None))
            later(45, lambda: setattr(job, "status", "succeeded"))
    assert seen[60:] == [
        "CaughtUp running",
        "CheckpointCreated ftckpt_ftjob-a_31",
        "StatusChanged succeeded",
        "Finished succeeded",
    ]


@in_virtual_time
async def test_silence_ends_a_watch() -> None:
    job = WatchedJob()
    loop = asyncio.get_running_loop()
    job.failing = server_error
    started = loop.time()
    with pytest.raises(InternalServerError) as caught:
        await briefly(watch([job], max_silence=100))
    assert loop.time() - started == pytest.approx(100, abs=10)
    assert caught.value.fine_tuning_job_id == "ftjob-a"
    assert caught.value.__notes__ == ["asyncckpt has polled the job for 100 s without success"]


@in_virtual_time
async def test_a_poll_that_succeeds_ends_the_silence() -> None:
    job = WatchedJob()
    # Each tenth poll succeeds.
    job.failing = lambda: server_error() if len(job.polls) % 10 else None
    later(1000, lambda: setattr(job, "status", "succeeded"))
    assert (await briefly(watch([job], max_silence=150)))[-1] == "Finished succeeded"


@in_virtual_time
async def test_a_server_that_can_never_be_reached_ends_a_watch() -> None:
    job = WatchedJob(failing=untrusted)
    with pytest.raises(APIConnectionError, match="untrusted"):
        await briefly(watch([job]))
    assert len(job.polls) == 3


@in_virtual_time
async def test_a_server_that_was_reached_before_may_be_reached_again() -> None:
    job = WatchedJob()
    later(5, lambda: setattr(job, "failing", untrusted))
    later(95, lambda: setattr(job, "failing", lambda: None))
    later(95, lambda: setattr(job, "status", "succeeded"))
    assert (await briefly(watch([job])))[-1] == "Finished succeeded"


@in_virtual_time
async def test_no_job_is_polled_after_a_failure_that_ends_the_watch() -> None:
    jobs = [WatchedJob("ftjob-a"), WatchedJob("ftjob-b")]
    later(15, lambda: setattr(jobs[1], "failing", not_found))
    stream = aiter(watch(jobs))
    for _ in jobs:
        await anext(stream)
    await asyncio.sleep(1000)
    assert len(jobs[0].polls) <= 4
    with pytest.raises(NotFoundError):
        await anext(stream)


@in_virtual_time
async def test_silence_need_not_end_a_watch() -> None:
    job = WatchedJob(failing=server_error)
    with pytest.raises(TimeoutError):
        await briefly(watch([job], max_silence=None, timeout=100_000))


@in_virtual_time
async def test_a_slow_consumer_is_not_silence() -> None:
    job = WatchedJob()
    job.create(1)
    job.failing = lambda: server_error() if len(job.polls) == 2 else None
    async for update in watch([job], max_silence=20):
        if isinstance(update, CheckpointCreated):
            await asyncio.sleep(1000)
        if isinstance(update, CaughtUp):
            later(45, lambda: setattr(job, "status", "succeeded"))
    assert isinstance(update, Finished)


@in_virtual_time
async def test_a_missing_job_ends_the_watch_after_the_updates_before() -> None:
    jobs = [WatchedJob("ftjob-a"), WatchedJob("ftjob-b")]
    jobs[0].create(1)
    later(35, lambda: setattr(jobs[1], "failing", not_found))
    seen: list[str] = []
    with pytest.raises(NotFoundError, match=r"no \(job ftjob-b\)"):
        await briefly(watch(jobs), seen)
    assert seen == ["CheckpointCreated ftckpt_ftjob-a_1", "CaughtUp running", "CaughtUp running"]


@in_virtual_time
async def test_failures_can_be_collected() -> None:
    jobs = [WatchedJob("ftjob-a", failing=not_found), WatchedJob("ftjob-b", status="failed")]
    stream = watch(jobs, on_error="collect", source=["ftjob-a", "ftjob-b", None])
    assert await briefly(stream) == ["CaughtUp failed", "Finished failed"]
    assert [failure.fine_tuning_job_id for failure in stream.failures] == ["ftjob-a", "None"]


@in_virtual_time
async def test_failures_can_be_passed_on() -> None:
    failures: list[JobFailure] = []

    async def on_error(failure: JobFailure) -> None:
        failures.append(failure)

    assert await briefly(watch([WatchedJob(failing=not_found)], on_error=on_error)) == []
    assert isinstance(failures[0].error, NotFoundError)


@in_virtual_time
async def test_another_exception_ends_the_watch() -> None:
    job = WatchedJob(failing=lambda: OSError("no key"))
    with pytest.raises(OSError, match="no key"):
        await briefly(watch([job, WatchedJob("ftjob-b")]))


@in_virtual_time
async def test_an_exception_of_the_source_ends_the_watch() -> None:
    def source() -> Any:
        yield "ftjob-a"
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        await briefly(watch([WatchedJob()], source=source()))


@in_virtual_time
async def test_the_time_of_a_watch_is_limited() -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    stream = watch([WatchedJob(f"ftjob-{number}") for number in range(5)], timeout=33.5)
    with pytest.raises(TimeoutError, match=r"not ended within timeout=33.5 s"):
        await briefly(stream)
    assert loop.time() - started == pytest.approx(33.5)


@in_virtual_time
async def test_the_time_also_ends_between_two_updates() -> None:
    job = WatchedJob()
    for at in range(5):
        job.log(at)
    seen: list[str] = []
    with pytest.raises(TimeoutError):
        await briefly(watch([job], timeout=25), seen, pause=10)
    assert len(seen) == 3


@in_virtual_time
async def test_no_job_is_polled_after_the_time_is_over() -> None:
    job = WatchedJob()
    stream = aiter(watch([job], timeout=25))
    await anext(stream)
    await asyncio.sleep(1000)
    assert len(job.polls) == 3
    with pytest.raises(TimeoutError):
        await anext(stream)


@in_virtual_time
async def test_a_slow_consumer_slows_the_polls_down() -> None:
    jobs = [WatchedJob(f"ftjob-{number}", status="succeeded") for number in range(300)]
    async for _ in watch(jobs):
        await asyncio.sleep(1000)
        break
    assert sum(bool(job.polls) for job in jobs) <= 51


@in_virtual_time
async def test_a_woken_job_is_polled_at_once() -> None:
    job = WatchedJob(status="queued")
    job.log(1)
    stream = watch([job], interval=1000)
    loop = asyncio.get_running_loop()
    started = loop.time()

    def call() -> None:
        job.status = "succeeded"
        stream.wake("ftjob-a")

    later(5, call)
    assert (await briefly(stream))[-1] == "Finished succeeded"
    assert loop.time() - started == pytest.approx(7)
    stream.wake("ftjob-a")


@in_virtual_time
async def test_a_job_that_is_woken_during_a_poll_is_polled_again() -> None:
    job = WatchedJob()
    stream = watch([job], interval=1000)

    def on_poll() -> None:
        if len(job.polls) == 1:
            stream.wake("ftjob-a")
            asyncio.get_running_loop().call_soon(setattr, job, "status", "succeeded")

    job.on_poll = on_poll
    loop = asyncio.get_running_loop()
    started = loop.time()
    await briefly(stream)
    assert loop.time() - started == pytest.approx(2)


@in_virtual_time
async def test_an_unknown_job_cannot_be_woken() -> None:
    stream = watch([WatchedJob()])
    stream.wake("ftjob-a")
    with pytest.raises(ValueError, match=r"no job 'ftjob-x'; it has no jobs so far"):
        stream.wake("ftjob-x")
    async for _ in stream:
        with pytest.raises(ValueError, match=r"no job 'ftjob-x'; it has ftjob-a"):
            stream.wake("ftjob-x")
        break


@in_virtual_time
async def test_a_job_that_may_still_come_can_be_woken() -> None:
    jobs = [WatchedJob("ftjob-a", status="failed"), WatchedJob("ftjob-b", status="failed")]

    async def source() -> AsyncIterator[WatchedJob]:
        for job in jobs:
            await asyncio.sleep(10)
            yield job

    stream = watch(jobs, source=source())
    async for update in stream:
        if isinstance(update, CaughtUp) and update.fine_tuning_job_id == "ftjob-a":
            stream.wake("ftjob-b")
            stream.wake("ftjob-x")
    with pytest.raises(ValueError, match=r"it has ftjob-a, ftjob-b"):
        stream.wake("ftjob-x")


@in_virtual_time
async def test_a_record_names_a_job_that_can_be_woken() -> None:
    job = WatchedJob()
    stream = watch([job], source=(job,))
    stream.wake("ftjob-a")
    with pytest.raises(ValueError, match="no job 'ftjob-x'"):
        stream.wake("ftjob-x")


@in_virtual_time
async def test_a_watch_can_be_iterated_over_once() -> None:
    stream = watch([WatchedJob(status="failed")])
    await briefly(stream)
    with pytest.raises(RuntimeError, match="already iterated over"):
        aiter(stream)


@in_virtual_time
async def test_a_closed_watch_does_not_look_like_its_end() -> None:
    stream = watch([WatchedJob()])
    iterator = aiter(stream)
    await anext(iterator)
    await stream.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await anext(iterator)


@pytest.mark.parametrize("delay", [0.0, 0.5, 9.99, 10.0, 25.0])
def test_a_watch_can_be_left_at_any_time(delay: float) -> None:
    @in_virtual_time
    async def check() -> None:
        async def source() -> AsyncIterator[str]:
            for job in jobs:
                await asyncio.sleep(1)
                yield job.id
            await asyncio.sleep(1000)

        jobs = [WatchedJob(f"ftjob-{number}") for number in range(5)]
        task = asyncio.create_task(briefly(watch(jobs, source=source())))
        await asyncio.sleep(delay)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    check()


@in_virtual_time
async def test_a_watch_goes_on_where_another_one_stopped() -> None:
    job = WatchedJob()
    for at in range(5):
        job.log(at)
        job.create(at)
    seen: list[str] = []
    token = None
    for _ in range(12):
        stream = watch([job], resume=token)
        async for update in stream:
            if not isinstance(update, CaughtUp):
                seen.append(brief(update))
                break
            job.status = "succeeded"
        token = stream.resume_token
    assert len(seen) == len({*seen}) == 12
    assert seen[-2:] == ["StatusChanged succeeded", "Finished succeeded"]
    assert json.loads(str(token))["jobs"] == {"ftjob-a": {"finished": True}}
    requests = job.requests
    assert await briefly(watch([job], resume=token)) == []
    assert job.requests == requests


@in_virtual_time
async def test_a_token_keeps_the_jobs_that_the_next_watch_has_not_reached() -> None:
    jobs = [WatchedJob("ftjob-a"), WatchedJob("ftjob-b")]
    first = watch(jobs)
    async for update in first:
        if update.fine_tuning_job_id == "ftjob-b":
            break
    second = watch(jobs, resume=first.resume_token)
    assert second.resume_token == first.resume_token
    async for _ in second:
        break
    assert {*json.loads(second.resume_token)["jobs"]} == {"ftjob-a", "ftjob-b"}


@in_virtual_time
async def test_a_change_of_status_between_two_watches_is_reported() -> None:
    job = WatchedJob(status="queued")
    first = watch([job])
    async for _ in first:
        break
    job.status = "succeeded"
    job.create(5)
    assert await briefly(watch([job], resume=first.resume_token)) == [
        "CheckpointCreated ftckpt_ftjob-a_1",
        "StatusChanged succeeded",
        "CaughtUp succeeded",
        "Finished succeeded",
    ]


@in_virtual_time
async def test_a_list_that_is_oldest_first_is_continued_by_the_next_watch() -> None:
    job = WatchedJob(order="oldest first")
    for at in range(500):
        job.log(at)
    first = watch([job])
    async for update in first:
        if isinstance(update, CaughtUp):
            break
    asked = len(job.events.asked)
    job.log(500)
    job.status = "succeeded"
    seen = await briefly(watch([job], resume=first.resume_token))
    assert seen[0] == "EventLogged ftevent-ftjob-a-500"
    assert len(job.events.asked) - asked == 2


@in_virtual_time
async def test_the_timer_of_a_watch_that_is_left_is_cancelled() -> None:
    async with watch([WatchedJob()], timeout=100_000) as stream:
        async for _ in stream:
            break
    scheduled: list[asyncio.TimerHandle] = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    assert [timer for timer in scheduled if not timer.cancelled()] == []


@in_virtual_time
async def test_the_token_of_a_long_job_is_short() -> None:
    job = WatchedJob()
    for at in range(2000):
        job.log(at)
    stream = watch([job])
    async for update in stream:
        if isinstance(update, CaughtUp):
            break
    assert len(stream.resume_token) < 4000


@in_virtual_time
async def test_jobs_that_have_ended_do_not_slow_the_polls_of_the_others() -> None:
    ended = [WatchedJob(f"ftjob-{number}", status="succeeded") for number in range(400)]
    job = WatchedJob()
    job.on_poll = lambda: job.log(int(time.monotonic()))
    with contextlib.suppress(TimeoutError):
        async for _ in watch([*ended, job], interval=None, timeout=100):
            pass
    pauses = [second - first for first, second in itertools.pairwise(job.polls[1:])]
    assert max(pauses) < 2 * SHORTEST


@in_virtual_time
async def test_a_source_that_is_not_exhausted_is_closed_with_the_watch() -> None:
    is_closed = False

    def jobs() -> Iterator[str]:
        nonlocal is_closed
        try:
            for job in watched:
                yield job.id
        finally:
            is_closed = True

    watched = [WatchedJob(f"ftjob-{number}", latency=5) for number in range(500)]
    source = jobs()
    async with watch(watched, source=source) as stream:
        async for _ in stream:
            break
    assert is_closed


@in_virtual_time
async def test_a_closed_watch_does_not_keep_the_jobs() -> None:
    feeds: list[weakref.ref[WatchedJob]] = []

    def feed_of(job_id: str) -> WatchedJob:
        feed = WatchedJob(job_id)
        feeds.append(weakref.ref(feed))
        return feed

    settings = WatchSettings(interval=10.0, timeout=None, max_silence=None)
    async with Watch(["ftjob-a"], feed_of, settings, on_error="raise", resume=None) as stream:
        async for _ in stream:
            break
    gc.collect()
    assert [feed() for feed in feeds] == [None]
    assert "ftjob-a" in stream.resume_token
