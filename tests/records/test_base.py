"""What all records share: docstrings, and extra fields that cannot change."""

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from asyncckpt import Metrics
from asyncckpt.records import checkpoints, events, jobs, steps
from asyncckpt.records.base import Extra, Record, extra_field

from support.records import checkpoint, described_fields, records_in

RECORDS = [
    record
    for module in (checkpoints, events, jobs, steps)
    for record in records_in(module).values()
    if issubclass(record, Record)
]

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


@pytest.mark.parametrize("record", RECORDS)
def test_every_field_is_described_where_the_reference_takes_it_from(record: Any) -> None:
    own = [field.name for field in attrs.fields(record) if not field.inherited]
    assert described_fields(record) == own


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
