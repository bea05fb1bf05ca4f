"""The line that says what the command waits for, with a clock of the tests."""

import io
import signal
from collections.abc import Callable
from types import SimpleNamespace

import attrs
import pytest

from asyncckpt.cli.waiting import QUIET_SECONDS, WaitingLine
from asyncckpt.testing import Sandbox, faults

from support.programs import environment, program
from support.terminals import on_a_terminal, screen


@attrs.define(eq=False)
class Time:
    """Time that passes when a test says so."""

    now: float = 0.0
    calls: list["Call"] = attrs.field(factory=list["Call"])

    def clock(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[[], None]) -> "Call":
        self.calls.append(Call(self, self.now + delay, call))
        return self.calls[-1]

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [call for call in self.calls if call.at <= end]:
            first = min(due, key=lambda call: call.at)
            self.now = first.at
            first.cancel()
            first.call()
        self.now = end


@attrs.define(eq=False)
class Call:
    time: Time
    at: float
    call: Callable[[], None]

    def cancel(self) -> None:
        if self in self.time.calls:
            self.time.calls.remove(self)


class TerminalOutput(io.StringIO):
    def isatty(self) -> bool:
        return True


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
    for module in ("terminal", "waiting"):
        monkeypatch.setattr(f"asyncckpt.cli.{module}.sys", SimpleNamespace(stderr=output))


@pytest.fixture
def line(time: Time, err: TerminalOutput) -> WaitingLine:
    line = WaitingLine("checkpoint", clock=time.clock, call_later=time.call_later)
    line.start()
    return line


def visible(err: TerminalOutput) -> str:
    return screen(err.getvalue())[-1]


def test_it_appears_after_two_seconds_without_a_record(
    line: WaitingLine, time: Time, err: TerminalOutput
) -> None:
    time.advance(QUIET_SECONDS - 0.1)
    assert err.getvalue() == ""
    time.advance(0.1)
    assert visible(err) == "asyncckpt: no checkpoint for 2 s: waiting for a response"


def test_it_names_what_it_waits_for(time: Time, err: TerminalOutput) -> None:
    WaitingLine("job", clock=time.clock, call_later=time.call_later).start()
    time.advance(3.0)
    assert visible(err).startswith("asyncckpt: no job for 3 s: ")


def test_it_counts_the_seconds_on_one_line(
    line: WaitingLine, time: Time, err: TerminalOutput
) -> None:
    time.advance(100.0)
    assert visible(err) == "asyncckpt: no checkpoint for 100 s: waiting for a response"
    assert "\n" not in err.getvalue()


def test_it_shows_the_latest_log_message_and_its_age(
    line: WaitingLine, time: Time, err: TerminalOutput
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


def test_a_record_removes_it_and_starts_the_time_again(
    line: WaitingLine, time: Time, err: TerminalOutput
) -> None:
    line.note("RateLimitError (429): waiting 3.00 s")
    time.advance(3.0)
    line.progress()
    assert visible(err) == ""
    time.advance(QUIET_SECONDS - 0.1)
    assert visible(err) == ""
    time.advance(0.5)
    assert visible(err) == "asyncckpt: no checkpoint for 2 s: waiting for a response"


def test_records_that_keep_arriving_never_show_it(
    line: WaitingLine, time: Time, err: TerminalOutput
) -> None:
    for _ in range(20):
        time.advance(1.9)
        line.progress()
    assert err.getvalue() == ""


def test_it_makes_room_for_other_lines_and_returns(
    line: WaitingLine, time: Time, err: TerminalOutput
) -> None:
    time.advance(3.0)
    line.clear()
    err.write("something else\n")
    time.advance(0.5)
    assert screen(err.getvalue())[0] == "something else"
    assert visible(err).startswith("asyncckpt: no checkpoint for")


def test_nothing_is_left_when_it_stops(line: WaitingLine, time: Time, err: TerminalOutput) -> None:
    time.advance(3.0)
    line.stop()
    assert visible(err) == ""
    assert time.calls == []


@pytest.mark.parametrize("columns", [20, 40, 80])
def test_it_fits_on_the_terminal(
    line: WaitingLine,
    time: Time,
    err: TerminalOutput,
    columns: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("asyncckpt.cli.waiting.columns_of_stderr", lambda: columns)
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
    line = WaitingLine("checkpoint", clock=time.clock, call_later=time.call_later)
    line.start()
    line.note("waiting")
    time.advance(10.0)
    line.progress()
    line.stop()
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
