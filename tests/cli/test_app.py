"""Arguments, errors and exit codes."""

import errno
import os
import shlex
import socket
from pathlib import Path

import pytest

from asyncckpt.testing import Sandbox, faults

from support.programs import COMMAND, Ran, Run, program, run_program, start


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["list"], "JOB_ID"),
        (["list", "ftjob-a", "--limit", "0"], "--limit"),
        (["list", "ftjob-a", "--limit", "101"], "--limit"),
        (["list", "--sandbox", "--limit", "101"], "--limit"),
        (["list", "ftjob-a", "--limit", "many"], "--limit"),
        (["list", "ftjob-a", "--max-records", "0"], "--max-records"),
        (["list", "ftjob-a", "--timeout", "0"], "--timeout"),
        (["list", "ftjob-a", "--timeout", "inf"], "--timeout"),
        (["list", "--sandbox", "--timeout", "inf"], "--timeout"),
        (["list", "ftjob-a", "--format", "yaml"], "--format"),
        (["list", "ftjob-a", "--no-such-option"], "--no-such-option"),
        (["list", "ftjob-a", "ftjob-b", "--after", "ftckpt_a"], "--after"),
        (["list", "--sandbox", "--base-url", "http://localhost"], "--base-url"),
        (["list", "ftjob-a/../b"], "must not contain"),
        (["list", "ftjob-a", "--base-url", "localhost"], "base_url"),
        (["list", "ftjob-a", "--api-key-env", "UNSET_KEY"], "UNSET_KEY"),
        (["list", "ftjob-a", "--api-key-env", ""], "--api-key-env"),
        (["list", "--all", "ftjob-a"], "--all"),
        (["list", "--all", "--after", "ftckpt_a"], "--after"),
        (["jobs", "--since", "yesterday"], "2025-01-31"),
        (["jobs", "--since", "2025-13-01"], "2025-01-31"),
        (["jobs", "--metadata", "team"], "KEY=VALUE"),
        (["jobs", "--metadata", "=a"], "KEY=VALUE"),
        (["jobs", "--limit", "0"], "--limit"),
        (["jobs", "ftjob-a"], "ftjob-a"),
        (["events"], "JOB_ID"),
        (["events", "ftjob-a", "--limit", "0"], "--limit"),
        (["events", "ftjob-a", "ftjob-a/../b"], "must not contain"),
        (["events", "ftjob-a", "--format", "yaml"], "--format"),
        (["watch"], "JOB_ID"),
        (["watch", "ftjob-a/../b"], "must not contain"),
        (["watch", "ftjob-a", "--interval", "0"], "--interval"),
        (["watch", "ftjob-a", "--max-time", "inf"], "--max-time"),
        (["watch", "ftjob-a", "--metric", ""], "empty"),
        (["watch", "ftjob-a", "--format", "csv"], "--format"),
        (["watch", "ftjob-a", "--resume", "/dev/null/a"], "/dev/null/a"),
        (["best"], "JOB_ID"),
        (["best", "--all", "ftjob-a"], "--all"),
        (["best", "ftjob-a", "--top", "0"], "--top"),
        (["best", "ftjob-a", "--mode", "min"], "--metric"),
        (["best", "ftjob-a", "--metric", "kl"], "'min' or 'max'"),
        (["best", "ftjob-a", "--metric", ""], "empty"),
        (["best", "ftjob-a", "--metric", "kl", "--mode", "up"], "--mode"),
        (["best", "ftjob-a/../b"], "must not contain"),
        (["best", "--sandbox", "--base-url", "http://localhost"], "--base-url"),
        (["lits"], "list"),
        (["sandbox", "--port", "70000"], "--port"),
        (["sandbox", "--jobs", "-1"], "--jobs"),
        (["sandbox", "--rate-limit", "inf"], "--rate-limit"),
        (["sandbox", "--rate-limit", "nan"], "--rate-limit"),
        (["sandbox", "--latency", "inf"], "--latency"),
        (["sandbox", "--burst", "0", "--rate-limit", "1"], "--burst"),
        (["sandbox", "--burst", "5"], "--rate-limit"),
    ],
)
def test_wrong_usage_is_2(served: Sandbox, run: Run, arguments: list[str], says: str) -> None:
    ran = run(*arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert says in ran.err
    assert ran.err.startswith("asyncckpt: ")
    assert ran.err.count("\n") == 1
    assert served.stats.requests == 0


@pytest.mark.parametrize("whom", ["ftjob-a", "--sandbox"])
def test_options_that_the_client_rejects_are_2(
    served: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, whom: str
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org\nX-Injected: 1")
    ran = run("list", whom)
    assert ran.code == 2
    assert ran.out == ""
    assert "organization" in ran.err
    assert ran.err.count("\n") == 1
    assert served.stats.requests == 0


def test_a_rejected_key_is_1_and_ends_the_list(
    served: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "sk-wrong-0123456789abcdef"
    monkeypatch.setenv("OPENAI_API_KEY", secret)
    ran = run("list", *served.job_ids)
    assert ran.code == 1
    assert ran.err.startswith("asyncckpt: 401: ")
    assert ran.err.count("\n") == 1
    assert secret not in ran.err


def test_no_connection_is_1(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-any")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    base_url = f"http://127.0.0.1:{port}/v1"
    ran = run("list", "ftjob-a", "--base-url", base_url, "--max-retries", "0")
    assert ran.code == 1
    assert ran.out == ""
    assert ran.err.count("\n") == 1


def test_a_timeout_is_1(served: Sandbox, run: Run) -> None:
    served.inject(faults.Hang("before"), times=None)
    ran = run("list", served.job_ids[0], "--timeout", "0.05", "--max-retries", "0")
    assert ran.code == 1
    assert ran.err.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_1(
    served: Sandbox, unbuffered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with Path("/dev/full").open("w") as full:
        ran = run_program([*COMMAND, "list", served.job_ids[0]], stdout=full)
    assert ran.code == 1
    assert ran.err == f"asyncckpt: cannot write the output: {os.strerror(errno.ENOSPC)}\n"


@pytest.mark.parametrize(
    ("closed", "code", "says"),
    [("<&-", 2, "standard input, which is closed"), (">&-", 1, "standard output is closed")],
)
def test_a_closed_standard_stream_is_named(
    served: Sandbox, closed: str, code: int, says: str
) -> None:
    ran = run_program(["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, "list", "-"])
    assert (ran.code, ran.out) == (code, "")
    assert says in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("format_", ["jsonl", "table", "csv", "json"])
def test_a_closed_pipe_is_141_and_quiet(served: Sandbox, format_: str) -> None:
    job = served.add_job(checkpoints=100_000, status="succeeded")
    with start("list", job, "--limit", "100", "--format", format_) as process:
        assert process.stdout is not None
        seen = "".join(process.stdout.readline() for _ in range(3))
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()
        code = process.wait(100)
    assert served.checkpoints_of(job)[0]["id"] in seen
    assert code == 141
    assert err == ""
    assert served.stats.requests < 100


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "--format", "table"],
        ["jobs", "--format", "table"],
        ["best", "--all"],
        ["--help"],
        ["list", "--help"],
        ["--version"],
    ],
)
def test_a_pipe_that_is_closed_from_the_start_is_141_and_quiet(
    served: Sandbox, arguments: list[str]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [*COMMAND, *arguments]
    if arguments[0] == "list" and arguments[-1] == "table":
        command.append(served.job_ids[0])
    with os.fdopen(writer, "w") as closed:
        ran = run_program(command, stdout=closed)
    assert (ran.code, ran.err) == (141, "")


def test_a_shell_pipeline_is_quiet(served: Sandbox) -> None:
    command = shlex.join([*COMMAND, "list", served.job_ids[0]])
    ran = run_program(["bash", "-c", f"{command} | head -n 1"])
    assert ran.out.count("\n") == 1
    assert ran.err == ""


def test_version(run: Run) -> None:
    import asyncckpt

    assert run("--version") == Ran(0, f"{asyncckpt.__version__}\n", "")


@pytest.mark.parametrize(
    "command", [[], ["list"], ["jobs"], ["events"], ["watch"], ["best"], ["sandbox"]]
)
def test_help_has_examples(run: Run, command: list[str]) -> None:
    ran = run(*command, "--help")
    assert ran.code == 0
    assert f"Examples:\n  asyncckpt {' '.join(command)}".rstrip() in ran.out


def test_help_does_not_import_slow_modules() -> None:
    loaded = run_program(program("imports_of_help.py")).err.splitlines()
    assert "asyncckpt.cli.app" in loaded
    assert "aiohttp" not in loaded
