"""Defines the objects of the API as JSON: the fine-tuning section of the OpenAI API reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Required, TypedDict

Method = Literal["supervised", "dpo", "reinforcement"]
Status = Literal["validating_files", "queued", "running", "succeeded", "failed", "cancelled"]

NOT_STARTED: frozenset[Status] = frozenset({"validating_files", "queued"})
FINISHED: frozenset[Status] = frozenset({"succeeded", "failed", "cancelled"})


class MetricsObject(TypedDict, total=False):
    """The metrics of a checkpoint; a metric that was not measured is absent."""

    step: Required[int]
    train_loss: Required[float]
    train_mean_token_accuracy: float
    valid_loss: float
    valid_mean_token_accuracy: float
    full_valid_loss: float
    full_valid_mean_token_accuracy: float


class CheckpointObject(TypedDict):
    """A `fine_tuning.job.checkpoint`."""

    object: Literal["fine_tuning.job.checkpoint"]
    id: str
    created_at: int
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    metrics: MetricsObject
    step_number: int


class EventObject(TypedDict):
    """A `fine_tuning.job.event`."""

    object: Literal["fine_tuning.job.event"]
    id: str
    created_at: int
    level: Literal["info", "warn", "error"]
    message: str
    data: Mapping[str, object] | None
    type: Literal["message", "metrics"]


class JobErrorObject(TypedDict):
    """Why a job failed."""

    code: str
    message: str
    param: str | None


class JobObject(TypedDict):
    """A `fine_tuning.job`."""

    object: Literal["fine_tuning.job"]
    id: str
    created_at: int
    error: JobErrorObject | None
    estimated_finish: int | None
    fine_tuned_model: str | None
    finished_at: int | None
    hyperparameters: Mapping[str, object]
    integrations: list[object]
    metadata: dict[str, str] | None
    method: Mapping[str, object]
    model: str
    organization_id: str
    result_files: list[str]
    seed: int
    status: Status
    trained_tokens: int | None
    training_file: str
    validation_file: str | None
