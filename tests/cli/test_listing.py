"""`asyncckpt list`: jobs, order, streaming."""

import json
import signal

import pytest

from asyncckpt.testing import Sandbox, faults

from support.programs import Run, end, ids_of, start


def queries(sandbox: Sandbox) -> list[dict[str, str]]:
    return [dict(request.query) for request in sandbox.requests]


def test_jobs_are_printed_in_the_order_of_the_arguments(served: Sandbox, run: Run) -> None:
    jobs = served.job_ids[:4]
    served.inject(faults.Latency(0.1), job=jobs[0], times=None)
    ran = run("list", *jobs, "--concurrency", "4")
    assert ran.ids == [id_ for job in jobs for id_ in ids_of(served, job)]


def test_jobs_are_listed_concurrently(served: Sandbox, run: Run) -> None:
    served.inject(faults.Latency(0.2), times=None)
    run("list", *served.job_ids[:4], "--concurrency", "3", "--limit", "100")
    assert served.stats.max_in_flight == 3


def test_a_job_that_fails_does_not_stop_the_others(served: Sandbox, run: Run) -> None:
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


def test_all_jobs_of_the_account_are_listed(served: Sandbox, run: Run) -> None:
    queued = served.add_job(status="queued")
    ran = run("list", "--all", "--max-records", "2")
    assert (ran.code, ran.err) == (0, "")
    jobs = [job for job in served.job_ids if job != queued]
    assert ran.ids == [id_ for job in jobs for id_ in ids_of(served, job)[:2]]


def test_all_jobs_of_a_sandbox_are_listed(run: Run) -> None:
    ran = run("list", "--sandbox", "--all", "--max-records", "1")
    assert (ran.code, ran.err) == (0, "")
    assert len(set(ran.ids)) == 12


def test_only_the_newest_checkpoint_of_each_job(served: Sandbox, run: Run) -> None:
    jobs = [served.job_ids[1], served.job_ids[0]]
    ran = run("list", "--latest", *jobs)
    assert (ran.code, ran.err) == (0, "")
    assert ran.ids == [ids_of(served, job)[0] for job in jobs]
    assert run("list", "--latest", jobs[0]).ids == ran.ids[:1]
    assert run("list", "--latest", "--all").ids == [
        ids_of(served, job)[0] for job in served.job_ids
    ]


@pytest.mark.parametrize(
    "option", [("--after", "ftckpt_1"), ("--limit", "5"), ("--max-records", "1")]
)
def test_the_newest_is_not_a_part_of_a_list(run: Run, option: tuple[str, str]) -> None:
    ran = run("list", "--latest", "ftjob-1", *option)
    assert ran.code == 2
    assert "--latest cannot be combined with" in ran.err


def test_options_reach_the_server(served: Sandbox, run: Run) -> None:
    job = served.job_ids[0]
    expected = ids_of(served, job)
    ran = run("list", job, "--limit", "7", "--after", expected[4], "--max-records", "10")
    assert ran.ids == expected[5:15]
    assert queries(served)[0] == {"limit": "7", "after": expected[4]}
    assert len(queries(served)) == 2


def test_the_base_url_can_be_given(
    served: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    job = served.job_ids[0]
    assert run("list", job, "--base-url", served.base_url).ids == ids_of(served, job)


@pytest.mark.parametrize("format_", ["jsonl", "json"])
def test_records_before_an_error_are_kept(served: Sandbox, run: Run, format_: str) -> None:
    job = served.job_ids[0]
    served.inject(faults.Status(400), page=3)
    ran = run("list", job, "--limit", "10", "--format", format_)
    assert ran.code == 1
    printed = json.loads(ran.out) if format_ == "json" else ran.out.splitlines()
    assert len(printed) == 20
    assert ran.err.startswith("asyncckpt: 400: ")


@pytest.mark.parametrize("format_", ["jsonl", "json", "csv", "table"])
def test_rows_are_written_before_the_last_page_arrives(served: Sandbox, format_: str) -> None:
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


def test_ctrl_c_is_130_and_quiet_and_keeps_earlier_records(served: Sandbox) -> None:
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


def test_list_shows_a_job_of_a_sandbox_without_a_key(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    ran = run("list", "--sandbox")
    assert ran.code == 0
    assert len(set(ran.ids)) == 30
    another = ran.err.split()[-1]
    assert another.startswith("ftjob-")
    shown = run("list", "--sandbox", another)
    assert len(shown.ids) == 30
    assert shown.err == ""
    assert set(shown.ids).isdisjoint(ran.ids)
