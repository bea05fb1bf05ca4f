"""`asyncckpt plot`: text in the size of the terminal, or a file."""

import importlib.util
import io
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from asyncckpt.cli.plot import write_plot
from asyncckpt.testing import Sandbox, faults

from support.plots import plot_of, valley
from support.programs import COMMAND, Run, environment
from support.terminals import run_on_a_terminal


@pytest.fixture(autouse=True)
def no_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("LINES", raising=False)


def test_a_pipe_gets_80_columns_of_plain_text(served: Sandbox, run: Run) -> None:
    job = served.job_ids[0]
    ran = run("plot", job)
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == f"full_valid_loss of {job}"
    assert "★ best " in lines[-1]
    assert 70 < max(map(len, lines)) <= 80
    assert len(lines) == 23
    assert "\x1b" not in ran.out


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_terminal_is_filled(served: Sandbox, columns: int) -> None:
    command = [*COMMAND, "plot", *served.job_ids[:2]]
    code, shown = run_on_a_terminal(command, environment(), columns=columns)
    lines = shown.splitlines()
    assert code == 0
    assert columns - 3 <= max(map(len, lines)) <= columns
    assert len(lines) <= 23


def test_a_few_columns_are_enough(
    served: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "5")
    monkeypatch.setenv("LINES", "3")
    ran = run("plot", served.job_ids[0])
    assert ran.code == 0
    assert max(map(len, ran.out.splitlines())) <= 20


@pytest.mark.parametrize(
    ("encoding", "is_ascii"), [("ascii", True), ("latin-1", True), ("utf-8", False)]
)
def test_an_output_without_braille_gets_ascii(encoding: str, is_ascii: bool) -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding)
    write_plot(plot_of(valley("ftjob-a")), out)
    assert raw.getvalue().isascii() == is_ascii
    assert b"best 0.5 at step 500" in raw.getvalue()


@pytest.mark.parametrize("option", ["-o", "--output"])
def test_a_file_is_written(served: Sandbox, run: Run, tmp_path: Path, option: str) -> None:
    target = tmp_path / "curve.svg"
    ran = run("plot", served.job_ids[0], option, str(target))
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert ET.parse(target).getroot().tag.endswith("svg")


def test_the_best_job_of_the_account(served: Sandbox, run: Run) -> None:
    ran = run("plot", "--all", "--top", "1")
    assert (ran.code, ran.err) == (0, "")
    model = run("best", "--all").out.strip()
    best = next(
        job
        for job in served.job_ids
        for one in served.checkpoints_of(job)
        if one["fine_tuned_model_checkpoint"] == model
    )
    assert ran.out.splitlines()[0] == f"full_valid_loss of {best}"


def test_a_metric_and_a_mode(served: Sandbox, run: Run) -> None:
    job = served.job_ids[0]
    ran = run("plot", job, "--metric", "train_loss", "--mode", "max")
    assert ran.out.startswith(f"train_loss of {job}\n")
    assert f"step {served.checkpoints_of(job)[-1]['step_number']}" in ran.out


def test_jobs_that_are_not_shown_are_counted(served: Sandbox, run: Run) -> None:
    jobs = served.job_ids[:3]
    ran = run("plot", *jobs, "--top", "2")
    assert ran.err == "asyncckpt: the best 2 of 3 jobs are plotted\n"
    queued = served.add_job(status="queued")
    ran = run("plot", queued, jobs[0])
    assert (ran.code, ran.err) == (0, f"asyncckpt: nothing to plot of {queued}\n")


def test_a_job_that_fails_does_not_stop_the_others(served: Sandbox, run: Run) -> None:
    ran = run("plot", "ftjob-unknown", served.job_ids[0])
    assert ran.code == 1
    assert ran.out.startswith(f"full_valid_loss of {served.job_ids[0]}\n")
    assert ran.err.startswith("asyncckpt: 404: ")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["ftjob-unknown"], ["--metric", "mean_reward"], []])
def test_nothing_to_plot_is_1(served: Sandbox, run: Run, arguments: list[str]) -> None:
    queued = served.add_job(status="queued")
    ran = run("plot", *(arguments or [queued]), *([queued] if "--metric" in arguments else []))
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.count("\n") == 1


def test_a_rejected_key_is_said_once(
    served: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong")
    for jobs in (served.job_ids, served.job_ids[:1]):
        ran = run("plot", *jobs)
        assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-o", "curve.pdf"], ".png or .svg"),
        (["-o", "/nowhere/curve.svg"], "no folder"),
        (["--mode", "min"], "--mode needs --metric"),
        (["--metric", "speed"], "does not tell"),
        (["--top", "21"], "--top"),
        (["--all"], "cannot be combined"),
    ],
)
def test_wrong_usage_is_2_and_nothing_is_requested(
    served: Sandbox, run: Run, arguments: list[str], says: str
) -> None:
    ran = run("plot", served.job_ids[0], *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert not served.requests


def test_without_matplotlib_the_extra_is_named(
    served: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "asyncckpt.export.extras.find_spec",
        lambda name: None if name == "matplotlib" else find(name),
    )
    ran = run("plot", served.job_ids[0], "-o", str(tmp_path / "curve.svg"))
    assert "asyncckpt[plots]" in ran.err
    assert ran.code != 0
    assert not served.requests
    # A terminal needs no extra.
    assert run("plot", served.job_ids[0]).code == 0


def test_a_sandbox_needs_no_key(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    ran = run("plot", "--sandbox")
    assert ran.code == 0
    assert ran.out.count("★") == 2
    assert ran.err.endswith("The best of them:\nasyncckpt plot --sandbox --all\n")


def test_a_file_that_cannot_be_written_is_1(served: Sandbox, run: Run, tmp_path: Path) -> None:
    target = tmp_path / "curve.svg"
    target.mkdir()
    ran = run("plot", served.job_ids[0], "-o", str(target))
    assert ran.code == 1
    assert ran.err.startswith(f"asyncckpt: cannot write {target}: ")


def test_a_curve_that_cannot_be_read_is_said(served: Sandbox, run: Run) -> None:
    served.inject(faults.Status(400), times=None, path="/content")
    ran = run("plot", *served.job_ids[:2])
    assert ran.code == 1
    assert ran.err.count("asyncckpt: 400: ") == 2
    assert ran.out.startswith("full_valid_loss of 2 jobs\n")
