"""Generated fine-tuning jobs, as the API returns them. The same seed always gives the same jobs."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from asyncckpt.testing.checkpoints import Checkpoints
from asyncckpt.testing.digests import digest_of, name_from
from asyncckpt.testing.shapes import CheckpointObject, JobObject, Method, Status

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
NOT_STARTED: frozenset[Status] = frozenset({"validating_files", "queued"})
FINISHED: frozenset[Status] = frozenset({"succeeded", "failed", "cancelled"})

_MODELS: dict[Method, str] = {
    "supervised": "gpt-4o-mini-2024-07-18",
    "dpo": "gpt-4.1-mini-2025-04-14",
    "reinforcement": "o4-mini-2025-04-16",
}
_SUFFIXES = ("support-bot", "triage", "sql-helper", "summaries", "tone", "router")
_TEAMS = ("support", "search", "billing")
_FIRST_JOB_AT = 1_735_689_600  # 2025-01-01T00:00:00Z
_JOB_GAP = 5_400


@attrs.define
class Job:
    """A generated job: its JSON object and its checkpoints."""

    object: JobObject
    checkpoints: Checkpoints

    def finish(self, status: Status) -> None:
        """End the job.

        Args:
            status: `succeeded`, `failed` or `cancelled`.

        Raises:
            ValueError: The job has already finished, or `status` is a different one.
        """
        if status not in FINISHED:
            message = f"a job ends as one of {sorted(FINISHED)}, not as {status!r}"
            raise ValueError(message)
        self._refuse_if_finished()
        last = self.checkpoints.created_at(len(self.checkpoints) - 1)
        record = self.object
        record["status"] = status
        record["estimated_finish"] = None
        record["finished_at"] = last + 60
        if status == "succeeded":
            digest = digest_of("model", record["id"])
            record["fine_tuned_model"] = f"{self.checkpoints.model}:{name_from(digest, 8)}"
            record["trained_tokens"] = 4_096 * max(1, len(self.checkpoints))
            record["result_files"] = [f"file-{name_from(digest[8:], 22)}"]
        if status == "failed":
            text = f"The job failed after checkpoint {len(self.checkpoints)}."
            record["error"] = {"code": "server_error", "message": text, "param": None}

    def add_checkpoint(self) -> CheckpointObject:
        """Add the next checkpoint to a running or waiting job, and return it.

        Raises:
            ValueError: The job has finished.
        """
        self._refuse_if_finished()
        self.object["status"] = "running"
        self.checkpoints.made += 1
        return self.checkpoints[0]

    def _refuse_if_finished(self) -> None:
        if self.object["status"] in FINISHED:
            message = (
                f"job {self.object['id']} has finished ({self.object['status']}); "
                'make a running one with add_job(status="running")'
            )
            raise ValueError(message)


class Dataset:
    """All jobs of a sandbox, newest first.

    Args:
        seed: The seed of all data.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._jobs: dict[str, Job] = {}

    @property
    def jobs(self) -> list[Job]:
        """The jobs, newest first."""
        return list(reversed(self._jobs.values()))

    def get(self, job_id: str) -> Job | None:
        """Return the job with this id, or None."""
        return self._jobs.get(job_id)

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
        number = len(self._jobs)
        digest = digest_of(self.seed, "job", number)
        method = method or METHODS[number % len(METHODS)]
        status = status or STATUSES[number % len(STATUSES)]
        if metadata is None and number % 3 != 2:
            metadata = {"team": _TEAMS[digest[61] % len(_TEAMS)], "run": str(number)}
        record = _job_object(digest, number, method, metadata, validation)
        count = 0 if status in NOT_STARTED else checkpoints
        job = Job(
            record,
            Checkpoints(
                seed=self.seed,
                job_id=record["id"],
                method=method,
                started_at=record["created_at"] + 300,
                model=f"ft:{record['model']}:acme:{_SUFFIXES[digest[62] % len(_SUFFIXES)]}",
                made=count,
                planned=checkpoints if status in FINISHED else 2 * checkpoints,
                validated=validation,
            ),
        )
        if status in FINISHED:
            job.finish(status)
        else:
            record["status"] = status
        if status == "running":
            record["estimated_finish"] = job.checkpoints.created_at(job.checkpoints.planned)
        self._jobs[record["id"]] = job
        return job


def _job_object(
    digest: bytes,
    number: int,
    method: Method,
    metadata: Mapping[str, str] | None,
    validation: bool,
) -> JobObject:
    hyperparameters = {
        "batch_size": 2 ** (digest[50] % 5),
        "learning_rate_multiplier": (0.1, 0.8, 1.8, 2.0)[digest[51] % 4],
        "n_epochs": 3 + digest[52] % 3,
    }
    return {
        "object": "fine_tuning.job",
        "id": f"ftjob-{name_from(digest, 24)}",
        "created_at": _FIRST_JOB_AT + _JOB_GAP * number,
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
