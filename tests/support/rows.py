"""The rows that tables and files should have, computed from what the API sends."""

import json
import math
from datetime import UTC, datetime
from typing import Any

import attrs
from hypothesis import strategies as st

from asyncckpt import FineTuningJob, FineTuningJobCheckpoint, FineTuningJobEvent, StepMetrics
from asyncckpt.export.columns import schema_of
from asyncckpt.records.base import Extra
from asyncckpt.records.codec import Decoder

from support import strategies
from support.strategies import JSON

Row = dict[str, Any]
RecordAndRow = tuple[Any, Row]

TIMES = {"created_at", "finished_at", "estimated_finish"}

METRICS = (
    "train_loss",
    "train_mean_token_accuracy",
    "valid_loss",
    "valid_mean_token_accuracy",
    "full_valid_loss",
    "full_valid_mean_token_accuracy",
)


def expected_row(record_type: type, sent: JSON, default_object: str) -> Row:
    """The row of an object of the API, with JSON columns parsed."""
    known = {field.name for field in attrs.fields(record_type)} - {"extra"}
    row: Row = {name: sent.get(name) for name in known}
    unknown = {name: sent[name] for name in sent if name not in known}
    row["object"] = sent.get("object", default_object)
    for name in TIMES & row.keys():
        row[name] = None if row[name] is None else _time(row[name])
    if record_type is FineTuningJob:
        row["result_files"] = sent.get("result_files", [])
    if "metrics" in row:
        metrics = dict(row.pop("metrics") or {})
        for name in ("step", *METRICS):
            value = metrics.pop(name, None)
            row[name] = None if value is None else float(value)
        if metrics:
            unknown["metrics"] = metrics
    return {**row, "extra": unknown or None}


def _time(sent: int | str) -> datetime:
    if isinstance(sent, int):
        return datetime.fromtimestamp(sent, UTC)
    time = datetime.fromisoformat(sent)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _without_none(value: Any) -> Any:
    """What is left of the JSON of nested records: fields that are null may be left out."""
    if isinstance(value, dict):
        return {name: _without_none(part) for name, part in value.items() if part is not None}
    if isinstance(value, list):
        return [_without_none(part) for part in value]
    return value


def _fits(sent: JSON, name: str) -> bool:
    return sent.get(name) is None or -(2**63) <= sent[name] < 2**63


def _pairs(
    record_type: type, sent: st.SearchStrategy[JSON], default_object: str
) -> st.SearchStrategy[RecordAndRow]:
    decoder: Decoder[Any] = Decoder(record_type)

    def pair(fields: JSON) -> RecordAndRow:
        record = decoder.decode(json.dumps(fields).encode())
        return record, expected_row(record_type, fields, default_object)

    integers = ("step_number", "trained_tokens", "seed")
    return sent.filter(lambda fields: all(_fits(fields, name) for name in integers)).map(pair)


checkpoints = _pairs(FineTuningJobCheckpoint, strategies.checkpoints, "fine_tuning.job.checkpoint")
events = _pairs(FineTuningJobEvent, strategies.events, "fine_tuning.job.event")
jobs = _pairs(FineTuningJob, strategies.jobs, "fine_tuning.job")


def _step(fields: Row, extra: Row) -> RecordAndRow:
    return StepMetrics(**fields, extra=Extra(extra)), {**fields, "extra": extra or None}


steps = st.builds(
    _step,
    st.fixed_dictionaries(
        {
            "step": st.integers(0, 2**63 - 1),
            **{name: st.none() | st.floats() for name in METRICS},
            "source": st.sampled_from(["events", "result_file"]),
        }
    ),
    st.dictionaries(strategies.texts, st.floats(allow_nan=False) | strategies.values, max_size=2),
)
"""Step metrics, with NaN and the infinities, which the API cannot send."""

KINDS = {
    FineTuningJobCheckpoint: checkpoints,
    FineTuningJobEvent: events,
    FineTuningJob: jobs,
    StepMetrics: steps,
}

lists_of_rows: st.SearchStrategy[tuple[type, list[RecordAndRow]]] = st.sampled_from(
    list(KINDS)
).flatmap(lambda kind: st.tuples(st.just(kind), st.lists(KINDS[kind], max_size=5)))
"""A class of records, and some of them with their rows."""


def parsed(record_type: type, row: Row) -> Row:
    """A row with its JSON text parsed."""
    kinds = {column.name: column.kind for column in schema_of(record_type).columns}
    return {
        name: json.loads(value) if kinds[name] == "json" and value is not None else value
        for name, value in row.items()
    }


def same_rows(given: list[Row], wanted: list[Row]) -> bool:
    """Equal names, and equal values of the same type; NaN equals NaN."""
    return len(given) == len(wanted) and all(
        one.keys() == other.keys() and all(same_value(one[name], other[name]) for name in one)
        for one, other in zip(given, wanted, strict=True)
    )


def same_value(given: Any, wanted: Any) -> bool:
    if isinstance(wanted, float) and math.isnan(wanted):
        return isinstance(given, float) and math.isnan(given)
    if isinstance(wanted, int | float) and not isinstance(wanted, bool):
        return type(given) is type(wanted) and given == wanted
    if isinstance(wanted, list | dict):
        return bool(_without_none(given) == _without_none(wanted))
    return given == wanted and isinstance(given, type(wanted))
