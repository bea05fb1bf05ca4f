"""Streams over the lists of many jobs, and sources of jobs that record how they are used."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import attrs
import pytest
from multidict import CIMultiDict

from asyncckpt import (
    AsyncClient,
    FanIn,
    FineTuningJobCheckpoint,
    Page,
    Request,
    Response,
)
from asyncckpt.counts import RequestCounts
from asyncckpt.testing import Sandbox

BOTH = pytest.mark.parametrize("ordered", [False, True], ids=["as-they-come", "in-order"])


Seen = list[tuple[str, str]]


def served(sandbox: Sandbox, jobs: Sequence[str] | None = None) -> Seen:
    """All records of some jobs, job after job."""
    return [
        (job, checkpoint["id"])
        for job in (sandbox.job_ids if jobs is None else jobs)
        for checkpoint in sandbox.checkpoints_of(job)
    ]


def by_job(seen: Seen) -> dict[str, list[str]]:
    """The ids of each job, in the order in which they arrived."""
    grouped: dict[str, list[str]] = {}
    for job, record in seen:
        grouped.setdefault(job, []).append(record)
    return grouped


async def read(stream: FanIn[FineTuningJobCheckpoint]) -> Seen:
    return [(record.fine_tuning_job_id, record.id) async for record in stream]


async def read_into(seen: Seen, stream: FanIn[FineTuningJobCheckpoint]) -> None:
    async for record in stream:
        seen.append((record.fine_tuning_job_id, record.id))


@attrs.frozen
class Record:
    id: str


def page_of(name: str, *, more: bool) -> Page[Record]:
    async def no_fetch(cursor: str) -> Page[Record]:
        raise AssertionError(f"the page after {cursor} was requested")

    response = Response(200, CIMultiDict(), b"{}", Request("GET", "https://h/v1"))
    return Page([Record(name)], more, name, name, "list", response=response, fetch=no_fetch)


def fan_in(jobs: Any, fetch_of: Callable[[object], Any], **options: Any) -> FanIn[Record]:
    """A stream over pages that `fetch_of` creates, without HTTP."""
    return FanIn(
        list(jobs) if isinstance(jobs, str) else jobs,
        fetch_of,
        **{
            "concurrency": 3,
            "ordered": False,
            "on_error": "raise",
            "max_records_per_job": None,
            "counts": RequestCounts(),
        }
        | options,
    )


async def read_ids_into(seen: list[str], stream: FanIn[Record]) -> None:
    async for record in stream:
        seen.append(record.id)  # noqa: PERF401 - keeps those before an error


def many(client: AsyncClient, jobs: Any, **options: Any) -> FanIn[FineTuningJobCheckpoint]:
    return client.fine_tuning.jobs.checkpoints.list_many(jobs, **options)


async def settled(sandbox: Sandbox) -> None:
    """Wait until no more requests arrive."""
    quiet, requests = 0, -1
    async with asyncio.timeout(30):
        while quiet < 100:
            await asyncio.sleep(0)
            is_quiet = sandbox.stats.in_flight == 0 and sandbox.stats.requests == requests
            quiet = quiet + 1 if is_quiet else 0
            requests = sandbox.stats.requests


async def one_by_one(items: Sequence[Any]) -> AsyncIterator[Any]:
    for item in items:
        await asyncio.sleep(0)
        yield item


class Source:
    """A source of jobs that records how many were drawn and whether it was closed."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = items
        self.taken = 0
        self.is_closing = False
        self.is_closed = False

    def __call__(self) -> Iterator[Any]:
        try:
            for item in self.items:
                self.taken += 1
                yield item
        finally:
            self.is_closing = self.is_closed = True

    async def asynchronous(self) -> AsyncIterator[Any]:
        try:
            for item in self.items:
                await asyncio.sleep(0)
                self.taken += 1
                yield item
        finally:
            self.is_closing = True
            await asyncio.sleep(0)
            self.is_closed = True

    def of_kind(self, kind: str) -> Any:
        return self() if kind == "generator" else self.asynchronous()


KINDS = pytest.mark.parametrize("kind", ["generator", "async generator"])
