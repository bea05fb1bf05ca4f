"""The records of checkpoints."""

from __future__ import annotations

from datetime import datetime

import attrs

from asyncckpt.records.base import Extra, Record, as_datetime, extra_field

__all__ = ["FineTuningJobCheckpoint", "Metrics"]


@attrs.frozen
class Metrics(Record):
    """The metrics at a checkpoint's step. A metric that was not measured is None.

    Attributes:
        step: The step, as a number.
        train_loss: Loss on the training batch.
        train_mean_token_accuracy: Share of its tokens predicted correctly, 0 to 1.
        valid_loss: Loss on a batch of the validation file.
        valid_mean_token_accuracy: Share of its tokens predicted correctly, 0 to 1.
        full_valid_loss: Loss on the whole validation file.
        full_valid_mean_token_accuracy: Share of its tokens predicted correctly, 0 to 1.
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
class FineTuningJobCheckpoint(Record):
    """A model checkpoint of a fine-tuning job, ready to use.

    Attributes:
        id: The checkpoint's identifier; also the cursor that continues a list after it.
        created_at: When it was created: Unix time in seconds. `created` is the same as a datetime.
        fine_tuned_model_checkpoint: The name of the model, which can be used like any other.
        fine_tuning_job_id: The job that created it.
        metrics: The metrics at its step.
        step_number: The step at which it was created.
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
class ListFineTuningJobCheckpointsResponse(Record):
    """The body of a page of checkpoints.

    Attributes:
        data: The checkpoints.
        has_more: Whether there are more; None if the server does not say.
        first_id: The id of the first checkpoint, if it was sent.
        last_id: The id of the last checkpoint, if it was sent.
        object: Always ``"list"``.
        extra: Fields of the API that this record does not name.
    """

    data: list[FineTuningJobCheckpoint]
    has_more: bool | None = None
    first_id: str | None = None
    last_id: str | None = None
    object: str = "list"
    extra: Extra = extra_field()
