"""The structs that parse the JSON of records."""

from typing import Any

import msgspec
import pytest

from asyncckpt import Metrics
from asyncckpt.records.base import Extra
from asyncckpt.records.jobs import Error, FineTuningJob
from asyncckpt.records.wire import (
    Learned,
    can_be_learned,
    record_fields,
    replace_records,
    wire_class,
)


def decoded(text: str, *learned: tuple[type, str], record: type = Error) -> Any:
    names: Learned = frozenset(learned)
    return msgspec.json.decode(text, type=wire_class(record, names))


@pytest.mark.parametrize("name", ["new", "größe", "a b", "$"])
def test_names_that_can_be_learned(name: str) -> None:
    assert can_be_learned(name)
    found = decoded(msgspec.json.encode({name: 1}).decode(), (Error, name))
    assert found.extra == {name: 1}


@pytest.mark.parametrize("name", ["", 'a"b', "a\\b", "a\nb", "\ud800"])
def test_names_that_cannot_be_learned(name: str) -> None:
    assert not can_be_learned(name)


def test_the_fields_of_a_record() -> None:
    fields = record_fields(Error)
    assert fields == {"code": str | None, "message": str | None, "param": str | None}


def test_records_are_replaced_at_any_depth() -> None:
    annotation = dict[str, list[Error] | None] | Metrics | int
    assert replace_records(annotation, {Error: str, Metrics: bytes}.__getitem__) == (
        dict[str, list[str] | None] | bytes | int
    )


def test_an_unknown_field_is_an_error_until_it_is_learned() -> None:
    text = '{"code": "c", "new": {"a": [1]}}'
    with pytest.raises(msgspec.ValidationError, match="unknown field `new`"):
        decoded(text)
    found = decoded(text, (Error, "new"))
    assert (found.code, found.message, found.extra) == ("c", None, {"new": {"a": [1]}})
    assert isinstance(found.extra, Extra)


def test_a_learned_field_may_be_absent() -> None:
    assert decoded('{"code": "c"}', (Error, "new")).extra == {}


def test_a_field_is_learned_for_its_record_only() -> None:
    text = '{"id": "a", "created_at": 1, "model": "m", "status": "s", "training_file": "f"'
    job = decoded(f'{text}, "error": {{"new": 1}}}}', (Error, "new"), record=FineTuningJob)
    assert (job.error.extra, job.extra) == ({"new": 1}, {})
    with pytest.raises(msgspec.ValidationError, match="unknown field `new`"):
        decoded(f'{text}, "new": 1}}', (Error, "new"), record=FineTuningJob)


def test_a_known_field_can_be_learned_to_be_null() -> None:
    text = '{"id": "a", "created_at": 1, "model": null, "status": "s", "training_file": "f"}'
    with pytest.raises(msgspec.ValidationError, match=r"\$\.model"):
        decoded(text, record=FineTuningJob)
    files = text.replace('"model": null', '"model": "m", "result_files": null')
    found = decoded(files, (FineTuningJob, "result_files"), record=FineTuningJob)
    assert found.result_files == []
    assert found.result_files is not found.result_files
