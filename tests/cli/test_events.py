"""`asyncckpt events`: which events, and what is shown of them."""

import csv
import io
import json
import signal
from collections.abc import Mapping

import pytest

from asyncckpt import FineTuningJobEvent
from asyncckpt.cli.layouts import EVENTS
from asyncckpt.cli.output import writer_for
from asyncckpt.records.events import JobEvent
from asyncckpt.testing import Sandbox, faults

from support.programs import COMMAND, Run, end, environment, start
from support.terminals import run_on_a_terminal


def events_of(sandbox: Sandbox, *jobs: str) -> list[dict[str, object]]:
    return [
        {"fine_tuning_job_id": job, **event} for job in jobs for event in sandbox.events_of(job)
    ]


def printed(out: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.splitlines()]


def as_floats(event: Mapping[str, object]) -> dict[str, object]:
    """Without the difference between 1 and 1.0."""
    return json.loads(json.dumps(event), parse_int=float)  # type: ignore[no-any-return]


@pytest.mark.parametrize("format_", ["jsonl", "json"])
def test_json_has_every_field_and_the_job(served: Sandbox, run: Run, format_: str) -> None:
    job = served.add_job(checkpoints=2, status="succeeded")
    ran = run("events", job, "--format", format_)
    assert (ran.code, ran.err) == (0, "")
    found = json.loads(ran.out) if format_ == "json" else printed(ran.out)
    assert [as_floats(event) for event in found] == [
        as_floats(event) for event in events_of(served, job)
    ]


def test_jobs_are_printed_in_the_order_of_the_arguments(served: Sandbox, run: Run) -> None:
    jobs = [served.add_job(checkpoints=1, status="succeeded") for _ in range(3)]
    ran = run("events", *jobs, "--limit", "7")
    assert [event["id"] for event in printed(ran.out)] == [
        event["id"] for event in events_of(served, *jobs)
    ]


def test_only_events_of_a_level_or_a_type(served: Sandbox, run: Run) -> None:
    job = served.add_job(checkpoints=1, status="failed")
    everything = events_of(served, job)
    (failure,) = printed(run("events", job, "--level", "error", "--level", "warn").out)
    assert failure["id"] == everything[0]["id"]
    metrics = printed(run("events", job, "--type", "metrics").out)
    assert [event["id"] for event in metrics] == [
        event["id"] for event in everything if event["type"] == "metrics"
    ]
    assert run("events", job, "--type", "metrics", "--level", "error").out == ""


def test_a_maximum_counts_the_events_of_each_job_that_are_shown(served: Sandbox, run: Run) -> None:
    jobs = [served.add_job(checkpoints=1, status="failed") for _ in range(2)]
    every = run("events", *jobs, "--max-records", "2")
    assert [event["id"] for event in printed(every.out)] == [
        event["id"] for job in jobs for event in events_of(served, job)[:2]
    ]
    steps = printed(run("events", *jobs, "--max-records", "2", "--type", "metrics").out)
    assert [event["fine_tuning_job_id"] for event in steps] == [job for job in jobs for _ in "ab"]
    assert {event["type"] for event in steps} == {"metrics"}


def test_csv_has_the_data_as_json(served: Sandbox, run: Run) -> None:
    job = served.add_job(checkpoints=1, status="succeeded")
    rows = list(csv.DictReader(io.StringIO(run("events", job, "--format", "csv").out)))
    expected = events_of(served, job)
    assert [row["id"] for row in rows] == [event["id"] for event in expected]
    for row, event in zip(rows, expected, strict=True):
        assert row["fine_tuning_job_id"] == job
        assert (row["message"], row["type"]) == (event["message"], event["type"])
        assert json.loads(row["data"] or "{}") == event["data"]


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_terminal_gets_messages_that_are_wrapped_to_its_width(
    served: Sandbox, columns: int
) -> None:
    job = served.add_job(checkpoints=1, status="succeeded")
    code, shown = run_on_a_terminal(
        [*COMMAND, "events", job, "--type", "metrics"], environment(), columns=columns
    )
    assert code == 0
    title, head, *rows = shown.splitlines()
    assert title == job
    assert head.split() == ["CREATED", "(UTC)", "MESSAGE"]
    assert max(map(len, rows)) <= columns
    assert all(row.startswith(("2025-01-", " " * 21)) for row in rows)
    messages = [event["message"] for event in served.events_of(job) if event["type"] == "metrics"]
    assert " ".join(row[21:] for row in rows) == " ".join(messages)


def written(*events: FineTuningJobEvent) -> str:
    out = io.StringIO()
    writer = writer_for("table", out, EVENTS)
    for event in events:
        writer.write(JobEvent.of("ftjob-a", event))
    return out.getvalue()


def test_a_level_other_than_info_is_shown() -> None:
    info, failed = (FineTuningJobEvent("id", 0, level, "text") for level in ("info", "error"))
    assert written(info, failed).splitlines()[-2:] == [
        "1970-01-01 00:00:00  text",
        "1970-01-01 00:00:00  error: text",
    ]


def test_control_characters_are_escaped_in_a_table() -> None:
    evil = "a\x1b[2J\nb"
    shown = written(FineTuningJobEvent("id", 0, evil, evil))
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 3


def test_a_job_that_fails_does_not_stop_the_others(served: Sandbox, run: Run) -> None:
    job = served.add_job(checkpoints=1, status="succeeded")
    ran = run("events", "ftjob-unknown", job)
    assert ran.code == 1
    assert len(printed(ran.out)) == len(served.events_of(job))
    assert ran.err.startswith("asyncckpt: 404: ")
    assert ran.err.endswith("(job ftjob-unknown)\n")
    assert ran.err.count("\n") == 1


def test_the_failure_of_the_only_job_is_1(served: Sandbox, run: Run) -> None:
    ran = run("events", "ftjob-unknown")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)


def test_a_rejected_key_is_1_and_said_once(
    served: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong")
    ran = run("events", *served.job_ids)
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)


def test_events_of_a_sandbox_without_a_key(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    ran = run("events", "--sandbox", "--max-records", "3")
    assert (ran.code, len(printed(ran.out))) == (0, 3)
    another = ran.err.split()[-1]
    shown = run("events", "--sandbox", another, "--max-records", "3")
    assert (len(printed(shown.out)), shown.err) == (3, "")


def test_ctrl_c_is_130_and_quiet(served: Sandbox) -> None:
    served.inject(faults.Hang("before"), page=2, times=None)
    with start("events", served.job_ids[0], "--limit", "3") as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        ran = end(process)
    assert (ran.code, ran.err) == (130, "")
