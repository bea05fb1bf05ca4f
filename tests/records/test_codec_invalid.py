"""Bodies that are cut, malformed or of another form."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncckpt import FineTuningJob
from asyncckpt.records.codec import Decoder, MismatchError, TruncatedBodyError

from support.records import CHECKPOINT, JOB, assert_holds, page_decoder, page_of
from support.strategies import JSON, checkpoints, pages, thorough, values

WRONG: dict[str, tuple[JSON, str, str]] = {
    "id": (None, "str", "null"),
    "created_at": ("soon", "int", "str"),
    "fine_tuned_model_checkpoint": (3, "str", "int"),
    "fine_tuning_job_id": ([], "str", "array"),
    "metrics": ([], "object", "array"),
    "metrics.step": ("7", "float | null", "str"),
    "metrics.train_loss": (True, "float | null", "bool"),
    "metrics.valid_loss": ({}, "float | null", "object"),
    "step_number": (1.5, "int | null", "float"),
    "object": (None, "str", "null"),
}


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
    def test_a_page_with_an_unexpected_structure(
        self, content: bytes, path: str, message: str
    ) -> None:
        with pytest.raises(MismatchError) as caught:
            page_decoder().decode(content)
        assert (caught.value.path, str(caught.value)) == (path, message)

    @pytest.mark.parametrize("name", CHECKPOINT.keys() - {"object", "metrics", "step_number"})
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
    def test_malformed_json(self, content: bytes) -> None:
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
    def test_invalid_utf_8(self, content: bytes) -> None:
        decoder = page_decoder()
        for _ in range(2):
            with pytest.raises(MismatchError):
                decoder.decode(content)
            decoder.decode(page_of(new="learned"))

    @pytest.mark.parametrize("depth", [10_000, 200_000])
    @pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
    def test_nesting_that_is_too_deep(self, opening: bytes, closing: bytes, depth: int) -> None:
        nested = opening * depth + b"1" + closing * depth
        with pytest.raises(MismatchError, match="^Nested too deeply$"):
            page_decoder().decode(b'{"data": [], "new": ' + nested + b"}")

    def test_moderate_nesting(self) -> None:
        nested: JSON = "deep"
        for _ in range(100):
            nested = [{"a": nested}]
        assert page_decoder().decode(page_of(new=nested)).extra == {"new": nested}

    def test_a_decoder_still_works_after_invalid_bodies(self) -> None:
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
