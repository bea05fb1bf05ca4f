"""`asyncckpt sandbox`."""

import errno
import json
import os
import signal

import pytest

from asyncckpt.testing import Sandbox

from support.programs import Run, end, start


def test_it_serves_until_ctrl_c(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with start("sandbox", "--jobs", "2", "--checkpoints", "3") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        exports = dict(
            line.removeprefix("export ").strip().split("=", 1)
            for line in lines
            if line.startswith("export ")
        )
        for name, value in exports.items():
            monkeypatch.setenv(name, value)
        listed = run(*lines[-1].split()[1:])
        process.send_signal(signal.SIGINT)
        ran = end(process)
    assert set(exports) == {"OPENAI_BASE_URL", "OPENAI_API_KEY"}
    assert listed.code == 0
    assert listed.ids
    assert (ran.code, ran.out, ran.err) == (0, "", "")


@pytest.mark.parametrize(("options", "accepted"), [([], 1), (["--burst", "3"], 3)])
def test_it_can_limit_the_rate(
    run: Run, monkeypatch: pytest.MonkeyPatch, options: list[str], accepted: int
) -> None:
    with start("sandbox", "--checkpoints", "5", "--rate-limit", "0.001", *options) as process:
        assert process.stdout is not None
        _, url, key, listing = [process.stdout.readline() for _ in range(4)]
        for line in (url, key):
            monkeypatch.setenv(*line.removeprefix("export ").strip().split("=", 1))
        arguments = [*listing.split()[1:], "--max-retries", "0"]
        codes = [run(*arguments).code for _ in range(accepted)]
        refused = run(*arguments)
        process.send_signal(signal.SIGINT)
        end(process)
    assert codes == [0] * accepted
    assert refused.code == 1
    assert refused.err.startswith("asyncckpt: 429: ")


def test_live_jobs_can_be_watched(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with start("sandbox", "--jobs", "1", "--live", "2") as process:
        assert process.stdout is not None
        welcome, url, key, watching = [process.stdout.readline() for _ in range(4)]
        for line in (url, key):
            monkeypatch.setenv(*line.removeprefix("export ").strip().split("=", 1))
        listed = run("jobs", "--fields", "id,status")
        process.send_signal(signal.SIGINT)
        end(process)
    assert welcome.startswith("# A sandbox with 3 jobs.")
    states = [json.loads(line) for line in listed.out.splitlines()]
    assert watching.split() == ["asyncckpt", "watch", *(state["id"] for state in states[:2])]
    assert {state["status"] for state in states[:2]} <= {"validating_files", "queued", "running"}


def test_its_jobs_can_run_while_one_looks(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["--profile", "nebius", "--jobs", "1", "--live", "2", "--speed", "10000"]
    with start("sandbox", *options) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        for line in lines[1:3]:
            monkeypatch.setenv(*line.removeprefix("export ").strip().split("=", 1))
        jobs = [json.loads(line) for line in run("jobs").out.splitlines()]
        watched = run("watch", *[job["id"] for job in jobs], "--interval", "0.05")
        process.send_signal(signal.SIGINT)
        end(process)
    assert len(jobs) == 3
    updates = [json.loads(line) for line in watched.out.splitlines()]
    ends = {update["fine_tuning_job_id"] for update in updates if update["type"] == "finished"}
    assert ends == {job["id"] for job in jobs}


def test_a_speed_needs_live_jobs(run: Run) -> None:
    ran = run("sandbox", "--speed", "60")
    assert (ran.code, ran.err) == (2, "asyncckpt: --speed needs --live\n")


def test_without_jobs_it_suggests_no_command() -> None:
    with start("sandbox", "--jobs", "0") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        ran = end(process)
    assert lines[0].startswith("# A sandbox with 0 jobs.")
    assert (ran.code, ran.out) == (0, "")


def test_a_port_in_use_is_1(served: Sandbox, run: Run) -> None:
    port = served.base_url.rpartition(":")[2].partition("/")[0]
    ran = run("sandbox", "--port", port)
    assert ran.code == 1
    assert ran.err == (
        f"asyncckpt: cannot serve on 127.0.0.1, port {port}: {os.strerror(errno.EADDRINUSE)}\n"
    )


def test_an_unknown_host_is_1(run: Run) -> None:
    ran = run("sandbox", "--host", "no such host")
    assert ran.code == 1
    assert ran.err.startswith("asyncckpt: cannot serve on no such host, port 0: ")
    assert ran.err.count("\n") == 1
