"""Generates fine-tuning jobs as the API returns them. The same seed always gives the same jobs."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from asyncckpt.testing.checkpoints import Checkpoints
from asyncckpt.testing.clocks import Clock
from asyncckpt.testing.digests import digest_of, name_from
from asyncckpt.testing.job import Job
from asyncckpt.testing.live import LiveJob, Plan
from asyncckpt.testing.profiles import Profile
from asyncckpt.testing.shapes import FINISHED, NOT_STARTED, JobObject, Method, Status
from asyncckpt.testing.training import Schedule, Training

METHODS: tuple[Method, ...] = ("supervised", "dpo", "reinforcement")
# Seven is coprime to the number of methods, so that every combination occurs.
STATUSES: tuple[Status, ...] = (
    "succeeded",
    "running",
    "succeeded",
    "cancelled",
    "succeeded",
    "failed",
    "succeeded",
)

_MODELS: dict[Method, str] = {
    "supervised": "gpt-4o-mini-2024-07-18",
    "dpo": "gpt-4.1-mini-2025-04-14",
    "reinforcement": "o4-mini-2025-04-16",
}
_SUFFIXES = ("support-bot", "triage", "sql-helper", "summaries", "tone", "router")
_TEAMS = ("support", "search", "billing")
_FIRST_JOB_AT = 1_735_689_600  # 2025-01-01T00:00:00Z
_JOB_GAP = 5_400


class Dataset:
    """All jobs of a sandbox, newest first.

    Args:
        seed: The seed of all data.
        clock: The clock of live jobs.
        profile: The kind of server.
    """

    def __init__(self, seed: int, clock: Clock, profile: Profile) -> None:
        self.seed = seed
        self.profile = profile
        self._clock = clock
        # The server may run in a thread, and tests look at the same jobs.
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}

    @property
    def jobs(self) -> list[Job]:
        """The jobs, newest first."""
        return [self._up_to_date(job) for job in reversed(self._jobs.values())]

    def get(self, job_id: str) -> Job | None:
        """Return the job with this id, or None."""
        job = self._jobs.get(job_id)
        return None if job is None else self._up_to_date(job)

    def with_result_file(self, file_id: str) -> Job | None:
        """Return the job with this result file, or None."""
        return next((job for job in self.jobs if file_id in job.object["result_files"]), None)

    def _up_to_date(self, job: Job) -> Job:
        if isinstance(job, LiveJob):
            with self._lock:
                job.run_until(self._clock())
        return job

    def add_job(
        self,
        *,
        checkpoints: int,
        status: Status | None = None,
        method: Method | None = None,
        metadata: Mapping[str, str] | None = None,
        validation: bool = True,
    ) -> Job:
        """Add a job, which is the newest one.

        Args:
            checkpoints: The number of its checkpoints; a job that has not started has none.
            status: Its status; default: the next of `STATUSES`.
            method: Its method; default: the next of `METHODS`.
            metadata: Its metadata; default: generated, and null for every third job.
            validation: Whether it has a validation file and validation metrics.

        Returns:
            The job.
        """
        number, digest = len(self._jobs), self.next_digest
        method = method or METHODS[number % len(METHODS)]
        status = status or STATUSES[number % len(STATUSES)]
        record = _job_object(digest, number, method, metadata, validation)
        if self._jobs:
            # Live jobs may be newer than generated ones.
            newest = next(reversed(self._jobs.values())).object["created_at"]
            record["created_at"] = max(record["created_at"], newest + 1)
        planned = checkpoints if status in FINISHED else 2 * checkpoints
        training = Training(
            seed=self.seed,
            job_id=record["id"],
            method=method,
            planned=planned,
            validated=validation,
            schedule=Schedule.of(
                digest_of(self.seed, record["id"]), max(1, planned), record["created_at"] + 300
            ),
        )
        count = 0 if status in NOT_STARTED else checkpoints
        steps = count * training.schedule.every
        job = Job(
            record,
            Checkpoints(
                training,
                model=self._model_of(record, digest),
                steps=steps,
                profile=self.profile,
            ),
            queued_at=record["created_at"] + 60,
        )
        if status in FINISHED:
            job.start("running")
            job.finish(status)
        else:
            job.start(status)
        if status == "running":
            later = training.total_steps + training.schedule.every
            record["estimated_finish"] = training.schedule.time_of(later)
        self._jobs[record["id"]] = job
        return job

    def add_live_job(
        self,
        plan: Plan,
        *,
        method: Method | None = None,
        metadata: Mapping[str, str] | None = None,
        validation: bool = True,
    ) -> LiveJob:
        """Add a job that runs by the clock.

        Args:
            plan: What it is going to do.
            method: Its method; default: the next of `METHODS`.
            metadata: Its metadata; default: generated, and null for every third job.
            validation: Whether it has a validation file and validation metrics.

        Returns:
            The job.
        """
        number, digest = len(self._jobs), self.next_digest
        method = method or METHODS[number % len(METHODS)]
        record = _job_object(
            digest,
            number,
            method,
            metadata,
            validation,
            created_at=plan.created_at,
            epochs=plan.epochs,
        )
        record["status"] = "validating_files"
        training = Training(
            seed=self.seed,
            job_id=record["id"],
            method=method,
            planned=plan.epochs,
            validated=validation,
            schedule=plan.schedule,
        )
        job = LiveJob(
            record,
            Checkpoints(
                training,
                model=self._model_of(record, digest),
                steps=0,
                keep=plan.keep_epochs,
                profile=self.profile,
            ),
            queued_at=plan.queued_at,
            outcome=plan.outcome,
            last_step=plan.last_step(digest),
        )
        self._jobs[record["id"]] = job
        return job

    @property
    def next_digest(self) -> bytes:
        """The bytes that the next job is made of."""
        return digest_of(self.seed, "job", len(self._jobs))

    def _model_of(self, record: JobObject, digest: bytes) -> str:
        suffix = _SUFFIXES[digest[62] % len(_SUFFIXES)]
        return self.profile.names.stem.format(
            base=record["model"], suffix=suffix, hex=digest[:16].hex()
        )


def _job_object(
    digest: bytes,
    number: int,
    method: Method,
    metadata: Mapping[str, str] | None,
    validation: bool,
    *,
    created_at: int | None = None,
    epochs: int | None = None,
) -> JobObject:
    if metadata is None and number % 3 != 2:
        metadata = {"team": _TEAMS[digest[61] % len(_TEAMS)], "run": str(number)}
    if created_at is None:
        created_at = _FIRST_JOB_AT + _JOB_GAP * number
    hyperparameters = {
        "batch_size": 2 ** (digest[50] % 5),
        "learning_rate_multiplier": (0.1, 0.8, 1.8, 2.0)[digest[51] % 4],
        "n_epochs": 3 + digest[52] % 3 if epochs is None else epochs,
    }
    return {
        "object": "fine_tuning.job",
        "id": f"ftjob-{name_from(digest, 24)}",
        "created_at": created_at,
        "error": None,
        "estimated_finish": None,
        "fine_tuned_model": None,
        "finished_at": None,
        "hyperparameters": hyperparameters,
        "integrations": [],
        "metadata": None if metadata is None else dict(metadata),
        "method": _method_object(method, hyperparameters),
        "model": _MODELS[method],
        "organization_id": "org-acme",
        "result_files": [],
        "seed": int.from_bytes(digest[53:57]) >> 1,
        "status": "queued",
        "trained_tokens": None,
        "training_file": f"file-{name_from(digest[24:], 22)}",
        "validation_file": f"file-{name_from(digest[30:], 22)}" if validation else None,
    }


def _method_object(method: Method, hyperparameters: Mapping[str, object]) -> dict[str, object]:
    settings: dict[str, object] = {"hyperparameters": dict(hyperparameters)}
    if method == "dpo":
        settings["hyperparameters"] = {**hyperparameters, "beta": 0.1}
    if method == "reinforcement":
        settings["grader"] = {
            "type": "string_check",
            "name": "exact answer",
            "input": "{{sample.output_text}}",
            "reference": "{{item.answer}}",
            "operation": "eq",
        }
    return {"type": method, method: settings}
