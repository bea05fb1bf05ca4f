"""Known fields that a server sends in another form than the API reference."""

import copy
import json
import pickle
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncckpt import (
    FineTuningJob,
    FineTuningJobCheckpoint,
    FineTuningJobEvent,
    Metrics,
    converter,
)
from asyncckpt.records.base import Record
from asyncckpt.records.checkpoints import ListFineTuningJobCheckpointsResponse
from asyncckpt.records.codec import Decoder, ListDecoder, MismatchError

from support.records import CHECKPOINT, JOB, assert_holds, page_of, same
from support.strategies import JSON, checkpoints, thorough

EVENT = {"id": "e", "created_at": 1, "level": "info", "message": "m", "object": "o"}


def decoded(fields: JSON) -> FineTuningJobCheckpoint:
    return Decoder(FineTuningJobCheckpoint).decode(json.dumps(fields).encode())


def without(*names: str) -> dict[str, JSON]:
    return {name: value for name, value in CHECKPOINT.items() if name not in names}


OTHER_FORMS: list[tuple[str, dict[str, JSON]]] = [
    ("no metrics", without("metrics")),
    ("null metrics", {**CHECKPOINT, "metrics": None}),
    ("empty metrics", {**CHECKPOINT, "metrics": {}}),
    ("null metric", {**CHECKPOINT, "metrics": {"step": 5.0, "valid_loss": None, "new": None}}),
    ("no step", without("step_number")),
    ("null step", {**CHECKPOINT, "step_number": None}),
    ("no object", without("object")),
    ("text time", {**CHECKPOINT, "created_at": "2026-01-05T10:00:00.250000Z"}),
    ("path as model", {**CHECKPOINT, "fine_tuned_model_checkpoint": "/models/run-1/step-5"}),
    ("result files", {**CHECKPOINT, "result_files": ["file-1", "file-2"]}),
    ("no result file", {**CHECKPOINT, "result_files": []}),
    ("null result files", {**CHECKPOINT, "result_files": None}),
    ("another id", {**CHECKPOINT, "id": "ft_ckpt-1/0"}),
    ("little", without("metrics", "step_number", "object") | {"new": 1}),
    ("null", {**CHECKPOINT, "metrics": None, "step_number": None, "result_files": None, "new": 1}),
]


