"""Records and pages to plain data and back."""

import copy
import json
import pickle
from datetime import UTC, datetime
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given

from asyncckpt import (
    AsyncClient,
    FineTuningJob,
    FineTuningJobCheckpoint,
    FineTuningJobEvent,
    Metrics,
    converter,
)
from asyncckpt.records.base import Extra, extra_field
from asyncckpt.records.codec import Decoder
from asyncckpt.testing import Sandbox

from support.records import CHECKPOINT, JOB, assert_holds, page_decoder, page_of, same
from support.strategies import JSON, checkpoints, events, jobs, thorough


@pytest.mark.parametrize("kind", ["checkpoints", "jobs"])
async def test_a_page_becomes_the_body_of_a_list(
    kind: str, sandbox: Sandbox, client: AsyncClient
) -> None:
    jobs = client.fine_tuning.jobs
    page = await (jobs.list() if kind == "jobs" else jobs.checkpoints.list(sandbox.job_ids[0]))
    body = converter.unstructure(page)
    sent = msgspec.json.decode(page.response.content)
    assert body["data"] == [converter.unstructure(record) for record in page.data]
    assert body["data"] != []
    assert {name: body[name] for name in sent if name != "data"} == {
        name: sent[name] for name in sent if name != "data"
    }
    assert msgspec.json.decode(converter.dumps(page)) == body


async def test_hooks_on_a_copy_apply_inside_pages(sandbox: Sandbox, client: AsyncClient) -> None:
    own = converter.copy()
    own.register_unstructure_hook(FineTuningJobCheckpoint, lambda checkpoint: checkpoint.id)
    page = await client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0], limit=2)
    assert own.unstructure(page)["data"] == [checkpoint.id for checkpoint in page.data]


def test_dumps_returns_bytes() -> None:
    assert isinstance(converter.dumps({"a": 1}), bytes)


RECORDS = [
    pytest.param(FineTuningJobCheckpoint, checkpoints, id="checkpoint"),
    pytest.param(FineTuningJob, jobs, id="job"),
    pytest.param(FineTuningJobEvent, events, id="event"),
]


class TestRoundTrips:
    @pytest.mark.parametrize(("record_type", "strategy"), RECORDS)
    def test_nothing_is_lost(self, record_type: type[Any], strategy: Any) -> None:
        @thorough
        @given(strategy)
        def check(fields: JSON) -> None:
            record = Decoder(record_type).decode(json.dumps(fields).encode())
            as_dict = converter.unstructure(record)
            as_json = converter.dumps(record)
            assert converter.structure(as_dict, record_type) == record
            assert converter.loads(as_json, record_type) == record
            assert Decoder(record_type).decode(as_json) == record
            assert json.loads(as_json) == as_dict
            for same_again in (
                pickle.loads(pickle.dumps(record)),
                copy.copy(record),
                copy.deepcopy(record),
                attrs.evolve(record),
            ):
                assert same_again == record
                assert hash(same_again) == hash(record)
                assert_holds(same_again, fields)

        check()

    @pytest.mark.parametrize(("record_type", "strategy"), RECORDS)
    def test_unstructure_returns_what_was_sent(self, record_type: type[Any], strategy: Any) -> None:
        @thorough
        @given(strategy)
        def check(fields: JSON) -> None:
            written = converter.unstructure(converter.structure(fields, record_type))
            # Whatever was sent is there, unless it said nothing.
            for name, value in fields.items():
                if name not in attrs.fields_dict(record_type) or name == "extra":
                    assert same(written[name], value)
                elif value is not None:
                    assert name in written
            assert written.keys() - fields.keys() <= attrs.fields_dict(record_type).keys() - {
                "extra"
            }

        check()

    def test_metrics_that_were_not_measured_are_left_out(self) -> None:
        checkpoint = converter.structure(CHECKPOINT, FineTuningJobCheckpoint)
        assert converter.unstructure(checkpoint) == CHECKPOINT
        assert "train_loss" not in converter.unstructure(checkpoint)["metrics"]

    def test_fields_that_the_api_always_sends_are_written_even_if_null(self) -> None:
        written = converter.unstructure(converter.structure(JOB, FineTuningJob))
        always_sent = (
            "error",
            "fine_tuned_model",
            "finished_at",
            "trained_tokens",
            "validation_file",
        )
        assert {name: written[name] for name in always_sent} == dict.fromkeys(always_sent)
        assert written["result_files"] == []
        assert written["object"] == "fine_tuning.job"
        assert written.keys() == {*JOB, *always_sent, "result_files", "object"}

    def test_unknown_fields_are_written_next_to_known_ones(self) -> None:
        checkpoint = converter.structure(
            {**CHECKPOINT, "extra": 1, "new": [2]}, FineTuningJobCheckpoint
        )
        assert checkpoint.extra == {"extra": 1, "new": [2]}
        assert converter.unstructure(checkpoint) == {**CHECKPOINT, "extra": 1, "new": [2]}

    def test_evolve_changes_one_field_and_keeps_the_unknown(self) -> None:
        checkpoint = converter.structure({**CHECKPOINT, "new": 1}, FineTuningJobCheckpoint)
        evolved = attrs.evolve(checkpoint, step_number=3)
        assert evolved.extra == {"new": 1}
        assert (evolved.step_number, checkpoint.step_number) == (3, 2000)

    def test_unstructured_dicts_are_the_callers_own(self) -> None:
        checkpoint = converter.structure({**CHECKPOINT, "new": 1}, FineTuningJobCheckpoint)
        fields = converter.unstructure(checkpoint)
        fields["new"] = 2
        fields["metrics"]["step"] = 3
        assert checkpoint.extra == {"new": 1}
        assert checkpoint.metrics.step == 2000.0


