"""Requests what a watch needs of one job: the job, and pages of its checkpoints and events."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from asyncckpt.counts import RequestCounts
from asyncckpt.options import RequestOptions
from asyncckpt.protocol.hints import poll_after
from asyncckpt.records.base import HasId
from asyncckpt.records.codec import ListDecoder
from asyncckpt.resources.checkpoints import checkpoint_list
from asyncckpt.resources.curves import event_list
from asyncckpt.resources.retrieval import job_path, retrieve_job
from asyncckpt.streams.job_watch import Sighting
from asyncckpt.streams.page import Page, ignore
from asyncckpt.streams.sources import Jobs, jobs_of

if TYPE_CHECKING:
    from asyncckpt.resources.endpoint import Endpoint

__all__ = ["SMALL_PAGE", "Feed", "feeds_of"]

RecordT = TypeVar("RecordT", bound=HasId)

SMALL_PAGE: Final = 20
"""The page size to request when a list probably has nothing new."""


class Feed:
    """What a watch needs of one job; implements `JobFeed`.

    Args:
        endpoint: Where to send.
        job_id: The job.
        options: The options of the watch.

    Raises:
        TypeError: The id is not a string.
        ValueError: The id would make a different path.
    """

    def __init__(self, endpoint: Endpoint, job_id: object, options: RequestOptions) -> None:
        path = job_path(job_id)
        self._endpoint = endpoint
        self._job_id = str(job_id)
        self._options = options
        self._counts = RequestCounts()
        self.checkpoints = _Pages(
            endpoint,
            f"{path}/checkpoints",
            checkpoint_list,
            options,
            self._counts,
            job_id=self._job_id,
        )
        self.events = _Pages(endpoint, f"{path}/events", event_list, options, self._counts)

    async def job(self) -> Sighting:
        """Fetch the job."""
        job, response = await retrieve_job(
            self._endpoint, self._job_id, self._options, self._counts
        )
        return Sighting(job, poll_after(response.headers, time.time()))


class _Pages(Generic[RecordT]):
    """Fetches the pages of a list; implements `ListSource`."""

    def __init__(
        self,
        endpoint: Endpoint,
        path: str,
        decoder: ListDecoder[RecordT],
        options: RequestOptions,
        counts: RequestCounts,
        *,
        job_id: str | None = None,
    ) -> None:
        small = endpoint.list_query(options, {}, None, SMALL_PAGE)
        large = endpoint.list_query(options, {}, None, None)
        self._small, self._large = (
            endpoint.list_fetch(path, query, decoder, options, counts, job_id=job_id)
            for query in (small, large)
        )

    async def __call__(self, after: str | None, *, small: bool) -> Page[RecordT]:
        """Fetch the page after a cursor."""
        return await (self._small if small else self._large)(after, ignore)


def feeds_of(
    endpoint: Endpoint, jobs: str | HasId | Jobs, options: RequestOptions
) -> tuple[Jobs, Callable[[object], Feed]]:
    """Return the jobs to watch, and the function that returns the feed of a job.

    Raises:
        TypeError: `jobs` cannot be iterated over, or is an object without a valid id.
        ValueError: The id of a single job would make a different path.
    """
    if isinstance(jobs, str):
        job_path(jobs)
    return jobs_of(jobs), functools.partial(Feed, endpoint, options=options)
