"""The records of jobs."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given

from asyncckpt import FineTuningJob, converter
from asyncckpt.records import jobs as job_records
from asyncckpt.records.jobs import (
    Error,
    Method,
    ReinforcementMethod,
    WandbIntegration,
    with_request_id,
)

from support.records import JOB, assert_immutable, field_names, records_in
from support.strategies import JSON, jobs, thorough

# The properties of each object in the API reference.
DOCUMENTED = {
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
    "ListPaginatedFineTuningJobsResponse": {"data", "first_id", "has_more", "last_id", "object"},
}


def job(**changes: Any) -> FineTuningJob:
    """A job with some fields changed."""
    fields: dict[str, Any] = {**JOB, **changes}
    return FineTuningJob(**fields)


def test_every_record_is_documented() -> None:
    assert records_in(job_records).keys() == DOCUMENTED.keys()


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_record_has_exactly_the_documented_fields(name: str) -> None:
    assert set(field_names(records_in(job_records)[name])) == DOCUMENTED[name] | {"extra"}


@pytest.mark.parametrize("record", [job(), Error()])
def test_jobs_and_their_parts_cannot_change(record: Any) -> None:
    assert_immutable(record)


def test_jobs_compare_by_all_their_fields() -> None:
    assert job(result_files=["a"]) != job(result_files=["b"])
    assert job(metadata={"a": "b"}) != job()


def test_different_jobs_are_different_in_sets() -> None:
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
def test_any_job_can_be_hashed(fields: JSON) -> None:
    one, other = (converter.structure(fields, FineTuningJob) for _ in range(2))
    assert len({one, other}) == 1


def test_times_are_aware_and_in_utc() -> None:
    assert job().created == datetime(2024, 7, 23, 20, 0, tzinfo=UTC)
    assert job().finished is None
    finished = job(finished_at=1_721_764_867).finished
    assert finished == datetime(2024, 7, 23, 20, 1, 7, tzinfo=UTC)
    assert job(finished_at=0).finished == datetime(1970, 1, 1, tzinfo=UTC)


def test_each_job_has_a_list_of_result_files_of_its_own() -> None:
    assert job().result_files == []
    assert job().result_files is not job().result_files


def test_the_id_of_the_request_is_not_a_field() -> None:
    asked = with_request_id(job(), "req-1")
    assert (asked._request_id, job()._request_id) == ("req-1", None)
    assert asked == job()
    assert "req-1" not in repr(asked)
