"""The checkpoints of fine-tuning jobs."""

from __future__ import annotations

from typing import Final, Unpack

from asyncckpt.counts import RequestCounts
from asyncckpt.options import CallOptions, NotGiven, Omit, check_count, show_call_options
from asyncckpt.protocol.request import path_segment
from asyncckpt.records.checkpoints import (
    FineTuningJobCheckpoint,
    ListFineTuningJobCheckpointsResponse,
)
from asyncckpt.records.codec import ListDecoder
from asyncckpt.resources.endpoint import Endpoint
from asyncckpt.streams.fanin import FanIn, Jobs, OnError
from asyncckpt.streams.page import Fetch
from asyncckpt.streams.pager import Pager

__all__ = ["AsyncCheckpoints"]

_checkpoint_list: Final = ListDecoder(ListFineTuningJobCheckpointsResponse, FineTuningJobCheckpoint)


class AsyncCheckpoints:
    """The checkpoints of fine-tuning jobs: ``client.fine_tuning.jobs.checkpoints``."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @show_call_options
    def list(
        self,
        fine_tuning_job_id: str,
        *,
        after: str | NotGiven | Omit | None = None,
        limit: int | NotGiven | Omit | None = None,
        prefetch: int | None = None,
        max_records: int | None = None,
        **options: Unpack[CallOptions],
    ) -> Pager[FineTuningJobCheckpoint]:
        """List the checkpoints of one job, newest first.

        Nothing is sent until the pager is used. API reference: *List fine-tuning checkpoints*,
        ``GET /fine_tuning/jobs/{fine_tuning_job_id}/checkpoints``.

        Args:
            fine_tuning_job_id: The job, such as ``"ftjob-abc123"``.
            after: Start after the checkpoint of this id; default: with the newest.
            limit: Checkpoints to request in a page. Default: an iteration requests 100, or
                `max_records` if that is less, and repeats the request without a limit if the server
                rejects it; an awaited page has the server's own size, 10 at OpenAI.
            prefetch: Pages to have ready or under way beyond the one in use; default: the client's.
            max_records: Stop after this many checkpoints; default: no limit.
            **options: See `CallOptions`.

        Returns:
            A `Pager`; ``async for`` yields checkpoints, ``await`` returns the first page,
            `Pager.pages` yields pages. Using it may raise `APIError`, `PaginationError`, what an
            `api_key` callable raises, or RuntimeError if the client is closed.

        Raises:
            TypeError: An argument is of the wrong type, or unknown.
            ValueError: An argument has an invalid value: an id that would make a different path, a
                `limit` below 1, a negative `prefetch`.
        """
        return self._endpoint.pager(
            _checkpoints_path(fine_tuning_job_id),
            {},
            _checkpoint_list,
            self._endpoint.options(self.list, options),
            after=after,
            limit=limit,
            prefetch=prefetch,
            max_records=max_records,
            job_id=fine_tuning_job_id,
        )

    @show_call_options
    def list_many(
        self,
        jobs: Jobs,
        *,
        concurrency: int = 50,
        ordered: bool = False,
        on_error: OnError = "raise",
        limit: int | NotGiven | Omit | None = None,
        max_records_per_job: int | None = None,
        **options: Unpack[CallOptions],
    ) -> FanIn[FineTuningJobCheckpoint]:
        """List the checkpoints of many jobs as one stream.

        Nothing is sent, and nothing drawn from `jobs`, until the stream is iterated over. A slow
        consumer slows the requests down; the number of pages fetched ahead of it is bounded.

        Args:
            jobs: Ids, or job records, from any iterable or async iterable, such as a `Pager` of
                jobs. It is drawn from as jobs are started, never more than one and a half times
                `concurrency` ahead of what has been yielded, and closed at the end if it is a
                generator.
            concurrency: How many jobs to list at the same time; default 50.
            ordered: Yield job after job in the order of `jobs`, with later ones fetched ahead;
                default: in the order of arrival.
            on_error: What to do about a job that fails. ``"raise"``, the default: start no other,
                and raise its error after the records that arrived before. ``"collect"``: go on; the
                failures are in `FanIn.failures`. A callable, async or not: call it with each
                `JobFailure`, and go on unless it raises.
            limit: Checkpoints to request in a page. Default: 100, or `max_records_per_job` if that
                is less; if the server rejects it, the request is repeated without a limit.
            max_records_per_job: At most this many checkpoints of each job, the newest; default: no
                limit.
            **options: See `CallOptions`.

        Returns:
            A `FanIn`; ``async for`` yields checkpoints, each job's newest first. Its `progress` may
            be read meanwhile. Using it may raise `APIError`, whatever `jobs`, `on_error` or an
            `api_key` callable raise, or RuntimeError if the client is closed.

        Raises:
            TypeError: An argument is of the wrong type, or unknown; also a single id in place of
                several.
            ValueError: An argument has an invalid value.
        """
        check_count("concurrency", concurrency, least=1)
        if max_records_per_job is not None:
            check_count("max_records_per_job", max_records_per_job, least=1)
        request = self._endpoint.options(self.list_many, options)
        query = self._endpoint.list_query(request, {}, limit, max_records_per_job)
        counts = RequestCounts()

        def fetch_of(job_id: object) -> Fetch[FineTuningJobCheckpoint]:
            path = _checkpoints_path(job_id)
            return self._endpoint.list_fetch(
                path, query, _checkpoint_list, request, counts, job_id=str(job_id)
            )

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
