"""The command, in process where it can be, and as a program where signals and pipes matter."""

import asyncio
import contextlib
import csv
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from asyncckpt import FineTuningJobCheckpoint, Metrics
from asyncckpt.cli import main
from asyncckpt.cli.output import Format, writer_for
from asyncckpt.testing import Sandbox, faults

from support.terminals import run_on_a_terminal

COMMAND = [sys.executable, "-m", "asyncckpt.cli"]
CHECKPOINTS = 30


async def stop(sandbox: Sandbox) -> None:
    await sandbox.aclose()
    # A connection that was just being accepted is made some turns of the loop later, and ends, as
    # the command at its other end already has.
    async with asyncio.timeout(5):
        for _ in range(5):
            await asyncio.sleep(0)
        while sandbox.stats.connections_open:
            await asyncio.sleep(0)
        await asyncio.sleep(0)


@contextlib.contextmanager
def serving(**options: Any) -> Iterator[Sandbox]:
    """Serve a sandbox from a thread of its own: the command brings its own event loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    sandbox = Sandbox(**options)
    try:
        asyncio.run_coroutine_threadsafe(sandbox.start(), loop).result(10)
        yield sandbox
    finally:
        asyncio.run_coroutine_threadsafe(stop(sandbox), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with serving(jobs=6, checkpoints=CHECKPOINTS, statuses=["succeeded"]) as sandbox:
        monkeypatch.setenv("OPENAI_BASE_URL", sandbox.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", sandbox.api_key)
        yield sandbox


@attrs.frozen
class Ran:
    code: int
    out: str
    err: str

    @property
    def ids(self) -> list[str]:
        return [json.loads(line)["id"] for line in self.out.splitlines()]


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run_command(*arguments: str) -> Ran:
        code = main(arguments)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run_command


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def end(process: subprocess.Popen[str]) -> Ran:
    """What a program still has to say; unlike `communicate` this minds what is buffered already."""
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = process.stdout.read(), process.stderr.read()
    return Ran(process.wait(30), out, err)


def ids_of(sandbox: Sandbox, job: str) -> list[str]:
    return [checkpoint["id"] for checkpoint in sandbox.checkpoints_of(job)]


def written(model: str, format_: Format, encoding: str) -> str:
    """What one checkpoint of that model becomes in an output of that encoding."""
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding)
    writer = writer_for(format_, out)
    writer.write(FineTuningJobCheckpoint("ckpt", 0, model, "job", Metrics(), 1))
    writer.close()
    return raw.getvalue().decode(encoding)


def queries(sandbox: Sandbox) -> list[dict[str, str]]:
    return [dict(request.query) for request in sandbox.requests]


class TestFormats:
    def test_a_pipe_gets_json_lines_as_the_api_sends_them(self, served: Sandbox, run: Run) -> None:
        job = served.job_ids[0]
        ran = run("list", job)
        assert ran.code == 0
        assert ran.err == ""
        assert [json.loads(line) for line in ran.out.splitlines()] == list(
            served.checkpoints_of(job)
        )

    def test_json_is_one_array(self, served: Sandbox, run: Run) -> None:
        job = served.job_ids[0]
        assert json.loads(run("list", job, "--format", "json").out) == list(
            served.checkpoints_of(job)
        )

    def test_json_of_nothing_is_an_empty_array(self, served: Sandbox, run: Run) -> None:
        empty = served.add_job(checkpoints=0, status="succeeded")
        assert json.loads(run("list", empty, "--format", "json").out) == []

    def test_csv_has_a_header_and_a_row_for_each(self, served: Sandbox, run: Run) -> None:
        job = served.job_ids[0]
        rows = list(csv.DictReader(io.StringIO(run("list", job, "-f", "csv").out)))
        for row, sent in zip(rows, served.checkpoints_of(job), strict=True):
            assert row["id"] == sent["id"]
            assert int(row["step_number"]) == sent["step_number"]
            for name in ("train_loss", "full_valid_loss"):
                assert row[name] == str(sent["metrics"].get(name, ""))

    def test_csv_of_nothing_is_the_header(self, served: Sandbox, run: Run) -> None:
        empty = served.add_job(checkpoints=0, status="succeeded")
        assert run("list", empty, "--format", "csv").out.startswith("id,fine_tuning_job_id,")

    def test_a_table_in_a_pipe_has_all_columns(self, served: Sandbox, run: Run) -> None:
        job = served.job_ids[0]
        title, head, *rows = run("list", job, "--format", "table").out.splitlines()
        assert title == job
        assert head.split()[:2] == ["CHECKPOINT", "STEP"]
        assert head.endswith("MODEL")
        newest = served.checkpoints_of(job)[0]
        assert rows[0].split()[:2] == [newest["id"], str(newest["step_number"])]
        assert rows[0].endswith(newest["fine_tuned_model_checkpoint"])
        assert len(rows) == CHECKPOINTS

    def test_each_job_has_a_table_of_its_own(self, served: Sandbox, run: Run) -> None:
        first, second = served.job_ids[:2]
        out = run("list", first, second, "--format", "table").out
        tables = out.split("\n\n")
        assert [table.splitlines()[0] for table in tables] == [first, second]

    @pytest.mark.parametrize("columns", [40, 80, 120])
    def test_a_terminal_gets_the_columns_that_fit(self, served: Sandbox, columns: int) -> None:
        code, shown = run_on_a_terminal([*COMMAND, "list", served.job_ids[0]], columns=columns)
        assert code == 0
        _, head, *rows = shown.splitlines()
        assert head.startswith("CHECKPOINT")
        assert len(rows) == CHECKPOINTS
        assert max(map(len, [head, *rows])) <= columns
        assert ("CREATED" in head) == (columns == 120)

    def test_what_a_terminal_would_obey_is_shown_instead(self) -> None:
        out = io.StringIO()
        writer = writer_for("table", out)
        evil = "ft\x1b[2Jckpt\n"
        writer.write(FineTuningJobCheckpoint(evil, 0, evil, evil, Metrics(), 1))
        writer.close()
        assert "\x1b" not in out.getvalue()
        assert len(out.getvalue().splitlines()) == 3

    @pytest.mark.parametrize("created_at", [1_735_752_000_000, -(10**17), 10**18])
    def test_a_time_that_is_no_date_is_shown_as_it_is(self, created_at: int) -> None:
        out = io.StringIO()
        writer = writer_for("table", out)
        writer.write(FineTuningJobCheckpoint("ckpt", created_at, "ft", "job", Metrics(), 1))
        writer.close()
        assert f" {created_at} " in out.getvalue()

    @pytest.mark.parametrize(
        ("format_", "encoding", "shown"),
        [
            ("table", "ascii", r"caf\xe9-\U0001f680"),
            ("table", "latin-1", r"café-\U0001f680"),
            ("csv", "ascii", r"caf\xe9-\U0001f680"),
            ("csv", "utf-8", "café-🚀"),
            ("jsonl", "utf-8", "café-🚀"),
        ],
    )
    def test_what_the_output_cannot_encode_is_escaped(
        self, format_: Format, encoding: str, shown: str
    ) -> None:
        assert f"ft:{shown}" in written("ft:café-🚀", format_, encoding)

    @pytest.mark.parametrize("format_", ["jsonl", "json"])
    @pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
    def test_what_is_escaped_is_still_json(self, format_: Format, encoding: str) -> None:
        read = json.loads(written("ft:café-🚀", format_, encoding))
        checkpoint = read[0] if format_ == "json" else read
        assert checkpoint["fine_tuned_model_checkpoint"] == "ft:café-🚀"


class TestJobs:
    def test_they_are_printed_in_the_order_given(self, served: Sandbox, run: Run) -> None:
        jobs = served.job_ids[:4]
        served.inject(faults.Latency(0.1), job=jobs[0], times=None)
        ran = run("list", *jobs, "--concurrency", "4")
        assert ran.ids == [id_ for job in jobs for id_ in ids_of(served, job)]

    def test_they_are_asked_for_side_by_side(self, served: Sandbox, run: Run) -> None:
        served.inject(faults.Latency(0.05), times=None)
        run("list", *served.job_ids[:4], "--concurrency", "3", "--limit", "100")
        assert served.stats.max_in_flight == 3

    def test_ids_in_another_encoding_are_refused(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        utf_16 = io.BytesIO("ftjob-1\n".encode("utf-16"))
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(utf_16, encoding="utf-8"))
        ran = run("list", "-")
        assert ran.code == 2
        assert ran.err == (
            "asyncckpt: the ids on standard input are not utf-8; save them in that encoding\n"
        )

    def test_their_ids_can_come_from_stdin(
        self, served: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second, third = served.job_ids[:3]
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{first}\n\n  {second} \n"))
        ran = run("list", "-", third)
        assert ran.ids == [id_ for job in (first, second, third) for id_ in ids_of(served, job)]

    def test_a_byte_order_mark_is_no_part_of_an_id(
        self, served: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = served.job_ids[0]
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"\ufeff{job}\n"))
        assert run("list", "-").ids == ids_of(served, job)

    def test_one_that_fails_does_not_stop_the_others(self, served: Sandbox, run: Run) -> None:
        first, second = served.job_ids[:2]
        ran = run("list", first, "ftjob-unknown", second, "--format", "json")
        assert ran.code == 1
        assert [checkpoint["id"] for checkpoint in json.loads(ran.out)] == [
            *ids_of(served, first),
            *ids_of(served, second),
        ]
        assert ran.err.startswith("asyncckpt: 404: ")
        assert "ftjob-unknown" in ran.err
        assert ran.err.count("\n") == 1

    def test_options_reach_the_server(self, served: Sandbox, run: Run) -> None:
        job = served.job_ids[0]
        expected = ids_of(served, job)
        ran = run("list", job, "--limit", "7", "--after", expected[4], "--max-records", "10")
        assert ran.ids == expected[5:15]
        assert queries(served)[0] == {"limit": "7", "after": expected[4]}
        assert len(queries(served)) == 2

    def test_the_key_can_have_another_name(
        self, served: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("OPENAI_API_KEY")
        monkeypatch.setenv("OTHER_KEY", served.api_key)
        job = served.job_ids[0]
        assert run("list", job, "--api-key-env", "OTHER_KEY").ids == ids_of(served, job)

    def test_the_base_url_can_be_given(
        self, served: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
        job = served.job_ids[0]
        assert run("list", job, "--base-url", served.base_url).ids == ids_of(served, job)


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["list"], "JOB_ID"),
            (["list", "ftjob-a", "--limit", "0"], "--limit"),
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
            (["lits"], "list"),
            (["sandbox", "--port", "70000"], "--port"),
            (["sandbox", "--jobs", "-1"], "--jobs"),
            (["sandbox", "--rate-limit", "inf"], "--rate-limit"),
            (["sandbox", "--rate-limit", "nan"], "--rate-limit"),
            (["sandbox", "--latency", "inf"], "--latency"),
        ],
    )
    def test_wrong_usage_is_2(
        self, served: Sandbox, run: Run, arguments: list[str], says: str
    ) -> None:
        ran = run(*arguments)
        assert ran.code == 2
        assert ran.out == ""
        assert says in ran.err
        assert ran.err.startswith("asyncckpt: ")
        assert ran.err.count("\n") == 1
        assert served.stats.requests == 0

    @pytest.mark.parametrize("whom", ["ftjob-a", "--sandbox"])
    def test_what_the_client_refuses_is_2(
        self, served: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, whom: str
    ) -> None:
        monkeypatch.setenv("OPENAI_ORG_ID", "org\nX-Injected: 1")
        ran = run("list", whom)
        assert ran.code == 2
        assert ran.out == ""
        assert "organization" in ran.err
        assert ran.err.count("\n") == 1
        assert served.stats.requests == 0

    def test_a_missing_key_is_2(
        self, served: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("OPENAI_API_KEY")
        ran = run("list", served.job_ids[0])
        assert ran.code == 2
        assert "OPENAI_API_KEY" in ran.err
        assert "--sandbox" in ran.err

    def test_a_refused_key_is_1_and_ends_the_list(
        self, served: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        secret = "sk-wrong-0123456789abcdef"
        monkeypatch.setenv("OPENAI_API_KEY", secret)
        ran = run("list", *served.job_ids)
        assert ran.code == 1
        assert ran.err.startswith("asyncckpt: 401: ")
        assert ran.err.count("\n") == 1
        assert secret not in ran.err

    def test_no_connection_is_1(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-any")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        base_url = f"http://127.0.0.1:{port}/v1"
        ran = run("list", "ftjob-a", "--base-url", base_url, "--max-retries", "0")
        assert ran.code == 1
        assert ran.out == ""
        assert ran.err.count("\n") == 1

    def test_a_timeout_is_1(self, served: Sandbox, run: Run) -> None:
        served.inject(faults.Hang("before"), times=None)
        ran = run("list", served.job_ids[0], "--timeout", "0.05", "--max-retries", "0")
        assert ran.code == 1
        assert ran.err.count("\n") == 1

    @pytest.mark.parametrize("format_", ["jsonl", "json"])
    def test_what_came_before_an_error_is_kept(
        self, served: Sandbox, run: Run, format_: str
    ) -> None:
        job = served.job_ids[0]
        served.inject(faults.Status(400), page=3)
        ran = run("list", job, "--limit", "10", "--format", format_)
        assert ran.code == 1
        printed = json.loads(ran.out) if format_ == "json" else ran.out.splitlines()
        assert len(printed) == 20
        assert ran.err.startswith("asyncckpt: 400: ")

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    @pytest.mark.parametrize("unbuffered", ["", "1"])
    def test_a_full_disk_is_1(
        self, served: Sandbox, unbuffered: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
        with Path("/dev/full").open("w") as full:
            ran = subprocess.run(
                [*COMMAND, "list", served.job_ids[0]],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
                timeout=30,
            )
        assert ran.returncode == 1
        assert ran.stderr.startswith("asyncckpt: ")
        assert ran.stderr.count("\n") == 1

    @pytest.mark.parametrize(
        ("closed", "code", "says"),
        [("<&-", 2, "standard input, which is closed"), (">&-", 1, "standard output is closed")],
    )
    def test_a_closed_stream_is_said_to_be(
        self, served: Sandbox, closed: str, code: int, says: str
    ) -> None:
        ran = subprocess.run(
            ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, "list", "-"],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert (ran.returncode, ran.stdout) == (code, "")
        assert says in ran.stderr
        assert ran.stderr.count("\n") == 1

    @pytest.mark.parametrize("missing", ["cyclopts", "rich"])
    def test_without_the_extra_it_says_how_to_get_it(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, missing: str
    ) -> None:
        monkeypatch.setitem(sys.modules, missing, None)
        ran = run("--help")
        assert ran.code == 1
        assert ran.err == 'asyncckpt: the command needs: pip install "asyncckpt[cli]"\n'


class TestStreaming:
    @pytest.mark.parametrize("format_", ["jsonl", "json", "csv", "table"])
    def test_rows_are_out_before_the_last_page_is_served(
        self, served: Sandbox, format_: str
    ) -> None:
        job = served.job_ids[0]
        first = ids_of(served, job)[0]
        served.inject(faults.Hang("before"), page=3, times=None)
        with start("list", job, "--limit", "10", "--format", format_) as process:
            assert process.stdout is not None
            seen = ""
            while first not in seen:
                line = process.stdout.readline()
                assert line, "the output ended"
                seen += line
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            assert end(process).code == 130

    def test_ctrl_c_is_130_and_quiet_and_keeps_what_came(self, served: Sandbox) -> None:
        job = served.job_ids[0]
        served.inject(faults.Hang("before"), page=3, times=None)
        with start("list", job, "--limit", "10", "--format", "json") as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(15)]
            process.send_signal(signal.SIGINT)
            ran = end(process)
        assert ran.code == 130
        assert ran.err == ""
        assert len(json.loads("".join(lines) + ran.out)) == 20

    def test_a_closed_pipe_is_141_and_quiet(self, served: Sandbox) -> None:
        job = served.add_job(checkpoints=100_000, status="succeeded")
        with start("list", job, "--limit", "100") as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            process.stdout.close()
            assert process.stderr is not None
            err = process.stderr.read()
            code = process.wait(30)
        assert json.loads(first)["id"] == ids_of(served, job)[0]
        assert code == 141
        assert err == ""
        assert served.stats.requests < 100

    def test_a_shell_pipeline_is_quiet(self, served: Sandbox) -> None:
        command = f"{sys.executable} -m asyncckpt.cli list {served.job_ids[0]} | head -n 1"
        ran = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, check=False, timeout=30
        )
        assert ran.stdout.count("\n") == 1
        assert ran.stderr == ""


class TestSandbox:
    def test_list_shows_a_job_of_it_without_a_key(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
        ran = run("list", "--sandbox")
        assert ran.code == 0
        assert len(set(ran.ids)) == CHECKPOINTS
        another = ran.err.split()[-1]
        assert another.startswith("ftjob-")
        shown = run("list", "--sandbox", another)
        assert len(shown.ids) == CHECKPOINTS
        assert shown.err == ""
        assert set(shown.ids).isdisjoint(ran.ids)

    def test_it_serves_until_ctrl_c(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
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

    def test_it_can_limit_the_rate(self, run: Run) -> None:
        with start("sandbox", "--rate-limit", "0.001") as process:
            assert process.stdout is not None
            _, url, key, listing = [process.stdout.readline() for _ in range(4)]
            environment = os.environ | dict(
                line.removeprefix("export ").strip().split("=", 1) for line in (url, key)
            )
            arguments = [*COMMAND, *listing.split()[1:], "--limit", "1", "--max-retries", "0"]
            refused = subprocess.run(
                arguments, env=environment, capture_output=True, text=True, check=False, timeout=30
            )
            process.send_signal(signal.SIGINT)
            end(process)
        assert refused.returncode == 1
        assert refused.stderr.startswith("asyncckpt: 429: ")

    def test_a_port_in_use_is_1(self, served: Sandbox, run: Run) -> None:
        port = served.base_url.rpartition(":")[2].partition("/")[0]
        ran = run("sandbox", "--port", port)
        assert ran.code == 1
        assert port in ran.err
        assert ran.err.count("\n") == 1


class TestFace:
    def test_version(self, run: Run) -> None:
        import asyncckpt

        assert run("--version") == Ran(0, f"{asyncckpt.__version__}\n", "")

    @pytest.mark.parametrize("command", [[], ["list"], ["sandbox"]])
    def test_help_has_examples(self, run: Run, command: list[str]) -> None:
        ran = run(*command, "--help")
        assert ran.code == 0
        assert f"Examples:\n  asyncckpt {' '.join(command)}".rstrip() in ran.out

    def test_help_does_not_wait_for_slow_imports(self) -> None:
        code = (
            "import sys; from asyncckpt.cli import main; main(['--help']);"
            "print('aiohttp' in sys.modules, file=sys.stderr)"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30
        )
        assert ran.stderr == "False\n"
