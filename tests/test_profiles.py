"""Every feature with every kind of server that the sandbox can be."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest

from asyncckpt import (
    AsyncClient,
    AuthenticationError,
    FineTuningJobCheckpoint,
    NotFoundError,
    Page,
    converter,
    export,
)
from asyncckpt.cli import main
from asyncckpt.testing import Clock, Sandbox
from asyncckpt.testing.profiles import ProfileName

from support.listing import served_ids

PROFILES: tuple[ProfileName, ...] = get_args(ProfileName)
OLDEST_FIRST = {"nebius", "minimal"}


@pytest.fixture(params=PROFILES)
def profile(request: pytest.FixtureRequest) -> ProfileName:
    name: ProfileName = request.param
    return name


@pytest.fixture
async def sandbox(profile: ProfileName) -> AsyncIterator[Sandbox]:
    async with Sandbox(profile=profile, jobs=8, checkpoints=23) as running:
        yield running


@pytest.fixture
async def client(sandbox: Sandbox, leaks: None) -> AsyncIterator[AsyncClient]:
    async with sandbox.client() as opened:
        yield opened


def expected_ids(sandbox: Sandbox, profile: ProfileName, job: str) -> list[str]:
    """The checkpoints of a job in the order of the server."""
    status = next(one["status"] for one in sandbox.jobs if one["id"] == job)
    if profile == "azure" and status == "running":
        return []
    ids = served_ids(sandbox, job)
    return ids[::-1] if profile in OLDEST_FIRST else ids


def expected_jobs(sandbox: Sandbox, profile: ProfileName) -> list[str]:
    return sandbox.job_ids[::-1] if profile in OLDEST_FIRST else sandbox.job_ids


class TestLists:
    @pytest.mark.parametrize("limit", [None, 7])
    async def test_the_checkpoints_of_a_job(
        self, sandbox: Sandbox, client: AsyncClient, profile: ProfileName, limit: int | None
    ) -> None:
        for job in sandbox.job_ids[:2]:
            pager = client.fine_tuning.jobs.checkpoints.list(job, limit=limit)
            ids = [checkpoint.id async for checkpoint in pager]
            assert ids == expected_ids(sandbox, profile, job)

    async def test_records_are_written_as_they_were_sent(
        self, sandbox: Sandbox, client: AsyncClient
    ) -> None:
        pages: list[Page[FineTuningJobCheckpoint]] = [
            page
            async for page in client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0]).pages()
        ]
        sent = {record["id"]: record for page in pages for record in page.response.json()["data"]}
        records = [record for page in pages for record in page.data]
        assert len(records) == 23
        assert [converter.unstructure(record) for record in records] == [
            sent[record.id] for record in records
        ]

    async def test_continue_after_a_record(
        self, sandbox: Sandbox, client: AsyncClient, profile: ProfileName
    ) -> None:
        checkpoints = client.fine_tuning.jobs.checkpoints
        ids = expected_ids(sandbox, profile, sandbox.job_ids[0])
        first = checkpoints.list(sandbox.job_ids[0], max_records=5)
        assert [one.id async for one in first] == ids[:5]
        rest = checkpoints.list(sandbox.job_ids[0], after=first.cursor)
        assert [one.id async for one in rest] == ids[5:]

    async def test_one_page_after_the_other(
        self, sandbox: Sandbox, client: AsyncClient, profile: ProfileName
    ) -> None:
        page = await client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0], limit=9)
        ids = [record.id for record in page.data]
        while page.has_next_page():
            page = await page.get_next_page()
            ids += [record.id for record in page.data]
        assert ids == expected_ids(sandbox, profile, sandbox.job_ids[0])

    async def test_the_checkpoints_of_many_jobs(
        self, sandbox: Sandbox, client: AsyncClient, profile: ProfileName
    ) -> None:
        jobs = client.fine_tuning.jobs
        stream = jobs.checkpoints.list_many(jobs.list(), ordered=True)
        assert [checkpoint.id async for checkpoint in stream] == [
            id_
            for job in expected_jobs(sandbox, profile)
            for id_ in expected_ids(sandbox, profile, job)
        ]

    async def test_jobs(self, sandbox: Sandbox, client: AsyncClient, profile: ProfileName) -> None:
        jobs = client.fine_tuning.jobs
        listed = [job async for job in jobs.list(limit=3)]
        assert [job.id for job in listed] == expected_jobs(sandbox, profile)
        assert [job.created_at for job in listed] == [
            next(one["created_at"] for one in sandbox.jobs if one["id"] == job.id) for job in listed
        ]
        assert await jobs.retrieve(listed[0].id) == listed[0]

    async def test_events(
        self, sandbox: Sandbox, client: AsyncClient, profile: ProfileName
    ) -> None:
        job = sandbox.job_ids[0]
        ids = [event["id"] for event in sandbox.events_of(job)]
        listed = [event.id async for event in client.fine_tuning.jobs.list_events(job)]
        assert listed == (ids[::-1] if profile in OLDEST_FIRST else ids)

    async def test_an_unknown_job(self, client: AsyncClient) -> None:
        with pytest.raises(NotFoundError, match="ftjob-unknown"):
            await client.fine_tuning.jobs.checkpoints.list("ftjob-unknown")

    async def test_a_wrong_key(self, sandbox: Sandbox) -> None:
        async with sandbox.client(api_key="sk-wrong") as client:
            with pytest.raises(AuthenticationError):
                await client.fine_tuning.jobs.list()


class TestChoices:
    async def test_the_newest_checkpoint_of_each_job(
        self, sandbox: Sandbox, client: AsyncClient, profile: ProfileName
    ) -> None:
        jobs = client.fine_tuning.jobs
        newest = {
            one.fine_tuning_job_id: one.id async for one in jobs.checkpoints.latest(jobs.list())
        }
        assert newest == {
            job: served_ids(sandbox, job)[0]
            for job in sandbox.job_ids
            if expected_ids(sandbox, profile, job)
        }

    async def test_the_best_checkpoint(
        self, sandbox: Sandbox, client: AsyncClient, profile: ProfileName
    ) -> None:
        job = sandbox.job_ids[0]
        pager = client.fine_tuning.jobs.checkpoints.list(job)
        losses = {
            one.id: one.metrics.full_valid_loss
            async for one in pager
            if one.metrics.full_valid_loss is not None
        }
        assert len(losses) > 3
        best = await client.fine_tuning.jobs.checkpoints.best(job)
        assert best.metric == "full_valid_loss"
        assert best.value == min(losses.values()) == losses[best.checkpoint.id]
        top = await client.fine_tuning.jobs.checkpoints.top(job, 3)
        assert [one.value for one in top] == sorted(losses.values())[:3]
        assert f"job {job}" in str(best.explain())

    async def test_the_training_curve(self, sandbox: Sandbox, client: AsyncClient) -> None:
        steps = await client.fine_tuning.jobs.step_metrics(sandbox.job_ids[0])
        numbers = [step.step for step in steps]
        assert numbers == sorted(numbers)
        assert len(numbers) > 23


class TestExport:
    async def test_a_table(
        self, sandbox: Sandbox, client: AsyncClient, profile: ProfileName
    ) -> None:
        jobs = client.fine_tuning.jobs
        table = await export.to_arrow(jobs.checkpoints.list_many(jobs.list(), ordered=True))
        assert table.column("id").to_pylist() == [
            id_
            for job in expected_jobs(sandbox, profile)
            for id_ in expected_ids(sandbox, profile, job)
        ]
        assert table.column("created_at").null_count == 0

    async def test_an_archive(
        self, sandbox: Sandbox, client: AsyncClient, profile: ProfileName, tmp_path: Path
    ) -> None:
        archived = await export.archive(client, tmp_path)
        assert archived.failures == ()
        assert archived.jobs == 8
        assert archived.checkpoints == sum(
            len(expected_ids(sandbox, profile, job)) for job in sandbox.job_ids
        )

    async def test_a_plot(self, sandbox: Sandbox, client: AsyncClient) -> None:
        plot = await export.plot(client, sandbox.job_ids[0])
        assert plot.metric == "full_valid_loss"
        assert plot.best is not None


class TestWatching:
    @pytest.fixture
    async def sandbox(self, profile: ProfileName) -> AsyncIterator[Sandbox]:
        clock = Clock(speed=0)
        async with Sandbox(profile=profile, jobs=0, clock=clock) as running:
            yield running

    async def test_each_checkpoint_comes_once(self, sandbox: Sandbox, client: AsyncClient) -> None:
        job = sandbox.add_live_job(epochs=6, steps_per_epoch=10)
        watched: list[str] = []

        async def watch() -> None:
            async for one in client.fine_tuning.jobs.checkpoints.watch(job, interval=0.01):
                watched.append(one.id)  # noqa: PERF401 - the test reads it meanwhile

        async with asyncio.timeout(20):
            watching = asyncio.create_task(watch())
            while not watching.done():
                sandbox.clock.advance(7)
                await asyncio.sleep(0.01)
            await watching
        assert sorted(watched) == sorted(served_ids(sandbox, job))

    async def test_updates_of_a_job_that_has_ended(
        self, sandbox: Sandbox, client: AsyncClient
    ) -> None:
        job = sandbox.add_live_job(epochs=3, steps_per_epoch=10)
        sandbox.clock.advance(10_000)
        names: list[str] = []
        async with asyncio.timeout(20):
            async for update in client.fine_tuning.jobs.watch(job):
                names.append(type(update).__name__)  # noqa: PERF401
        assert names.count("CheckpointCreated") == 3
        assert names.count("EventLogged") == len(sandbox.events_of(job))
        assert names[-1] == "Finished"


class TestCommand:
    @pytest.fixture
    def served(self, profile: ProfileName, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
        with Sandbox(profile=profile, jobs=4, checkpoints=12, statuses=["succeeded"]) as sandbox:
            if profile == "azure":
                monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", sandbox.origin)
                monkeypatch.setenv("AZURE_OPENAI_API_KEY", sandbox.api_key)
            else:
                monkeypatch.setenv("OPENAI_BASE_URL", sandbox.base_url)
                monkeypatch.setenv("OPENAI_API_KEY", sandbox.api_key)
            yield sandbox

    def run(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
        assert main(arguments) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        return captured.out

    def ids(self, out: str) -> list[str]:
        return [json.loads(line)["id"] for line in out.splitlines()]

    def test_lists(
        self, served: Sandbox, profile: ProfileName, capsys: pytest.CaptureFixture[str]
    ) -> None:
        job = served.job_ids[1]
        out = self.run(capsys, "list", job, "--format", "jsonl")
        assert self.ids(out) == expected_ids(served, profile, job)
        out = self.run(capsys, "list", "--all", "--latest", "--format", "jsonl")
        assert self.ids(out) == [
            served_ids(served, id_)[0] for id_ in expected_jobs(served, profile)
        ]
        out = self.run(capsys, "jobs", "--format", "jsonl")
        assert self.ids(out) == expected_jobs(served, profile)
        out = self.run(capsys, "events", job, "--format", "jsonl")
        assert len(self.ids(out)) == len(served.events_of(job))

    def test_tables(self, served: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
        job = served.job_ids[0]
        for format_ in ("table", "csv"):
            out = self.run(capsys, "list", job, "--format", format_)
            assert all(id_ in out for id_ in served_ids(served, job))
            assert "None" not in out

    def test_the_best(self, served: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
        model = self.run(capsys, "best", served.job_ids[0]).strip()
        models = {
            one["fine_tuned_model_checkpoint"] for one in served.checkpoints_of(served.job_ids[0])
        }
        assert model in models


async def body_of(sandbox: Sandbox, path: str) -> Any:
    """The JSON that the sandbox sends."""
    async with sandbox.client() as client:
        page = await client.fine_tuning.jobs.checkpoints.list(path)
        return page.response.json()


class TestForms:
    """What each server sends, as far as it differs."""

    async def page_of(self, profile: ProfileName) -> dict[str, Any]:
        async with Sandbox(profile=profile, jobs=1) as sandbox:
            page: dict[str, Any] = await body_of(sandbox, sandbox.job_ids[0])
            return page

    async def test_openai(self) -> None:
        page = await self.page_of("openai")
        assert page.keys() == {"object", "data", "has_more", "first_id", "last_id"}
        assert [one["step_number"] for one in page["data"]] == [*range(3000, 2000, -100)]

    async def test_azure(self) -> None:
        page = await self.page_of("azure")
        assert page.keys() == {"object", "data", "has_more"}
        first = page["data"][0]
        assert first["id"].startswith("ftchkpt-")
        name = first["fine_tuned_model_checkpoint"]
        assert name.startswith("gpt-4o-mini-2024-07-18.ft-")
        assert name.endswith(":ckpt-step-3000")

    async def test_azure_has_its_own_paths_and_header(self) -> None:
        async with Sandbox(profile="azure", jobs=1) as sandbox:
            assert sandbox.base_url == f"{sandbox.origin}/openai/v1"
            async with sandbox.client() as client:
                await client.fine_tuning.jobs.list()
            assert "api-key" in sandbox.requests[-1].headers
            assert "authorization" not in sandbox.requests[-1].headers
            project = f"{sandbox.origin}/api/projects/p/openai/v1"
            for base_url in (sandbox.base_url, project):
                async with AsyncClient(base_url=base_url, api_key=sandbox.api_key) as client:
                    assert len((await client.fine_tuning.jobs.list()).data) == 1
            openai = f"{sandbox.origin}/v1"
            async with AsyncClient(base_url=openai, api_key=sandbox.api_key) as client:
                with pytest.raises(NotFoundError):
                    await client.fine_tuning.jobs.list()

    @pytest.mark.parametrize("profile", ["nebius", "minimal"])
    async def test_others_do_not_have_the_paths_of_azure(self, profile: ProfileName) -> None:
        async with Sandbox(profile=profile, jobs=1) as sandbox:
            azure = AsyncClient.for_azure(endpoint=sandbox.origin, api_key=sandbox.api_key)
            async with azure as client:
                with pytest.raises(NotFoundError):
                    await client.fine_tuning.jobs.list()

    async def test_nebius(self) -> None:
        page = await self.page_of("nebius")
        assert page.keys() == {"object", "data", "has_more"}
        assert [one["step_number"] for one in page["data"]] == [*range(100, 1100, 100)]
        assert all(len(one["result_files"]) == 2 for one in page["data"])
        assert page["data"][0]["metrics"]["full_valid_loss"] is None

    async def test_nebius_leaves_has_more_out_on_the_last_page(self) -> None:
        async with Sandbox(profile="nebius", jobs=1, checkpoints=4) as sandbox:
            assert (await body_of(sandbox, sandbox.job_ids[0])).keys() == {"object", "data"}

    async def test_a_minimal_server(self) -> None:
        page = await self.page_of("minimal")
        assert page.keys() == {"data"}
        assert len(page["data"]) == 30
        first = page["data"][0]
        assert first.keys() <= {
            "id",
            "created_at",
            "fine_tuned_model_checkpoint",
            "fine_tuning_job_id",
            "metrics",
            "step_number",
        }
        assert "T" in first["created_at"]
        assert first["fine_tuned_model_checkpoint"].startswith("/models/")
        assert 0 < [one["metrics"] for one in page["data"]].count(None) < 30
        assert sum("step_number" in one for one in page["data"]) == 20

    def test_an_unknown_profile(self) -> None:
        with pytest.raises(ValueError, match="profile is 'openrouter'; give one of"):
            Sandbox(profile="openrouter")  # type: ignore[arg-type]


SCHEMAS = json.loads((Path(__file__).parent / "data" / "openai.schema.json").read_text("utf-8"))


def check(body: Any, name: str) -> None:
    """Assert that a body is what OpenAI's description of its API says, and has nothing else."""
    jsonschema.Draft202012Validator({**SCHEMAS, "$ref": f"#/$defs/{name}"}).validate(body)


