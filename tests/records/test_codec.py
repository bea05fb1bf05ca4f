"""Bytes to records, and records to everything else."""

import copy
import gc
import json
import pickle
import sys
import tracemalloc
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncckpt import FineTuningJob, FineTuningJobCheckpoint, Metrics, converter
from asyncckpt.records.base import Extra, extra_field
from asyncckpt.records.checkpoints import ListFineTuningJobCheckpointsResponse
from asyncckpt.records.codec import Decoder, MismatchError, TruncatedBodyError
from asyncckpt.records.jobs import ListPaginatedFineTuningJobsResponse

from support.strategies import JSON, WEIRD_NAMES, checkpoints, jobs, pages, thorough, values

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


def page_decoder() -> Decoder[ListFineTuningJobCheckpointsResponse]:
    return Decoder(ListFineTuningJobCheckpointsResponse)


def page_of(*records: JSON, **fields: JSON) -> bytes:
    return json.dumps({"data": list(records), **fields}).encode()


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
        if name not in fields:
            default = field.default
            assert value == (default.factory() if hasattr(default, "factory") else default)
            continue
        sent = fields[name]
        if attrs.has(type(value)):
            assert_holds(value, sent)
        elif isinstance(value, list) and value and attrs.has(type(value[0])):
            assert len(value) == len(sent)
            for one, one_sent in zip(value, sent, strict=True):
                assert_holds(one, one_sent)
        elif isinstance(value, float):
            assert isinstance(sent, int | float)
            assert value == float(sent)
        else:
            assert same(value, sent)


PAGES = [
    pytest.param(ListFineTuningJobCheckpointsResponse, pages(checkpoints), id="checkpoints"),
    pytest.param(ListPaginatedFineTuningJobsResponse, pages(jobs), id="jobs"),
]


