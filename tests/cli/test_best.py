"""`asyncckpt best`: a name in a pipe, an explanation on a terminal."""

import io
import re
import shlex
import signal

import pytest

from asyncckpt import Ranked
from asyncckpt.cli.best import NameWriter, write_explained
from asyncckpt.streams.ranking import Selection
from asyncckpt.testing import Sandbox, faults
from asyncckpt.testing.shapes import CheckpointObject

from support.checkpoints import checkpoint
from support.programs import COMMAND, Run, end, environment, run_program, start
from support.terminals import run_on_a_terminal


def models(
    sandbox: Sandbox, *jobs: str, metric: str = "full_valid_loss", sign: int = 1
) -> list[str]:
    """The models of some jobs by sorting them, the best first."""

    def order(one: CheckpointObject) -> tuple[float, int]:
        value: float = one["metrics"][metric]  # type: ignore[literal-required]
        return sign * value, -one["step_number"]

    measured = [
        one for job in jobs for one in sandbox.checkpoints_of(job) if metric in one["metrics"]
    ]
    return [one["fine_tuned_model_checkpoint"] for one in sorted(measured, key=order)]


def ranking(*records: dict[str, object], n: int = 5) -> list[Ranked]:
    selection = Selection(n, "valid_loss")
    for record in records:
        selection.add(checkpoint(**record))  # type: ignore[arg-type]
    return selection.result()


def write_with_explanation(ranking: list[Ranked], out: io.StringIO) -> None:
    write_explained(ranking, ranking[0].explain(), out)


def test_a_pipe_gets_only_the_name_of_the_model(served: Sandbox, run: Run) -> None:
    job = served.job_ids[0]
    ran = run("best", job)
    assert (ran.code, ran.out, ran.err) == (0, f"{models(served, job)[0]}\n", "")


def test_a_shell_variable_holds_the_name(served: Sandbox) -> None:
    job = served.job_ids[0]
    command = shlex.join([*COMMAND, "best", job])
    ran = run_program(["bash", "-c", f'MODEL=$({command}) && echo "[$MODEL]"'])
    assert (ran.out, ran.err) == (f"[{models(served, job)[0]}]\n", "")


def test_the_best_of_several_jobs(served: Sandbox, run: Run) -> None:
    jobs = served.job_ids[:3]
    assert run("best", *jobs, "--top", "4").out.splitlines() == models(served, *jobs)[:4]


def test_the_best_of_all_jobs(served: Sandbox, run: Run) -> None:
    assert run("best", "--all").out.splitlines() == models(served, *served.job_ids)[:1]


def test_a_metric_and_a_mode(served: Sandbox, run: Run) -> None:
    job = served.job_ids[0]
    up = run("best", job, "--metric", "valid_mean_token_accuracy").out
    assert up.splitlines() == models(served, job, metric="valid_mean_token_accuracy", sign=-1)[:1]
    worst = run("best", job, "--metric", "valid_loss", "--mode", "max").out
    assert worst.splitlines() == models(served, job, metric="valid_loss", sign=-1)[:1]


def test_jobs_without_the_metric_are_named(served: Sandbox, run: Run) -> None:
    # The third of the sandbox's methods has no accuracies.
    jobs = served.job_ids
    lacking = [jobs[2], jobs[5]]
    ran = run("best", "--all", "--metric", "valid_mean_token_accuracy")
    assert ran.code == 0
    assert ran.out.count("\n") == 1
    assert ran.err.startswith(
        "asyncckpt: Not ranked, without a measured valid_mean_token_accuracy: ftjob-"
    )
    assert all(job in ran.err for job in lacking)


def test_a_job_that_fails_does_not_stop_the_others(served: Sandbox, run: Run) -> None:
    job = served.job_ids[0]
    ran = run("best", "ftjob-unknown", job)
    assert ran.code == 1
    assert ran.out.splitlines() == models(served, job)[:1]
    assert ran.err.startswith("asyncckpt: 404: ")
    assert ran.err.count("\n") == 1


def test_a_rejected_key_is_1_and_said_once(
    served: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong")
    for arguments in (served.job_ids, ["--all"], served.job_ids[:1]):
        ran = run("best", *arguments)
        assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
        assert ran.err.startswith("asyncckpt: 401: ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--metric", "mean_reward"], "has a measured 'mean_reward'"),
        ([], "no checkpoint to rank"),
    ],
)
def test_nothing_to_rank_is_1(served: Sandbox, run: Run, arguments: list[str], says: str) -> None:
    job = served.job_ids[0] if arguments else served.add_job(status="queued")
    ran = run("best", job, *arguments)
    assert (ran.code, ran.out) == (1, "")
    assert says in ran.err
    assert ran.err.count("\n") == 1


