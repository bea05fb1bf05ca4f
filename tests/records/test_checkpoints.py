"""The API's objects as records."""

import copy
import inspect
import json
import pickle
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given

from asyncckpt import (
    FineTuningJob,
    FineTuningJobCheckpoint,
    Metrics,
    converter,
)
from asyncckpt.records import checkpoints as checkpoint_records
from asyncckpt.records import jobs as job_records
from asyncckpt.records.base import Extra, extra_field
from asyncckpt.records.jobs import Error, Method, ReinforcementMethod, WandbIntegration

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


def checkpoint(**changes: Any) -> FineTuningJobCheckpoint:
    fields: dict[str, Any] = {
        "id": "ftckpt_1",
        "created_at": 1_721_764_867,
        "fine_tuned_model_checkpoint": "ft:model:ckpt-step-88",
        "fine_tuning_job_id": "ftjob-abc123",
        "metrics": Metrics(step=88.0, full_valid_loss=0.5),
        "step_number": 88,
    }
    return FineTuningJobCheckpoint(**{**fields, **changes})


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


MUTATIONS: dict[str, Callable[[Any], object]] = {
    "set": lambda extra: extra.__setitem__("new", 2),
    "add": lambda extra: extra.__setitem__("other", 2),
    "delete": lambda extra: extra.__delitem__("new"),
    "clear": lambda extra: extra.clear(),
    "pop": lambda extra: extra.pop("new"),
    "pop with a default": lambda extra: extra.pop("other", None),
    "popitem": lambda extra: extra.popitem(),
    "setdefault": lambda extra: extra.setdefault("other", 1),
    "update": lambda extra: extra.update({"other": 1}),
    "update by name": lambda extra: extra.update(other=1),
    "|=": lambda extra: extra.__ior__({"other": 1}),
    "attribute": lambda extra: setattr(extra, "new", 1),
}


class TestExtra:
    @pytest.mark.parametrize("mutation", MUTATIONS)
    def test_refuses_every_change(self, mutation: str) -> None:
        extra = Extra({"new": 1})
        with pytest.raises((TypeError, AttributeError)):
            MUTATIONS[mutation](extra)
        assert extra == {"new": 1}

    def test_says_how_to_change_it(self) -> None:
        with pytest.raises(TypeError, match=r"attrs\.evolve"):
            checkpoint().extra["new"] = 1

    def test_the_one_of_all_other_records_stays_empty(self) -> None:
        with pytest.raises(TypeError):
            checkpoint().extra.update(new=1)
        assert Metrics().extra == {}

    def test_is_copied_pickled_and_written_as_json_like_a_dict(self) -> None:
        extra = Extra({"new": {"a": [1]}})
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            again = pickle.loads(pickle.dumps(extra, protocol))
            assert (type(again), again) == (Extra, extra)
        assert (type(copy.copy(extra)), copy.copy(extra)) == (Extra, extra)
        deep = copy.deepcopy(extra)
        assert (type(deep), deep) == (Extra, extra)
        assert deep["new"] is not extra["new"]
        assert json.dumps(extra) == '{"new": {"a": [1]}}'
        assert extra | {"b": 2} == {"new": {"a": [1]}, "b": 2}
        assert isinstance(extra, dict)

    def test_is_a_copy_of_any_mapping(self) -> None:
        given = {"new": 1}
        record = checkpoint(extra=given)
        given["new"] = 2
        assert record.extra == {"new": 1}
        assert isinstance(record.extra, Extra)

    def test_of_records_survives_pickles(self) -> None:
        record = checkpoint(extra={"new": 1}, metrics=Metrics(extra={"newer": 2}))
        again = pickle.loads(pickle.dumps(record))
        assert again == record
        with pytest.raises(TypeError):
            again.metrics.extra["newer"] = 3

    def test_the_field_for_own_classes_is_keyword_only_and_empty(self) -> None:
        @attrs.frozen
        class Own:
            id: str
            extra: Extra = extra_field()

        assert Own("a").extra == {}
        with pytest.raises(TypeError):
            Own("a", Extra())  # type: ignore[misc]
