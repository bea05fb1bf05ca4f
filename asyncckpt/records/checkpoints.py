"""Defines the records of checkpoints."""

from __future__ import annotations

from datetime import datetime

import attrs

from asyncckpt.records.base import Extra, Record, as_datetime, extra_field

__all__ = ["FineTuningJobCheckpoint", "Metrics"]


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

    step: float | None = None
    train_loss: float | None = None
    train_mean_token_accuracy: float | None = None
    valid_loss: float | None = None
    valid_mean_token_accuracy: float | None = None
    full_valid_loss: float | None = None
    full_valid_mean_token_accuracy: float | None = None
    extra: Extra = extra_field()


@attrs.frozen
class FineTuningJobCheckpoint(Record):
    """A model checkpoint of a fine-tuning job.

    API reference: *The fine-tuning job checkpoint object*.

    Attributes:
        id: The identifier of the checkpoint. To list the checkpoints after it, pass it as `after`.
        created_at: The creation time, in Unix seconds; see also `created`.
        fine_tuned_model_checkpoint: The name of the model, for use in other API calls.
        fine_tuning_job_id: The id of the job that created the checkpoint.
        metrics: The metrics at the checkpoint's step.
        step_number: The step at which the checkpoint was created.
        object: Always ``"fine_tuning.job.checkpoint"``.
        extra: Fields that this record does not define.
    """

    id: str
    created_at: int
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    metrics: Metrics
    step_number: int
    object: str = "fine_tuning.job.checkpoint"
    extra: Extra = extra_field()

    @property
    def created(self) -> datetime:
        """`created_at` as an aware datetime in UTC."""
        return as_datetime(self.created_at)


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
