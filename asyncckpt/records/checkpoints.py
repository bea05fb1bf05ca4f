"""Defines the records of checkpoints."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from asyncckpt.records.base import Extra, Record, extra_field, forms_of
from asyncckpt.records.forms import ABSENT, INTEGRAL, NULL, TEXT_TIME, datetime_of

__all__ = [
    "UNKNOWN_STEP",
    "FineTuningJobCheckpoint",
    "Metrics",
    "age_key",
    "newer_of",
    "order_step",
    "step_of",
]

UNKNOWN_STEP: Final = -1
"""Stands for the step of a checkpoint for which the server sent none."""


@attrs.frozen
class Metrics(Record):
    """The metrics at the step of a checkpoint. A metric that was not measured is None.

    Attributes:
        step: The step number.
        train_loss: The loss on the training batch.
        train_mean_token_accuracy: The token accuracy on the training batch, 0 to 1.
        valid_loss: The loss on a validation batch.
        valid_mean_token_accuracy: The token accuracy on a validation batch, 0 to 1.
        full_valid_loss: The loss on the whole validation file.
        full_valid_mean_token_accuracy: The token accuracy on the whole validation file, 0 to 1.
        extra: Fields that this record does not define.
    """

    step: float | None = attrs.field(default=None, metadata=NULL | INTEGRAL)
    train_loss: float | None = attrs.field(default=None, metadata=NULL)
    train_mean_token_accuracy: float | None = attrs.field(default=None, metadata=NULL)
    valid_loss: float | None = attrs.field(default=None, metadata=NULL)
    valid_mean_token_accuracy: float | None = attrs.field(default=None, metadata=NULL)
    full_valid_loss: float | None = attrs.field(default=None, metadata=NULL)
    full_valid_mean_token_accuracy: float | None = attrs.field(default=None, metadata=NULL)
    extra: Extra = extra_field()


@attrs.frozen
class FineTuningJobCheckpoint(Record):
    """A model checkpoint of a fine-tuning job.

    API reference: *The fine-tuning job checkpoint object*. `asyncckpt.converter` writes a
    checkpoint as the server sent it, also if the server left out a field or sent ``null`` or text.

    Attributes:
        id: The identifier of the checkpoint. To list the checkpoints after it, pass it as `after`.
        created_at: The creation time, in whole Unix seconds, also if the server sent ISO 8601 text.
            See also `created`.
        fine_tuned_model_checkpoint: The name of the model, for use in other API calls; on some
            servers, a path.
        fine_tuning_job_id: The id of the job that created the checkpoint.
        metrics: The metrics at the checkpoint's step. If the server sent none, all of them are
            None.
        step_number: The step at which the checkpoint was created. OpenAI and Azure always send it;
            it is None if the server did not.
        object: Always ``"fine_tuning.job.checkpoint"``.
        result_files: The files of the checkpoint; None if the server does not list them, as OpenAI
            and Azure.
        extra: Fields that this record does not define.
    """

    id: str
    created_at: int = attrs.field(metadata=TEXT_TIME)
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    metrics: Metrics = attrs.field(default=Metrics(), metadata=ABSENT | NULL)
    step_number: int | None = attrs.field(default=None, metadata=ABSENT | NULL)
    object: str = attrs.field(default="fine_tuning.job.checkpoint", metadata=ABSENT)
    result_files: list[str] | None = attrs.field(default=None, metadata=NULL, hash=False)
    extra: Extra = extra_field()

    @property
    def created(self) -> datetime:
        """The creation time as an aware datetime in UTC, as exact as the server sent it."""
        return datetime_of(self, "created_at")


def step_of(checkpoint: FineTuningJobCheckpoint) -> int | None:
    """Return the step of a checkpoint, from its metrics if need be; None if it is unknown."""
    if checkpoint.step_number is not None:
        return checkpoint.step_number
    return None if checkpoint.metrics.step is None else int(checkpoint.metrics.step)


def order_step(checkpoint: FineTuningJobCheckpoint) -> int:
    """Return the step of a checkpoint to sort by: `UNKNOWN_STEP`, the lowest, if it is unknown."""
    step = step_of(checkpoint)
    return UNKNOWN_STEP if step is None else step


def age_key(checkpoint: FineTuningJobCheckpoint) -> tuple[int, float, str]:
    """Return a key that sorts the checkpoints of a job, the oldest first.

    The order is that of the steps, then of the creation times, then of the ids. A checkpoint
    without a step is taken to be older than one with a step.
    """
    return order_step(checkpoint), _created(checkpoint), checkpoint.id


def newer_of(
    one: FineTuningJobCheckpoint, other: FineTuningJobCheckpoint
) -> FineTuningJobCheckpoint:
    """Return the newer one of two checkpoints of a job.

    It has the higher step. If the steps are equal, or one of them is unknown, it was created later,
    or has the greater id.
    """
    steps = step_of(one), step_of(other)
    if steps[0] is not None and steps[1] is not None and steps[0] != steps[1]:
        return one if steps[0] > steps[1] else other
    return max(one, other, key=lambda checkpoint: (_created(checkpoint), checkpoint.id))


def _created(checkpoint: FineTuningJobCheckpoint) -> float:
    if "created_at" in forms_of(checkpoint.extra):
        return checkpoint.created.timestamp()
    return checkpoint.created_at


@attrs.frozen
class ListFineTuningJobCheckpointsResponse(Record):
    """The body of a page of checkpoints.

    Attributes:
        data: The checkpoints.
        has_more: Whether there are more checkpoints; None if the server did not send it.
        first_id: The id of the first checkpoint; None if the server did not send it.
        last_id: The id of the last checkpoint; None if the server did not send it.
        object: Always ``"list"``.
        extra: Fields that this record does not define.
    """

    data: list[FineTuningJobCheckpoint]
    has_more: bool | None = None
    first_id: str | None = None
    last_id: str | None = None
    object: str = "list"
    extra: Extra = extra_field()
