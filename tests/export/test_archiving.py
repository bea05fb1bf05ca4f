import asyncio
import functools
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest
from pyarrow import parquet

from asyncckpt import (
    APIConnectionError,
    APIStatusError,
    ArchiveError,
    AsyncClient,
    AuthenticationError,
    export,
)
from asyncckpt.export import fetching
from asyncckpt.export.progress import ArchiveProgress
from asyncckpt.testing import Sandbox, faults
from asyncckpt.testing.profiles import ProfileName

from support.archives import contents, files_below, impatient, paths, records, small_sandbox
from support.leftovers import at_rest

archive = functools.partial(export.archive, parquet=False)


@pytest.fixture
def small_pages() -> None:
    """Request a hundred records a page, as by default: jobs have many events."""


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A sandbox of jobs with each status and method."""
    async with Sandbox(jobs=7, checkpoints=3) as running:
        yield running


@pytest.fixture
async def ended() -> AsyncIterator[Sandbox]:
    """A sandbox of six small jobs that have ended, three with a result file."""
    async with small_sandbox() as running:
        yield running


async def test_everything_is_saved_as_the_server_sends_it(
    sandbox: Sandbox, client: AsyncClient, tmp_path: Path
) -> None:
    result = await archive(client, tmp_path)
    jobs = records(tmp_path / "jobs.jsonl")
    assert jobs == sorted(sandbox.jobs, key=lambda job: (job["created_at"], job["id"]))
    checkpoints = records(tmp_path / "checkpoints.jsonl")
    assert checkpoints == [
        checkpoint for job in jobs for checkpoint in reversed(sandbox.checkpoints_of(job["id"]))
    ]
    events = records(tmp_path / "events.jsonl")
    assert events == [
        {"fine_tuning_job_id": job["id"], **event}
        for job in jobs
        for event in reversed(sandbox.events_of(job["id"]))
    ]
    files = records(tmp_path / "files.jsonl")
    assert {file["id"] for file in files} == {file for job in jobs for file in job["result_files"]}
    for file in files:
        saved = (tmp_path / file["path"]).read_bytes()
        assert saved == b"".join([piece async for piece in client.files.content(file["id"])])
        assert file["bytes"] == len(saved)
    assert (result.jobs, result.checkpoints, result.events, result.files) == (
        len(jobs),
        len(checkpoints),
        len(events),
        len(files),
    )
    assert result.fetched_jobs == 7
    assert result.failures == ()
    assert result.path == tmp_path
    await at_rest(sandbox, connections=False)


async def test_the_text_of_the_server_is_kept(tmp_path: Path) -> None:
    async with small_sandbox(jobs=1) as sandbox, sandbox.client() as client:
        sandbox.inject(faults.ReverseFields(), times=None)
        await archive(client, tmp_path)
        names = [*records(tmp_path / "checkpoints.jsonl")[0]]
        assert names == [*reversed(sandbox.checkpoints_of(sandbox.job_ids[0])[0])]
        assert b'"step":' in (tmp_path / "checkpoints.jsonl").read_bytes()
        assert b".0," not in (tmp_path / "checkpoints.jsonl").read_bytes()


async def test_the_manifest_describes_the_files(
    client: AsyncClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    result = await archive(client, tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_bytes())
    assert manifest["counts"] == {
        "jobs": 7,
        "checkpoints": result.checkpoints,
        "events": result.events,
        "files": result.files,
        "missing_files": 0,
        "failed_jobs": 0,
    }
    assert manifest["base_url"] == sandbox.base_url
    assert manifest["started_at"] <= manifest["finished_at"]
    for name in ("jobs.jsonl", "checkpoints.jsonl", "events.jsonl", "files.jsonl"):
        content = (tmp_path / name).read_bytes()
        assert manifest["files"][name]["bytes"] == len(content)
        assert manifest["files"][name]["records"] == content.count(b"\n")


async def test_a_second_run_fetches_only_jobs_that_had_not_ended(
    sandbox: Sandbox, client: AsyncClient, tmp_path: Path
) -> None:
    await archive(client, tmp_path)
    before, requested = contents(tmp_path), len(paths(sandbox))
    result = await archive(client, tmp_path)
    running = [job["id"] for job in sandbox.jobs if job["status"] == "running"]
    assert running
    assert set(paths(sandbox)[requested:]) == {
        f"fine_tuning/jobs/{job}/{part}" for job in running for part in ("checkpoints", "events")
    }
    assert result.fetched_jobs == len(running)
    assert contents(tmp_path) == before


async def test_new_jobs_come_before_those_that_had_not_ended(
    sandbox: Sandbox, client: AsyncClient, tmp_path: Path
) -> None:
    await archive(client, tmp_path)
    requested = len(paths(sandbox))
    new = sandbox.add_job(status="failed")
    # The server lists it last.
    sandbox.inject(ReversedList())
    await archive(client, tmp_path, concurrency=1)
    assert paths(sandbox)[requested] == f"fine_tuning/jobs/{new}/checkpoints"
    assert len(paths(sandbox)[requested:]) > 2


@attrs.frozen
class ReversedList:
    """A page in the other order."""

    def apply(self, response: Any, context: Any) -> Any:
        return attrs.evolve(
            response, body={**response.body, "data": [*reversed(response.body["data"])]}
        )


async def test_a_job_that_is_listed_twice_is_saved_once(ended: Sandbox, tmp_path: Path) -> None:
    @attrs.frozen
    class Doubled:
        def apply(self, response: Any, context: Any) -> Any:
            return attrs.evolve(response, body={**response.body, "data": response.body["data"] * 2})

    async with ended.client() as client:
        ended.inject(Doubled())
        result = await archive(client, tmp_path)
    assert (result.jobs, result.fetched_jobs) == (6, 6)
    once = [path for path in paths(ended) if not path.endswith("/events")]
    assert len(once) == len(set(once)) == 6 + 3


async def test_a_run_without_news_costs_the_list_of_jobs(ended: Sandbox, tmp_path: Path) -> None:
    async with ended.client() as client:
        await archive(client, tmp_path)
        before, requested = contents(tmp_path), ended.stats.requests
        result = await archive(client, tmp_path)
    assert ended.stats.requests == requested + 1
    assert result.fetched_jobs == 0
    assert contents(tmp_path) == before


async def test_new_jobs_are_added(ended: Sandbox, tmp_path: Path) -> None:
    async with ended.client() as client:
        await archive(client, tmp_path)
        requested = len(paths(ended))
        new = ended.add_job(status="succeeded")
        result = await archive(client, tmp_path)
        fresh = await archive(client, tmp_path / "fresh" / "one")
    (file,) = ended.jobs[0]["result_files"]
    expected = {f"fine_tuning/jobs/{new}/checkpoints", f"fine_tuning/jobs/{new}/events"}
    since = paths(ended)[requested:]
    assert {path for path in since if new in path or file in path} - expected == {
        f"files/{file}/content"
    }
    assert (result.jobs, result.fetched_jobs) == (7, 1)
    assert (fresh.jobs, fresh.fetched_jobs) == (7, 7)
    first, second = contents(tmp_path), contents(tmp_path / "fresh" / "one")
    assert first["jobs.jsonl"] == second["jobs.jsonl"]
    assert {name: first[name] for name in second} == second


async def test_a_job_that_ends_between_two_runs_is_fetched_again(tmp_path: Path) -> None:
    async with small_sandbox(statuses=["running"]) as sandbox, sandbox.client() as client:
        await archive(client, tmp_path / "one")
        for job in sandbox.job_ids:
            sandbox.add_checkpoint(job)
            sandbox.finish(job)
        result = await archive(client, tmp_path / "one")
        await archive(client, tmp_path / "two")
    assert result.checkpoints == 6 * 3
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


async def test_a_job_that_has_just_ended_is_fetched_again(
    ended: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = max(job["finished_at"] or 0 for job in ended.jobs)
    async with ended.client() as client:
        monkeypatch.setattr(fetching.time, "time", lambda: last + 3599)
        await archive(client, tmp_path)
        monkeypatch.setattr(fetching.time, "time", lambda: last + 3600)
        assert (await archive(client, tmp_path)).fetched_jobs >= 1
        assert (await archive(client, tmp_path)).fetched_jobs == 0


async def test_what_the_server_drops_stays(tmp_path: Path) -> None:
    async with small_sandbox(statuses=["running"]) as sandbox, sandbox.client() as client:
        await archive(client, tmp_path)
        before = contents(tmp_path)
        sandbox.inject(faults.DropField("data.0"))  # a job
        for part in ("/checkpoints", "/events"):
            sandbox.inject(faults.DropField("data.1"), path=part, times=None)
        result = await archive(client, tmp_path)
        assert result.fetched_jobs == 5
    assert contents(tmp_path) == before


async def test_a_changed_job_replaces_the_old_one(ended: Sandbox, tmp_path: Path) -> None:
    async with ended.client() as client:
        await archive(client, tmp_path)
        ended.inject(faults.SetField("data.*.metadata", {"team": "new"}))
        result = await archive(client, tmp_path)
    assert result.fetched_jobs == 0
    assert [job["metadata"] for job in records(tmp_path / "jobs.jsonl")] == [{"team": "new"}] * 6


@pytest.mark.parametrize("times_are_text", [False, True])
async def test_the_order_of_the_server_does_not_matter(
    ended: Sandbox, tmp_path: Path, times_are_text: bool
) -> None:
    def sent(record: Any) -> Any:
        if not times_are_text:
            return record
        time = datetime.fromtimestamp(record["created_at"], UTC).isoformat()
        return {**record, "created_at": time}

    @attrs.frozen
    class OldestFirst:
        def apply(self, response: Any, context: Any) -> Any:
            job_id = context.request.job_id
            is_event = context.request.path.endswith("/events")
            list_of = ended.events_of if is_event else ended.checkpoints_of
            data = [sent(record) for record in reversed(list_of(job_id))]
            return attrs.evolve(response, body={**response.body, "data": data, "has_more": False})

    async with ended.client() as client:
        await archive(client, tmp_path / "one", files=False)
        for part in ("/checkpoints", "/events"):
            ended.inject(OldestFirst(), path=part, times=None)
        await archive(client, tmp_path / "two", files=False)
    for name in ("events.jsonl", "checkpoints.jsonl"):
        expected = records(tmp_path / "one" / name)
        assert expected
        assert records(tmp_path / "two" / name) == [*map(sent, expected)]


async def test_events_and_files_can_be_left_out_and_added(ended: Sandbox, tmp_path: Path) -> None:
    async with ended.client() as client:
        first = await archive(client, tmp_path / "one", events=False, files=False)
        assert (first.events, first.files) == (0, 0)
        assert all(path.endswith("/checkpoints") for path in paths(ended))
        second = await archive(client, tmp_path / "one")
        assert second.events
        assert second.files == 3
        assert Counter(paths(ended))[paths(ended)[0]] == 1
        await archive(client, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


async def test_result_files_in_base64_are_named_so(tmp_path: Path) -> None:
    async with small_sandbox(results="base64") as sandbox, sandbox.client() as client:
        await archive(client, tmp_path)
    assert all(file["path"].endswith(".csv.base64") for file in records(tmp_path / "files.jsonl"))


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_truncated_result_file_is_read_again(
    ended: Sandbox, tmp_path: Path, chunked: bool
) -> None:
    async with ended.client() as client:
        await archive(client, tmp_path / "one")
        cut = ended.inject(faults.CutBody(chunked=chunked), path="/files/", times=2)
        result = await archive(client, tmp_path / "two")
    assert cut.hits == 2
    assert result.failures == ()
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


async def test_a_result_file_that_stays_truncated_is_a_failure(
    ended: Sandbox, tmp_path: Path
) -> None:
    async with impatient(ended) as client:
        ended.inject(faults.CutBody(), path="/files/", times=1)
        result = await archive(client, tmp_path)
        assert [type(failure.error) for failure in result.failures] == [APIConnectionError]
        assert result.files == 2
        assert len(files_below(tmp_path / "files")) == 2
        assert (await archive(client, tmp_path)).files == 3


async def test_a_page_of_a_proxy_is_no_result_file(ended: Sandbox, tmp_path: Path) -> None:
    async with ended.client() as client:
        ended.inject(faults.Html(), path="/files/")
        (failure,) = (await archive(client, tmp_path)).failures
        assert "is an HTML page" in str(failure.error)
        assert (await archive(client, tmp_path)).files == 3


@pytest.mark.parametrize("text", ["<|endoftext|>,1\n", "<1e-3,0.5\n", "<"])
async def test_a_result_file_may_begin_like_a_page(
    ended: Sandbox, tmp_path: Path, text: str
) -> None:
    async with ended.client() as client:
        ended.inject(faults.Html(text), path="/files/")
        result = await archive(client, tmp_path)
    assert (result.files, result.failures) == (3, ())
    assert text.encode() in files_below(tmp_path / "files").values()


async def test_a_result_file_that_is_too_large_is_a_failure(ended: Sandbox, tmp_path: Path) -> None:
    async with ended.client() as client:
        result = await archive(client, tmp_path, max_file_bytes=10)
    assert len(result.failures) == 3
    assert "is larger than 10 bytes" in str(result.failures[0].error)
    assert files_below(tmp_path / "files") == {}


async def test_a_result_file_that_does_not_exist_is_noted(ended: Sandbox, tmp_path: Path) -> None:
    async with ended.client() as client:
        ended.inject(faults.Status(404), path="/files/", times=1)
        result = await archive(client, tmp_path)
        assert (result.files, result.missing_files, result.failures) == (2, 1, ())
        assert [file["path"] for file in records(tmp_path / "files.jsonl")].count(None) == 1
        assert (await archive(client, tmp_path)).fetched_jobs == 0


async def test_a_failed_job_is_reported_and_fetched_first_by_the_next_run(
    ended: Sandbox, tmp_path: Path
) -> None:
    failing = ended.job_ids[3]
    async with impatient(ended) as client:
        ended.inject(faults.Status(500), job=failing, path="/events")
        result = await archive(client, tmp_path, concurrency=1)
        (failure,) = result.failures
        assert failure.fine_tuning_job_id == failing
        assert isinstance(failure.error, APIStatusError)
        assert (result.jobs, result.checkpoints) == (6, 12)
        manifest = json.loads((tmp_path / "manifest.json").read_bytes())
        assert manifest["counts"]["failed_jobs"] == 1
        assert manifest["failures"] == [
            {"fine_tuning_job_id": failing, "error": str(failure.error)}
        ]
        new = ended.add_job(status="failed")
        requested = len(paths(ended))
        result = await archive(client, tmp_path, concurrency=1)
        retried = paths(ended)[requested:]
        assert retried[0] == f"fine_tuning/jobs/{failing}/events"
        assert f"fine_tuning/jobs/{failing}/checkpoints" not in retried
        assert f"fine_tuning/jobs/{new}/checkpoints" in retried
        assert result.failures == ()
        assert json.loads((tmp_path / "manifest.json").read_bytes())["failures"] == []
        await archive(client, tmp_path / "two")
    one, two = contents(tmp_path), contents(tmp_path / "two")
    assert {name: one[name] for name in two} == two


async def test_what_can_be_fetched_of_a_failed_job_is_saved(ended: Sandbox, tmp_path: Path) -> None:
    job = next(job for job in ended.jobs if job["result_files"])
    async with impatient(ended) as client:
        ended.inject(faults.Status(500), job=job["id"], path="/checkpoints")
        (failure,) = (await archive(client, tmp_path)).failures
        assert failure.fine_tuning_job_id == job["id"]
        requested = len(paths(ended))
        await archive(client, tmp_path)
    assert paths(ended)[requested:] == [f"fine_tuning/jobs/{job['id']}/checkpoints"]


async def test_a_result_file_of_two_jobs_is_fetched_once(ended: Sandbox, tmp_path: Path) -> None:
    shared = next(file for job in ended.jobs for file in job["result_files"])
    async with ended.client() as client:
        ended.inject(faults.SetField("data.*.result_files", [shared]))
        await archive(client, tmp_path)
    assert paths(ended).count(f"files/{shared}/content") == 1
    assert [name for name in contents(tmp_path) if name.startswith("files/")] == [
        f"files/{shared}.csv"
    ]


async def test_a_failed_job_that_disappears_is_no_failure(ended: Sandbox, tmp_path: Path) -> None:
    gone = ended.job_ids[0]
    async with impatient(ended) as client:
        ended.inject(faults.Status(500), job=gone)
        assert len((await archive(client, tmp_path)).failures) == 1
        ended.inject(faults.DropField("data.0"))
        ended.inject(faults.Status(404), job=gone, times=None)
        result = await archive(client, tmp_path)
    assert (result.jobs, result.failures) == (6, ())


@pytest.mark.parametrize(
    "file_id", ["../../evil", "/etc/passwd", "a\0b", "..", "file-x/../../y", "C:evil", "CON", "é"]
)
async def test_an_id_cannot_name_a_file_elsewhere(
    ended: Sandbox, tmp_path: Path, file_id: str
) -> None:
    archived = tmp_path / "archive"
    async with ended.client() as client:
        ended.inject(faults.SetField("data.*.result_files", [file_id]), times=1)
        ended.inject(faults.Status(200, body=b"step,train_loss\n1,0.5\n"), path="/files/")
        result = await archive(client, archived)
    assert {path.split("/")[0] for path in files_below(tmp_path)} == {"archive"}
    assert {Path(path).parent for path in files_below(archived) if path.endswith(".csv")} <= {
        Path("files")
    }
    assert result.jobs == 6


async def test_ids_that_differ_in_upper_and_lower_case(ended: Sandbox, tmp_path: Path) -> None:
    async with ended.client() as client:
        ended.inject(faults.SetField("data.0.result_files", ["file-AB", "file-ab"]))
        ended.inject(
            faults.Status(200, body=b"step,train_loss\n1,0.5\n"), path="/files/", times=None
        )
        await archive(client, tmp_path)
    names = [name.lower() for name in contents(tmp_path) if name.startswith("files/")]
    assert len(names) == len(set(names)) == 4


async def test_a_job_with_a_hostile_id_is_a_failure(ended: Sandbox, tmp_path: Path) -> None:
    async with ended.client() as client:
        ended.inject(faults.SetField("data.0.id", "../x"))
        result = await archive(client, tmp_path)
    (failure,) = result.failures
    assert failure.fine_tuning_job_id == "../x"
    assert "The server sent an invalid id: '../x'" in str(failure.error)


async def test_a_rejected_key_ends_the_run(ended: Sandbox, tmp_path: Path) -> None:
    async with ended.client() as client:
        ended.inject(faults.Status(401), path="/events", times=None)
        with pytest.raises(AuthenticationError):
            await archive(client, tmp_path)
        ended.clear()
        await archive(client, tmp_path)
        await archive(client, tmp_path / "two")
        await at_rest(ended, connections=False)
    one, two = contents(tmp_path), contents(tmp_path / "two")
    assert {name: one[name] for name in two} == two


async def test_the_list_of_jobs_must_be_complete(ended: Sandbox, tmp_path: Path) -> None:
    async with impatient(ended) as client:
        ended.inject(faults.Status(500))
        with pytest.raises(APIStatusError):
            await archive(client, tmp_path)
    assert not (tmp_path / "manifest.json").exists()


async def test_a_lost_connection_ends_the_run(
    ended: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "LOST_JOBS", 2)
    async with impatient(ended) as client:
        ended.inject(faults.Reset(), path="/checkpoints", times=None)
        with pytest.raises(APIConnectionError) as caught:
            await archive(client, tmp_path, concurrency=1)
        assert any("2 jobs in a row failed like this" in note for note in caught.value.__notes__)
        assert len(set(paths(ended))) == 2
        ended.clear()
        assert (await archive(client, tmp_path)).fetched_jobs == 6


async def test_a_cancelled_run_is_continued(ended: Sandbox, tmp_path: Path) -> None:
    async with ended.client() as client:
        await archive(client, tmp_path / "two")
        before = len(paths(ended))
        task: asyncio.Task[Any]

        def cancel(progress: ArchiveProgress) -> None:
            if progress.jobs_done == 2:
                task.cancel()

        run = archive(client, tmp_path / "one", concurrency=1, on_progress=cancel)
        task = asyncio.create_task(run)
        with pytest.raises(asyncio.CancelledError):
            await task
        await at_rest(ended, connections=False)
        result = await archive(client, tmp_path / "one")
        requested = Counter(paths(ended)[before:])
    assert result.fetched_jobs in (4, 5)
    assert sum(requested.values()) <= before + 2
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize("phase", ["checking", "listing", "fetching", "writing"])
async def test_each_phase_can_be_cancelled(ended: Sandbox, tmp_path: Path, phase: str) -> None:
    async with ended.client() as client:
        await archive(client, tmp_path / "one")
        ended.add_job(status="succeeded")
        await archive(client, tmp_path / "two")
        before = contents(tmp_path / "one")
        task: asyncio.Task[Any]

        def cancel(progress: ArchiveProgress) -> None:
            if progress.phase == phase:
                task.cancel()

        task = asyncio.create_task(archive(client, tmp_path / "one", on_progress=cancel))
        with pytest.raises(asyncio.CancelledError):
            await task
        await at_rest(ended, connections=False)
        # A result file may be new.
        after = contents(tmp_path / "one")
        assert {name: after[name] for name in before} == before
        assert not (tmp_path / "one" / ".asyncckpt" / "next").exists()
        result = await archive(client, tmp_path / "one")
    assert result.jobs == 7
    # The new job may have been fetched before the cancellation.
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert {name: one[name] for name in two} == two


async def test_a_file_that_becomes_shorter_meanwhile(ended: Sandbox, tmp_path: Path) -> None:
    def truncate(progress: ArchiveProgress) -> None:
        if progress.phase == "writing":
            (tmp_path / "checkpoints.jsonl").write_bytes(b"")

    async with ended.client() as client:
        await archive(client, tmp_path)
        ended.add_job(status="succeeded")
        with pytest.raises(ArchiveError, match=r"checkpoints.jsonl is damaged .*become shorter"):
            await archive(client, tmp_path, on_progress=truncate)


async def test_two_runs_cannot_write_to_one_directory(ended: Sandbox, tmp_path: Path) -> None:
    async with ended.client() as client:
        first = asyncio.create_task(archive(client, tmp_path))
        await asyncio.sleep(0)
        with pytest.raises(ArchiveError, match=r"another run \(process \d+\) is writing to"):
            await archive(client, tmp_path)
        assert (await first).jobs == 6
        assert (await archive(client, tmp_path)).jobs == 6


async def test_an_error_of_on_progress_is_raised(ended: Sandbox, tmp_path: Path) -> None:
    def fail(progress: ArchiveProgress) -> None:
        if progress.phase == "fetching":
            raise LookupError("mine")

    async with ended.client() as client:
        with pytest.raises(LookupError, match="mine"):
            await archive(client, tmp_path, on_progress=fail)
        assert (await archive(client, tmp_path)).jobs == 6


async def test_progress_is_reported(ended: Sandbox, tmp_path: Path) -> None:
    seen: list[ArchiveProgress] = []
    async with ended.client() as client:
        result = await archive(client, tmp_path, on_progress=seen.append)
    assert [*dict.fromkeys(one.phase for one in seen)] == [
        "checking",
        "listing",
        "fetching",
        "writing",
    ]
    last = seen[-1]
    assert (last.jobs_listed, last.jobs_wanted, last.jobs_done, last.jobs_failed) == (6, 6, 6, 0)
    assert last.records == result.checkpoints + result.events
    assert last.bytes == sum(map(len, files_below(tmp_path / "files").values()))
    assert [one.jobs_done for one in seen] == sorted(one.jobs_done for one in seen)


@pytest.mark.parametrize(
    ("options", "error"),
    [({"concurrency": 0}, ValueError), ({"max_file_bytes": 1.5}, TypeError)],
)
async def test_bad_arguments(
    client: AsyncClient, tmp_path: Path, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match=next(iter(options))):
        await archive(client, tmp_path, **options)
    assert files_below(tmp_path) == {}


async def test_parquet_has_the_same_records(
    sandbox: Sandbox, client: AsyncClient, tmp_path: Path
) -> None:
    await export.archive(client, tmp_path, parquet=True)
    manifest = json.loads((tmp_path / "manifest.json").read_bytes())
    for name in ("jobs", "checkpoints", "events"):
        table = parquet.read_table(tmp_path / f"{name}.parquet")
        saved = records(tmp_path / f"{name}.jsonl")
        for column in ("id", *["fine_tuning_job_id"] * (name != "jobs")):
            assert table[column].to_pylist() == [record[column] for record in saved]
        assert manifest["files"][f"{name}.parquet"]["records"] == len(saved)
    before = contents(tmp_path)
    await export.archive(client, tmp_path)
    assert contents(tmp_path) == before


async def test_parquet_is_added_and_removed(ended: Sandbox, tmp_path: Path) -> None:
    async with ended.client() as client:
        await export.archive(client, tmp_path, parquet=False)
        assert not any(name.endswith(".parquet") for name in contents(tmp_path))
        await export.archive(client, tmp_path, parquet=True)
        with_parquet = contents(tmp_path)
        assert "events.parquet" in with_parquet
        # Nothing is new, so they are still right.
        await export.archive(client, tmp_path, parquet=False)
        assert contents(tmp_path) == with_parquet
        ended.add_job(status="succeeded")
        await export.archive(client, tmp_path, parquet=False)
        assert not any(name.endswith(".parquet") for name in contents(tmp_path))


@pytest.mark.parametrize("content", [b"damaged", None])
async def test_damaged_parquet_is_written_again(
    ended: Sandbox, tmp_path: Path, content: bytes | None
) -> None:
    async with ended.client() as client:
        await export.archive(client, tmp_path, parquet=True)
        before, requested = contents(tmp_path), ended.stats.requests
        path = tmp_path / "checkpoints.parquet"
        path.unlink() if content is None else path.write_bytes(content)
        await export.archive(client, tmp_path, parquet=True)
    assert contents(tmp_path) == before
    assert ended.stats.requests == requested + 1


async def test_records_that_do_not_fit_into_a_table_are_in_the_json(
    ended: Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with ended.client() as client:
        ended.inject(faults.SetField("data.*.created_at", 10**17), path="/events", times=None)
        result = await export.archive(client, tmp_path, parquet=True)
    assert result.failures == ()
    assert records(tmp_path / "events.jsonl")[0]["created_at"] == 10**17
    written = {name for name in contents(tmp_path) if name.endswith(".parquet")}
    assert written == {"checkpoints.parquet", "jobs.parquet"}
    assert "events.parquet is not written: a value does not fit column 'created" in caplog.text


async def test_parquet_needs_pyarrow(
    client: AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncckpt.export.extras.find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"pip install 'asyncckpt\[arrow\]'"):
        await export.archive(client, tmp_path, parquet=True)
    assert files_below(tmp_path) == {}


@pytest.mark.parametrize("profile", ["azure", "nebius", "minimal"])
async def test_other_servers(tmp_path: Path, profile: ProfileName) -> None:
    async with Sandbox(jobs=7, checkpoints=3, profile=profile) as sandbox:
        url = sandbox.azure_url if profile == "azure" else sandbox.base_url
        async with sandbox.client(base_url=url) as client:
            first = await export.archive(client, tmp_path, parquet=True)
            before = contents(tmp_path)
            second = await export.archive(client, tmp_path, parquet=True)
    assert (first.jobs, first.failures, second.fetched_jobs) == (7, (), 1)
    saved = [checkpoint["id"] for checkpoint in records(tmp_path / "checkpoints.jsonl")]
    # Azure has no checkpoints of a job that runs.
    assert len(set(saved)) == len(saved) == (18 if profile == "azure" else 21)
    assert contents(tmp_path) == before
