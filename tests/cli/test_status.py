"""The line that says how far the command is, with a clock of the tests."""

import io
import os
import shlex
import signal
from pathlib import Path
from types import SimpleNamespace

import attrs
import pytest

from asyncckpt.cli.status import QUIET_SECONDS, StatusLine, is_read_by_a_person
from asyncckpt.testing import Sandbox, faults

from support.programs import environment, program
from support.terminals import TerminalOutput, on_a_terminal, screen
from support.timers import Time


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def err(monkeypatch: pytest.MonkeyPatch) -> TerminalOutput:
    output = TerminalOutput()
    replace_stderr(monkeypatch, output)
    monkeypatch.setenv("TERM", "xterm")
    return output


def replace_stderr(monkeypatch: pytest.MonkeyPatch, output: io.StringIO | None) -> None:
    # pytest itself replaces sys.stderr between a fixture and its test.
    for module in ("terminal", "status"):
        monkeypatch.setattr(f"asyncckpt.cli.{module}.sys", SimpleNamespace(stderr=output))


@pytest.fixture
def line(time: Time, err: TerminalOutput) -> StatusLine:
    return StatusLine("checkpoint", clock=time.clock, call_later=time.call_later).__enter__()


def visible(err: TerminalOutput) -> str:
    return screen(err.getvalue())[-1]


def test_it_appears_after_two_seconds_without_a_record(
    line: StatusLine, time: Time, err: TerminalOutput
) -> None:
    time.advance(QUIET_SECONDS - 0.1)
    assert err.getvalue() == ""
    time.advance(0.1)
    assert visible(err) == "asyncckpt: no checkpoint for 2 s: waiting for a response"


def test_it_names_what_it_waits_for(time: Time, err: TerminalOutput) -> None:
    StatusLine("job", clock=time.clock, call_later=time.call_later).__enter__()
    time.advance(3.0)
    assert visible(err).startswith("asyncckpt: no job for 3 s: ")


def test_it_counts_the_seconds_on_one_line(
    line: StatusLine, time: Time, err: TerminalOutput
) -> None:
    time.advance(100.0)
    assert visible(err) == "asyncckpt: no checkpoint for 100 s: waiting for a response"
    assert "\n" not in err.getvalue()


def test_it_shows_the_latest_log_message_and_its_age(
    line: StatusLine, time: Time, err: TerminalOutput
) -> None:
    time.advance(1.0)
    line.note("RateLimitError (429): waiting 60.00 s")
    time.advance(4.0)
    assert (
        visible(err)
        == ("asyncckpt: no checkpoint for 5 s: RateLimitError (429): waiting 60.00 s (4 s ago)")[
            :79
        ]
    )


def test_a_row_removes_it_and_starts_the_time_again(
    line: StatusLine, time: Time, err: TerminalOutput
) -> None:
    line.note("RateLimitError (429): waiting 3.00 s")
    time.advance(3.0)
    line.give_way()
    line.arrived()
    assert visible(err) == ""
    time.advance(QUIET_SECONDS - 0.1)
    assert visible(err) == ""
    time.advance(0.5)
    assert visible(err) == "asyncckpt: no checkpoint for 2 s: waiting for a response"


def test_rows_that_keep_arriving_never_show_it(
    line: StatusLine, time: Time, err: TerminalOutput
) -> None:
    for _ in range(20):
        line.give_way()
        line.arrived()
        time.advance(1.9)
    assert err.getvalue() == ""


def test_records_without_rows_show_their_number_and_their_rate(
    line: StatusLine, time: Time, err: TerminalOutput
) -> None:
    for _ in range(19):
        line.arrived(100)
        time.advance(0.1)
    assert err.getvalue() == ""
    line.arrived(100)
    time.advance(0.1)
    assert visible(err) == "asyncckpt: 2,000 checkpoints, 1,000/s"