class TestCheckpoints:
    @pytest.mark.parametrize(
        "fields", [fields for _, fields in OTHER_FORMS], ids=[name for name, _ in OTHER_FORMS]
    )
    def test_are_written_as_they_were_sent(self, fields: dict[str, JSON]) -> None:
        record = decoded(fields)
        assert_holds(record, fields)
        for same_again in (
            record,
            pickle.loads(pickle.dumps(record)),
            copy.copy(record),
            copy.deepcopy(record),
            attrs.evolve(record),
            converter.structure(fields, FineTuningJobCheckpoint),
            converter.loads(json.dumps(fields), FineTuningJobCheckpoint),
        ):
            assert converter.unstructure(same_again) == fields
            assert json.loads(converter.dumps(same_again)) == fields
            assert same_again == record
            assert hash(same_again) == hash(record)

    @thorough
    @given(st.lists(st.lists(checkpoints, max_size=3), min_size=1, max_size=4))
    def test_in_any_mixture_of_pages(self, pages: list[list[JSON]]) -> None:
        decoder = ListDecoder(ListFineTuningJobCheckpointsResponse, FineTuningJobCheckpoint)
        for records in pages:
            body = decoder.parse(page_of(*records))
            assert [record.id for record in body.data] == [fields["id"] for fields in records]
            for record, fields in zip(decoder.to_records(body.data), records, strict=True):
                assert_holds(record, fields)
                assert converter.unstructure(record) == fields

    @pytest.mark.parametrize(
        "fields", [fields for _, fields in OTHER_FORMS], ids=[name for name, _ in OTHER_FORMS]
    )
    def test_on_page_after_page(self, fields: dict[str, JSON]) -> None:
        decoder = ListDecoder(ListFineTuningJobCheckpointsResponse, FineTuningJobCheckpoint)
        for _ in range(3):
            body = decoder.parse(page_of(fields, CHECKPOINT, fields))
            written = [converter.unstructure(record) for record in decoder.to_records(body.data)]
            assert written == [fields, CHECKPOINT, fields]

    def test_text_does_not_make_the_decoder_forget_names(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        decoder = Decoder(FineTuningJobCheckpoint)
        new = json.dumps({**CHECKPOINT, "new": 1}).encode()
        text = json.dumps({**CHECKPOINT, "created_at": "2026-01-05T10:00:00Z"}).encode()
        decoder.decode(new)
        for _ in range(10):
            decoder.decode(text)
        monkeypatch.setattr(decoder, "_decode_slowly", None)
        assert decoder.decode(new).extra == {"new": 1}

    def test_null_is_decoded_fast_from_the_second_time_on(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        decoder = Decoder(FineTuningJobCheckpoint)
        sent = {**without("step_number"), "metrics": None, "result_files": None}
        body = json.dumps(sent).encode()
        decoder.decode(body)
        monkeypatch.setattr(decoder, "_decode_slowly", None)
        assert converter.unstructure(decoder.decode(body)) == sent
        assert decoder.decode(json.dumps(CHECKPOINT).encode()).step_number == 2000

    def test_records_with_the_same_nulls_share_what_remembers_them(self) -> None:
        decoder = Decoder(FineTuningJobCheckpoint)
        metrics = {"step": 5.0, "valid_loss": None}
        body = json.dumps({**CHECKPOINT, "metrics": metrics}).encode()
        other = json.dumps({**CHECKPOINT, "metrics": {"step": 5.0}}).encode()
        _, first, second = [decoder.decode(body) for _ in range(3)]
        assert second.metrics.extra is first.metrics.extra
        assert converter.unstructure(first)["metrics"] == metrics
        assert converter.unstructure(decoder.decode(other))["metrics"] == {"step": 5.0}

    def test_without_metrics_have_none_measured(self) -> None:
        for fields in (without("metrics"), {**CHECKPOINT, "metrics": None}):
            record = decoded(fields)
            assert record.metrics == Metrics()
            assert record.metrics.full_valid_loss is None
            assert record == decoded({**CHECKPOINT, "metrics": {}})

    def test_without_a_step_have_none(self) -> None:
        assert decoded(without("step_number")).step_number is None
        assert decoded({**CHECKPOINT, "step_number": None}).step_number is None

    def test_a_changed_field_is_written_as_it_is_now(self) -> None:
        sent = {
            **without("metrics", "object"),
            "step_number": None,
            "created_at": "2026-01-05 10:00",
        }
        changed = attrs.evolve(
            decoded(sent), metrics=Metrics(step=5.0), step_number=5, created_at=7, object="o"
        )
        assert converter.unstructure(changed) == {
            **CHECKPOINT,
            "metrics": {"step": 5.0},
            "step_number": 5,
            "created_at": 7,
            "object": "o",
        }
        assert changed.created == datetime(1970, 1, 1, 0, 0, 7, tzinfo=UTC)

    def test_null_is_still_an_error_elsewhere(self) -> None:
        for name in ("id", "created_at", "fine_tuned_model_checkpoint", "object"):
            with pytest.raises(MismatchError) as caught:
                decoded({**CHECKPOINT, name: None})
            assert caught.value.path == f"$.{name}"

    @pytest.mark.parametrize(
        ("name", "wrong", "path"),
        [
            ("result_files", [1], "$.result_files[0]"),
            ("result_files", "file", "$.result_files"),
            ("step_number", "5", "$.step_number"),
            ("metrics", "none", "$.metrics"),
        ],
    )
    def test_another_type_is_an_error_also_where_null_is_learned(
        self, name: str, wrong: JSON, path: str
    ) -> None:
        decoder = Decoder(FineTuningJobCheckpoint)
        for value in (None, None, wrong):
            body = json.dumps({**CHECKPOINT, name: value}).encode()
            if value is None:
                decoder.decode(body)
                continue
            with pytest.raises(MismatchError) as caught:
                decoder.decode(body)
            assert caught.value.path == path


class TestTimes:
    @pytest.mark.parametrize(
        ("text", "time"),
        [
            ("2026-01-05T10:00:00Z", datetime(2026, 1, 5, 10, tzinfo=UTC)),
            ("2026-01-05t10:00:00z", datetime(2026, 1, 5, 10, tzinfo=UTC)),
            ("2026-01-05 10:00", datetime(2026, 1, 5, 10, tzinfo=UTC)),
            ("2026-01-05T10:00:00", datetime(2026, 1, 5, 10, tzinfo=UTC)),
            ("2026-01-05T10:00:00.999Z", datetime(2026, 1, 5, 10, 0, 0, 999_000, tzinfo=UTC)),
            ("2026-01-05T10:00:00,25", datetime(2026, 1, 5, 10, 0, 0, 250_000, tzinfo=UTC)),
            ("2026-01-05T10:00:00.123456789Z", datetime(2026, 1, 5, 10, 0, 0, 123456, tzinfo=UTC)),
            ("2026-01-05T10:00:00+02:00", datetime(2026, 1, 5, 8, tzinfo=UTC)),
            ("2026-01-05T10:00:00-0730", datetime(2026, 1, 5, 17, 30, tzinfo=UTC)),
            ("1969-12-31T23:59:59.5Z", datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC)),
        ],
    )
    def test_text_means_a_time(self, text: str, time: datetime) -> None:
        record = decoded({**CHECKPOINT, "created_at": text})
        assert record.created == time
        assert record.created.tzinfo is UTC
        assert record.created_at == time.replace(microsecond=0).timestamp()
        assert converter.unstructure(record)["created_at"] == text

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "yesterday",
            "1721764867",
            "2026-01-05",
            "20260105T100000Z",
            "2026-02-30T10:00:00Z",
            "2026-01-05T25:00:00Z",
            "0001-01-01T00:00:00+12:00",
            "2026-01-05T10:00:00Z ",
            "٢٠٢٦-01-05T10:00:00Z",
        ],
    )
    def test_other_text_is_an_error(self, text: str) -> None:
        with pytest.raises(MismatchError, match="^Expected `int`, got `str`$") as caught:
            decoded({**CHECKPOINT, "created_at": text})
        assert caught.value.path == "$.created_at"

    @pytest.mark.parametrize(
        ("record_type", "fields", "names"),
        [
            (FineTuningJob, JOB, ["created_at", "finished_at", "estimated_finish"]),
            (FineTuningJobEvent, EVENT, ["created_at"]),
        ],
    )
    def test_of_other_records(
        self, record_type: type[Record], fields: dict[str, JSON], names: list[str]
    ) -> None:
        text = "2026-01-05T10:00:00.5Z"
        sent = {**fields, **dict.fromkeys(names, text)}
        record: Any = Decoder(record_type).decode(json.dumps(sent).encode())
        assert {getattr(record, name) for name in names} == {1_767_607_200}
        assert record.created == datetime(2026, 1, 5, 10, 0, 0, 500_000, tzinfo=UTC)
        written = converter.unstructure(record)
        assert same({name: written[name] for name in names}, dict.fromkeys(names, text))


def test_null_result_files_of_a_job_are_an_empty_list() -> None:
    sent = {**JOB, "result_files": None}
    job = Decoder(FineTuningJob).decode(json.dumps(sent).encode())
    assert job.result_files == []
    assert converter.unstructure(job)["result_files"] is None
