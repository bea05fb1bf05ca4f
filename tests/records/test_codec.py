"""Bytes to records, and records to everything else."""

import gc
import json
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncckpt import Metrics, converter
from asyncckpt.records.checkpoints import ListFineTuningJobCheckpointsResponse
from asyncckpt.records.codec import Decoder, MismatchError
from asyncckpt.records.events import ListFineTuningJobEventsResponse
from asyncckpt.records.jobs import ListPaginatedFineTuningJobsResponse

from support.records import CHECKPOINT, assert_holds, page_decoder, page_of
from support.strategies import JSON, WEIRD_NAMES, checkpoints, events, jobs, pages, thorough

PAGES = [
    pytest.param(ListFineTuningJobCheckpointsResponse, pages(checkpoints), id="checkpoints"),
    pytest.param(ListPaginatedFineTuningJobsResponse, pages(jobs), id="jobs"),
    pytest.param(ListFineTuningJobEventsResponse, pages(events), id="events"),
]


class TestDecode:
    @pytest.mark.parametrize(("page_type", "strategy"), PAGES)
    def test_records_hold_what_was_sent(self, page_type: type[Any], strategy: Any) -> None:
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
    def test_keeps_unknown_fields_with_unusual_names_at_every_depth(self, name: str) -> None:
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

    def test_pages_can_alternate_in_their_unknown_fields(self) -> None:
        decoder = page_decoder()
        for turn in range(12):
            name = f"field_{turn % 3}"
            (checkpoint,) = decoder.decode(page_of({**CHECKPOINT, name: turn})).data
            assert checkpoint.extra == {name: turn}

    def test_an_unknown_field_can_have_the_name_of_a_known_field_elsewhere(self) -> None:
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

    def test_new_names_on_every_page_are_all_kept(self) -> None:
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

    def test_the_last_of_two_equal_names_counts(self) -> None:
        content = b'{"data": [], "last_id": "a", "new": 1, "last_id": "b", "new": 2}'
        decoder = page_decoder()
        for _ in range(2):
            page = decoder.decode(content)
            assert (page.last_id, dict(page.extra)) == ("b", {"new": 2})


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

    def test_are_learned_less_and_less_often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        built_for: list[int] = []
        define, page = msgspec.defstruct, 0

        def note(*args: Any, **options: Any) -> Any:
            if page not in built_for:
                built_for.append(page)
            return define(*args, **options)

        monkeypatch.setattr(msgspec, "defstruct", note)
        decoder = page_decoder()
        for page in range(300):
            decoder.decode(page_of({**CHECKPOINT, f"new_{page}": page}))
        # Learned from the pages before these: from the first, and after 8, 32 and 128 more.
        assert built_for == [0, 1, 9, 41, 169, 297]

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
