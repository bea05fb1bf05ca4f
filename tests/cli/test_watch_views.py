"""What is shown of a watch: a live table, rows or JSON lines."""

import io
import json
from typing import Any

import pytest
from rich.console import Console

from asyncckpt import Update
from asyncckpt.cli.watch_views import LiveTable, RowWriter, UpdateWriter
from asyncckpt.streams.criteria import criterion_of

from support.terminals import Screen, TerminalOutput
from support.timers import Time
from support.updates import caught_up, created, finished, logged, measured, status

CRITERION = criterion_of("train_loss")
IDS = ("ftjob-a", "ftjob-b", "ftjob-c")


class Shown:
    """A live table on a terminal of the tests."""

    def __init__(self, *job_ids: str, columns: int = 80, height: int = 24) -> None:
        self.out = TerminalOutput()
        self.time = Time()
        self.columns = columns
        console = Console(file=self.out, width=columns, height=height, no_color=True, _environ={})
        self.table = LiveTable(
            self.out,
            console,
            job_ids,
            CRITERION,
            clock=self.time.clock,
            call_later=self.time.call_later,
        )

    def show(self, *updates: Update) -> None:
        for update in updates:
            self.table.show(update)
        self.time.advance(0.25)

    @property
    def lines(self) -> list[str]:
        return [
            " ".join(line.split()) for line in Screen.of(self.out.getvalue(), self.columns).lines
        ]


def test_a_job_has_a_row_from_the_start_to_its_end() -> None:
    shown = Shown("ftjob-a", "ftjob-b")
    with shown.table:
        assert shown.lines == [
            "JOB STATUS STEP train_loss CKPT TIME",
            "ftjob-a - - - - -",
            "ftjob-b - - - - -",
            "0 of 2 ended",
            "Ctrl-C stops watching, not the jobs",
            "",
        ]
        shown.show(caught_up("ftjob-b"), measured("ftjob-b", 3, 0.5), created("ftjob-b", 3))
        assert shown.lines[1:3] == ["ftjob-b running 3 0.5 ▅ 3 3s", "ftjob-a - - - - -"]
        shown.show(finished("ftjob-b"))
        assert shown.lines[1:] == [
            "ftjob-b succeeded 3 0.5 ▅ 3 1m40s",
            "ftjob-a - - - - -",
            "1 of 2 ended",
            "Ctrl-C stops watching, not the jobs",
            "",
        ]
        shown.table.show(finished("ftjob-a", "failed", error="no credit"))
    assert shown.lines[1:] == [
        "ftjob-b succeeded 3 0.5 ▅ 3 1m40s",
        "ftjob-a failed - - - 1m40s",
        "no credit",
        "2 jobs: 1 failed, 1 succeeded",
        "",
    ]
    assert shown.time.calls == []


def test_one_job_is_not_called_jobs() -> None:
    shown = Shown("ftjob-a")
    with shown.table:
        assert "Ctrl-C stops watching, not the job" in shown.lines
    assert shown.lines[-2] == "1 job: 1 not ended"


def test_jobs_that_have_not_ended_keep_their_rows() -> None:
    shown = Shown("ftjob-a", "ftjob-b")
    with shown.table:
        shown.show(caught_up("ftjob-a"), finished("ftjob-b", "cancelled"))
    assert [line.split()[:2] for line in shown.lines[1:3]] == [
        ["ftjob-b", "cancelled"],
        ["ftjob-a", "running"],
    ]
    assert shown.lines[3:] == ["2 jobs: 1 cancelled, 1 not ended", ""]


def test_a_job_that_cannot_be_watched_is_unknown() -> None:
    shown = Shown("ftjob-a", "ftjob-b")
    with shown.table:
        shown.table.fail("ftjob-a")
        shown.table.fail("ftjob-else")
        shown.show(finished("ftjob-else"))
        assert shown.lines[1].startswith("ftjob-a unknown")
        assert "1 of 2 ended" in shown.lines


@pytest.mark.parametrize("height", [5, 10, 24])
def test_many_jobs_fit_and_those_that_run_come_first(height: int) -> None:
    ids = [f"ftjob-{number}" for number in range(100)]
    shown = Shown(*ids, height=height)
    with shown.table:
        shown.show(*(caught_up(one, "queued") for one in ids))
        shown.show(status("ftjob-70", "running"), finished("ftjob-0", "failed"))
        at_the_end = shown.lines[-height:]
        rows = [line for line in at_the_end if " running " in line or " queued " in line]
        assert rows[0].startswith("ftjob-70 running")
        hidden = 99 - len(rows)
        assert f"and {hidden} queued" in at_the_end
        if height > 5:
            assert at_the_end[0].startswith("JOB STATUS")
    assert shown.lines[-2] == "100 jobs: 1 failed, 99 not ended"
    assert len([line for line in shown.lines if line.startswith("ftjob-")]) == 100


def test_silence_and_log_messages_are_shown_until_the_next_update() -> None:
    shown = Shown("ftjob-a")
    with shown.table:
        shown.time.advance(5)
        assert "0 of 1 ended; no update for 5 s" in shown.lines
        shown.table.note("RateLimitError (429): waiting 7.00 s")
        shown.time.advance(1)
        assert "0 of 1 ended; RateLimitError (429): waiting 7.00 s" in shown.lines
        shown.show(logged())
        assert "0 of 1 ended" in shown.lines


def test_an_error_has_a_line_of_its_own() -> None:
    shown = Shown("ftjob-a")
    with shown.table:
        shown.time.advance(1)
        shown.table.clear()
        shown.out.write("asyncckpt: 404\n")
        shown.time.advance(1)
        assert shown.lines[1:3] == ["asyncckpt: 404", "ftjob-a - - - - -"]


def test_rows_are_written_for_changes_but_not_for_events() -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, no_color=True, _environ={})
    writer = RowWriter(out, console, CRITERION)
    for update in (
        caught_up(),
        measured("ftjob-a", 3, 0.5),
        created(step=3),
        status("ftjob-b", "running"),
        finished(),
    ):
        writer.write(update)
    assert [line.split()[:3] for line in out.getvalue().splitlines()] == [
        ["JOB", "STATUS", "STEP"],
        ["ftjob-a", "running", "-"],
        ["ftjob-a", "running", "3"],
        ["ftjob-b", "running", "-"],
        ["ftjob-a", "succeeded", "3"],
    ]


def test_each_update_is_a_line_of_json_with_its_type() -> None:
    out = io.StringIO()
    writer = UpdateWriter(out)
    for update in (
        created(step=3, valid_loss=0.5),
        logged(message="a\x1b[2J\u202eb"),
        status("ftjob-a", "running", "queued"),
        caught_up(),
        finished(),
    ):
        writer.write(update)
    assert "\x1b" not in out.getvalue()
    lines: list[dict[str, Any]] = [json.loads(line) for line in out.getvalue().splitlines()]
    assert {line["fine_tuning_job_id"] for line in lines} == {"ftjob-a"}
    assert [line["type"] for line in lines] == [
        "checkpoint",
        "event",
        "status",
        "caught_up",
        "finished",
    ]
    assert lines[0]["checkpoint"]["metrics"]["valid_loss"] == 0.5
    assert lines[1]["event"]["message"] == "a\x1b[2J\u202eb"
    assert (lines[2]["previous"], lines[2]["job"]["status"]) == ("queued", "running")
    assert lines[4]["job"]["status"] == "succeeded"
