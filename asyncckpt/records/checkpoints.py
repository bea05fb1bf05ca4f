"""The records of checkpoints."""

from __future__ import annotations

from datetime import datetime

import attrs

from asyncckpt.records.base import Extra, as_datetime, extra_field

__all__ = ["FineTuningJobCheckpoint", "Metrics"]


@attrs.frozen
class Metrics:
    """What was measured at a checkpoint's step. A metric that was not measured is None.

    Attributes:
        step: The step, as a number.
        train_loss: Loss on the training batch.
        train_mean_token_accuracy: Share of tokens predicted right on the training batch, 0 to 1.
        valid_loss: Loss on a batch of the validation file.
        valid_mean_token_accuracy: Share of tokens predicted right on that batch, 0 to 1.
        full_valid_loss: Loss on the whole validation file.
        full_valid_mean_token_accuracy: Share of tokens predicted right on the whole of it, 0 to 1.
        extra: Fields of the API that this record does not name.
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
class FineTuningJobCheckpoint:
    """A model checkpoint of a fine-tuning job, ready to use.

    Attributes:
        id: The checkpoint's identifier; also the cursor that continues a list after it.
        created_at: When it was created: Unix time in seconds. `created` is the same as a datetime.
        fine_tuned_model_checkpoint: The name of the model, to be called like any other.
        fine_tuning_job_id: The job that it comes from.
        metrics: What was measured at its step.
        step_number: The step that it was created at.
        object: Always ``"fine_tuning.job.checkpoint"``.
        extra: Fields of the API that this record does not name.
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
class ListFineTuningJobCheckpointsResponse:
    """The body of a page of checkpoints."""

    data: list[FineTuningJobCheckpoint]
    has_more: bool | None = None
    first_id: str | None = None
    last_id: str | None = None
    object: str = "list"
    extra: Extra = extra_field()
