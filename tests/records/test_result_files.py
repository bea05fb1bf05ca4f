"""Result files, in pieces of any size."""

import base64
import itertools
import tracemalloc
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncckpt.records import StepMetrics, result_files
from asyncckpt.records.codec import MismatchError
from asyncckpt.records.result_files import LONGEST_LINE, ResultFileDecoder

from support.strategies import thorough

HEADER = "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy"
MISSING = ["", "null", "NaN", "-1", " "]

cells = st.sampled_from(MISSING) | st.floats(0, 100).map(repr)
tables = st.lists(st.tuples(st.integers(0, 30), cells, cells, cells, cells), max_size=30)


def decoded(pieces: Iterable[bytes]) -> list[StepMetrics]:
    decoder = ResultFileDecoder()
    steps = [step for piece in pieces for step in decoder.feed(piece)]
    return steps + decoder.finish()


def cut(content: bytes, places: Iterable[int]) -> Iterator[bytes]:
    start = 0
    for place in [*sorted(place % (len(content) + 1) for place in places), len(content)]:
        yield content[start:place]
        start = place


def number(cell: str) -> float | None:
    return None if cell in MISSING else float(cell)


def expected(rows: Iterable[tuple[int, str, str, str, str]]) -> list[StepMetrics]:
    """Return what a table means, by the shortest way: the last row of a step, in order."""
    last = {row[0]: row for row in rows}
    return [
        StepMetrics(step, *map(number, last[step][1:]), source="result_file")
        for step in sorted(last)
    ]


@thorough
@given(
    tables,
    st.sampled_from(["\n", "\r\n", "\n\n"]),
    st.sampled_from(["plain", "base64", "wrapped", "url-safe"]),
    st.booleans(),
    st.booleans(),
    st.lists(st.integers(0, 5_000), max_size=8),
)
def test_any_table_in_any_pieces(
    rows: list[tuple[int, str, str, str, str]],
    end: str,
    encoding: str,
    has_last_end: bool,
    has_mark: bool,
    places: list[int],
) -> None:
    lines = [HEADER, *(",".join(map(str, row)) for row in rows)]
    content = (end.join(lines) + end * has_last_end).encode("utf-8-sig" if has_mark else "utf-8")
    if encoding == "wrapped":
        content = base64.encodebytes(content)
    elif encoding == "url-safe":
        content = base64.urlsafe_b64encode(content)
    elif encoding == "base64":
        content = base64.b64encode(content)
    assert decoded(cut(content, places)) == expected(rows)


@thorough
@given(st.binary(max_size=80), st.lists(st.integers(0, 80), max_size=3))
def test_anything_else_is_a_mismatch_or_has_steps(content: bytes, places: list[int]) -> None:
    for begin in (b"", HEADER.encode() + b"\n", b"step\n"):
        try:
            steps = decoded(cut(begin + content, places))
        except MismatchError:
            continue
        assert all(a.step < b.step for a, b in itertools.pairwise(steps))


def test_the_file_that_openai_documents() -> None:
    content = f"{HEADER}\n1,1.52347,0.0,,\n2,0.57719,0.0,,\n3,3.63525,0.0,,\n"
    assert [
        (step.step, step.train_loss, step.valid_loss) for step in decoded([content.encode()])
    ] == [
        (1, 1.52347, None),
        (2, 0.57719, None),
        (3, 3.63525, None),
    ]


def test_the_columns_of_azure_and_others() -> None:
    content = (
        b"step,train_loss,train_mean_token_accuracy,valid_loss,validation_mean_token_accuracy,"
        b"full_valid_loss,full_valid_mean_token_accuracy,train_mean_reward,note,more_loss\n"
        b'1,0.5,0.9,-1,-1,-1,-1,-1,"a, ""b""",-1\n'
    )
    assert decoded([content]) == [
        StepMetrics(
            1,
            train_loss=0.5,
            train_mean_token_accuracy=0.9,
            source="result_file",
            extra={"train_mean_reward": -1.0, "note": 'a, "b"'},
        )
    ]


@pytest.mark.parametrize("content", [b"step\n1\n2\n", b'"step"\n1\n2', b"step\r\n1\r\n2\r\n"])
def test_a_file_with_steps_alone(content: bytes) -> None:
    assert [step.step for step in decoded([content])] == [1, 2]


def test_a_file_without_rows_has_no_steps() -> None:
    assert decoded([HEADER.encode()]) == []