class TestDecode:
    @pytest.mark.parametrize(("page_type", "strategy"), PAGES)
    def test_gives_what_was_sent(self, page_type: type[Any], strategy: Any) -> None:
        @thorough
        @given(strategy, st.booleans())
        def check(body: JSON, ascii_only: bool) -> None:
            content = json.dumps(body, ensure_ascii=ascii_only).encode()
            decoder = Decoder(page_type)
            first, second = decoder.decode(content), decoder.decode(content)
            assert_holds(first, body)
            assert_holds(second, body)  # by the wire class that the first has taught it
            assert first == second == converter.structure(body, page_type)

        check()

    @pytest.mark.parametrize(("page_type", "strategy"), PAGES)
    def test_does_not_depend_on_what_was_decoded_before(
        self, page_type: type[Any], strategy: Any
    ) -> None:
        @thorough
        @given(st.lists(strategy, min_size=2, max_size=4))
        def check(bodies: list[JSON]) -> None:
            decoder = Decoder(page_type)
            for body in [*bodies, *reversed(bodies)]:
                assert_holds(decoder.decode(json.dumps(body).encode()), body)

        check()

    @pytest.mark.parametrize("name", WEIRD_NAMES)
    def test_keeps_unknown_fields_of_weird_names_at_every_depth(self, name: str) -> None:
        metrics = {**CHECKPOINT["metrics"], name: 1}
        content = page_of({**CHECKPOINT, "metrics": metrics, name: [None]}, **{name: {"a": 2}})
        decoder = page_decoder()
        for _ in range(3):
            page = decoder.decode(content)
            assert page.extra == {name: {"a": 2}}
            assert page.data[0].extra == {name: [None]}
            assert page.data[0].metrics.extra == {name: 1}
            assert page.data[0].metrics.full_valid_loss == 0.134

    def test_keeps_unknown_fields_where_only_some_records_have_them(self) -> None:
        decoder = page_decoder()
        content = page_of({**CHECKPOINT, "a": 1}, CHECKPOINT, {**CHECKPOINT, "b": None})
        for _ in range(3):
            extras = [dict(checkpoint.extra) for checkpoint in decoder.decode(content).data]
            assert extras == [{"a": 1}, {}, {"b": None}]

    def test_pages_may_alternate_in_their_unknown_fields(self) -> None:
        decoder = page_decoder()
        for turn in range(12):
            name = f"field_{turn % 3}"
            (checkpoint,) = decoder.decode(page_of({**CHECKPOINT, name: turn})).data
            assert checkpoint.extra == {name: turn}

    def test_takes_up_no_name_for_good_that_a_field_is_called_by_elsewhere(self) -> None:
        # `step` is a field of the metrics, and unknown to the checkpoint.
        decoder = page_decoder()
        for _ in range(2):
            (checkpoint,) = decoder.decode(page_of({**CHECKPOINT, "step": "x"})).data
            assert checkpoint.extra == {"step": "x"}
            assert checkpoint.metrics.step == 2000.0

    @pytest.mark.parametrize("names", [15, 16, 17, 200])
    def test_any_number_of_unknown_fields_is_kept(self, names: int) -> None:
        unknown = {f"unknown_{i}": i for i in range(names)}
        decoder = page_decoder()
        for _ in range(3):
            (checkpoint,) = decoder.decode(page_of({**CHECKPOINT, **unknown})).data
            assert checkpoint.extra == unknown

    def test_a_server_that_invents_names_on_every_page_loses_none(self) -> None:
        decoder = page_decoder()
        for turn in range(150):
            (checkpoint,) = decoder.decode(page_of({**CHECKPOINT, f"unknown_{turn}": turn})).data
            assert checkpoint.extra == {f"unknown_{turn}": turn}

    def test_learns_the_unknown_fields_that_a_server_sends(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        decoder = page_decoder()
        content = page_of({**CHECKPOINT, "new": 1}, newer=2)
        decoder.decode(content)

        def refuse(*_: object) -> None:
            raise AssertionError("the thorough way was taken again")

        monkeypatch.setattr(Decoder, "_decode_slowly", refuse)
        assert decoder.decode(content).data[0].extra == {"new": 1}

    def test_numbers_without_a_fraction_are_floats_where_the_api_says_number(self) -> None:
        for unknown in ({}, {"new": 1}):
            content = page_of({**CHECKPOINT, "metrics": {"step": 7, "train_loss": 0, **unknown}})
            metrics = page_decoder().decode(content).data[0].metrics
            assert (type(metrics.step), metrics.step) == (float, 7.0)
            assert (type(metrics.train_loss), metrics.train_loss) == (float, 0.0)

    def test_records_without_unknown_fields_share_one_empty_extra(self) -> None:
        page = page_decoder().decode(page_of(CHECKPOINT, CHECKPOINT))
        assert page.extra is page.data[0].extra is page.data[1].metrics.extra

    def test_the_sparse_pages_of_compatible_servers(self) -> None:
        sparse = {name: CHECKPOINT[name] for name in CHECKPOINT if name != "object"}
        page = page_decoder().decode(page_of({**sparse, "metrics": {"train_loss": None}}))
        assert (page.has_more, page.first_id, page.last_id, page.object) == (
            None,
            None,
            None,
            "list",
        )
        assert page.data[0].metrics == Metrics()
        assert page.data[0].object == "fine_tuning.job.checkpoint"

    def test_a_name_that_comes_twice_counts_the_last_time(self) -> None:
        content = b'{"data": [], "last_id": "a", "new": 1, "last_id": "b", "new": 2}'
        decoder = page_decoder()
        for _ in range(2):
            page = decoder.decode(content)
            assert (page.last_id, dict(page.extra)) == ("b", {"new": 2})


WRONG: dict[str, tuple[JSON, str, str]] = {
    "id": (None, "str", "null"),
    "created_at": ("soon", "int", "str"),
    "fine_tuned_model_checkpoint": (3, "str", "int"),
    "fine_tuning_job_id": ([], "str", "array"),
    "metrics": (None, "object", "null"),
    "metrics.step": ("7", "float | null", "str"),
    "metrics.train_loss": (True, "float | null", "bool"),
    "metrics.valid_loss": ({}, "float | null", "object"),
    "step_number": (1.5, "int", "float"),
    "object": (None, "str", "null"),
}


HOSTILE: dict[str, Callable[[int], JSON]] = {
    "a new name in every page": lambda page: {f"new_{page}": page},
    "new names in every page": lambda page: {f"new_{page}_{i}": i for i in range(10)},
    "long names": lambda page: {f"{page}{'x' * 40_000}": page},
    "rather long names": lambda page: {f"{page}_{i}_{'x' * 150}": page for i in range(12)},
    "numerous names": lambda page: {f"new_{page}_{i}": i for i in range(200)},
    "the same numerous names": lambda _: {f"new_{i}": i for i in range(200)},
    "unlearnable names": lambda page: {'a"b': page, "": page, "\\": page},
    "two sets of names in turn": lambda page: {f"new_{page % 2}_{i}": i for i in range(12)},
}


class TestHostileNames:
    @pytest.mark.parametrize("kind", HOSTILE)
    def test_cost_few_classes(self, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        built = 0
        define = msgspec.defstruct

        def count(*args: Any, **options: Any) -> Any:
            nonlocal built
            built += 1
            return define(*args, **options)

        monkeypatch.setattr(msgspec, "defstruct", count)
        decoder = page_decoder()
        for page in range(400):
            unknown = HOSTILE[kind](page)
            (checkpoint,) = decoder.decode(page_of({**CHECKPOINT, **unknown})).data
            assert checkpoint.extra == unknown
        # A page, its checkpoints and their metrics; at first, and each time that names are learned.
        assert built <= 3 * 7

    @pytest.mark.parametrize("kind", HOSTILE)
    def test_cost_few_steps(self, kind: str) -> None:
        decoder = page_decoder()
        records = 50
        content = [
            page_of(*({**CHECKPOINT, **HOSTILE[kind](page)} for _ in range(records)))
            for page in range(5)
        ]
        for learned in content[:2]:
            decoder.decode(learned)
        calls = 0

        def count(_: Any, event: str, __: Any) -> None:
            nonlocal calls
            calls += event in ("call", "c_call")

        sys.setprofile(count)
        try:
            decoder.decode(content[-1])
        finally:
            sys.setprofile(None)
        # For each record and its metrics a few calls, however many names there are.
        assert calls <= 30 * records

    @pytest.mark.parametrize("kind", HOSTILE)
    def test_take_little_memory(self, kind: str) -> None:
        decoder = page_decoder()
        decoder.decode(page_of({**CHECKPOINT, **HOSTILE[kind](-1)}))
        gc.collect()
        tracemalloc.start()
        try:
            for page in range(300):
                decoder.decode(page_of({**CHECKPOINT, **HOSTILE[kind](page)}))
            gc.collect()
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert kept < 100_000

    def test_nested_too_deeply_in_a_learned_field(self) -> None:
        decoder = page_decoder()
        decoder.decode(page_of({**CHECKPOINT, "new": []}))
        deep = page_of({**CHECKPOINT, "new": 0}).replace(b'"new": 0', b'"new": %b')
        with pytest.raises(MismatchError, match="Nested too deeply"):
            decoder.decode(deep % (b"[" * 100_000 + b"]" * 100_000))
        (checkpoint,) = decoder.decode(page_of({**CHECKPOINT, "new": [1]})).data
        assert checkpoint.extra == {"new": [1]}


class TestMismatch:
    @pytest.mark.parametrize(
        "unknown", [{}, {"new": 1}, {"new": "other"}], ids=["", "new", "learned"]
    )
    @pytest.mark.parametrize("field", WRONG)
    def test_a_wrong_type_is_named_with_its_place(self, field: str, unknown: JSON) -> None:
        value, expected, got = WRONG[field]
        wrong = json.loads(json.dumps({**CHECKPOINT, **unknown}))
        *parents, name = field.split(".")
        place = wrong
        for parent in parents:
            place = place[parent]
        place[name] = value
        decoder = page_decoder()
        if unknown.get("new") == "other":
            decoder.decode(page_of({**CHECKPOINT, **unknown}))
        with pytest.raises(MismatchError) as caught:
            decoder.decode(page_of(CHECKPOINT, wrong))
        assert caught.value.path == f"$.data[1].{field}"
        assert str(caught.value) == f"Expected `{expected}`, got `{got}`"

    @pytest.mark.parametrize(
        ("content", "path", "message"),
        [
            (b"[]", "$", "Expected `object`, got `array`"),
            (b"null", "$", "Expected `object`, got `null`"),
            (b'"data"', "$", "Expected `object`, got `str`"),
            (b"{}", "$", "Object missing required field `data`"),
            (b'{"data": {}}', "$.data", "Expected `array`, got `object`"),
            (b'{"data": null}', "$.data", "Expected `array`, got `null`"),
            (b'{"data": [null]}', "$.data[0]", "Expected `object`, got `null`"),
            (b'{"data": [[]]}', "$.data[0]", "Expected `object`, got `array`"),
            (b'{"data": [{}]}', "$.data[0]", "Object missing required field `id`"),
            (b'{"data": [], "has_more": "no"}', "$.has_more", "Expected `bool | null`, got `str`"),
            (
                b'{"data": [], "new": 1, "last_id": 7}',
                "$.last_id",
                "Expected `str | null`, got `int`",
            ),
        ],
    )
    def test_a_page_of_another_form(self, content: bytes, path: str, message: str) -> None:
        with pytest.raises(MismatchError) as caught:
            page_decoder().decode(content)
        assert (caught.value.path, str(caught.value)) == (path, message)

    @pytest.mark.parametrize("name", CHECKPOINT.keys() - {"object"})
    def test_a_required_field_that_is_missing(self, name: str) -> None:
        rest = {other: CHECKPOINT[other] for other in CHECKPOINT if other != name}
        with pytest.raises(MismatchError, match=f"^Object missing required field `{name}`$"):
            page_decoder().decode(page_of(rest))

    @pytest.mark.parametrize(
        ("fields", "path"),
        [
            ({"result_files": [1]}, "$.result_files[0]"),
            ({"metadata": {"a": 1}}, "$.metadata[...]"),
            ({"error": []}, "$.error"),
            ({"integrations": [{"type": "wandb", "wandb": {}}]}, "$.integrations[0].wandb"),
            ({"hyperparameters": {"n_epochs": 1.5}}, "$.hyperparameters.n_epochs"),
            ({"hyperparameters": {"batch_size": True}}, "$.hyperparameters.batch_size"),
            (
                {"method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": []}, "new": 1}}},
                "$.method.dpo.hyperparameters.beta",
            ),
        ],
    )
    def test_deep_in_a_job(self, fields: JSON, path: str) -> None:
        with pytest.raises(MismatchError) as caught:
            Decoder(FineTuningJob).decode(json.dumps({**JOB, **fields}).encode())
        assert caught.value.path == path

    @pytest.mark.parametrize(
        "content",
        [
            b"<html><h1>502 Bad Gateway</h1></html>",
            b'{"data": []} and more',
            b'{"data": []}{"data": []}',
            b'\xef\xbb\xbf{"data": []}',
            b"{'data': []}",
            b'{"data": [],}',
            b'{"data": [], "new": NaN}',
            b'{"data": [], "new": "\x00"}',
            b'{"data": [], "new": 1e400}',
            b'{"data": [], "new": ' + b"1" * 5000 + b"}",
            b'{"data": [], "new": "\\ud800 and a half of a pair"}',
        ],
    )
    def test_what_is_no_json(self, content: bytes) -> None:
        with pytest.raises(MismatchError):
            page_decoder().decode(content)

    @pytest.mark.parametrize(
        "content",
        [
            b'{"data": [], "last_id": "\xff"}',
            b'{"data": [], "last_id": "\xc3("}',
            b'{"data": [], "new": "\xff"}',
            b'{"data": [], "\xff": 1}',
            b'{"data": [], "new": {"\xed\xa0\x80": 1}}',
        ],
    )
    def test_what_is_no_utf_8(self, content: bytes) -> None:
        decoder = page_decoder()
        for _ in range(2):
            with pytest.raises(MismatchError):
                decoder.decode(content)
            decoder.decode(page_of(new="learned"))

    @pytest.mark.parametrize("depth", [10_000, 200_000])
    @pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
    def test_what_is_nested_too_deeply(self, opening: bytes, closing: bytes, depth: int) -> None:
        nested = opening * depth + b"1" + closing * depth
        with pytest.raises(MismatchError, match="^Nested too deeply$"):
            page_decoder().decode(b'{"data": [], "new": ' + nested + b"}")

    def test_what_is_nested_a_little(self) -> None:
        nested: JSON = "deep"
        for _ in range(100):
            nested = [{"a": nested}]
        assert page_decoder().decode(page_of(new=nested)).extra == {"new": nested}

    def test_a_decoder_is_none_the_worse_for_it(self) -> None:
        decoder = page_decoder()
        good = page_of({**CHECKPOINT, "new": 1})
        for bad in (b"", b"[", b"[]", page_of({**CHECKPOINT, "id": 1, "newer": 2}), b"\xff"):
            with pytest.raises((MismatchError, TruncatedBodyError)):
                decoder.decode(bad)
            assert decoder.decode(good).data[0].extra == {"new": 1}


