"""Fine-tuning jobs."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

from asyncckpt.counts import RequestCounts
from asyncckpt.options import NOT_GIVEN, NotGiven, Timeout
from asyncckpt.protocol.request import (
    check_strings,
    path_segment,
)
from asyncckpt.records.codec import Decoder, ListDecoder
from asyncckpt.resources.checkpoints import AsyncCheckpoints
from asyncckpt.resources.endpoint import Endpoint, ListFetch, limit_query
from asyncckpt.streams.page import ignore
from asyncckpt.streams.pager import Pager
from asyncckpt.transport.sender import send

if TYPE_CHECKING:
    from asyncckpt.records.jobs import FineTuningJob

__all__ = ["AsyncFineTuning", "AsyncJobs"]


@functools.cache
def _job_list() -> ListDecoder[FineTuningJob]:
    from asyncckpt.records.jobs import FineTuningJob, ListPaginatedFineTuningJobsResponse

    return ListDecoder(ListPaginatedFineTuningJobsResponse, FineTuningJob)


@functools.cache
def _job() -> Decoder[FineTuningJob]:
    from asyncckpt.records.jobs import FineTuningJob

    return Decoder(FineTuningJob)


class AsyncJobs:
    """Fine-tuning jobs: ``client.fine_tuning.jobs``."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @functools.cached_property
    def checkpoints(self) -> AsyncCheckpoints:
        """The checkpoints of jobs."""
        return AsyncCheckpoints(self._endpoint)

    def list(
        self,
        *,
        after: str | None = None,
        limit: int | None = None,
        metadata: Mapping[str, str] | NotGiven | None = NOT_GIVEN,
        prefetch: int | None = None,
        max_records: int | None = None,
        extra_headers: Mapping[str, str] | None = None,
        extra_query: Mapping[str, str] | None = None,
        timeout: float | Timeout | NotGiven | None = NOT_GIVEN,
        max_retries: int | None = None,
        max_wait: float | None = None,
    ) -> Pager[FineTuningJob]:
        """List the organization's fine-tuning jobs, newest first.

        Nothing is sent until the pager is used. API reference: *List fine-tuning jobs*,
        ``GET /fine_tuning/jobs``.

        Args:
            after: Start after the job of this id; default: with the newest.
            limit: Jobs in a page; default: what the server takes, 20 at OpenAI.
            metadata: Only jobs with these keys and values; None: only jobs without metadata;
                default: all jobs.
            prefetch: Pages to have ready or under way beyond the one in use; default: the client's.
            max_records: Stop after so many jobs; default: no limit.
            extra_headers: Headers to add to those of the client, or to replace them.
            extra_query: Query parameters to add to those of the client, or to replace them.
            timeout: Seconds for one attempt in all, or a `Timeout`; default: the client's.
            max_retries: How often to try again after a failure; default: the client's.
            max_wait: Seconds one request may wait in all, for the rate limit and between retries;
                default: the client's.

        Returns:
            A `Pager`; ``async for`` gives jobs, ``await`` the first page, `Pager.pages` pages.
            Using it may raise `APIError`, `PaginationError`, whatever an `api_key` callable raises,
            or RuntimeError if the client is closed.

        Raises:
            TypeError: An argument is of the wrong type.
            ValueError: An argument has a value that cannot be.
        """
        options = self._endpoint.options(
            extra_headers=extra_headers,
            extra_query=extra_query,
            timeout=timeout,
            max_retries=max_retries,
            max_wait=max_wait,
        )
        query = self._endpoint.query(options, {**limit_query(limit), **_metadata_query(metadata)})
        call = self._endpoint.call("/fine_tuning/jobs", query, options, RequestCounts())
        return Pager(
            ListFetch(self._endpoint.session, call, _job_list()),
            after=after,
            prefetch=self._endpoint.prefetch if prefetch is None else prefetch,
            max_records=max_records,
        )

    async def retrieve(
        self,
        fine_tuning_job_id: str,
        *,
        extra_headers: Mapping[str, str] | None = None,
        extra_query: Mapping[str, str] | None = None,
        timeout: float | Timeout | NotGiven | None = NOT_GIVEN,
        max_retries: int | None = None,
        max_wait: float | None = None,
    ) -> FineTuningJob:
        """Get one fine-tuning job.

        API reference: *Retrieve fine-tuning job*, ``GET /fine_tuning/jobs/{fine_tuning_job_id}``.

        Args:
            fine_tuning_job_id: The job, such as ``"ftjob-abc123"``.
            extra_headers: Headers to add to those of the client, or to replace them.
            extra_query: Query parameters to add to those of the client, or to replace them.
            timeout: Seconds for one attempt in all, or a `Timeout`; default: the client's.
            max_retries: How often to try again after a failure; default: the client's.
            max_wait: Seconds the request may wait in all, for the rate limit and between retries;
                default: the client's.

        Returns:
            The job.

        Raises:
            APIError: The request failed; see `asyncckpt.errors`.
            RuntimeError: The client is closed.
            Exception: What an `api_key` callable raises.
            TypeError: An argument is of the wrong type.
            ValueError: An argument has a value that cannot be.
        """
        job = path_segment("fine_tuning_job_id", fine_tuning_job_id)
        options = self._endpoint.options(
            extra_headers=extra_headers,
            extra_query=extra_query,
            timeout=timeout,
            max_retries=max_retries,
            max_wait=max_wait,
        )
        query = self._endpoint.query(options, {})
        call = self._endpoint.call(f"/fine_tuning/jobs/{job}", query, options, RequestCounts())
        return await send(
            self._endpoint.session, call, lambda response: _job().decode(response.content), ignore
        )


class AsyncFineTuning:
    """Fine-tuning: ``client.fine_tuning``."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @functools.cached_property
    def jobs(self) -> AsyncJobs:
        """Fine-tuning jobs."""
        return AsyncJobs(self._endpoint)


def _metadata_query(metadata: Mapping[str, str] | NotGiven | None) -> dict[str, str]:
    if isinstance(metadata, NotGiven):
        return {}
    if metadata is None:
        return {"metadata": "null"}
    checked = check_strings("metadata", metadata)
    return {f"metadata[{key}]": value for key, value in checked.items()}
