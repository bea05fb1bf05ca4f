"""Watches of live jobs of a sandbox, over real connections."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from asyncckpt import (
    AsyncClient,
    CaughtUp,
    CheckpointCreated,
    EventLogged,
    Finished,
    NotFoundError,
    StatusChanged,
    Update,
)
from asyncckpt.testing import Clock, Sandbox, faults
from asyncckpt.testing.profiles import ProfileName

from support.leftovers import at_rest, nothing_left
from support.listing import served_ids

INTERVAL = 0.01


def event_ids(sandbox: Sandbox, job: str) -> list[str]:
    return [event["id"] for event in sandbox.events_of(job)]


def ids_in(updates: list[Update]) -> list[str]:
    return [
        update.checkpoint.id if isinstance(update, CheckpointCreated) else update.event.id
        for update in updates
        if isinstance(update, CheckpointCreated | EventLogged)
    ]


async def test_live_jobs_are_followed_to_their_end() -> None:
    async with nothing_left(), Sandbox(jobs=0, live=4, clock=Clock(speed=400)) as sandbox:
        async with sandbox.client() as client:
            watch = client.fine_tuning.jobs.watch(sandbox.job_ids, interval=INTERVAL)
            updates = [update async for update in watch]
        for job in sandbox.job_ids:
            own = [update for update in updates if update.fine_tuning_job_id == job]
            wanted = Counter([*event_ids(sandbox, job), *served_ids(sandbox, job)])
            assert Counter(ids_in(own)) == wanted
            assert sum(isinstance(update, CaughtUp) for update in own) == 1
            assert isinstance(own[-1], Finished)
            assert own[-1].job.status in ("succeeded", "failed")
            changes = [one for one in own if isinstance(one, StatusChanged)]
            assert changes[-1].job == own[-1].job
        await at_rest(sandbox)


async def test_the_checkpoints_of_one_job_are_followed() -> None:
    async with Sandbox(jobs=0, live=1, clock=Clock(speed=400)) as sandbox:
        (job,) = sandbox.job_ids
        async with sandbox.client() as client:
            watch = client.fine_tuning.jobs.checkpoints.watch(job, interval=INTERVAL)
            steps = [checkpoint.step_number async for checkpoint in watch]
        assert steps == [20, 40, 60, 80, 100]
        assert not any("/events" in request.path for request in sandbox.requests)


async def test_finished_jobs_of_a_pager_are_read_once(sandbox: Sandbox) -> None:
    for job in sandbox.jobs:
        if job["status"] not in ("succeeded", "failed", "cancelled"):
            sandbox.finish(job["id"])
    async with sandbox.client() as client:
        jobs = client.fine_tuning.jobs
        updates = [update async for update in jobs.watch(jobs.list())]
    assert sum(isinstance(update, Finished) for update in updates) == 12
    wanted = Counter(id_ for job in sandbox.job_ids for id_ in event_ids(sandbox, job))
    wanted += Counter(id_ for job in sandbox.job_ids for id_ in served_ids(sandbox, job))
    assert Counter(ids_in(updates)) == wanted


async def test_a_job_that_does_not_exist_is_an_error(sandbox: Sandbox, client: AsyncClient) -> None:
    with pytest.raises(NotFoundError, match=r"Could not find fine tune: ftjob-x .*ftjob-x"):
        async for _ in client.fine_tuning.jobs.watch("ftjob-x"):
            pass


@pytest.mark.parametrize(
    ("path", "field"), [("/checkpoints", "data.*.fine_tuning_job_id"), ("", "id")]
)
async def test_a_response_of_another_job_is_not_used(
    sandbox: Sandbox, client: AsyncClient, path: str, field: str
) -> None:
    job = sandbox.job_ids[0]
    rule = sandbox.inject(faults.SetField(field, "ftjob-other"), path=f"{job}{path}")
    async for update in client.fine_tuning.jobs.watch(job):
        if isinstance(update, CheckpointCreated):
            assert update.checkpoint.fine_tuning_job_id == job
        if isinstance(update, CaughtUp):
            assert update.job.id == job
            break
    assert rule.hits == 1


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"jobs": "a/b"}, ValueError, "fine_tuning_job_id"),
        ({"jobs": ""}, ValueError, "fine_tuning_job_id"),
        ({"jobs": 5}, TypeError, "jobs must be an iterable"),
        ({"interval": 0}, ValueError, "interval must be more than 0"),
        ({"interval": "5"}, TypeError, "interval must be a number"),
        ({"timeout": -1}, ValueError, "timeout must be more than 0"),
        ({"max_silence": 0}, ValueError, "max_silence must be more than 0"),
        ({"on_error": "skip"}, ValueError, "on_error must be"),
        ({"resume": "nonsense"}, ValueError, "resume is not"),
        ({"resume": 5}, TypeError, "resume must be"),
        ({"max_retrys": 5}, TypeError, "did you mean 'max_retries'"),
        ({"max_retries": -1}, ValueError, "max_retries"),
    ],
)
async def test_invalid_arguments_are_errors_of_the_call(
    client: AsyncClient, arguments: dict[str, Any], kind: type[Exception], message: str
) -> None:
    jobs = client.fine_tuning.jobs
    for method in (jobs.watch, jobs.checkpoints.watch):
        with pytest.raises(kind, match=message):
            method(**{"jobs": "ftjob-a", **arguments})


async def test_the_options_of_the_call_are_used(sandbox: Sandbox) -> None:
    async with sandbox.client() as client:
        options: Any = {"extra_headers": {"x-team": "a"}, "extra_query": {"team": "b"}}
        async with client.fine_tuning.jobs.watch(sandbox.job_ids[0], **options) as watch:
            async for update in watch:
                if isinstance(update, CaughtUp):
                    break
    assert len(sandbox.requests) > 4
    for request in sandbox.requests:
        assert request.headers["x-team"] == "a"
        assert request.query["team"] == "b"


async def watch_in_pieces(
    sandbox: Sandbox, client: AsyncClient, chance: random.Random, jobs: list[str]
) -> list[Update]:
    """Watch jobs to their end, with a new watch after each of some random numbers of updates."""
    updates: list[Update] = []
    token = None
    while sum(isinstance(update, Finished) for update in updates) < len(jobs):
        watch = client.fine_tuning.jobs.watch(jobs, interval=0.05, resume=token)
        left = chance.randrange(1, 1500)
        async with watch:
            async for update in watch:
                updates.append(update)
                left -= 1
                if not left:
                    break
        token = watch.resume_token
    return updates


@pytest.mark.parametrize("profile", ["openai", "azure", "nebius", "minimal"])
async def test_everything_comes_exactly_once_in_spite_of_faults_and_restarts(
    profile: ProfileName,
) -> None:
    chance = random.Random(5)
    clock = Clock(speed=60)
    async with nothing_left(), Sandbox(jobs=0, clock=clock, profile=profile) as sandbox:
        for number in range(60 if profile == "openai" else 20):
            sandbox.add_live_job(
                epochs=chance.randrange(1, 8),
                steps_per_epoch=5,
                validating=chance.randrange(30),
                queued=chance.randrange(60),
                outcome=chance.choice(["succeeded", "failed", "cancelled"]),
                keep_epochs=3 if number % 2 else None,
            )
        for fault in (faults.Status(500), faults.Reset(), faults.CutBody(), faults.Html()):
            sandbox.inject(fault, times=None, probability=0.025)
        for status in ("paused", "what?"):
            sandbox.inject(
                faults.SetField("status", status),
                times=None,
                probability=0.05,
                job=chance.choice(sandbox.job_ids),
            )
        async with sandbox.client(max_wait=10) as client:
            updates = await watch_in_pieces(sandbox, client, chance, sandbox.job_ids)
        for job in sandbox.job_ids:
            own = [update for update in updates if update.fine_tuning_job_id == job]
            found = Counter(ids_in(own))
            assert max(found.values()) == 1
            assert found.keys() >= {*event_ids(sandbox, job), *served_ids(sandbox, job)}
            assert isinstance(own[-1], Finished)
            assert sum(isinstance(update, Finished) for update in own) == 1
        await at_rest(sandbox)


@pytest.mark.parametrize("way", ["cancel", "break", "close"])
async def test_a_watch_can_be_left_at_any_time(way: str) -> None:
    chance = random.Random(way)
    async with nothing_left(), Sandbox(jobs=3, live=3, clock=Clock(speed=50)) as sandbox:
        client = sandbox.client()

        async def follow(left: int) -> None:
            watch = client.fine_tuning.jobs.watch(sandbox.job_ids, interval=INTERVAL)
            async for _ in watch:
                left -= 1
                if not left and way == "break":
                    break
                if not left and way == "close":
                    await watch.aclose()

        for _ in range(20):
            following = asyncio.create_task(follow(chance.randrange(1, 300)))
            if way == "cancel":
                await asyncio.sleep(chance.uniform(0, 0.05))
                following.cancel()
            try:
                await following
            except asyncio.CancelledError:
                assert way == "cancel"
            except RuntimeError:
                assert way == "close"
        await client.close()
        await at_rest(sandbox)