@pytest.mark.parametrize(
    ("content", "problem", "path"),
    [
        (b"", "Expected a column `step`, got an empty file", "line 1"),
        (b"\n \n", "Expected a column `step`, got an empty file", "line 3"),
        (b"loss,steps\n1,2\n", "Expected a column `step`, got 'loss,steps'", "line 1"),
        (b"step;train_loss\n1;2\n", "Expected a column `step`, got 'step;train_loss'", "line 1"),
        (b'{"error": "no"}', "Expected a column `step`", "line 1"),
        (b"step,a,a\n", "Expected columns of different names", "line 1"),
        (b"step,train_loss\n1,2\n2,high\n", "Expected a number, got 'high'", "line 3, column"),
        (b"step,train_loss\n1.5,2\n", "Expected a number, got '1.5'", "line 2, column step"),
        (b"step,train_loss\n,2\n", "Expected a number, got ''", "line 2, column step"),
        (b"step,train_loss\n1\n", "Expected 2 values, got 1", "line 2"),
        (b"step,train_loss\n1,2,3\n", "Expected 2 values, got 3", "line 2"),
        (b"step,train_loss\n1,\xff\n", "Expected a line of a CSV in UTF-8", "line 2"),
        (b'step,train_loss\n1,"2\n', "Expected a line of a CSV in UTF-8", "line 2"),
        (b"c3RlcAo=MQ==", "Expected a CSV, plain or in base64", "the beginning"),
        (b"c3RlcAox\nc3RlcA=", "Expected a CSV, plain or in base64", "the beginning"),
        (b"c3RlcAo=" + b"\nAAAA", "Expected a CSV, plain or in base64", "the beginning"),
    ],
)
def test_what_is_not_such_a_file(content: bytes, problem: str, path: str) -> None:
    for pieces in ([content], [content[i : i + 1] for i in range(len(content))]):
        with pytest.raises(MismatchError) as caught:
            decoded(pieces)
        assert str(caught.value).startswith(problem)
        assert caught.value.path.startswith(path)


@pytest.mark.parametrize("encode", [bytes, base64.b64encode])
def test_a_line_is_bounded(encode: type[bytes]) -> None:
    def pieces(length: int) -> Iterator[bytes]:
        content = encode(b"step,note\n1," + b"x" * (length - 2) + b"\n")
        yield from (content[i : i + 65_536] for i in range(0, len(content), 65_536))

    (step,) = decoded(pieces(LONGEST_LINE))
    assert len(str(step.extra["note"])) == LONGEST_LINE - 2
    with pytest.raises(MismatchError, match="at most 1048576 bytes"):
        decoded(pieces(LONGEST_LINE + 1))


def test_a_line_that_never_ends_is_not_kept() -> None:
    decoder = ResultFileDecoder()
    decoder.feed(b"step,note\n1,")
    for _ in range(LONGEST_LINE // 65_536 - 1):
        decoder.feed(b"x" * 65_536)
    with pytest.raises(MismatchError, match="at most"):
        decoder.feed(b"x" * 65_536)


class TestOrder:
    @pytest.fixture(autouse=True)
    def few_rows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(result_files, "SORTED_ROWS", 5)

    @staticmethod
    def steps(numbers: Iterable[int]) -> list[tuple[int, float | None]]:
        lines = (f"{step},{row}\n" for row, step in enumerate(numbers))
        content = "step,train_loss\n" + "".join(lines)
        return [(step.step, step.train_loss) for step in decoded([content.encode()])]

    @thorough
    @given(st.permutations(range(6)), st.integers(0, 10))
    def test_rows_are_sorted_within_bounds(self, order: list[int], later: int) -> None:
        found = self.steps([*order, *range(6, 6 + later)])
        assert [step for step, _ in found] == list(range(6 + later))

    def test_a_small_file_may_be_in_descending_order(self) -> None:
        assert [step for step, _ in self.steps([5, 4, 3, 2, 1])] == [1, 2, 3, 4, 5]

    def test_the_last_row_of_a_step_counts(self) -> None:
        assert self.steps([1, 2, 2, 3, 1, 4, 5, 5, 6, 7, 8, 9, 9]) == [
            (1, 4.0),
            (2, 2.0),
            (3, 3.0),
            (4, 5.0),
            (5, 7.0),
            (6, 8.0),
            (7, 9.0),
            (8, 10.0),
            (9, 12.0),
        ]

    @pytest.mark.parametrize("late", [1, 3])
    def test_a_row_that_comes_too_late_is_an_error(self, late: int) -> None:
        with pytest.raises(MismatchError, match="ascending") as caught:
            self.steps([*range(2, 20), late])
        assert caught.value.path == f"step {late}"


def test_memory_does_not_grow_with_the_file() -> None:
    def peak(rows: int) -> int:
        decoder = ResultFileDecoder()
        decoder.feed(HEADER.encode() + b"\n")
        tracemalloc.start()
        try:
            for start in range(0, rows, 1_000):
                steps = range(start, start + 1_000)
                decoder.feed(b"".join(b"%d,1.5,0.8,,\n" % step for step in steps))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(60_000) < 1.5 * peak(15_000)
