"""Records as lines of CSV and JSON."""

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncckpt import Metrics
from asyncckpt.export.columns import CHECKPOINTS, ColumnError
from asyncckpt.export.texts import csv_line, json_object
from asyncckpt.records.base import Extra

from support.records import checkpoint
from support.strategies import thorough


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (None, ""),
        ("", '""'),
        ("plain", "plain"),
        ("=1+1", "=1+1"),
        ('a "b", c', '"a ""b"", c"'),
        ("a\r", '"a\r"'),
        ("a\nb", '"a\nb"'),
        (3, "3"),
        (0.1, "0.1"),
        (float("nan"), "nan"),
        (datetime(2025, 1, 1, 17, 20, tzinfo=UTC), "2025-01-01T17:20:00Z"),
        (datetime(2025, 1, 1, 17, 20, 0, 5, tzinfo=UTC), "2025-01-01T17:20:00.000005Z"),
    ],
)
def test_a_field_of_csv(value: Any, field: str) -> None:
    assert csv_line(["a", value]) == f"a,{field}\n"


@thorough
@given(st.lists(st.lists(st.text(), min_size=2, max_size=2)))
def test_any_text_can_be_read_back(lines: list[list[str]]) -> None:
    text = "".join(map(csv_line, lines))
    assert list(csv.reader(io.StringIO(text, newline=""), strict=True)) == lines


def test_json_is_the_object_of_the_api() -> None:
    record = checkpoint(metrics=Metrics(train_loss=0.5))
    assert json.loads(json_object(record))["metrics"] == {"train_loss": 0.5}
    assert "\n" not in json_object(record)


def test_json_with_chosen_fields_has_only_these() -> None:
    schema = CHECKPOINTS.select(["created_at", "train_loss", "valid_loss", "extra"])
    record = checkpoint(created_at=5, metrics=Metrics(train_loss=0.5))
    line = json_object(record, schema)
    assert line == '{"created_at":5,"train_loss":0.5,"valid_loss":null,"extra":null}'


@pytest.mark.parametrize("fields", [None, ["id", "extra"]])
def test_json_that_cannot_be_written_is_an_error_that_names_the_field(
    fields: list[str] | None,
) -> None:
    schema = None if fields is None else CHECKPOINTS.select(fields)
    record = checkpoint(extra=Extra({"a": {1}}))
    message = "extra of FineTuningJobCheckpoint ftckpt_1: expected values that JSON can hold, got"
    with pytest.raises(ColumnError, match=message):
        json_object(record, schema)
    with pytest.raises(ColumnError, match="id of .*: expected values that JSON can hold, got"):
        json_object(checkpoint(id="\ud800"), schema)