def test_the_rate_is_that_of_the_last_seconds(
    line: StatusLine, time: Time, err: TerminalOutput
) -> None:
    line.arrived(100_000)
    for _ in range(40):
        line.arrived()
        time.advance(0.25)
    assert visible(err) == "asyncckpt: 100,040 checkpoints, 4/s"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.4, "0 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (7_140, "119 min"),
        (7_200, "2 h 0 min"),
        (100_000, "27 h 47 min"),
    ],
)
def test_the_remaining_time_has_few_digits(
    line: StatusLine, time: Time, err: TerminalOutput, seconds: float, shown: str
) -> None:
    line.expect(None)
    time.advance(1.9)
    line.arrived()
    line.expect(seconds)
    time.advance(0.1)
    assert visible(err).endswith(f" 1 checkpoint, 0/s, {shown} left")


@attrs.define
class Work:
    """Work on some jobs."""

    jobs_done: int = 0
    jobs_failed: int = 0

    @property
    def progress(self) -> "Work":
        return self


@pytest.mark.parametrize(
    ("done", "failed", "total", "shown"),
    [
        (0, 0, 40, "[>                   ] 0/40 jobs, 1 checkpoint, 0/s"),
        (20, 0, 40, "[==========>         ] 20/40 jobs, 1 checkpoint, 0/s"),
        (37, 2, 40, "[===================>] 39/40 jobs, 2 failed, 1 checkpoint, 0/s"),
        (40, 0, 40, "[====================] 40/40 jobs, 1 checkpoint, 0/s"),
        (41, 0, 40, "[====================] 41/40 jobs, 1 checkpoint, 0/s"),
        (1, 0, None, "1 job, 1 checkpoint, 0/s"),
        (1200, 0, None, "1,200 jobs, 1 checkpoint, 0/s"),
        (0, 0, 0, "0/0 jobs, 1 checkpoint, 0/s"),
    ],
)
def test_many_jobs_have_a_bar_if_their_number_is_known(
    line: StatusLine,
    time: Time,
    err: TerminalOutput,
    done: int,
    failed: int,
    total: int | None,
    shown: str,
) -> None:
    line.follow(Work(done, failed), total)
    time.advance(1.0)
    line.arrived()
    time.advance(1.0)
    assert visible(err) == f"asyncckpt: {shown}"


def test_what_is_missing_comes_after_the_jobs(
    line: StatusLine, time: Time, err: TerminalOutput
) -> None:
    line.follow(Work(3), 40)
    time.advance(3.0)
    assert visible(err) == ("asyncckpt: 3/40 jobs, no checkpoint for 3 s: waiting for a response")


def test_it_makes_room_for_other_lines_and_returns(
    line: StatusLine, time: Time, err: TerminalOutput
) -> None:
    time.advance(3.0)
    line.clear()
    err.write("something else\n")
    time.advance(0.5)
    assert screen(err.getvalue())[0] == "something else"
    assert visible(err).startswith("asyncckpt: no checkpoint for")


def test_nothing_is_left_when_it_stops(line: StatusLine, time: Time, err: TerminalOutput) -> None:
    time.advance(3.0)
    line.__exit__(None, None, None)
    assert visible(err) == ""
    assert time.calls == []


