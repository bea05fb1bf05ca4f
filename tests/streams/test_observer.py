"""What hooks are told of one iteration of a stream, without HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextvars import ContextVar

import pytest

from asyncckpt import Page, Pager, hooks
from asyncckpt.hooks import Hooks
from asyncckpt.streams.observer import StreamHooks, StreamObserver
from asyncckpt.streams.stream import Reader

from support import clock
from support.events import Recorder, check_rules
from support.pagers import RESPONSE, FailedError, Item, Server
from support.turns import turns

CLOCKS = ("asyncckpt.streams.observer.monotonic",)


def told(events: Recorder, job_id: str | None = "ftjob-1") -> StreamHooks:
    return StreamHooks(Hooks([events]), "jobs.list", job_id)


async def test_a_page_is_delivered_when_the_consumer_gets_it() -> None:
    events = Recorder()
    pages = Server([2, 3, 1]).pager(hooks=told(events), prefetch=2).pages()
    names = [events.names async for _ in pages]
    assert names == [["StreamStarted", *["PageDelivered"] * number] for number in (1, 2, 3)]
    assert [(page.number, page.records) for page in events.of(hooks.PageDelivered)] == [
        (1, 2),
        (2, 3),
        (3, 1),
    ]
    ended = events.one(hooks.StreamEnded)
    assert (ended.outcome, ended.pages, ended.records) == ("exhausted", 3, 6)
    check_rules(events)


async def test_each_iteration_is_a_stream_of_its_own() -> None:
    events = Recorder()
    pager = Server([1]).pager(hooks=told(events))
    for _ in range(2):
        async for _ in pager:
            pass
    first, second = events.of(hooks.StreamEnded)
    assert first.stream_id != second.stream_id
    check_rules(events)


async def test_max_records_is_an_end() -> None:
    events = Recorder()
    async for _ in Server([2, 2]).pager(hooks=told(events), max_records=3):
        pass
    ended = events.one(hooks.StreamEnded)
    assert (ended.outcome, ended.records) == ("exhausted", 3)


async def test_a_failure_keeps_the_error_and_what_came_before() -> None:
    events = Recorder()
    pager = Server([2, 2], failing=1).pager(hooks=told(events))
    with pytest.raises(FailedError) as caught:
        async for _ in pager:
            pass
    ended = events.one(hooks.StreamEnded)
    assert (ended.outcome, ended.error, ended.records) == ("failed", caught.value, 2)


async def test_an_exception_of_the_consumer_is_no_failure_of_the_stream() -> None:
    events = Recorder()

    async def consume() -> None:
        async with Server([2, 2]).pager(hooks=told(events)) as pager:
            async for _ in pager:
                raise FailedError

    with pytest.raises(FailedError):
        await consume()
    ended = events.one(hooks.StreamEnded)
    assert (ended.outcome, ended.error) == ("closed", None)


async def test_an_iteration_that_ends_while_it_is_being_closed_is_closed() -> None:
    events = Recorder()
    pager = Server([2, 2], holding="1", resisting=20).pager(hooks=told(events))
    pages = pager.pages()
    await anext(pages)
    waiting = asyncio.ensure_future(anext(pages))
    await turns(5)
    await pager.aclose()
    with pytest.raises(RuntimeError, match="closed before the end"):
        await waiting
    ended = events.one(hooks.StreamEnded)
    assert (ended.outcome, ended.error) == ("closed", None)


async def test_a_page_of_a_stream_of_many_jobs_has_its_own_job_which_is_masked() -> None:
    events = Recorder()
    observer = StreamObserver(told(events, None))

    async def nothing(_: str) -> Page[Item]:
        raise AssertionError

    page = Page(
        [Item("a")],
        False,
        "a",
        "a",
        "list",
        response=RESPONSE,
        fetch=nothing,
        mask=lambda text: text.replace("secret", "***"),
        fine_tuning_job_id="ftjob-secret",
    )
    observer.page_delivered(page)
    assert events.one(hooks.PageDelivered).fine_tuning_job_id == "ftjob-***"


def test_a_stream_lasts_from_its_first_step_to_its_end() -> None:
    events = Recorder()

    async def fetch(cursor: str | None, on_wire: object) -> Page[Item]:
        await asyncio.sleep(2)
        return Page([Item("a")], False, "a", "a", "list", response=RESPONSE, fetch=fetch)  # type: ignore[arg-type]

    async def main() -> None:
        records: AsyncIterator[Item] = aiter(Pager(fetch, hooks=told(events)))
        await asyncio.sleep(10)
        async for _ in records:
            await asyncio.sleep(5)

    clock.run(main(), monotonic=CLOCKS)
    assert events.one(hooks.StreamEnded).duration == 7.0


async def test_the_tasks_of_an_iteration_have_a_context_each() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="")

    def hook(event: hooks.Event) -> None:
        assert isinstance(event, hooks.StreamStarted)
        variable.set("of the stream")

    observer = StreamObserver(StreamHooks(Hooks([hook]), "jobs.list"))
    first, second = observer.task_context(), observer.task_context()
    assert first.run(variable.get) == second.run(variable.get) == "of the stream"
    first.run(variable.set, "of one task")
    assert second.run(variable.get) == "of the stream"
    assert variable.get() == ""


async def test_a_reader_that_never_began_reports_nothing() -> None:
    events = Recorder()
    async with Reader(StreamObserver(told(events))):
        pass
    assert events == []


async def test_a_reader_reports_its_end_once() -> None:
    events = Recorder()
    observer = StreamObserver(told(events))
    observer.task_context()
    reader = Reader(observer)
    await reader.aclose()
    async with reader:
        pass
    assert events.names == ["StreamStarted", "StreamEnded"]
    assert events.one(hooks.StreamEnded).outcome == "closed"
