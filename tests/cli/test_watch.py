"""`asyncckpt watch`: updates, exit codes, and going on after a restart."""

import json
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncckpt.cli.commands import watch
from asyncckpt.testing import Clock, Sandbox, faults

from support.programs import COMMAND, Ran, Run, end, environment, program, start
from support.terminals import Screen, on_a_terminal, run_on_a_terminal

FAST = ["--interval", "0.05"]


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox without jobs, whose live jobs run a hundred times as fast."""
    with Sandbox(jobs=0, clock=Clock(speed=100)) as sandbox:
        monkeypatch.setenv("OPENAI_BASE_URL", sandbox.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", sandbox.api_key)
        yield sandbox


def add_live(sandbox: Sandbox, **options: Any) -> str:
    options = {"epochs": 2, "steps_per_epoch": 5, "validating": 3, "queued": 3, **options}
    return sandbox.add_live_job(**options)


def updates(ran: Ran) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ran.out.splitlines()]


def types(ran: Ran) -> Counter[str]:
    return Counter(update["type"] for update in updates(ran))


def shown_once(ran: Ran, sandbox: Sandbox, *jobs: str) -> None:
    """Check that each checkpoint and each event was written once, as the sandbox has it."""
    for kind, expected in (
        ("checkpoint", [one["id"] for job in jobs for one in sandbox.checkpoints_of(job)]),
        ("event", [one["id"] for job in jobs for one in sandbox.events_of(job)]),
    ):
        found = [update[kind]["id"] for update in updates(ran) if update["type"] == kind]
        assert sorted(found) == sorted(expected), kind


def test_jobs_are_followed_to_their_end(fast: Sandbox, run: Run) -> None:
    jobs = [add_live(fast) for _ in range(3)]
    ran = run("watch", *jobs, *FAST)
    assert (ran.code, ran.err) == (0, "")
    shown_once(ran, fast, *jobs)
    assert types(ran)["finished"] == 3
    assert updates(ran)[-1]["job"]["status"] == "succeeded"
    for job in jobs:
        own = [update for update in updates(ran) if update["fine_tuning_job_id"] == job]
        assert own[-1]["type"] == "finished"


@pytest.mark.parametrize("outcome", ["failed", "cancelled"])
def test_a_job_that_does_not_succeed_is_1(fast: Sandbox, run: Run, outcome: Any) -> None:
    jobs = [add_live(fast), add_live(fast, outcome=outcome)]
    ran = run("watch", *jobs, *FAST)
    assert (ran.code, ran.err) == (1, "")
    assert types(ran)["finished"] == 2


def test_a_job_that_cannot_be_watched_does_not_stop_the_others(fast: Sandbox, run: Run) -> None:
    job = add_live(fast)
    ran = run("watch", "ftjob-unknown", job, *FAST)
    assert ran.code == 1
    shown_once(ran, fast, job)
    assert ran.err.startswith("asyncckpt: 404: ")
    assert ran.err.endswith("(job ftjob-unknown)\n")
    assert ran.err.count("\n") == 1


def test_a_job_that_is_named_twice_is_watched_once(fast: Sandbox, run: Run) -> None:
    job = add_live(fast)
    ran = run("watch", job, job, *FAST)
    assert ran.code == 0
    shown_once(ran, fast, job)


def test_a_rejected_key_is_1_and_said_once(
    served: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong")
    ran = run("watch", *served.job_ids, *FAST)
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert ran.err.startswith("asyncckpt: 401: ")


def test_the_time_can_be_limited(served: Sandbox, run: Run) -> None:
    job = served.add_job(status="running", checkpoints=1)
    ran = run("watch", job, *FAST, "--max-time", "0.3")
    assert ran.code == 1
    assert ran.err == "asyncckpt: not all jobs have ended within 0.3 s\n"


def test_a_restart_continues_without_repeating_anything(
    served: Sandbox, run: Run, tmp_path: Path
) -> None:
    job = served.add_job(status="running", checkpoints=1)
    arguments = ["watch", job, *FAST, "--resume", str(tmp_path / "watch.json")]
    first = run(*arguments, "--max-time", "0.3")
    served.add_checkpoint(job)
    served.finish(job)
    second = run(*arguments)
    assert (first.code, second.code) == (1, 0)
    shown_once(Ran(0, first.out + second.out, ""), served, job)
    assert "checkpoint" in types(second)
    assert types(second)["finished"] == 1


@pytest.mark.parametrize(("status", "code"), [("succeeded", 0), ("failed", 1)])
def test_a_restart_after_the_end_has_the_same_exit_code(
    served: Sandbox, run: Run, tmp_path: Path, status: Any, code: int
) -> None:
    job = served.add_job(status=status, checkpoints=1)
    arguments = ["watch", job, *FAST, "--resume", str(tmp_path / "watch.json")]
    assert run(*arguments).code == code
    again = run(*arguments)
    assert (again.code, again.out) == (code, "")


def test_a_restart_whose_job_is_gone_is_1(served: Sandbox, run: Run, tmp_path: Path) -> None:
    job = served.add_job(status="succeeded", checkpoints=1)
    arguments = ["watch", job, *FAST, "--resume", str(tmp_path / "watch.json")]
    run(*arguments)
    served.inject(faults.Status(404), job=job, times=None)
    ran = run(*arguments)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("asyncckpt: 404: ")


def test_a_file_that_has_no_token_is_wrong_usage(served: Sandbox, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "watch.json"
    path.write_text("not a token")
    ran = run("watch", served.job_ids[0], "--resume", str(path))
    assert (ran.code, ran.out) == (2, "")
    assert "resume" in ran.err
    assert path.read_text() == "not a token"
    assert served.stats.requests == 0


def test_an_update_that_could_not_be_written_comes_again(
    served: Sandbox, run: Run, tmp_path: Path
) -> None:
    job = served.add_job(status="succeeded", checkpoints=30)
    path = tmp_path / "watch.json"
    arguments = ["watch", job, *FAST, "--resume", str(path)]
    with start(*arguments) as process:
        assert process.stdout is not None
        head = process.stdout.readline()
        process.stdout.close()
        assert process.wait(100) == 141
    rest = run(*arguments)
    assert rest.code == 0
    # What was lost in the pipe is repeated, and perhaps more.
    shown = {line for line in [head, *rest.out.splitlines(keepends=True)] if line}
    shown_once(Ran(0, "".join(shown), ""), served, job)


def test_ctrl_c_is_130_and_quiet_and_a_restart_continues(
    served: Sandbox, run: Run, tmp_path: Path
) -> None:
    job = served.add_job(status="running", checkpoints=1)
    arguments = ["watch", job, *FAST, "--resume", str(tmp_path / "watch.json")]
    with start(*arguments) as process:
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or '"type":"caught_up"' not in lines[-1]:
            lines.append(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        first = end(process)
    assert (first.code, first.err) == (130, "")
    served.finish(job)
    second = run(*arguments)
    assert second.code == 0
    shown_once(Ran(0, "".join(lines) + first.out + second.out, ""), served, job)


def test_ids_can_come_from_standard_input(fast: Sandbox, tmp_path: Path) -> None:
    job = add_live(fast)
    ids = tmp_path / "ids"
    ids.write_text(f"{job}\n")
    with ids.open() as opened, start("watch", "-", *FAST, stdin=opened) as process:
        ran = end(process)
    assert ran.code == 0
    shown_once(ran, fast, job)


def test_the_live_jobs_of_a_sandbox_without_a_key(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(watch, "SANDBOX_SPEED", 200.0)
    monkeypatch.setattr(watch, "SANDBOX_INTERVAL", 0.1)
    ran = run("watch", "--sandbox")
    assert (ran.code, ran.err) == (0, "")
    assert types(ran)["finished"] == 3
    assert types(ran)["checkpoint"] == 15


def test_the_demo_ends_within_twenty_seconds() -> None:
    with watch._live_sandbox() as sandbox:
        clock = sandbox.clock
        clock.advance(20 * watch.SANDBOX_SPEED - 30)
        statuses = [job["status"] for job in sandbox.jobs[: watch.LIVE_JOBS]]
    assert statuses == ["succeeded"] * watch.LIVE_JOBS


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_terminal_gets_a_live_table(fast: Sandbox, columns: int) -> None:
    jobs = [add_live(fast), add_live(fast, outcome="failed")]
    with on_a_terminal(
        [*COMMAND, "watch", *jobs, *FAST], environment(), columns=columns, term="xterm"
    ) as terminal:
        terminal.read_until("Ctrl-C stops watching, not the jobs")
        lines = Screen.of(terminal.read_to_end(), columns).lines
    assert terminal.process.returncode == 1
    assert lines[0].split()[:3] == ["JOB", "STATUS", "STEP"]
    rows = [line.split() for line in lines[1:] if line.startswith(("ftjob-", "…"))]
    assert sorted(row[1] for row in rows) == ["failed", "succeeded"]
    assert lines[-2:] == ["2 jobs: 1 failed, 1 succeeded", ""]
    assert max(map(len, lines)) < columns


def test_a_dumb_terminal_gets_rows(fast: Sandbox) -> None:
    job = add_live(fast)
    code, shown = run_on_a_terminal([*COMMAND, "watch", job, *FAST], environment())
    assert code == 0
    assert "\x1b" not in shown
    rows = [line.split() for line in shown.splitlines()]
    assert rows[0][:2] == ["JOB", "STATUS"]
    assert rows[-1][1:3] == ["succeeded", "10/10"]


def test_ctrl_c_on_a_terminal_leaves_the_rows(served: Sandbox) -> None:
    job = served.add_job(status="running", checkpoints=2)
    with on_a_terminal(
        [*COMMAND, "watch", job, *FAST], environment(), columns=200, term="xterm"
    ) as terminal:
        terminal.read_until("running")
        terminal.process.send_signal(signal.SIGINT)
        lines = Screen.of(terminal.read_to_end(), 200).lines
    assert terminal.process.returncode == 130
    assert lines[1].split()[:2] == [job, "running"]
    assert lines[2:] == ["1 job: 1 not ended", ""]


def test_a_status_line_says_that_ctrl_c_does_not_stop_the_job(
    served: Sandbox, tmp_path: Path
) -> None:
    job = served.add_job(status="running", checkpoints=1)
    command = " ".join(program("impatient_command.py"))
    command += f" watch {job} --interval 60 > {tmp_path / 'updates'}"
    with on_a_terminal(["bash", "-c", f"exec {command}"], environment(), term="xterm") as terminal:
        terminal.read_until(" s: Ctrl-C stops watching, not the job")
        terminal.process.send_signal(signal.SIGINT)
        terminal.read_to_end()
    assert terminal.process.returncode == 130
