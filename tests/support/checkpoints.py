"""Checkpoints with chosen metrics."""

from collections.abc import AsyncIterator, Iterable

from asyncckpt import FineTuningJobCheckpoint, Metrics
from asyncckpt.records import Extra


def checkpoint(
    job: str = "ftjob-a",
    step: int = 1,
    *,
    created_at: int = 0,
    id: str | None = None,  # noqa: A002 - the field's name
    extra: dict[str, object] | None = None,
    **metrics: float | None,
) -> FineTuningJobCheckpoint:
    return FineTuningJobCheckpoint(
        id=f"ftckpt_{job}_{step}" if id is None else id,
        created_at=created_at,
        fine_tuned_model_checkpoint=f"ft:model:{job}:ckpt-step-{step}",
        fine_tuning_job_id=job,
        metrics=Metrics(**metrics, extra=Extra(extra or {})),
        step_number=step,
    )


async def stream_of(
    checkpoints: Iterable[FineTuningJobCheckpoint],
) -> AsyncIterator[FineTuningJobCheckpoint]:
    for one in checkpoints:
        yield one
