"""One watch of a job, shared by its readers."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from asyncckpt import AsyncClient, NotFoundError
from asyncckpt.testing import Clock, Sandbox, faults
from asyncckpt.web import EventReader, ServerSentEvent, SharedWatches

from support.turns import until


@pytest.fixture
async def watches(client: AsyncClient) -> AsyncIterator[SharedWatches]:
    async with SharedWatches(client, interval=0.01) as opened:
        yield opened


async def rest_of(reader: EventReader) -> list[ServerSentEvent]:
    async with reader:
        return [message async for message in reader]


async def messages_of(reader: EventReader, last: str) -> list[ServerSentEvent]:
    messages: list[ServerSentEvent] = []
    async for message in reader:
        messages.append(message)
        if message.event == last:
            break
    return messages


def names(messages: list[ServerSentEvent]) -> list[str | None]:
    return [message.event for message in messages]


async def test_a_reader_gets_everything_in_order(sandbox: Sandbox, watches: SharedWatches) -> None:
    job = sandbox.job_ids[0]
    messages = await rest_of(await watches.read(job))
    assert names(messages)[-2:] == ["caught_up", "finished"]
    assert names(messages).count("checkpoint") == len(sandbox.checkpoints_of(job))
    assert names(messages).count("event") == len(sandbox.events_of(job))
    assert all(message.id for message in messages)


async def test_a_reader_that_joins_later_gets_the_same(
    sandbox: Sandbox, watches: SharedWatches
) -> None:
    job = sandbox.job_ids[0]
    first = await watches.read(job)
    messages = [message async for message in first]
    sent = sandbox.stats.requests
    assert await rest_of(await watches.read(job)) == messages
    assert sandbox.stats.requests == sent
    await first.aclose()


async def test_a_hundred_readers_cost_one_watch(sandbox: Sandbox, watches: SharedWatches) -> None:
    job = sandbox.job_ids[0]
    reader = await watches.read(job)
    alone = await rest_of(reader)
    cost = sandbox.stats.requests
    readers = await asyncio.gather(*(watches.read(job) for _ in range(100)))
    for messages in await asyncio.gather(*map(rest_of, readers)):
        assert messages == alone
    assert sandbox.stats.requests == 2 * cost


async def test_the_last_reader_ends_the_watch(sandbox: Sandbox, watches: SharedWatches) -> None:
    job = next(one["id"] for one in sandbox.jobs if one["status"] == "running")
    first, second = await watches.read(job), await watches.read(job)
    await messages_of(first, "caught_up")
    rule = sandbox.inject(faults.Hang(), job=job, times=None)
    await until(lambda: rule.hits)
    await first.aclose()
    assert sandbox.stats.in_flight == 1
    await second.aclose()
    await until(lambda: not sandbox.stats.in_flight)


@pytest.mark.parametrize("is_same_process", [True, False])
async def test_a_reader_that_returns_gets_the_rest(
    sandbox: Sandbox, client: AsyncClient, *, is_same_process: bool
) -> None:
    job = sandbox.job_ids[0]
    async with SharedWatches(client, interval=0.01) as watches:
        kept = await watches.read(job)
        messages = [message async for message in kept]
        for number in (0, 1, 7, 40, len(messages) - 2):
            after = messages[number].id
            if is_same_process:
                rest = await rest_of(await watches.read(job, after))
                assert rest == messages[number + 1 :]
                continue
            async with SharedWatches(client, interval=0.01) as others:
                rest = await rest_of(await others.read(job, after))
                expected = [one.data for one in messages[number + 1 :] if one.event != "caught_up"]
                assert [one.data for one in rest if one.event != "caught_up"] == expected
        await kept.aclose()


async def test_an_id_from_elsewhere_is_ignored(sandbox: Sandbox, watches: SharedWatches) -> None:
    async with await watches.read(sandbox.job_ids[0], "something else") as reader:
        assert (await anext(reader)).event == "event"


async def test_a_job_that_does_not_exist_is_an_error_at_once(watches: SharedWatches) -> None:
    with pytest.raises(NotFoundError):
        await watches.read("ftjob-no")


async def test_a_watch_that_fails_later_says_so(sandbox: Sandbox, watches: SharedWatches) -> None:
    job = next(one["id"] for one in sandbox.jobs if one["status"] == "running")
    reader = await watches.read(job)
    await messages_of(reader, "caught_up")
    sandbox.inject(faults.Status(404), job=job, times=None)
    rest = await rest_of(reader)
    assert names(rest)[-1] == "failure"
    assert "NotFoundError" in rest[-1].data
    sandbox.clear()
    async with await watches.read(job) as again:
        assert "failure" not in names(await messages_of(again, "caught_up"))


async def test_a_comment_keeps_a_quiet_connection_alive(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    clock = Clock(speed=0)
    async with Sandbox(jobs=0, clock=clock) as live, live.client() as live_client:
        job = live.add_live_job()
        async with (
            SharedWatches(live_client, interval=60) as watches,
            await watches.read(job, heartbeat=0.01) as reader,
        ):
            await messages_of(reader, "caught_up")
            assert await anext(reader) == ServerSentEvent()
            assert await anext(reader) == ServerSentEvent()


async def test_closing_ends_the_readers(sandbox: Sandbox, client: AsyncClient) -> None:
    job = next(one["id"] for one in sandbox.jobs if one["status"] == "running")
    watches = SharedWatches(client, interval=0.01)
    reader = await watches.read(job)
    reading = asyncio.create_task(rest_of(reader))
    await until(lambda: sandbox.stats.requests > 6)
    await watches.aclose()
    assert "failure" not in names(await reading)
    # Requests still arrive while an app stops.
    assert await rest_of(await watches.read(job)) == []


async def test_a_heartbeat_must_be_positive(watches: SharedWatches) -> None:
    with pytest.raises(ValueError, match="heartbeat"):
        await watches.read("ftjob-1", heartbeat=0)


async def test_an_unknown_option_is_an_error_at_once(client: AsyncClient) -> None:
    with pytest.raises(TypeError, match="max_retrys"):
        SharedWatches(client, max_retrys=1)  # type: ignore[call-arg]
