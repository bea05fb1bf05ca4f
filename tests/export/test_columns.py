"""The columns of records."""

import json
import math
import pickle
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from hypothesis import given

from asyncckpt import (
    FineTuningJob,
    FineTuningJobCheckpoint,
    FineTuningJobEvent,
    Metrics,
    StepMetrics,
    export,
)
from asyncckpt.export.columns import (
    CHECKPOINTS,
    EVENTS,
    JOB_EVENTS,
    JOBS,
    STEPS,
    Schema,
    json_text,
    schema_of,
)
from asyncckpt.records.base import Extra
from asyncckpt.records.codec import Decoder
from asyncckpt.records.events import JobEvent

from support.records import JOB, checkpoint
from support.rows import lists_of_rows, parsed, same_rows
from support.strategies import thorough


@pytest.mark.parametrize(
    ("record_type", "schema"),
    [
        (FineTuningJobCheckpoint, CHECKPOINTS),
        (FineTuningJobEvent, EVENTS),
        (JobEvent, JOB_EVENTS),
        (FineTuningJob, JOBS),
        (StepMetrics, STEPS),
    ],
)
def test_every_field_of_a_record_is_a_column(record_type: type, schema: Schema) -> None:
    fields = {field.name for field in attrs.fields(record_type)}
    if "metrics" in fields:
        fields = fields - {"metrics"} | {field.name for field in attrs.fields(Metrics)}
    assert set(schema.names) == fields
    assert len(schema.names) == len(fields)
    assert schema.names[-1] == "extra"
    assert schema_of(record_type) is schema
    assert schema.record_name == record_type.__name__
    assert schema.record_type() is record_type


def test_the_metrics_of_a_checkpoint_and_of_a_step_are_in_the_same_order() -> None:
    metrics = [name for name in STEPS.names if name.endswith(("loss", "accuracy"))]
    assert [name for name in CHECKPOINTS.names if name in metrics] == metrics


@thorough
@given(lists_of_rows)
def test_a_row_has_what_the_api_sent(case: tuple[type, Any]) -> None:
    kind, pairs = case
    rows = [parsed(kind, export.to_row(record)) for record, _ in pairs]
    assert same_rows(rows, [row for _, row in pairs])
    assert all(tuple(row) == schema_of(kind).names for row in rows)


def test_unknown_fields_and_unknown_metrics_are_in_one_column() -> None:
    record = checkpoint(
        metrics=Metrics(extra=Extra({"perplexity": 2.5})), extra=Extra({"region": ["eu"]})
    )
    extra = export.to_row(record)["extra"]
    assert extra == '{"region":["eu"],"metrics":{"perplexity":2.5}}'


def test_a_record_without_unknown_fields_has_no_extra() -> None:
    assert export.to_row(checkpoint())["extra"] is None


def test_a_time_is_in_utc() -> None:
    created = export.to_row(checkpoint(created_at=1_735_752_000))["created_at"]
    assert created == datetime(2025, 1, 1, 17, 20, tzinfo=UTC)


@pytest.mark.parametrize("name", ["created_at", "finished_at", "estimated_finish"])
def test_a_time_that_was_sent_as_text_keeps_its_fraction(name: str) -> None:
    sent = {**JOB, name: "2025-01-01T17:20:00.25Z"}
    job = Decoder(FineTuningJob).decode(json.dumps(sent).encode())
    assert export.to_row(job)[name] == datetime(2025, 1, 1, 17, 20, 0, 250_000, tzinfo=UTC)


def test_nan_is_not_a_missing_value() -> None:
    row = export.to_row(checkpoint(metrics=Metrics(train_loss=math.nan)))
    assert isinstance(row["train_loss"], float)
    assert math.isnan(row["train_loss"])
    assert row["valid_loss"] is None


def test_an_integer_among_metrics_becomes_an_equal_float() -> None:
    loss = export.to_row(checkpoint(metrics=Metrics(train_loss=2)))["train_loss"]
    assert (loss, type(loss)) == (2.0, float)


