"""`asyncckpt jobs`: which jobs, and what is shown of them."""

import csv
import io
import json
from collections.abc import Mapping
from datetime import datetime

import attrs
import pytest

from asyncckpt import FineTuningJob
from asyncckpt.cli.layouts import JOBS
from asyncckpt.cli.output import writer_for
from asyncckpt.testing import Sandbox

from support.programs import COMMAND, Run, environment
from support.terminals import run_on_a_terminal


def without_nulls(job: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in job.items() if value is not None}


@pytest.mark.parametrize("format_", ["jsonl", "json"])
def test_json_has_every_field(served: Sandbox, run: Run, format_: str) -> None:
    ran = run("jobs", "--format", format_)
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    printed = json.loads(ran.out) if format_ == "json" else [json.loads(line) for line in lines]
    assert list(map(without_nulls, printed)) == list(map(without_nulls, served.jobs))


def test_a_pipe_gets_json_lines(served: Sandbox, run: Run) -> None:
    assert run("jobs").out == run("jobs", "--format", "jsonl").out


def test_csv_has_the_fields_that_people_compare_jobs_by(served: Sandbox, run: Run) -> None:
    failed = served.add_job(status="failed")
    rows = list(csv.DictReader(io.StringIO(run("jobs", "--format", "csv").out)))
    assert [row["id"] for row in rows] == served.job_ids
    assert rows[0]["id"] == failed
    assert (rows[0]["fine_tuned_model"], rows[0]["trained_tokens"]) == ("", "")
    for row, job in zip(rows[1:], served.jobs[1:], strict=True):
        for name in ("status", "model", "fine_tuned_model"):
            assert row[name] == job[name]  # type: ignore[literal-required]
        assert datetime.fromisoformat(row["created_at"]).timestamp() == job["created_at"]


@pytest.mark.parametrize(
    ("columns", "titles"),
    [
        (40, ["JOB"]),
        (80, ["JOB", "STATUS", "MODEL"]),
        (200, ["JOB", "STATUS", "MODEL", "CREATED (UTC)", "FINE-TUNED MODEL"]),
    ],
)
def test_a_terminal_gets_the_columns_that_fit(
    served: Sandbox, columns: int, titles: list[str]
) -> None:
    code, shown = run_on_a_terminal([*COMMAND, "jobs"], environment(), columns=columns)
    assert code == 0
    head, *rows = shown.splitlines()
    assert head.split() == " ".join(titles).split()
    assert [row.split()[0] for row in rows] == served.job_ids
    assert max(map(len, shown.splitlines())) <= columns


def test_control_characters_are_escaped_in_a_table() -> None:
    out = io.StringIO()
    evil = "ft\x1b[2Jjob\n"
    writer = writer_for("table", out, JOBS)
    writer.write(FineTuningJob(evil, 0, evil, evil, "file", fine_tuned_model=evil))
    writer.close()
    assert "\x1b" not in out.getvalue()
    assert len(out.getvalue().splitlines()) == 2


def test_a_model_that_is_not_there_yet_is_a_dash() -> None:
    out = io.StringIO()
    job = FineTuningJob("ftjob-a", 0, "gpt", "running", "file")
    for record in (job, attrs.evolve(job, fine_tuned_model="ft:gpt")):
        writer = writer_for("table", out, JOBS)
        writer.write(record)
    first, second = out.getvalue().splitlines()[1::2]
    assert first.endswith(" -")
    assert second.endswith(" ft:gpt")


def test_only_jobs_with_a_status(served: Sandbox, run: Run) -> None:
    running, queued = (served.add_job(status=status) for status in ("running", "queued"))
    assert run("jobs", "--status", "running").ids == [running]
    assert run("jobs", "--status", "running", "--status", "queued").ids == [queued, running]
    assert run("jobs", "--status", "paused").out == ""


def test_only_jobs_since_a_time(served: Sandbox, run: Run) -> None:
    created = {job["id"]: job["created_at"] for job in served.jobs}
    third = served.job_ids[2]
    assert [*created] == served.job_ids
    when = "2025-01-01T04:30"  # the third newest of six, 90 minutes apart
    assert created[third] == 1_735_689_600 + 3 * 5400
    assert run("jobs", "--since", when).ids == served.job_ids[:3]
    assert run("jobs", "--since", "2025-01-01T05:30:00+01:00").ids == served.job_ids[:3]
    assert run("jobs", "--since", "2025-01-01").ids == served.job_ids
    assert run("jobs", "--since", "7d").ids == []


def test_only_jobs_with_metadata(served: Sandbox, run: Run) -> None:
    wanted = served.add_job(metadata={"team": "a=b", "run": "7"})
    served.add_job(metadata={"team": "a=b", "run": "8"})
    assert run("jobs", "--metadata", "team=a=b", "--metadata", "run=7").ids == [wanted]
    assert {dict(request.query)["metadata[run]"] for request in served.requests} == {"7"}


def test_a_maximum_counts_the_jobs_that_are_shown(served: Sandbox, run: Run) -> None:
    served.add_job(status="queued")
    ran = run("jobs", "--status", "succeeded", "--max-records", "2")
    assert ran.ids == served.job_ids[1:3]
    assert run("jobs", "--max-records", "2", "--limit", "1").ids == served.job_ids[:2]
    assert [dict(request.query)["limit"] for request in served.requests][-2:] == ["1", "1"]


def test_jobs_of_a_sandbox_without_a_key(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    ran = run("jobs", "--sandbox", "--status", "succeeded")
    assert (ran.code, ran.err) == (0, "")
    assert len(ran.ids) == 7


def test_a_rejected_key_is_1(served: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong")
    ran = run("jobs")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("asyncckpt: 401: ")
