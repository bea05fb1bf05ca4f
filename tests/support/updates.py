"""Updates of a watch."""

from typing import Any

from asyncckpt import (
    CaughtUp,
    CheckpointCreated,
    EventLogged,
    FineTuningJob,
    FineTuningJobEvent,
    Finished,
    StatusChanged,
)
from asyncckpt.records.jobs import Error

from support.checkpoints import checkpoint


def job(job_id: str = "ftjob-a", status: str = "running", **fields: Any) -> FineTuningJob:
    return FineTuningJob(job_id, 100, "gpt", status, "file", **fields)


def status(job_id: str, new: str, previous: str = "queued") -> StatusChanged:
    return StatusChanged(job(job_id, new), previous, fine_tuning_job_id=job_id)


def caught_up(job_id: str = "ftjob-a", status: str = "running") -> CaughtUp:
    return CaughtUp(job(job_id, status), fine_tuning_job_id=job_id)


def finished(
    job_id: str = "ftjob-a", status: str = "succeeded", *, at: int = 200, error: str | None = None
) -> Finished:
    why = None if error is None else Error("code", error)
    ended = job(job_id, status, finished_at=at, error=why)
    return Finished(ended, fine_tuning_job_id=job_id)


def created(job_id: str = "ftjob-a", step: int = 1, **fields: Any) -> CheckpointCreated:
    return CheckpointCreated(checkpoint(job_id, step, **fields), fine_tuning_job_id=job_id)


def logged(
    job_id: str = "ftjob-a",
    message: str = "text",
    *,
    at: int = 100,
    level: str = "info",
    data: dict[str, object] | None = None,
) -> EventLogged:
    kind = "message" if data is None else "metrics"
    event = FineTuningJobEvent(f"ftevent-{at}", at, level, message, kind, data)
    return EventLogged(event, fine_tuning_job_id=job_id)


def measured(job_id: str, step: int, value: float, **data: object) -> EventLogged:
    """A metrics event with a training loss."""
    return logged(job_id, at=100 + step, data={"step": step, "train_loss": value, **data})