@attrs.frozen
class OwnMetrics:
    full_valid_loss: float
    extra: Extra = extra_field()


@attrs.frozen
class Own:
    id: str
    metrics: OwnMetrics
    created_at: int = 0
    extra: Extra = extra_field()


@attrs.frozen
class OwnWithoutExtra:
    id: str
    step_number: int


@attrs.frozen
class OwnTimed:
    created_at: datetime
    extra: Extra = extra_field()


class TestOwnRecordClasses:
    def test_keep_unknown_fields_with_extra_field(self) -> None:
        own = converter.structure(CHECKPOINT, Own)
        assert (own.id, own.metrics.full_valid_loss, own.created_at) == (
            CHECKPOINT["id"],
            0.134,
            CHECKPOINT["created_at"],
        )
        assert own.metrics.extra == {"step": 2000.0}
        assert own.extra.keys() == CHECKPOINT.keys() - {"id", "metrics", "created_at"}
        assert converter.unstructure(own) == CHECKPOINT
        assert converter.loads(converter.dumps(own), Own) == own

    def test_may_do_without_unknown_fields(self) -> None:
        own = converter.structure(CHECKPOINT, OwnWithoutExtra)
        assert own == OwnWithoutExtra("ftckpt_1", 2000)
        assert converter.unstructure(own) == {"id": "ftckpt_1", "step_number": 2000}

    def test_from_a_record(self) -> None:
        checkpoint = converter.structure(CHECKPOINT, FineTuningJobCheckpoint)
        assert converter.structure(converter.unstructure(checkpoint), Own).id == checkpoint.id


class TestHooksOnACopy:
    def test_apply_to_the_copy_inside_records_too(self) -> None:
        own = converter.copy()
        own.register_unstructure_hook(float, lambda number: f"{number:.1f}")
        own.register_unstructure_hook(Metrics, lambda metrics: metrics.full_valid_loss)
        checkpoint = converter.structure(CHECKPOINT, FineTuningJobCheckpoint)
        assert own.unstructure(checkpoint)["metrics"] == 0.134
        assert own.unstructure(1.25) == "1.2"

    def test_do_not_change_the_converter_of_the_package(self) -> None:
        checkpoint = converter.structure(CHECKPOINT, FineTuningJobCheckpoint)
        own = converter.copy()
        own.register_unstructure_hook(FineTuningJobCheckpoint, lambda checkpoint: checkpoint.id)
        own.register_structure_hook(FineTuningJobCheckpoint, lambda value, _: checkpoint)
        own.register_unstructure_hook(Metrics, lambda _: {})
        assert own.unstructure(checkpoint) == "ftckpt_1"
        assert own.structure("anything", FineTuningJobCheckpoint) is checkpoint
        assert converter.unstructure(checkpoint) == CHECKPOINT
        assert converter.structure(CHECKPOINT, FineTuningJobCheckpoint) == checkpoint

    def test_a_type_of_your_own(self) -> None:
        own = converter.copy()
        own.register_structure_hook(
            datetime, lambda unixtime, _: datetime.fromtimestamp(unixtime, UTC)
        )
        timed = own.structure(CHECKPOINT, OwnTimed)
        assert timed.created_at == datetime(2024, 7, 23, 20, 1, 7, tzinfo=UTC)
        assert timed.extra.keys() == CHECKPOINT.keys() - {"created_at"}


def test_records_are_json_to_msgspec_as_well() -> None:
    checkpoint = converter.structure({**CHECKPOINT, "new": 1}, FineTuningJobCheckpoint)
    assert msgspec.json.decode(msgspec.json.encode(checkpoint))["extra"] == {"new": 1}


@pytest.mark.parametrize(
    ("step", "written"),
    [("2000", b"2000"), ("2000.0", b"2000"), ("0.5", b"0.5"), ("1e300", b"1e300"), ("-1", b"-1")],
)
def test_the_step_of_metrics_is_written_as_an_integer(step: str, written: bytes) -> None:
    (record,) = (
        page_decoder().decode(page_of({**CHECKPOINT, "metrics": {"step": float(step)}})).data
    )
    body = converter.dumps(record)
    assert b'"step":' + written + b"}" in body
    assert converter.loads(body, FineTuningJobCheckpoint) == record