@pytest.mark.parametrize(
    ("changes", "column", "shown"),
    [
        ({"created_at": 10**14}, "created_at", "in the years 1 to 9999, got 100000000000000"),
        ({"created_at": -(10**14)}, "created_at", "got -100000000000000"),
        ({"created_at": 10**400}, "created_at", "got 1000"),
        ({"step_number": 2**63}, "step_number", "an integer of 64 bits, got 9223372036854775808"),
        ({"step_number": -(2**63) - 1}, "step_number", "got -9223372036854775809"),
        ({"step_number": True}, "step_number", "got True"),
        ({"step_number": 1.5}, "step_number", "got 1.5"),
        ({"fine_tuned_model_checkpoint": 5}, "fine_tuned_model_checkpoint", "text, got 5"),
        ({"fine_tuned_model_checkpoint": "\ud800"}, "fine_tuned_model_checkpoint", r"'\\ud800'"),
        ({"metrics": Metrics(step=2**53 + 1)}, "step", "float can hold, got 9007199254740993"),
        ({"metrics": Metrics(step=10**400)}, "step", "got 1000"),
        ({"metrics": Metrics(step="5")}, "step", "got '5'"),  # type: ignore[arg-type]
        ({"metrics": Metrics(step=True)}, "step", "got True"),
        ({"extra": Extra({"a": {1}})}, "extra", "values that JSON can hold, got"),
        ({"extra": Extra({"a": "\ud800"})}, "extra", "got"),
    ],
)
def test_a_value_that_does_not_fit_is_an_error_that_names_it(
    changes: dict[str, Any], column: str, shown: str
) -> None:
    record = checkpoint(id="ftckpt_\x1b1", **changes)
    with pytest.raises(export.ColumnError) as raised:
        export.to_row(record)
    message = str(raised.value)
    assert message.startswith(f"{column} of FineTuningJobCheckpoint ftckpt_\\x1b1: expected ")
    assert shown.replace("\\\\", "\\") in message
    assert len(message) < 250
    assert raised.value.column == column
    assert raised.value.record is record


def test_values_that_are_nested_too_deeply_are_an_error() -> None:
    nested: Any = []
    for _ in range(100_000):
        nested = [nested]
    step = StepMetrics(7, extra=Extra({"a": nested}))
    try:
        with pytest.raises(export.ColumnError, match="extra of StepMetrics 7: expected values"):
            export.to_row(step)
    finally:
        while nested:
            nested = nested.pop()


def test_an_error_can_be_pickled() -> None:
    error = export.ColumnError("message", "step", checkpoint())
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.column, copy.record) == ("message", "step", checkpoint())


def test_other_records_have_no_columns() -> None:
    with pytest.raises(TypeError, match="Metrics has no columns; .* FineTuningJobCheckpoint, Step"):
        export.to_row(Metrics())


def test_a_subclass_has_the_columns_of_its_base() -> None:
    class Mine(StepMetrics):
        pass

    assert export.to_row(Mine(3))["step"] == 3


def test_chosen_columns_are_in_the_chosen_order() -> None:
    assert CHECKPOINTS.select(["train_loss", "id"]).names == ("train_loss", "id")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["id", "loss"], "there is no field 'loss'; the fields are: id, fine_tuning_job_id, "),
        ([], "name at least one field: id, fine_tuning_job_id, "),
        (["id", "id"], "a field is named twice: id, id"),
    ],
)
def test_wrong_names_are_errors(names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CHECKPOINTS.select(names)


def test_json_keeps_what_json_cannot_say() -> None:
    text = json_text({"a": math.nan, "b": -math.inf, "c": "é\u2028"})
    assert text == '{"a":NaN,"b":-Infinity,"c":"é\u2028"}'
    assert json.loads(text)["b"] == -math.inf
