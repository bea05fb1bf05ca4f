"""Defines what the formats show of checkpoints, jobs and events."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import attrs

from asyncckpt.cli.output import Column, Layout, shown_time
from asyncckpt.cli.terminal import printable

if TYPE_CHECKING:
    from asyncckpt import FineTuningJob, FineTuningJobCheckpoint, FineTuningJobEvent

__all__ = ["CHECKPOINTS", "EVENTS", "JOBS", "JobEvent"]

_METRICS: Final = (
    "train_loss",
    "train_mean_token_accuracy",
    "valid_loss",
    "valid_mean_token_accuracy",
    "full_valid_loss",
    "full_valid_mean_token_accuracy",
)
_CHECKPOINT_FIELDS: Final = (
    "id",
    "fine_tuning_job_id",
    "step_number",
    "created_at",
    "fine_tuned_model_checkpoint",
)
_JOB_FIELDS: Final = (
    "id",
    "status",
    "model",
    "created_at",
    "finished_at",
    "fine_tuned_model",
    "trained_tokens",
)


_EVENT_FIELDS: Final = ("id", "created_at", "level", "type", "message")


@attrs.frozen
class JobEvent:
    """An event with the id of its job, which the API leaves out."""

    fine_tuning_job_id: str
    event: FineTuningJobEvent


def _metric(title: str, name: str) -> Column[FineTuningJobCheckpoint]:
    def cell(checkpoint: FineTuningJobCheckpoint) -> str:
        value: float | None = getattr(checkpoint.metrics, name)
        return "-" if value is None else f"{value:.4f}"

    return Column(title, len(title), cell, right=True)


def _text(name: str) -> Callable[[object], str]:
    def cell(record: object) -> str:
        value: str | None = getattr(record, name)
        return "-" if value is None else printable(value)

    return cell


def _checkpoint_values(checkpoint: FineTuningJobCheckpoint) -> list[object]:
    fields = [getattr(checkpoint, name) for name in _CHECKPOINT_FIELDS]
    return fields + [getattr(checkpoint.metrics, name) for name in _METRICS]


def _job_values(job: FineTuningJob) -> list[object]:
    return [getattr(job, name) for name in _JOB_FIELDS]


def _event_time(record: JobEvent) -> str:
    return shown_time(record.event.created_at, seconds=True)


def _message(record: JobEvent) -> str:
    event = record.event
    return printable(event.message if event.level == "info" else f"{event.level}: {event.message}")


def _event_values(record: JobEvent) -> list[object]:
    fields = [getattr(record.event, name) for name in _EVENT_FIELDS]
    data = record.event.data
    return [record.fine_tuning_job_id, *fields, json.dumps(data) if data else None]


def _event_json(record: JobEvent) -> object:
    from asyncckpt import converter

    return {
        "fine_tuning_job_id": record.fine_tuning_job_id,
        **converter.unstructure(record.event),
    }


CHECKPOINTS: Final[Layout[FineTuningJobCheckpoint]] = Layout(
    columns=(
        Column("CHECKPOINT", 31, _text("id")),
        Column("STEP", 6, lambda checkpoint: str(checkpoint.step_number), right=True),
        _metric("TRAIN LOSS", "train_loss"),
        _metric("VALID LOSS", "valid_loss"),
        _metric("FULL VALID", "full_valid_loss"),
        Column("CREATED (UTC)", 16, lambda checkpoint: shown_time(checkpoint.created_at)),
        _metric("TRAIN ACC", "train_mean_token_accuracy"),
        _metric("VALID ACC", "valid_mean_token_accuracy"),
        _metric("FULL ACC", "full_valid_mean_token_accuracy"),
        Column("MODEL", 64, _text("fine_tuned_model_checkpoint")),
    ),
    heading=lambda checkpoint: checkpoint.fine_tuning_job_id,
    fields=_CHECKPOINT_FIELDS + _METRICS,
    values=_checkpoint_values,
)
"""A table for each job, under the id of the job."""

JOBS: Final[Layout[FineTuningJob]] = Layout(
    columns=(
        Column("JOB", 30, _text("id")),
        Column("STATUS", 16, _text("status")),
        Column("MODEL", 23, _text("model")),
        Column("CREATED (UTC)", 16, lambda job: shown_time(job.created_at)),
        Column("FINE-TUNED MODEL", 64, _text("fine_tuned_model")),
    ),
    fields=_JOB_FIELDS,
    values=_job_values,
)
"""One table."""

EVENTS: Final[Layout[JobEvent]] = Layout(
    columns=(
        Column("CREATED (UTC)", 19, _event_time),
        Column("MESSAGE", 19, _message, wraps=True),
    ),
    heading=lambda record: record.fine_tuning_job_id,
    fields=("fine_tuning_job_id", *_EVENT_FIELDS, "data"),
    values=_event_values,
    json=_event_json,
)
"""A table for each job, under the id of the job."""