def complete() -> JSON:
    return {
        "object": "list",
        "data": [
            {**CHECKPOINT, "metrics": {"step": -15e-4, "größe": True}, "new": [1, {"a": False}]},
            {**CHECKPOINT, "new": '\U0001f600 \\ " \n'},
        ],
        "has_more": True,
        "last_id": None,
        "newer": {"a": -0.5},
    }


class TestCutBody:
    @pytest.mark.parametrize("ascii_only", [True, False])
    def test_at_every_offset(self, ascii_only: bool) -> None:
        body = complete()
        content = json.dumps(body, ensure_ascii=ascii_only).encode()
        assert_holds(page_decoder().decode(content), body)
        learned = page_decoder()
        learned.decode(content)
        for length in range(len(content)):
            for decoder in (page_decoder(), learned):
                with pytest.raises((TruncatedBodyError, MismatchError)) as caught:
                    decoder.decode(content[:length])
                # A number cut behind its sign, point or e is no number, whatever follows.
                in_a_number = content[length - 1 : length] in (b"-", b".", b"e")
                assert isinstance(caught.value, TruncatedBodyError) or in_a_number, content[:length]

    @thorough
    @given(pages(checkpoints), st.data())
    def test_is_never_taken_for_a_whole_one(self, body: JSON, data: st.DataObject) -> None:
        content = json.dumps(body).encode()
        cut = content[: data.draw(st.integers(0, len(content) - 1))]
        with pytest.raises((TruncatedBodyError, MismatchError)):
            page_decoder().decode(cut)

    def test_nothing_at_all(self) -> None:
        for content in (b"", b"  \n"):
            with pytest.raises(TruncatedBodyError):
                page_decoder().decode(content)


