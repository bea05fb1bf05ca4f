"""Records as the API sends them, and assertions about records and their classes."""

import inspect
import json
import re
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import attrs
import pytest

from asyncckpt import FineTuningJobCheckpoint, Metrics
from asyncckpt.records.base import Extra
from asyncckpt.records.checkpoints import ListFineTuningJobCheckpointsResponse
from asyncckpt.records.codec import Decoder

from support.strategies import JSON

CHECKPOINT = {
    "id": "ftckpt_1",
    "created_at": 1_721_764_867,
    "fine_tuned_model_checkpoint": "ft:gpt-4o-mini:acme::abc:ckpt-step-2000",
    "fine_tuning_job_id": "ftjob-abc123",
    "metrics": {"step": 2000.0, "full_valid_loss": 0.134},
    "step_number": 2000,
    "object": "fine_tuning.job.checkpoint",
}


JOB = {
    "id": "ftjob-abc123",
    "created_at": 1_721_764_800,
    "model": "gpt-4o-mini",
    "status": "running",
    "training_file": "file-abc",
}


def same(given: object, wanted: object) -> bool:
    """Equal, and of the same kind: 1 is not 1.0 and not True, at any depth."""
    if isinstance(wanted, list) and isinstance(given, list):
        return len(given) == len(wanted) and all(map(same, given, wanted))
    if isinstance(wanted, dict) and isinstance(given, dict):
        return given.keys() == wanted.keys() and all(
            same(given[name], wanted[name]) for name in wanted
        )
    return type(given) is type(wanted) and given == wanted


def assert_holds(record: Any, fields: Mapping[str, JSON]) -> None:
    """Assert that a record says what an object of the API says, no more and no less."""
    named = {field.name: field for field in attrs.fields(type(record)) if field.name != "extra"}
    assert isinstance(record.extra, Extra)
    assert same(dict(record.extra), {name: fields[name] for name in fields if name not in named})
    for name, field in named.items():
        value = getattr(record, name)
        if name not in fields or (fields[name] is None and field.default is not None):
            default = field.default
            assert value == (default.factory() if hasattr(default, "factory") else default)
            continue
        sent = fields[name]
        if attrs.has(type(value)):
            assert_holds(value, sent)
        elif name == "created_at" and isinstance(sent, str):
            assert isinstance(value, int)
        elif isinstance(value, list) and value and attrs.has(type(value[0])):
            assert len(value) == len(sent)
            for one, one_sent in zip(value, sent, strict=True):
                assert_holds(one, one_sent)
        elif isinstance(value, float):
            assert isinstance(sent, int | float)
            assert value == float(sent)
        else:
            assert same(value, sent)


def page_decoder() -> Decoder[ListFineTuningJobCheckpointsResponse]:
    return Decoder(ListFineTuningJobCheckpointsResponse)


def page_of(*records: JSON, **fields: JSON) -> bytes:
    return json.dumps({"data": list(records), **fields}).encode()


def checkpoint(**changes: Any) -> FineTuningJobCheckpoint:
    """A checkpoint with some fields changed."""
    fields: dict[str, Any] = {
        "id": "ftckpt_1",
        "created_at": 1_721_764_867,
        "fine_tuned_model_checkpoint": "ft:model:ckpt-step-88",
        "fine_tuning_job_id": "ftjob-abc123",
        "metrics": Metrics(step=88.0, full_valid_loss=0.5),
        "step_number": 88,
    }
    return FineTuningJobCheckpoint(**{**fields, **changes})


def records_in(module: ModuleType) -> dict[str, Any]:
    """The record classes that a module defines, by name."""
    return {
        name: part
        for name, part in vars(module).items()
        if attrs.has(part) and part.__module__ == module.__name__
    }


def field_names(record: Any) -> list[str]:
    return [field.name for field in attrs.fields(record)]


def described_fields(record: Any) -> list[str]:
    """The fields that the docstring of a record class describes."""
    _, _, attributes = inspect.cleandoc(record.__doc__).partition("Attributes:")
    return re.findall(r"^    (\w+): ", attributes, re.MULTILINE)


def assert_immutable(record: Any) -> None:
    for name in (*field_names(type(record)), "brand_new"):
        with pytest.raises((attrs.exceptions.FrozenInstanceError, AttributeError)):
            setattr(record, name, 1)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        del record.extra
    assert not hasattr(record, "__dict__")