@pytest.mark.parametrize(("columns", "bar"), [(10, 0), (40, 0), (60, 9), (80, 20), (200, 20)])
def test_the_bar_takes_what_the_text_leaves(
    line: StatusLine,
    time: Time,
    err: TerminalOutput,
    columns: int,
    bar: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("asyncckpt.cli.status.columns_of_stderr", lambda: columns)
    line.follow(Work(40), 40)
    time.advance(1.0)
    line.arrived(1000)
    time.advance(1.0)
    assert visible(err).count("=") == bar
    assert len(visible(err)) < columns


@pytest.mark.parametrize("columns", [20, 40, 80])
def test_it_fits_on_the_terminal(
    line: StatusLine,
    time: Time,
    err: TerminalOutput,
    columns: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("asyncckpt.cli.status.columns_of_stderr", lambda: columns)
    line.note("\x1b[2J" + "wide: 漢字" * 40)
    time.advance(3.0)
    text = visible(err)
    assert "\x1b" not in text
    assert text.startswith("asyncckpt: no check")
    assert len(text) < columns


@pytest.mark.parametrize("kind", ["pipe", "dumb", "closed"])
def test_it_never_appears_elsewhere(
    time: Time, err: TerminalOutput, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = io.StringIO()
    if kind == "dumb":
        monkeypatch.setenv("TERM", "dumb")
    else:
        replace_stderr(monkeypatch, None if kind == "closed" else pipe)
    with StatusLine("checkpoint", clock=time.clock, call_later=time.call_later) as line:
        line.note("waiting")
        time.advance(10.0)
        line.arrived()
    assert err.getvalue() == pipe.getvalue() == ""


@pytest.mark.parametrize(
    ("command", "says"), [("jobs", "no job for"), ("best", "no checkpoint for")]
)
def test_other_commands_show_it_too(served: Sandbox, command: str, says: str) -> None:
    served.inject(faults.Hang("before"), times=None)
    arguments = [command] if command == "jobs" else [command, "--all"]
    with on_a_terminal(
        [*program("impatient_command.py"), *arguments], environment(), term="xterm"
    ) as terminal:
        terminal.read_until(says)


def test_it_is_shown_on_a_real_terminal_and_gone_at_the_end(served: Sandbox) -> None:
    job = served.job_ids[0]
    served.inject(faults.Hang(), page=2, times=None)
    command = [*program("impatient_command.py"), "list", job, "--limit", "10"]
    with on_a_terminal(command, environment(), term="xterm") as terminal:
        terminal.read_until(served.checkpoints_of(job)[9]["id"])
        terminal.read_until("waiting for a response")
        terminal.process.send_signal(signal.SIGINT)
        lines = screen(terminal.read_to_end())
    assert terminal.process.returncode == 130
    assert lines[0] == job
    assert [line.split()[0] for line in lines[2:12]] == [
        checkpoint["id"] for checkpoint in served.checkpoints_of(job)[:10]
    ]
    assert lines[12:] == [""]


def test_an_error_of_a_job_has_a_line_of_its_own(served: Sandbox) -> None:
    first, second = served.job_ids[:2]
    served.inject(faults.Status(400), faults.Latency(0.2), job=first)
    command = [*program("impatient_command.py"), "list", first, second]
    with on_a_terminal(command, environment(), term="xterm", columns=200) as terminal:
        terminal.read_until("waiting for a response")
        lines = screen(terminal.read_to_end())
    assert terminal.process.returncode == 1
    assert lines[0].startswith("asyncckpt: 400: ")
    assert lines[1] == second


def test_a_bar_is_shown_while_records_go_to_a_file(served: Sandbox, tmp_path: Path) -> None:
    served.inject(faults.Latency(0.1), times=None)
    command = [*program("impatient_command.py"), "list", *served.job_ids]
    output = tmp_path / "checkpoints.jsonl"
    with on_a_terminal(
        ["bash", "-c", f"{shlex.join(command)} > {shlex.quote(str(output))}"],
        environment(),
        term="xterm",
    ) as terminal:
        terminal.read_until("0/6 jobs")
        lines = screen(terminal.read_to_end())
    assert terminal.process.returncode == 0
    assert lines == [""]
    assert output.read_text("utf-8").count("\n") == 180


def test_a_pipe_may_be_read_on_the_same_terminal_and_a_file_is_not(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as pipe, os.fdopen(reader), (tmp_path / "a").open("w") as file:
        assert is_read_by_a_person(pipe)
        assert not is_read_by_a_person(file)
    assert is_read_by_a_person(TerminalOutput())
    assert not is_read_by_a_person(io.StringIO())