class TestFuzz:
    @thorough
    @given(st.binary(max_size=60))
    @example(b'{"data":[],"last_id":"\xff"}')
    def test_bytes(self, content: bytes) -> None:
        decoder = page_decoder()
        try:
            page = decoder.decode(content)
        except (TruncatedBodyError, MismatchError):
            return
        assert_holds(page, json.loads(content))

    @thorough
    @given(
        st.lists(
            st.tuples(st.integers(0, 2000), st.integers(0, 3), st.binary(max_size=3)),
            min_size=1,
            max_size=3,
        ),
        st.booleans(),
    )
    def test_a_page_with_bytes_changed(
        self, changes: list[tuple[int, int, bytes]], ascii_only: bool
    ) -> None:
        content = json.dumps(complete(), ensure_ascii=ascii_only).encode()
        decoder = page_decoder()
        decoder.decode(content)
        for place, length, replacement in changes:
            start = place % len(content)
            content = content[:start] + replacement + content[start + length :]
        try:
            page = decoder.decode(content)
        except (TruncatedBodyError, MismatchError):
            return
        assert_holds(page, json.loads(content))

    @thorough
    @given(values)
    def test_any_json(self, value: JSON) -> None:
        for content in (
            json.dumps(value).encode(),
            page_of(value),
            json.dumps({"data": value}).encode(),
        ):
            try:
                page = page_decoder().decode(content)
            except MismatchError:
                continue
            assert_holds(page, json.loads(content))


RECORDS = [
    pytest.param(FineTuningJobCheckpoint, checkpoints, id="checkpoint"),
    pytest.param(FineTuningJob, jobs, id="job"),
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
    def test_what_is_written_is_what_was_sent(self, record_type: type[Any], strategy: Any) -> None:
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

    def test_what_the_api_always_sends_is_written_even_if_null(self) -> None:
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

    def test_unknown_fields_stand_beside_the_known(self) -> None:
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

    def test_do_not_change_the_packages(self) -> None:
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
