"""Generates jobs that run by a clock: what such a job has done is a function of the time.

Nothing happens in the background. A job is brought up to date when somebody looks at it, so the
clock may jump, stand still or run at any speed.
"""

from __future__ import annotations

from typing import Literal

import attrs

from asyncckpt.testing.digests import fraction_of
from asyncckpt.testing.job import Job
from asyncckpt.testing.shapes import FINISHED, CheckpointObject, Status
from asyncckpt.testing.training import Schedule

Outcome = Literal["succeeded", "failed", "cancelled"]

_WRAP_UP = 5
"""Seconds from the last step to the end of a job that succeeds."""


@attrs.frozen(kw_only=True)
class Plan:
    """What a live job is going to do.

    Args:
        created_at: Unix time in seconds at which it is created.
        validating: Seconds for the validation of its files.
        queued: Seconds in the queue.
        epochs: Passes through the training file; a checkpoint is created at the end of each.
        steps_per_epoch: Steps in each of them.
        seconds_per_step: Seconds for each step.
        outcome: How it ends.
        keep_epochs: How many checkpoints to keep, the newest; None for all.
    """

    created_at: int
    validating: int
    queued: int
    epochs: int
    steps_per_epoch: int
    seconds_per_step: float
    outcome: Outcome
    keep_epochs: int | None

    @property
    def queued_at(self) -> int:
        """Unix time in seconds at which its files are validated."""
        return self.created_at + self.validating

    @property
    def schedule(self) -> Schedule:
        """When it does what."""
        return Schedule(
            every=self.steps_per_epoch,
            full_every=1,
            started_at=self.queued_at + self.queued,
            spacing=self.steps_per_epoch * self.seconds_per_step,
        )

    def last_step(self, digest: bytes) -> int:
        """Return the step at which it ends: the last, or one on the way if it does not succeed."""
        planned = self.epochs * self.steps_per_epoch
        if self.outcome == "succeeded":
            return planned
        return max(1, int(planned * (0.3 + 0.6 * fraction_of(digest, 48))))


@attrs.define
class LiveJob(Job):
    """A job that runs by a clock.

    Args:
        outcome: How it ends.
        last_step: The step at which it ends.
        now: The time up to which it has run: Unix time in seconds.
    """

    outcome: Outcome = attrs.field(kw_only=True)
    last_step: int = attrs.field(kw_only=True)
    now: float = attrs.field(kw_only=True, default=0.0)

    @property
    def ends_at(self) -> int:
        """Unix time in seconds at which it ends."""
        wrap_up = _WRAP_UP if self.outcome == "succeeded" else 0
        return self.checkpoints.training.schedule.time_after(self.last_step) + wrap_up

    def run_until(self, now: float) -> None:
        """Do what is to be done until a time; a clock that went back changes nothing."""
        if self.object["status"] in FINISHED or now < self.now:
            return
        self.now = now
        schedule = self.checkpoints.training.schedule
        if now < self.queued_at:
            return
        if now < schedule.started_at:
            self.start("queued")
            return
        self.start("running")
        self.object["estimated_finish"] = self.ends_at
        self.checkpoints.steps = min(self.last_step, schedule.steps_until(now))
        if now >= self.ends_at:
            self.end(self.outcome, self.ends_at)

    def finish(self, status: Status) -> None:
        """End the job now, before its time; see `Job.finish`."""
        self.end(status, int(self.now))

    def add_checkpoint(self) -> CheckpointObject:
        """Refuse: the clock does that.

        Raises:
            ValueError: Always.
        """
        message = f"job {self.object['id']} is live: its clock creates the checkpoints"
        raise ValueError(message)
