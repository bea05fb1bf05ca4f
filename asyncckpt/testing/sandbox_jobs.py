"""Gives tests access to the jobs of a sandbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

from asyncckpt.options import check_count, check_number
from asyncckpt.testing.checkpoints import Checkpoints
from asyncckpt.testing.clocks import Clock
from asyncckpt.testing.data import METHODS, STATUSES, Dataset
from asyncckpt.testing.events import Events
from asyncckpt.testing.job import Job
from asyncckpt.testing.live import Outcome, Plan
from asyncckpt.testing.profiles import PROFILES, ProfileName
from asyncckpt.testing.shapes import CheckpointObject, JobObject, Method, Status


class SandboxJobs:
    """The part of a sandbox that holds its jobs; `Sandbox` describes the arguments."""

    def __init__(
        self,
        *,
        seed: int,
        jobs: int,
        checkpoints: int,
        statuses: Sequence[Status] | None,
        live: int,
        clock: Clock | None,
        profile: ProfileName,
    ) -> None:
        if profile not in PROFILES:
            raise ValueError(f"profile is {profile!r}; give one of {tuple(PROFILES)}")
        self.seed = seed
        self.clock: Clock = Clock() if clock is None else clock
        self._checkpoints = checkpoints
        self._dataset = Dataset(seed, self.clock, PROFILES[profile])
        dealt = tuple(statuses or STATUSES)
        for position in reversed(range(jobs)):
            self._dataset.add_job(
                checkpoints=checkpoints,
                status=dealt[position % len(dealt)],
                method=METHODS[position % len(METHODS)],
            )
        for position in reversed(range(live)):
            self.add_live_job(
                method=METHODS[position % len(METHODS)],
                outcome="failed" if position % 4 == 3 else "succeeded",
            )

    @property
    def jobs(self) -> list[JobObject]:
        """The jobs as OpenAI's API returns them, newest first."""
        return [job.object for job in self._dataset.jobs]

    @property
    def job_ids(self) -> list[str]:
        """The ids of the jobs, newest first."""
        return [job["id"] for job in self.jobs]

    def checkpoints_of(self, job_id: str) -> Checkpoints:
        """Return the checkpoints of a job as OpenAI's API returns them, newest first.

        Other profiles have other ids and model names, here too. They differ from this in the order
        and in the fields of what they send.

        Args:
            job_id: The id of the job.

        Returns:
            A sequence that computes each record when it is read.

        Raises:
            KeyError: There is no such job.
        """
        return self._job(job_id).checkpoints

    def events_of(self, job_id: str) -> Events:
        """Return the events of a job as they are now, newest first, as the API returns them.

        Args:
            job_id: The id of the job.

        Returns:
            A sequence that computes each event when it is read.

        Raises:
            KeyError: There is no such job.
        """
        return self._job(job_id).events

    def add_job(
        self,
        *,
        checkpoints: int | None = None,
        status: Status | None = None,
        method: Method | None = None,
        metadata: Mapping[str, str] | None = None,
        validation: bool = True,
    ) -> str:
        """Add a job, which is the newest one.

        Args:
            checkpoints: The number of its checkpoints; default: that of the other jobs.
            status: Its status; default: the next in turn.
            method: Its method; default: the next in turn.
            metadata: Its metadata; default: generated.
            validation: Whether it has a validation file and validation metrics.

        Returns:
            Its id.
        """
        job = self._dataset.add_job(
            checkpoints=self._checkpoints if checkpoints is None else checkpoints,
            status=status,
            method=method,
            metadata=metadata,
            validation=validation,
        )
        return job.object["id"]

    def add_live_job(
        self,
        *,
        epochs: int = 5,
        steps_per_epoch: int = 20,
        seconds_per_step: float = 1.0,
        validating: int | None = None,
        queued: int | None = None,
        outcome: Outcome = "succeeded",
        keep_epochs: int | None = None,
        method: Method | None = None,
        metadata: Mapping[str, str] | None = None,
        validation: bool = True,
    ) -> str:
        """Add a job that runs by the `clock` from now on; it is the newest one.

        Its files are validated, it is queued, it trains, and it ends. An event tells of each step,
        and a checkpoint is created at the end of each epoch.

        Args:
            epochs: Passes through the training file.
            steps_per_epoch: Steps in each of them.
            seconds_per_step: Seconds of the clock for each step.
            validating: Seconds for the validation of its files; default: 5 to 14, from the seed.
            queued: Seconds in the queue; default: 10 to 39, from the seed.
            outcome: How it ends: `succeeded`, or, somewhere on the way, `failed` or `cancelled`.
            keep_epochs: Keep only the checkpoints of this many epochs, the newest, as OpenAI does
                with 3; default: all.
            method: Its method; default: the next in turn.
            metadata: Its metadata; default: generated.
            validation: Whether it has a validation file and validation metrics.

        Returns:
            Its id.

        Raises:
            TypeError: A number is of the wrong type.
            ValueError: A number is out of its range, or the outcome is unknown.
        """
        for name, number in (("epochs", epochs), ("steps_per_epoch", steps_per_epoch)):
            check_count(name, number, least=1)
        check_number("seconds_per_step", seconds_per_step, "seconds of the clock", above=0)
        if keep_epochs is not None:
            check_count("keep_epochs", keep_epochs, least=1)
        if outcome not in get_args(Outcome):
            raise ValueError(f"outcome is {outcome!r}; give one of {get_args(Outcome)}")
        digest = self._dataset.next_digest
        validating = 5 + digest[57] % 10 if validating is None else validating
        queued = 10 + digest[58] % 30 if queued is None else queued
        for name, number in (("validating", validating), ("queued", queued)):
            check_count(name, number, least=0)
        plan = Plan(
            created_at=int(self.clock()),
            validating=validating,
            queued=queued,
            epochs=epochs,
            steps_per_epoch=steps_per_epoch,
            seconds_per_step=seconds_per_step,
            outcome=outcome,
            keep_epochs=keep_epochs,
        )
        job = self._dataset.add_live_job(
            plan, method=method, metadata=metadata, validation=validation
        )
        return job.object["id"]

    def add_checkpoint(self, job_id: str) -> CheckpointObject:
        """Add the next checkpoint to a job that has not finished; a waiting job starts to run.

        Args:
            job_id: The id of the job.

        Returns:
            The new checkpoint as the API returns it.

        Raises:
            KeyError: There is no such job.
            ValueError: The job has finished, or it is live.
        """
        return self._job(job_id).add_checkpoint()

    def finish(self, job_id: str, status: Status = "succeeded") -> None:
        """End a job.

        Args:
            job_id: The id of the job.
            status: `succeeded`, `failed` or `cancelled`.

        Raises:
            KeyError: There is no such job.
            ValueError: The job has already finished, or `status` is a different one.
        """
        self._job(job_id).finish(status)

    def _job(self, job_id: str) -> Job:
        job = self._dataset.get(job_id)
        if job is None:
            message = f"the sandbox has no job {job_id!r}; its jobs are in .job_ids"
            raise KeyError(message)
        return job
