"""The checkpoints of fine-tuning jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from asyncckpt.counts import RequestCounts
from asyncckpt.options import NOT_GIVEN, NotGiven, Timeout, check_count
from asyncckpt.protocol.request import (
    path_segment,
)
from asyncckpt.records.checkpoints import (
    FineTuningJobCheckpoint,
    ListFineTuningJobCheckpointsResponse,
)
from asyncckpt.records.codec import ListDecoder
from asyncckpt.resources.endpoint import Endpoint, ListFetch, limit_query
from asyncckpt.streams.fanin import FanIn, Jobs, OnError
from asyncckpt.streams.page import Fetch
from asyncckpt.streams.pager import Pager

if TYPE_CHECKING:
    pass

__all__ = ["AsyncCheckpoints"]

_checkpoint_list: Final = ListDecoder(ListFineTuningJobCheckpointsResponse, FineTuningJobCheckpoint)


class AsyncCheckpoints:
    """The checkpoints of fine-tuning jobs: ``client.fine_tuning.jobs.checkpoints``."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def list(
        self,
        fine_tuning_job_id: str,
        *,
        after: str | None = None,
        limit: int | None = None,
        prefetch: int | None = None,
        max_records: int | None = None,
        extra_headers: Mapping[str, str] | None = None,
        extra_query: Mapping[str, str] | None = None,
        timeout: float | Timeout | NotGiven | None = NOT_GIVEN,
        max_retries: int | None = None,
        max_wait: float | None = None,
    ) -> Pager[FineTuningJobCheckpoint]:
        """List the checkpoints of one job, newest first.

        Nothing is sent until the pager is used. API reference: *List fine-tuning checkpoints*,
        ``GET /fine_tuning/jobs/{fine_tuning_job_id}/checkpoints``.

        Args:
            fine_tuning_job_id: The job, such as ``"ftjob-abc123"``.
            after: Start after the checkpoint of this id; default: with the newest.
            limit: Checkpoints in a page; default: what the server takes, 10 at OpenAI. More in a
                page means fewer requests.
            prefetch: Pages to have ready or under way beyond the one in use; default: the client's.
            max_records: Stop after so many checkpoints; default: no limit.
            extra_headers: Headers to add to those of the client, or to replace them.
            extra_query: Query parameters to add to those of the client, or to replace them.
            timeout: Seconds for one attempt in all, or a `Timeout`; default: the client's.
            max_retries: How often to try again after a failure; default: the client's.
            max_wait: Seconds one request may wait in all, for the rate limit and between retries;
                default: the client's.

        Returns:
            A `Pager`; ``async for`` gives checkpoints, ``await`` the first page, `Pager.pages`
            pages. Using it may raise `APIError`, `PaginationError`, whatever an `api_key` callable
            raises, or RuntimeError if the client is closed.

        Raises:
            TypeError: An argument is of the wrong type.
            ValueError: An argument has a value that cannot be: an id that would make a different
                path, a `limit` below 1, a negative `prefetch`.
        """
        path = _checkpoints_path(fine_tuning_job_id)
        options = self._endpoint.options(
            extra_headers=extra_headers,
            extra_query=extra_query,
            timeout=timeout,
            max_retries=max_retries,
            max_wait=max_wait,
        )
        query = self._endpoint.query(options, limit_query(limit))
        call = self._endpoint.call(path, query, options, RequestCounts())
        return Pager(
            ListFetch(self._endpoint.session, call, _checkpoint_list),
            after=after,
            prefetch=self._endpoint.prefetch if prefetch is None else prefetch,
            max_records=max_records,
        )

    def list_many(
        self,
        jobs: Jobs,
        *,
        concurrency: int = 50,
        ordered: bool = False,
        on_error: OnError = "raise",
        limit: int | None = None,
        max_records_per_job: int | None = None,
        extra_headers: Mapping[str, str] | None = None,
        extra_query: Mapping[str, str] | None = None,
        timeout: float | Timeout | NotGiven | None = NOT_GIVEN,
        max_retries: int | None = None,
        max_wait: float | None = None,
    ) -> FanIn[FineTuningJobCheckpoint]:
        """List the checkpoints of many jobs as one stream.

        Nothing is sent, and nothing drawn from `jobs`, until the stream is iterated over. A slow
        consumer slows the fetching down; how much is fetched ahead of it is bounded.

        Args:
            jobs: Ids, or job records, from any iterable or async iterable; a `Pager` of jobs, say.
                It is drawn from as jobs are begun, never more than one and a half times
                `concurrency` ahead of what has been handed out, and closed at the end if it is a
                generator.
            concurrency: How many jobs to list at the same time; default 50.
            ordered: Hand out job after job in the order of `jobs`, with later ones fetched ahead;
                default: as they come.
            on_error: What to do about a job that fails. ``"raise"``, the default: begin no other,
                and raise its error after the records that were there before. ``"collect"``: go on;
                the failures are in `FanIn.failures`. A callable, async or not: call it with each
                `JobFailure`, and go on unless it raises.
            limit: Checkpoints in a page; default: what the server takes, 10 at OpenAI.
            max_records_per_job: Only the newest so many checkpoints of each job; default: all.
            extra_headers: Headers to add to those of the client, or to replace them.
            extra_query: Query parameters to add to those of the client, or to replace them.
            timeout: Seconds for one attempt in all, or a `Timeout`; default: the client's.
            max_retries: How often to try again after a failure; default: the client's.
            max_wait: Seconds one request may wait in all, for the rate limit and between retries;
                default: the client's.

        Returns:
            A `FanIn`; ``async for`` gives checkpoints, each job's newest first. Its `progress` may
            be read meanwhile. Using it may raise `APIError`, whatever `jobs`, `on_error` or an
            `api_key` callable raise, or RuntimeError if the client is closed.

        Raises:
            TypeError: An argument is of the wrong type; also a single id in place of several.
            ValueError: An argument has a value that cannot be.
        """
        check_count("concurrency", concurrency, least=1)
        if max_records_per_job is not None:
            check_count("max_records_per_job", max_records_per_job, least=1)
        options = self._endpoint.options(
            extra_headers=extra_headers,
            extra_query=extra_query,
            timeout=timeout,
            max_retries=max_retries,
            max_wait=max_wait,
        )
        query = self._endpoint.query(options, limit_query(limit))
        counts = RequestCounts()

        def fetch_of(job_id: object) -> Fetch[FineTuningJobCheckpoint]:
            call = self._endpoint.call(_checkpoints_path(job_id), query, options, counts)
            return ListFetch(self._endpoint.session, call, _checkpoint_list)

        return FanIn(
            jobs,
            fetch_of,
            concurrency=concurrency,
            ordered=ordered,
            on_error=on_error,
            max_records_per_job=max_records_per_job,
            counts=counts,
        )


def _checkpoints_path(fine_tuning_job_id: object) -> str:
    job = path_segment("fine_tuning_job_id", fine_tuning_job_id)
    return f"/fine_tuning/jobs/{job}/checkpoints"
