"""`asyncckpt export`: what it says and how it ends."""

import errno
import signal
from pathlib import Path
from unittest.mock import patch

import pytest

from asyncckpt.export import archiving
from asyncckpt.testing import Sandbox, faults

from support.archives import contents
from support.programs import COMMAND, Run, end, environment, start
from support.terminals import on_a_terminal


def test_an_account_is_saved(served: Sandbox, run: Run, tmp_path: Path) -> None:
    ran = run("export", str(tmp_path))
    events = sum(len(served.events_of(job)) for job in served.job_ids)
    first, second = ran.out.splitlines()
    assert (ran.code, ran.err) == (0, "")
    assert first == f"{tmp_path}: 6 jobs, 180 checkpoints, {events:,} events, 6 result files"
    assert second.startswith("fetched 6 jobs in ")
    assert run("export", str(tmp_path)).out.splitlines()[1].startswith("fetched 0 jobs in ")


def test_parts_are_left_out(served: Sandbox, run: Run, tmp_path: Path) -> None:
    ran = run("export", str(tmp_path), "--no-events", "--no-files", "--no-parquet")
    assert ran.out.startswith(f"{tmp_path}: 6 jobs, 180 checkpoints, 0 events, 0 result files\n")
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {
        "jobs.jsonl",
        "checkpoints.jsonl",
        "events.jsonl",
        "files.jsonl",
        "manifest.json",
    }


def test_a_sandbox_needs_no_key(run: Run, tmp_path: Path) -> None:
    for fetched in (12, 2):
        ran = run("export", str(tmp_path), "--sandbox", "--no-events", "--no-parquet")
        assert ran.code == 0
        assert f"fetched {fetched} jobs" in ran.out


def test_failed_jobs_are_reported_and_the_exit_code_says_so(
    served: Sandbox, run: Run, tmp_path: Path
) -> None:
    served.inject(faults.Status(403), job=served.job_ids[2], path="/checkpoints", times=None)
    ran = run("export", str(tmp_path), "--no-events")
    assert ran.code == 1
    error, advice = ran.err.splitlines()
    assert error.startswith("asyncckpt: 403: ")
    assert error.endswith(f"(job {served.job_ids[2]})")
    assert advice == ("asyncckpt: 1 job failed, see manifest.json; the next run fetches them first")
    assert ran.out.startswith(f"{tmp_path}: 6 jobs, 150 checkpoints, ")
    served.clear()
    assert run("export", str(tmp_path), "--no-events").code == 0


def test_many_failures_are_not_all_shown(served: Sandbox, run: Run, tmp_path: Path) -> None:
    for _ in range(20):
        served.add_job(checkpoints=1)
    served.inject(faults.Status(403), path="/checkpoints", times=None)
    ran = run("export", str(tmp_path), "--no-events", "--no-files")
    assert len(ran.err.splitlines()) == 21
    assert "26 jobs failed" in ran.err


def test_missing_result_files_are_counted(served: Sandbox, run: Run, tmp_path: Path) -> None:
    served.inject(faults.Status(404), path="/files/")
    ran = run("export", str(tmp_path), "--no-events")
    assert ran.code == 0
    assert "5 result files; 1 result file no longer on the server\n" in ran.out


def test_a_full_disk_is_one_line(served: Sandbox, run: Run, tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with patch.object(archiving, "assemble", side_effect=full):
        ran = run("export", str(tmp_path), "--no-events")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        f"asyncckpt: cannot write to {tmp_path}: No space left on device; run the command again "
        "to continue\n"
    )
    assert run("export", str(tmp_path), "--no-events").code == 0


def test_another_directory_is_refused(served: Sandbox, run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    ran = run("export", str(tmp_path))
    assert ran.code == 1
    assert "is not empty, and is not an archive" in ran.err


def test_parquet_without_pyarrow(
    served: Sandbox, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncckpt.export.extras.find_spec", lambda _: None)
    ran = run("export", str(tmp_path), "--parquet")
    assert ran.code == 2
    assert "pip install 'asyncckpt[arrow]'" in ran.err
    assert run("export", str(tmp_path), "--no-events").code == 0
    assert not [*tmp_path.glob("*.parquet")]


@pytest.mark.parametrize("arguments", [[], ["one", "two"], ["one", "--concurrency", "0"]])
def test_wrong_usage(served: Sandbox, run: Run, arguments: list[str]) -> None:
    assert run("export", *arguments).code == 2


def test_ctrl_c_can_be_continued(served: Sandbox, run: Run, tmp_path: Path) -> None:
    served.inject(faults.Hang(), job=served.job_ids[3], path="/checkpoints", times=None)
    whole, interrupted = tmp_path / "whole", tmp_path / "interrupted"
    with start("export", str(interrupted), "--concurrency", "1", "--no-events") as process:
        while not any(request.job_id == served.job_ids[3] for request in served.requests):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        ran = end(process)
    assert (ran.code, ran.out) == (130, "")
    assert ran.err == (
        "asyncckpt: the archive is not complete; run the command again to continue\n"
    )
    served.clear()
    assert "fetched 3 jobs" in run("export", str(interrupted), "--no-events").out
    run("export", str(whole), "--no-events")
    assert contents(whole) == contents(interrupted)


def test_the_line_says_how_far_it_is(served: Sandbox, tmp_path: Path) -> None:
    served.inject(faults.Hang(), job=served.job_ids[5], path="/checkpoints", times=None)
    command = [*COMMAND, "export", str(tmp_path), "--no-events"]
    with on_a_terminal(command, environment(), term="xterm") as terminal:
        terminal.read_until("5/6 jobs, no record for 2 s")
        terminal.process.send_signal(signal.SIGINT)
        terminal.read_to_end()
