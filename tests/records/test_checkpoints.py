"""The API's objects as records."""

import inspect
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given

from asyncckpt import (
    FineTuningJob,
    Metrics,
    converter,
)
from asyncckpt.records import checkpoints as checkpoint_records
from asyncckpt.records import jobs as job_records
from asyncckpt.records.base import Extra
from asyncckpt.records.jobs import Error, Method, ReinforcementMethod, WandbIntegration

from support.records import checkpoint
from support.strategies import JSON, jobs, thorough

RECORDS = {
    name: part
    for module in (checkpoint_records, job_records)
    for name, part in vars(module).items()
    if attrs.has(part)
}


# The properties of each object in the API reference.
DOCUMENTED = {
    "FineTuningJobCheckpoint": {
        "id",
        "created_at",
        "fine_tuned_model_checkpoint",
        "fine_tuning_job_id",
        "metrics",
        "object",
        "step_number",
        # Nebius, not OpenAI.
        "result_files",
    },
    "Metrics": {
        "step",
        "train_loss",
        "train_mean_token_accuracy",
        "valid_loss",
        "valid_mean_token_accuracy",
        "full_valid_loss",
        "full_valid_mean_token_accuracy",
    },
    "FineTuningJob": {
        "id",
        "created_at",
        "error",
        "estimated_finish",
        "fine_tuned_model",
        "finished_at",
        "hyperparameters",
        "integrations",
        "metadata",
        "method",
        "model",
        "object",
        "organization_id",
        "result_files",
        "seed",
        "status",
        "trained_tokens",
        "training_file",
        "validation_file",
    },
    "Error": {"code", "message", "param"},
    "Hyperparameters": {"batch_size", "learning_rate_multiplier", "n_epochs"},
    "Method": {"type", "supervised", "dpo", "reinforcement"},
    "SupervisedMethod": {"hyperparameters"},
    "SupervisedHyperparameters": {"batch_size", "learning_rate_multiplier", "n_epochs"},
    "DpoMethod": {"hyperparameters"},
    "DpoHyperparameters": {"batch_size", "beta", "learning_rate_multiplier", "n_epochs"},
    "ReinforcementMethod": {"grader", "hyperparameters"},
    "ReinforcementHyperparameters": {
        "batch_size",
        "compute_multiplier",
        "eval_interval",
        "eval_samples",
        "learning_rate_multiplier",
        "n_epochs",
        "reasoning_effort",
    },
    "WandbIntegrationObject": {"type", "wandb"},
    "WandbIntegration": {"project", "name", "entity", "tags"},
    "ListFineTuningJobCheckpointsResponse": {"data", "first_id", "has_more", "last_id", "object"},
    "ListPaginatedFineTuningJobsResponse": {"data", "first_id", "has_more", "last_id", "object"},
}


def job(**changes: Any) -> FineTuningJob:
    fields: dict[str, Any] = {
        "id": "ftjob-abc123",
        "created_at": 1_721_764_800,
        "model": "gpt-4o-mini",
        "status": "running",
        "training_file": "file-abc",
    }
    return FineTuningJob(**{**fields, **changes})


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_record_has_exactly_the_documented_fields(name: str) -> None:
    fields = {field.name for field in attrs.fields(RECORDS[name])}
    assert fields == DOCUMENTED[name] | {"extra"}


def test_every_record_is_documented() -> None:
    assert RECORDS.keys() == DOCUMENTED.keys()


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_field_is_described_where_the_reference_takes_it_from(name: str) -> None:
    _, _, attributes = inspect.cleandoc(RECORDS[name].__doc__).partition("Attributes:")
    described = re.findall(r"^    (\w+): ", attributes, re.MULTILINE)
    assert described == [field.name for field in attrs.fields(RECORDS[name])]


@pytest.mark.parametrize("record", [checkpoint(), checkpoint().metrics, job(), Error()])
def test_records_are_frozen_and_slotted(record: Any) -> None:
    for name in (*attrs.fields_dict(type(record)), "brand_new"):
        with pytest.raises((attrs.exceptions.FrozenInstanceError, AttributeError)):
            setattr(record, name, 1)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        del record.extra
    assert not hasattr(record, "__dict__")


def test_records_compare_by_all_their_fields() -> None:
    assert checkpoint() == checkpoint()
    assert checkpoint() != checkpoint(step_number=89)
    assert checkpoint() != checkpoint(metrics=Metrics(step=88.0))
    assert checkpoint() != checkpoint(extra={"new": 1})
    assert checkpoint(extra={"new": 1}) == checkpoint(extra=Extra({"new": 1}))
    assert job(result_files=["a"]) != job(result_files=["b"])
    assert job(metadata={"a": "b"}) != job()


def test_different_records_are_different_in_sets() -> None:
    one, other = checkpoint(), checkpoint(id="ftckpt_2")
    assert {one, other, checkpoint()} == {one, other}
    full = job(
        result_files=["file-1"],
        metadata={"a": "b"},
        integrations=[],
        method=Method("reinforcement", reinforcement=ReinforcementMethod({"type": "x"})),
        extra={"new": []},
    )
    assert {full, job(id="ftjob-2")} == {job(id="ftjob-2"), full}
    assert hash(WandbIntegration("p", tags=["a"])) == hash(WandbIntegration("p", tags=["a"]))


@thorough
@given(jobs)
def test_any_record_can_be_hashed(fields: JSON) -> None:
    one, other = (converter.structure(fields, FineTuningJob) for _ in range(2))
    assert len({one, other}) == 1


def test_times_are_aware_and_in_utc() -> None:
    assert checkpoint().created == datetime(2024, 7, 23, 20, 1, 7, tzinfo=UTC)
    assert checkpoint().created.utcoffset() == timedelta(0)
    assert job().created == datetime(2024, 7, 23, 20, 0, tzinfo=UTC)
    assert job().finished is None
    finished = job(finished_at=1_721_764_867).finished
    assert finished == datetime(2024, 7, 23, 20, 1, 7, tzinfo=UTC)
    assert job(finished_at=0).finished == datetime(1970, 1, 1, tzinfo=UTC)


def test_what_is_not_sent_is_none() -> None:
    nothing = Metrics()
    assert {name: getattr(nothing, name) for name in DOCUMENTED["Metrics"]} == dict.fromkeys(
        DOCUMENTED["Metrics"]
    )
    assert job().result_files == []
    assert job().result_files is not job().result_files
