"""The rows of watched jobs, at any width."""

import io

import attrs
import pytest
from rich.console import Console

from asyncckpt import Update
from asyncckpt.cli.job_rows import JobRow, RowLayout
from asyncckpt.streams.criteria import criterion_of

from support.terminals import TerminalOutput
from support.updates import caught_up, created, finished, logged, measured, status

LONG = "ftjob-nSLC8wAQetZAu5Ax5u2RKbRl"


def console(columns: int, *, color: bool = False, encoding: str = "utf-8") -> Console:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    return Console(file=out, width=columns, force_terminal=color, no_color=not color, _environ={})


def row_of(*updates: Update, job_id: str = "ftjob-a", metric: str = "train_loss") -> JobRow:
    row = JobRow(job_id, criterion_of(metric, "min"))
    for update in updates:
        row.take(update)
    return row


RUNNING = (
    logged(LONG, "Created", at=100),
    measured(LONG, 1, 2.0, total_steps=40),
    measured(LONG, 2, 1.0, total_steps=40),
    created(LONG, 2, created_at=161),
    caught_up(LONG),
)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (200, {"JOB": LONG, "CKPT": "2", "TIME": "1m01s", "MODEL": f"ft:model:{LONG}:ckpt-step-2"}),
        (80, {"JOB": "ftjob-…5u2RKbRl", "CKPT": "2", "TIME": "1m01s"}),
        (40, {"JOB": "…5u2RKbRl"}),
    ],
)
def test_a_row_fits(columns: int, expected: dict[str, str]) -> None:
    layout = RowLayout(console(columns), "train_loss")
    line = layout.row(row_of(*RUNNING, job_id=LONG)).text
    assert len(line) < columns
    for text in ("running", "2/40", *expected.values()):
        assert text in line
    titles = layout.head().text.split()
    assert [title for title in ("JOB", "STATUS", "STEP", *expected) if title not in titles] == []
    assert ("1       █▁" if columns > 40 else "  █▁") in line


@pytest.mark.parametrize("columns", [1, 5, 10, 20, 30, 34, 39, 59, 60, 69, 70, 110, 180, 300])
def test_no_terminal_is_too_narrow_to_draw_on(columns: int) -> None:
    layout = RowLayout(console(columns), "full_valid_mean_token_accuracy")
    lines = [layout.head(), layout.row(row_of(*RUNNING, job_id=LONG))]
    assert lines[0].columns == lines[1].columns
    for line in lines:
        assert line.columns == len(line.text)
        assert columns < 34 or line.columns < columns


def test_a_job_of_which_nothing_is_known_yet() -> None:
    text = RowLayout(console(80), "train_loss").row(row_of()).text
    assert text.split() == ["ftjob-a", "-", "-", "-", "-", "-"]


def test_what_each_update_changes() -> None:
    row = row_of(logged(at=90))
    assert (row.status, row.created_at, row.first_at, row.latest_at) == (None, None, 90, 90)
    row.take(caught_up(status="queued"))
    assert (row.status, row.created_at, row.latest_at) == ("queued", 100, 100)
    row.take(status("ftjob-a", "running"))
    assert row.status == "running"
    row.take(measured("ftjob-a", 7, 0.5, total_steps=9))
    assert (row.step, row.total_steps, row.value, row.latest_at) == (7, 9, 0.5, 107)
    row.take(created(step=7, created_at=108))
    assert row.checkpoint is not None
    assert (row.checkpoint.step_number, row.latest_at) == (7, 108)
    row.take(finished(status="failed", at=300, error="no credit"))
    assert (row.status, row.latest_at, row.error) == ("failed", 300, "no credit")


def test_an_earlier_checkpoint_or_step_does_not_replace_a_later_one() -> None:
    row = row_of(created(step=9), created(step=8), measured("ftjob-a", 5, 1.0))
    row.take(measured("ftjob-a", 4, 2.0))
    assert row.checkpoint is not None
    assert (row.checkpoint.step_number, row.step, row.value) == (9, 9, 1.0)


def test_a_checkpoint_without_a_step_is_a_dash() -> None:
    update = created(created_at=130)
    unknown = attrs.evolve(update.checkpoint, step_number=None)
    row = row_of(attrs.evolve(update, checkpoint=unknown))
    assert (row.checkpoint, row.step, row.latest_at) == (unknown, None, 130)
    assert RowLayout(console(80), "train_loss").row(row).text.split()[-2:] == ["-", "0s"]


def test_checkpoints_are_drawn_if_events_have_no_metrics() -> None:
    row = row_of(created(step=1, train_loss=2.0), logged(), created(step=2, train_loss=1.0))
    assert (row.value, row.series.means(10)) == (1.0, [2.0, 1.0])


def test_a_step_that_comes_as_event_and_checkpoint_is_drawn_once() -> None:
    row = row_of(measured("ftjob-a", 2, 1.0), created(step=2, train_loss=1.0))
    assert row.series.means(10) == [1.0]


@pytest.mark.parametrize("metric", ["valid_loss", "reward", "train_mean_reward"])
def test_any_metric_can_be_drawn(metric: str) -> None:
    row = row_of(logged(data={"step": 1, metric: 0.25}), logged(data={"step": 2}), metric=metric)
    assert (row.value, row.step) == (0.25, 2)


@pytest.mark.parametrize(
    "data",
    [{}, {"step": "first"}, {"step": 1, "train_loss": "low"}, {"step": -1}, {"train_loss": 1.0}],
)
def test_metrics_that_are_none_are_not_drawn(data: dict[str, object]) -> None:
    row = row_of(logged(data=data))
    assert (row.step, row.value) == (None, None)


@pytest.mark.parametrize("value", [-1.0, float("inf"), float("nan")])
def test_values_that_were_not_measured_are_not_drawn(value: float) -> None:
    assert row_of(measured("ftjob-a", 1, value)).value is None


def test_a_huge_value_is_shown_and_not_drawn() -> None:
    row = row_of(measured("ftjob-a", 1, 1e300), measured("ftjob-a", 2, 1e308))
    assert (row.value, row.series.means(9)) == (1e308, [])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59, "59s"), (60, "1m00s"), (3599, "59m59s"), (3660, "1h01m"), (90_000, "1d01h")],
)
def test_the_time_is_that_since_the_creation(seconds: int, text: str) -> None:
    row = row_of(logged(at=100), logged(at=100 + seconds))
    assert RowLayout(console(80), "train_loss").row(row).text.split()[-1] == text


def test_a_terminal_without_blocks_gets_ascii() -> None:
    layout = RowLayout(console(80, encoding="ascii"), "train_loss")
    text = layout.row(row_of(*RUNNING, job_id=LONG)).text
    assert text.isascii()
    assert "ftjob-~5u2RKbRl" in text
    assert "#_" in text


def test_colours_do_not_count_as_width() -> None:
    row = row_of(*RUNNING, job_id=LONG)
    plain = RowLayout(console(80), "train_loss").row(row)
    styled = RowLayout(
        Console(file=TerminalOutput(), width=80, force_terminal=True, color_system="standard"),
        "train_loss",
    ).row(row)
    assert "\x1b[36mrunning" in styled.text
    assert styled.columns == plain.columns == len(plain.text)


def test_what_a_server_sends_is_escaped_and_cut() -> None:
    evil = "a\x1b[2J\n漢" * 9
    layout = RowLayout(console(80), "train_loss")
    line = layout.row(row_of(caught_up(evil, status=evil), job_id=evil))
    text = layout.text(evil)
    for one in (line, text):
        assert "\x1b" not in one.text
        assert "\n" not in one.text
        assert one.columns < 80
