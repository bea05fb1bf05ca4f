"""Jobs to watch without HTTP, which count the requests for them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import attrs

from asyncckpt import (
    BadRequestError,
    FineTuningJob,
    FineTuningJobCheckpoint,
    FineTuningJobEvent,
    InternalServerError,
    NotFoundError,
    Page,
    Update,
)
from asyncckpt.errors import APIStatusError
from asyncckpt.records.base import HasId
from asyncckpt.streams.job_watch import Sighting
from asyncckpt.streams.roster import WatchSettings
from asyncckpt.streams.watch import CheckpointWatch, Watch

from support.checkpoints import checkpoint
from support.pagers import RESPONSE

T = TypeVar("T")
RecordT = TypeVar("RecordT", bound=HasId)

Order: TypeAlias = Literal["newest first", "oldest first", "none"]


def status_error(kind: type[APIStatusError], status: int, message: str = "no") -> APIStatusError:
    return kind(message, response=attrs.evolve(RESPONSE, status_code=status), body=None)


def drive(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    raise AssertionError("it waits")


@attrs.define
class Served(Generic[RecordT]):
    """A list of records in pages.

    `asked` has the cursor of each request, and whether it was for a small page.
    """

    order: Order = "newest first"
    small: int = 20
    large: int = 100
    records: list[RecordT] = attrs.field(factory=list)
    asked: list[tuple[str | None, bool]] = attrs.field(factory=list)
    ignores_cursors: bool = False
    failing: Callable[[], Exception | None] = lambda: None
    latency: float = 0.0

    def listed(self) -> list[RecordT]:
        if self.order == "none":
            return sorted(self.records, key=lambda one: hashlib.md5(one.id.encode()).digest())
        rising = sorted(self.records, key=lambda one: one.created_at)  # type: ignore[attr-defined]
        return rising if self.order == "oldest first" else rising[::-1]

    async def __call__(self, after: str | None, *, small: bool) -> Page[RecordT]:
        self.asked.append((after, small))
        if self.latency:
            await asyncio.sleep(self.latency)
        if (failure := self.failing()) is not None:
            raise failure
        records = self.listed()
        start = 0
        if after is not None and not self.ignores_cursors:
            ids = [record.id for record in records]
            if after not in ids:
                raise status_error(BadRequestError, 400, f"no object has the id '{after}'")
            start = ids.index(after) + 1
        size = self.small if small else self.large
        data = records[start : start + size]
        more = len(records) > start + size
        return Page(data, more, None, None, "list", response=RESPONSE, fetch=self._after)

    async def _after(self, cursor: str) -> Page[RecordT]:
        return await self(cursor, small=False)


@attrs.define
class WatchedJob:
    """A job that does what a test says; implements `JobFeed`."""

    id: str = "ftjob-a"
    status: str = "running"
    order: Order = "newest first"
    hint: float | None = None
    estimated_finish: int | None = None
    finished_at: int | None = None
    failing: Callable[[], Exception | None] = lambda: None
    polls: list[float] = attrs.field(factory=list)
    on_poll: Callable[[], None] = lambda: None
    latency: float = 0.0
    checkpoints: Served[FineTuningJobCheckpoint] = attrs.field(init=False)
    events: Served[FineTuningJobEvent] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.checkpoints = Served(self.order, latency=self.latency)
        self.events = Served(self.order, latency=self.latency)

    @property
    def requests(self) -> int:
        return len(self.polls) + len(self.checkpoints.asked) + len(self.events.asked)

    @property
    def record(self) -> FineTuningJob:
        return FineTuningJob(
            self.id,
            0,
            "gpt",
            self.status,
            "file-a",
            estimated_finish=self.estimated_finish,
            finished_at=self.finished_at,
        )

    async def job(self) -> Sighting:
        try:
            self.polls.append(asyncio.get_running_loop().time())
        except RuntimeError:
            self.polls.append(0.0)
        self.on_poll()
        if self.latency:
            await asyncio.sleep(self.latency)
        if (failure := self.failing()) is not None:
            raise failure
        return Sighting(self.record, self.hint)

    def log(self, at: int, name: str | None = None) -> FineTuningJobEvent:
        number = len(self.events.records)
        logged = FineTuningJobEvent(name or f"ftevent-{self.id}-{number}", at, "info", "logged")
        self.events.records.append(logged)
        return logged

    def create(self, at: int, step: int | None = None) -> FineTuningJobCheckpoint:
        step = len(self.checkpoints.records) + 1 if step is None else step
        created = checkpoint(self.id, step, created_at=at)
        self.checkpoints.records.append(created)
        return created


def server_error() -> Exception:
    return status_error(InternalServerError, 500)


def not_found() -> Exception:
    return status_error(NotFoundError, 404)


def watch(
    jobs: Sequence[WatchedJob],
    kind: type[Any] = Watch,
    *,
    source: Any = None,
    interval: float | None = 10.0,
    timeout: float | None = None,
    max_silence: float | None = 600.0,
    on_error: Any = "raise",
    resume: str | None = None,
) -> Any:
    feeds = {job.id: job for job in jobs}
    return kind(
        [*feeds] if source is None else source,
        feeds.__getitem__,
        WatchSettings(interval=interval, timeout=timeout, max_silence=max_silence),
        on_error=on_error,
        resume=resume,
    )


def watch_checkpoints(jobs: Sequence[WatchedJob], **options: Any) -> CheckpointWatch:
    watched: CheckpointWatch = watch(jobs, CheckpointWatch, **options)
    return watched


def brief(update: Update) -> str:
    """An update as a test compares it."""
    shown = type(update).__name__
    match update:
        case object(checkpoint=record) | object(event=record):
            return f"{shown} {record.id}"
        case object(job=job):
            return f"{shown} {job.status}"
    raise AssertionError(update)


async def briefly(
    updates: AsyncIterator[Update], into: list[str] | None = None, *, pause: float = 0.0
) -> list[str]:
    """Collect what a watch yields, also if it fails in the end."""
    seen = [] if into is None else into
    async for update in updates:
        seen.append(brief(update))
        if pause:
            await asyncio.sleep(pause)
    return seen


def later(seconds: float, action: Callable[[], Any]) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(seconds, action)