class TestOpenAI:
    """Responses that claim to be OpenAI's are validated against its schemas."""

    async def test_every_response(self) -> None:
        clock = Clock(speed=0)
        async with Sandbox(jobs=14, live=4, clock=clock) as sandbox, sandbox.client() as client:
            jobs = client.fine_tuning.jobs
            for seconds in (0, 60, 10_000):
                clock.advance(seconds)
                async for page in jobs.list(limit=5).pages():
                    check(page.response.json(), "ListPaginatedFineTuningJobsResponse")
                for job in sandbox.job_ids:
                    check(json.loads(converter.dumps(await jobs.retrieve(job))), "FineTuningJob")
                    checkpoints = await jobs.checkpoints.list(job)
                    check(checkpoints.response.json(), "ListFineTuningJobCheckpointsResponse")
                    events = await jobs.list_events(job)
                    check(events.response.json(), "ListFineTuningJobEventsResponse")

    async def test_errors(self) -> None:
        async with Sandbox(jobs=1) as sandbox, sandbox.client(max_retries=0) as client:
            for job, limit in (("ftjob-unknown", 1), (sandbox.job_ids[0], 1_000)):
                with pytest.raises(Exception, match=r"^4\d\d: ") as caught:
                    await client.fine_tuning.jobs.checkpoints.list(job, limit=limit)
                check(caught.value.response.json(), "ErrorResponse")  # type: ignore[attr-defined]

    @pytest.mark.parametrize("profile", ["nebius", "minimal"])
    async def test_the_schemas_tell_other_servers_apart(self, profile: ProfileName) -> None:
        async with Sandbox(profile=profile, jobs=1) as sandbox:
            body = await body_of(sandbox, sandbox.job_ids[0])
        with pytest.raises(jsonschema.ValidationError):
            check(body, "ListFineTuningJobCheckpointsResponse")