def test_the_best_of_a_sandbox_without_a_key(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    ran = run("best", "--sandbox")
    assert ran.code == 0
    assert ran.out.count("\n") == 1
    assert ran.err.endswith("All of them:\nasyncckpt best --sandbox --all\n")
    everywhere = run("best", "--sandbox", "--all")
    assert (everywhere.code, everywhere.err) == (0, "")
    assert everywhere.out != ran.out


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_terminal_gets_a_table_that_explains_the_choice(served: Sandbox, columns: int) -> None:
    code, shown = run_on_a_terminal(
        [*COMMAND, "best", "--all", "--top", "3", "--metric", "full_valid_loss"],
        environment(),
        columns=columns,
    )
    assert code == 0
    table, text, model = shown.rstrip("\n").split("\n\n")
    title, head, *rows = table.splitlines()
    assert title == "full_valid_loss, the lowest first"
    assert head.split()[:3] == ["RANK", "STEP", "full_valid_loss"]
    assert ("RISE" in head, "MODEL" in head) == (columns >= 80, columns == 200)
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    best = models(served, *served.job_ids)
    assert model == best[0]
    if columns == 200:
        assert [row.split()[-1] for row in rows] == best[:3]
    assert text.startswith("Step ")
    assert "training loss" in " ".join(text.splitlines())
    assert max(map(len, [head, *rows, *text.splitlines()])) <= columns


def explained(*jobs: str) -> tuple[int, str]:
    """The exit code, and what a terminal shows, as one line."""
    code, shown = run_on_a_terminal([*COMMAND, "best", *jobs], environment(), columns=200)
    return code, " ".join(shown.split())


def test_a_terminal_compares_with_the_training_curve(served: Sandbox) -> None:
    code, shown = explained(*served.job_ids[:2])
    assert code == 0
    assert re.search(r"On the training curve, valid_loss is lowest at step \d+ \(", shown)
    assert "/content" in served.requests[-1].path


def test_a_pipe_needs_no_training_curve(served: Sandbox, run: Run) -> None:
    assert run("best", served.job_ids[0]).code == 0
    assert not any("/content" in request.path for request in served.requests)


def test_a_server_without_events_and_files_has_no_training_curve(served: Sandbox) -> None:
    for path in ("/events", "/content"):
        served.inject(faults.Status(404), path=path, times=None)
    code, shown = explained(served.job_ids[0])
    assert code == 0
    assert "(below 1.5)." in shown
    assert "curve" not in shown


def test_a_training_curve_that_cannot_be_read_is_said(served: Sandbox) -> None:
    served.inject(faults.Status(403), path="/content", times=None)
    code, shown = explained(served.job_ids[0])
    assert code == 0
    assert shown.startswith("asyncckpt: without the training curve: 403: ")
    assert "On the training curve" not in shown
    assert shown.endswith(models(served, served.job_ids[0])[0])


def test_a_terminal_names_jobs_that_are_not_ranked() -> None:
    out = io.StringIO()
    unmeasured: list[dict[str, object]] = [{"job": f"ftjob-{n}"} for n in range(5)]
    write_with_explanation(ranking({"valid_loss": 0.5}, *unmeasured), out)
    assert (
        "Not ranked, without a measured valid_loss: ftjob-0, ftjob-1, ftjob-2 and 2 others."
        in out.getvalue()
    )


def test_what_was_not_measured_is_a_dash() -> None:
    out = io.StringIO()
    write_with_explanation(ranking({"valid_loss": 0.0}), out)
    _, head, row, *_ = out.getvalue().splitlines()
    assert dict(zip(head.split(), row.split(), strict=False))["GAP"] == "-"


def test_control_characters_are_escaped() -> None:
    evil = "ft\x1b[2J\nmodel"
    (ranked,) = ranking({"job": evil, "valid_loss": 0.5})
    table, name = io.StringIO(), io.StringIO()
    write_with_explanation([ranked], table)
    NameWriter(name).write(ranked)
    for out in (table, name):
        assert "\x1b" not in out.getvalue()
        assert "\nmodel" not in out.getvalue()
    assert name.getvalue().count("\n") == 1


def test_characters_that_the_output_cannot_encode_are_escaped() -> None:
    raw = io.BytesIO()
    (ranked,) = ranking({"job": "café", "valid_loss": 0.5})
    out = io.TextIOWrapper(raw, encoding="ascii")
    NameWriter(out).write(ranked)
    assert raw.getvalue() == b"ft:model:caf\\xe9:ckpt-step-1\n"


def test_ctrl_c_is_130_and_quiet(served: Sandbox) -> None:
    served.inject(faults.Hang("before"), times=None)
    with start("best", "--all") as process:
        while not served.stats.requests:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        ran = end(process)
    assert (ran.code, ran.out, ran.err) == (130, "", "")
