"""Watches of many jobs, with faults and restarts, under a virtual clock."""

import asyncio
import contextlib
import itertools
import random
from collections import Counter

import attrs
import pytest

from asyncckpt import CaughtUp, CheckpointCreated, EventLogged, Finished, StatusChanged, Update

from support.clock import in_virtual_time
from support.watched import Order, WatchedJob, later, server_error, watch

HOUR = 3600.0
STATUSES = ("running", "paused", "pausing", "validating_files", "queued", "what?", "")
ORDERS: tuple[Order, ...] = ("newest first", "oldest first", "none")


@attrs.define
class Account:
    """Jobs that run for an hour, each with random times of everything it does."""

    chance: random.Random
    jobs: list[WatchedJob] = attrs.field(factory=list)
    created: dict[str, set[str]] = attrs.field(factory=dict)

    def add(self, number: int) -> None:
        job = WatchedJob(
            f"ftjob-{number}",
            status="queued",
            order=ORDERS[number % 3],
            latency=0.1,
            failing=self.fault,
        )
        job.checkpoints.failing = job.events.failing = self.fault
        self.jobs.append(job)
        self.created[job.id] = set()
        for _ in range(self.chance.randrange(60)):
            later(self.chance.uniform(-600, HOUR), lambda: self.log(job))
        for _ in range(self.chance.randrange(12)):
            later(self.chance.uniform(-600, HOUR), lambda: self.create(job))
        for _ in range(5):
            status = self.chance.choice(STATUSES)
            later(self.chance.uniform(0, HOUR), lambda status=status: self.change(job, status))  # type: ignore[misc]
        end = self.chance.choice(["succeeded", "failed", "cancelled"])
        later(HOUR + self.chance.uniform(0, 600), lambda: self.change(job, end))

    def fault(self) -> Exception | None:
        return server_error() if self.chance.random() < 0.1 else None

    def log(self, job: WatchedJob) -> None:
        # The clock of the server has full seconds, and some events are written late.
        at = int(asyncio.get_running_loop().time()) - self.chance.choice([0, 0, 0, 2])
        self.created[job.id].add(job.log(at).id)

    def create(self, job: WatchedJob) -> None:
        step = len(self.created[job.id]) + 1
        self.created[job.id].add(job.create(int(asyncio.get_running_loop().time()), step).id)
        # Those of the last three epochs are kept; a poll has seen the others long ago.
        old = asyncio.get_running_loop().time() - 1500
        records = job.checkpoints.records
        job.checkpoints.records = [
            one for n, one in enumerate(records) if n >= len(records) - 3 or one.created_at > old
        ]

    def change(self, job: WatchedJob, status: str) -> None:
        job.status = status


@pytest.mark.parametrize(("seed", "interval"), [(1, 20.0), (2, None)])
def test_everything_comes_once_and_every_job_ends(seed: int, interval: float | None) -> None:
    @in_virtual_time
    async def check() -> None:
        account = Account(random.Random(seed))
        for number in range(60):
            account.add(number)
        loop = asyncio.get_running_loop()
        updates: list[Update] = []
        token, restarts = None, 0
        while sum(isinstance(update, Finished) for update in updates) < len(account.jobs):
            restarts += 1
            stream = watch(account.jobs, interval=interval, resume=token)
            left = account.chance.randrange(1, 600)
            async with stream:
                async for update in stream:
                    updates.append(update)
                    left -= 1
                    if not left:
                        break
            token = stream.resume_token
            await asyncio.sleep(account.chance.uniform(0, 30))
        assert restarts > 3
        for job in account.jobs:
            own = [update for update in updates if update.fine_tuning_job_id == job.id]
            found = Counter(
                one.checkpoint.id if isinstance(one, CheckpointCreated) else one.event.id
                for one in own
                if isinstance(one, CheckpointCreated | EventLogged)
            )
            assert found == Counter(account.created[job.id])
            ends = [type(update) for update in own if not isinstance(update, CaughtUp)][-2:]
            assert ends == [StatusChanged, Finished]
            assert sum(isinstance(update, Finished) for update in own) == 1
        polls = sum(len(job.polls) for job in account.jobs)
        assert sum(job.requests for job in account.jobs) <= 3.3 * polls
        hours = (loop.time() - 1000) / HOUR
        if interval:
            assert polls <= len(account.jobs) * (hours * HOUR / interval + restarts)

    check()


@pytest.mark.parametrize("interval", [60.0, None])
def test_the_polls_of_quiet_jobs_are_spread_evenly(interval: float | None) -> None:
    @in_virtual_time
    async def check() -> None:
        jobs = [WatchedJob(f"ftjob-{number}", latency=0.05) for number in range(1000)]
        with contextlib.suppress(TimeoutError):
            async for _ in watch(jobs, interval=interval, timeout=600):
                pass
        polls = sorted(at for job in jobs for at in job.polls if at > 1000 + 300)
        seconds = Counter(int(at) for at in polls)
        shares = 1000 / (interval or 50)
        assert max(seconds.values()) < 2 * shares
        assert min(seconds[second] for second in range(1310, 1590)) > shares / 3
        if interval:
            for job in jobs[:50]:
                steady = [second - first for first, second in itertools.pairwise(job.polls[1:])]
                assert steady == pytest.approx([60.0] * len(steady))

    check()
