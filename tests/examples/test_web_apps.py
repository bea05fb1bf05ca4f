"""The example web apps, over real sockets: what readers get, and what is left when they leave."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import attrs
import pytest

from asyncckpt.testing import Clock, Sandbox, faults

from support.apps import WEB_APPS, App, free_port, running_app
from support.turns import until

# uvicorn ends by the signal that it has received.
STOPPED = (0, -signal.SIGTERM)

every_app = pytest.mark.parametrize("name", WEB_APPS)


@attrs.frozen
class Message:
    name: str
    data: Any
    id: str | None


async def messages_of(
    app: App, job: str, last_event_id: str | None = None
) -> AsyncIterator[Message]:
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    async with app.session.get(f"{app.url}/jobs/{job}/watch", headers=headers) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        fields: dict[str, str] = {}
        async for raw in response.content:
            line = raw.decode().rstrip("\n")
            if line:
                field, _, value = line.partition(": ")
                fields[field] = value
            elif "event" in fields:
                yield Message(fields["event"], json.loads(fields["data"]), fields.get("id"))
                fields = {}


async def collect(app: App, job: str, last: str = "finished", **options: Any) -> list[Message]:
    collected: list[Message] = []
    async with contextlib.aclosing(messages_of(app, job, **options)) as messages:
        async for message in messages:
            collected.append(message)
            if message.name == last:
                break
    return collected


def ids_of(messages: list[Message], name: str) -> list[str]:
    return [message.data["id"] for message in messages if message.name == name]


async def is_quiet(sandbox: Sandbox) -> None:
    """Wait until the sandbox has no request in progress and no connection."""
    await until(lambda: not sandbox.stats.in_flight)


@every_app
async def test_the_checkpoints_of_several_jobs_as_json_lines(name: str, sandbox: Sandbox) -> None:
    first, second = sandbox.job_ids[:2]
    async with running_app(name, sandbox) as app:
        url = f"{app.url}/checkpoints?job={first}&job={second}"
        async with app.session.get(url) as response:
            assert response.content_type == "application/jsonl"
            got = [json.loads(line) async for line in response.content]
    sent = [*sandbox.checkpoints_of(first), *sandbox.checkpoints_of(second)]
    by_id = {one["id"]: one for one in got}
    assert len(got) == len(sent)
    assert all(by_id[one["id"]] == one for one in sent)


@every_app
async def test_errors_have_a_status_of_their_own(name: str, sandbox: Sandbox) -> None:
    async with running_app(name, sandbox) as app:
        for path in ("/checkpoints?job=ftjob-no", "/jobs/ftjob-no/watch", "/jobs/ftjob-no/best"):
            async with app.session.get(app.url + path) as response:
                assert response.status == 404
                assert (await response.json())["error"]["type"] == "NotFoundError"
        async with app.session.get(f"{app.url}/checkpoints") as response:
            assert response.status == 422


@every_app
async def test_a_failure_after_the_first_record_does_not_look_like_the_end(
    name: str, sandbox: Sandbox
) -> None:
    job = sandbox.add_job(checkpoints=5_000)
    sandbox.inject(faults.Status(400), path="/checkpoints", page=2, times=None)
    async with running_app(name, sandbox) as app:
        with pytest.raises(aiohttp.ClientPayloadError):
            async with app.session.get(f"{app.url}/checkpoints?job={job}") as response:
                await response.read()


@every_app
async def test_a_reader_that_stalls_holds_the_requests_back(name: str, sandbox: Sandbox) -> None:
    job = sandbox.add_job(checkpoints=1_000_000)
    async with running_app(name, sandbox) as app:
        async with app.session.get(f"{app.url}/checkpoints?job={job}") as response:
            await response.content.readline()
            before = -1
            while sandbox.stats.requests != before:
                before = sandbox.stats.requests
                await asyncio.sleep(0.3)
            # The buffers of the sockets hold some pages; the job has 10,000.
            assert before < 1_000
        await is_quiet(sandbox)
        left = sandbox.stats.requests
        async with app.session.get(f"{app.url}/jobs") as response:
            await response.read()
        assert sandbox.stats.requests <= left + 2


@every_app
async def test_fetching_stops_when_a_reader_leaves_while_nothing_is_sent(
    name: str, sandbox: Sandbox
) -> None:
    job = sandbox.job_ids[0]
    async with running_app(name, sandbox) as app:
        rule = sandbox.inject(faults.Hang(), path="/checkpoints")
        reading = asyncio.create_task(app.session.get(f"{app.url}/checkpoints?job={job}"))
        await until(lambda: rule.hits)
        reading.cancel()
        await asyncio.wait([reading])
        await is_quiet(sandbox)


@every_app
async def test_readers_of_a_running_job_get_everything_once(name: str) -> None:
    clock = Clock(speed=0)
    async with Sandbox(jobs=0, clock=clock) as sandbox, running_app(name, sandbox) as app:
        job = sandbox.add_live_job(epochs=3, steps_per_epoch=4, validating=5, queued=5)
        readers = [asyncio.create_task(collect(app, job)) for _ in range(20)]
        await until(lambda: sandbox.stats.requests)
        clock.advance(10_000)
        for messages in await asyncio.gather(*readers):
            assert sorted(ids_of(messages, "event")) == sorted(
                one["id"] for one in sandbox.events_of(job)
            )
            assert sorted(ids_of(messages, "checkpoint")) == sorted(
                one["id"] for one in sandbox.checkpoints_of(job)
            )
            assert messages[-1].data["status"] == "succeeded"
        # One watch served all of them.
        assert sandbox.stats.requests < 20


@every_app
async def test_a_reader_continues_after_a_restart_of_the_app(name: str, sandbox: Sandbox) -> None:
    job, port = sandbox.job_ids[0], free_port()
    async with running_app(name, sandbox, port=port) as app:
        before: list[Message] = []
        async with contextlib.aclosing(messages_of(app, job)) as messages:
            async for message in messages:
                before.append(message)
                if len(before) == 40:
                    break
        assert (await app.stop()).code in STOPPED
    async with running_app(name, sandbox, port=port) as app:
        after = await collect(app, job, "caught_up", last_event_id=before[-1].id)
    for kind, sent in (
        ("event", sandbox.events_of(job)),
        ("checkpoint", sandbox.checkpoints_of(job)),
    ):
        got = ids_of(before, kind) + ids_of(after, kind)
        assert sorted(got) == sorted(one["id"] for one in sent)


@every_app
async def test_readers_that_leave_end_the_watch(name: str, sandbox: Sandbox) -> None:
    job = next(one["id"] for one in sandbox.jobs if one["status"] == "running")
    async with running_app(name, sandbox) as app:
        readers = [asyncio.create_task(collect(app, job)) for _ in range(10)]
        rule = sandbox.inject(faults.Hang(), job=job, path="/events", times=None)
        await until(lambda: rule.hits)
        for reader in readers:
            reader.cancel()
        await asyncio.wait(readers)
        await is_quiet(sandbox)


@every_app
async def test_the_app_stops_with_readers_connected(name: str, sandbox: Sandbox) -> None:
    job = next(one["id"] for one in sandbox.jobs if one["status"] == "running")
    async with running_app(name, sandbox) as app:
        async with app.session.get(f"{app.url}/jobs/{job}/watch") as response:
            await response.content.readline()
            stopped = await app.stop()
        assert stopped.code in STOPPED
        assert "Traceback" not in stopped.err
    await until(lambda: not sandbox.stats.connections_open)


@every_app
async def test_the_best_checkpoint(name: str, sandbox: Sandbox) -> None:
    job = sandbox.job_ids[0]
    async with (
        running_app(name, sandbox) as app,
        app.session.get(f"{app.url}/jobs/{job}/best") as response,
    ):
        best = await response.json()
    losses = {
        one["id"]: one["metrics"]["full_valid_loss"]
        for one in sandbox.checkpoints_of(job)
        if "full_valid_loss" in one["metrics"]
    }
    assert best["value"] == min(losses.values())
    assert losses[best["checkpoint"]["id"]] == best["value"]
    assert best["metric"] == "full_valid_loss"
    assert best["explanation"]
