"""The records of checkpoints."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from asyncckpt import Metrics
from asyncckpt.records import checkpoints as checkpoint_records
from asyncckpt.records.base import Extra

from support.records import (
    assert_immutable,
    checkpoint,
    field_names,
    records_in,
)

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
    "ListFineTuningJobCheckpointsResponse": {"data", "first_id", "has_more", "last_id", "object"},
}


def test_every_record_is_documented() -> None:
    assert records_in(checkpoint_records).keys() == DOCUMENTED.keys()


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_record_has_exactly_the_documented_fields(name: str) -> None:
    assert set(field_names(records_in(checkpoint_records)[name])) == DOCUMENTED[name] | {"extra"}


@pytest.mark.parametrize("record", [checkpoint(), checkpoint().metrics])
def test_checkpoints_and_metrics_cannot_change(record: Any) -> None:
    assert_immutable(record)


def test_checkpoints_compare_by_all_their_fields() -> None:
    assert checkpoint() == checkpoint()
    assert checkpoint() != checkpoint(step_number=89)
    assert checkpoint() != checkpoint(metrics=Metrics(step=88.0))
    assert checkpoint() != checkpoint(extra={"new": 1})
    assert checkpoint(extra={"new": 1}) == checkpoint(extra=Extra({"new": 1}))


def test_different_checkpoints_are_different_in_sets() -> None:
    one, other = checkpoint(), checkpoint(id="ftckpt_2")
    assert {one, other, checkpoint()} == {one, other}


def test_times_are_aware_and_in_utc() -> None:
    assert checkpoint().created == datetime(2024, 7, 23, 20, 1, 7, tzinfo=UTC)
    assert checkpoint().created.utcoffset() == timedelta(0)


def test_what_is_not_sent_is_none() -> None:
    nothing = Metrics()
    assert {name: getattr(nothing, name) for name in DOCUMENTED["Metrics"]} == dict.fromkeys(
        DOCUMENTED["Metrics"]
    )
