"""Lists and retrieves fine-tuning jobs."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Unpack

from asyncckpt import records, streams
from asyncckpt.counts import RequestCounts
from asyncckpt.options import (
    NOT_GIVEN,
    CallOptions,
    NotGiven,
    Omit,
    WatchOptions,
    given,
    show_call_options,
)
from asyncckpt.protocol.request import QueryValue, check_query
from asyncckpt.records.codec import ListDecoder
from asyncckpt.resources.checkpoints import AsyncCheckpoints
from asyncckpt.resources.endpoint import Endpoint
from asyncckpt.resources.retrieval import job_path, retrieve_job
from asyncckpt.streams.failures import OnError
from asyncckpt.streams.pager import Pager
from asyncckpt.streams.sources import Jobs

if TYPE_CHECKING:
    from asyncckpt.records.base import HasId
    from asyncckpt.streams.curve import Curve, Steps
    from asyncckpt.streams.watch import Watch

__all__ = ["AsyncFineTuning", "AsyncJobs"]


@functools.cache
def _job_list() -> ListDecoder[records.FineTuningJob]:
    from asyncckpt.records.jobs import FineTuningJob, ListPaginatedFineTuningJobsResponse

    return ListDecoder(ListPaginatedFineTuningJobsResponse, FineTuningJob)


class AsyncJobs:
    """Fine-tuning jobs: ``client.fine_tuning.jobs``."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @functools.cached_property
    def checkpoints(self) -> AsyncCheckpoints:
        """The checkpoints of jobs."""
        return AsyncCheckpoints(self._endpoint)

    @show_call_options
    def list(
        self,
        *,
        after: str | NotGiven | Omit | None = None,
        limit: int | NotGiven | Omit | None = None,
        metadata: Mapping[str, QueryValue] | NotGiven | Omit | None = None,
        prefetch: int | None = None,
        max_records: int | None = None,
        on_expired_cursor: streams.OnExpiredCursor = "raise",
        **options: Unpack[CallOptions],
    ) -> Pager[records.FineTuningJob]:
        """List the organization's fine-tuning jobs, in the server's order.

        OpenAI and Azure send the newest first, other servers the oldest.

        Nothing is sent until the pager is used. API reference: *List fine-tuning jobs*,
        ``GET /fine_tuning/jobs``.

        Args:
            after: Start after the job with this id; default: start with the server's first.
            limit: The number of jobs per page. Default: iterating requests 100, or `max_records` if
                that is less; if the server rejects that, the request is repeated without a limit.
                Awaiting requests no limit; OpenAI then sends 20.
            metadata: List only jobs with these keys and values; default: all jobs. For jobs without
                metadata, pass ``extra_query={"metadata": "null"}``.
            prefetch: The number of pages to fetch ahead of the current one; default: the client's.
            max_records: Stop after this many jobs; default: no limit.
            on_expired_cursor: What to do if the server no longer knows the last record of a page,
                after which the next page is to start. ``"raise"``, the default: raise
                `CursorExpiredError`. ``"restart"``: list the jobs from the start again, and skip
                those that were yielded. This requests the pages again, and needs a server that
                keeps its order; if the place is not found, it raises the error.
            **options: See `CallOptions`.

        Returns:
            A `Pager`: ``async for`` yields jobs, ``await`` returns the first page, and
            `Pager.pages` yields pages. Using it can raise `APIError`, `PaginationError`, any
            exception of an `api_key` callable, or RuntimeError if the client is closed.

        Raises:
            TypeError: An argument has the wrong type, or is unknown.
            ValueError: An argument has an invalid value.
        """
        return self._endpoint.pager(
            "/fine_tuning/jobs",
            check_query("metadata", {"metadata": given(metadata)}),
            _job_list(),
            self._endpoint.options(self.list, options),
            after=after,
            limit=limit,
            prefetch=prefetch,
            max_records=max_records,
            on_expired_cursor=on_expired_cursor,
            hooks=self._endpoint.stream_hooks("fine_tuning.jobs.list"),
        )

    @show_call_options
    async def retrieve(
        self, fine_tuning_job_id: str, **options: Unpack[CallOptions]
    ) -> records.FineTuningJob:
        """Retrieve one fine-tuning job.

        API reference: *Retrieve fine-tuning job*, ``GET /fine_tuning/jobs/{fine_tuning_job_id}``.

        Args:
            fine_tuning_job_id: The job, such as ``"ftjob-abc123"``.
            **options: See `CallOptions`.

        Returns:
            The job.

        Raises:
            APIError: The request failed; see `asyncckpt.errors`.
            RuntimeError: The client is closed.
            Exception: Any exception of an `api_key` callable.
            TypeError: An argument has the wrong type, or is unknown.
            ValueError: An argument has an invalid value.
        """
        request = self._endpoint.options(self.retrieve, options)
        # Error reports show local variables, and `extra_headers` and `extra_query` may hold a key.
        del options
        from asyncckpt.records.jobs import with_request_id

        counts = RequestCounts()
        job, response = await retrieve_job(self._endpoint, fine_tuning_job_id, request, counts)
        return with_request_id(job, response.request_id)

    @show_call_options
    def list_events(
        self,
        fine_tuning_job_id: str,
        *,
        after: str | NotGiven | Omit | None = None,
        limit: int | NotGiven | Omit | None = None,
        prefetch: int | None = None,
        max_records: int | None = None,
        on_expired_cursor: streams.OnExpiredCursor = "raise",
        **options: Unpack[CallOptions],
    ) -> Pager[records.FineTuningJobEvent]:
        """List the events of one job, in the server's order; OpenAI sends the newest first.

        Nothing is sent until the pager is used. API reference: *List fine-tuning events*,
        ``GET /fine_tuning/jobs/{fine_tuning_job_id}/events``.

        Args:
            fine_tuning_job_id: The job, such as ``"ftjob-abc123"``.
            after: Start after the event with this id; default: start with the server's first.
            limit: Events to request in a page. Default: an iteration requests 100, or `max_records`
                if that is less, and repeats the request without a limit if the server rejects it;
                an awaited page has the server's own size, 20 at OpenAI.
            prefetch: Pages to have ready or under way beyond the one in use; default: the client's.
            max_records: Stop after this many events; default: no limit.
            on_expired_cursor: As for `list`.
            **options: See `CallOptions`.

        Returns:
            A `Pager`; ``async for`` yields events, ``await`` returns the first page, `Pager.pages`
            yields pages. Using it may raise `APIError`, `PaginationError`, what an `api_key`
            callable raises, or RuntimeError if the client is closed.

        Raises:
            TypeError: An argument is of the wrong type, or unknown.
            ValueError: An argument has an invalid value: an id that would make a different path, a
                `limit` below 1, a negative `prefetch`.
        """
        from asyncckpt.resources.curves import event_list

        return self._endpoint.pager(
            f"{job_path(fine_tuning_job_id)}/events",
            {},
            event_list,
            self._endpoint.options(self.list_events, options),
            after=after,
            limit=limit,
            prefetch=prefetch,
            max_records=max_records,
            on_expired_cursor=on_expired_cursor,
            hooks=self._endpoint.stream_hooks("fine_tuning.jobs.list_events", fine_tuning_job_id),
        )

    @show_call_options
    def step_metrics(
        self,
        job: str | records.FineTuningJob,
        **options: Unpack[CallOptions],
    ) -> Curve:
        """Read the training curve of one job: the metrics of each step, in ascending order.

        Nothing is sent until the curve is used. The metrics come from the job's result file, if it
        has one that exists; otherwise from its ``metrics`` events, all of which are read and sorted
        first. API reference: *Retrieve file content*, ``GET /files/{file_id}/content``, and *List
        fine-tuning events*.

        A result file is read piece by piece, in memory that does not grow with it, and holds a
        connection until its end. `timeout` limits the wait for its first byte, and then each wait
        for more of it. If the connection breaks, the file is read again from its beginning, up to
        `max_retries` times, and no step comes twice.

        Args:
            job: The job, such as ``"ftjob-abc123"``, which is then requested for its result files,
                or a record of it, which is taken to be up to date.
            **options: See `CallOptions`.

        Returns:
            A `Curve`; ``async for`` yields `StepMetrics`, ``await`` returns a list of them. Using
            it may raise `APIError`, `PaginationError`, what an `api_key` callable raises, or
            RuntimeError if the client is closed.

        Raises:
            TypeError: An argument is of the wrong type, or unknown.
            ValueError: An argument has an invalid value: an id that would make a different path.
        """
        from asyncckpt.resources.curves import StepsOfEvents, open_result_file
        from asyncckpt.streams.curve import Curve

        request = self._endpoint.options(self.step_metrics, options)
        del options  # as in `retrieve`
        if not isinstance(job, str) and not isinstance(job, records.FineTuningJob):
            raise TypeError(f"job must be an id or a FineTuningJob, not {type(job).__name__}")
        job_id = job if isinstance(job, str) else job.id
        path = job_path(job_id)

        async def open_steps() -> Steps:
            found = job
            if isinstance(found, str):
                found, _ = await retrieve_job(self._endpoint, found, request, RequestCounts())
            file = await open_result_file(self._endpoint, found.result_files, request)
            return file or StepsOfEvents(self._endpoint, f"{path}/events", request)

        return Curve(
            open_steps, self._endpoint.stream_hooks("fine_tuning.jobs.step_metrics", job_id)
        )

    @show_call_options
    def watch(
        self,
        jobs: str | HasId | Jobs,
        *,
        interval: float | None = None,
        timeout: float | None = None,
        resume: str | None = None,
        max_silence: float | None = 600.0,
        on_error: OnError = "raise",
        **options: Unpack[WatchOptions],
    ) -> Watch:
        """Watch running jobs until they end: checkpoints, events and changes of status.

        For each job, what exists comes first: its checkpoints and events in order of time, then
        `CaughtUp`. Then come live updates, and `Finished` at the end. Of the same second,
        checkpoints come before events. The watch ends when all jobs have ended: ``succeeded``,
        ``failed`` or ``cancelled``. No other status ends it.

        Nothing is sent until the watch is iterated over. A poll requests the job, its checkpoints
        and its events; in the queue only the job. API reference: *Retrieve fine-tuning job*, *List
        fine-tuning checkpoints* and *List fine-tuning events*.

        Args:
            jobs: One id or job record, or several from any iterable or async iterable.
            interval: The seconds between two polls of a job. Default: as long as the server asks
                for with ``openai-poll-after-ms``, ``Retry-After`` or ``X-Poll-Interval``, otherwise
                2 to 60 seconds: shorter after a change and near the estimated end, longer in the
                queue, and longer for many jobs.
            timeout: Raise TimeoutError if the watch has not ended after this many seconds; default:
                no limit. The time limits of its requests are the client's.
            resume: The `resume_token` of an earlier watch; updates that it has yielded do not come
                again.
            max_silence: The seconds without a successful poll of a job after which the job fails;
                None for no limit; default 600. Status 401, 403 or 404 is a failure at once.
            on_error: What to do if a job fails. ``"raise"``, the default: yield the updates that
                arrived before, and raise the error. ``"collect"``: continue, and add the failure to
                `Watch.failures`. A callable, async or not: call it with the `JobFailure`, and
                continue unless it raises.
            **options: See `CallOptions`.

        Returns:
            A `Watch`: ``async for`` yields `CheckpointCreated`, `EventLogged`, `StatusChanged`,
            `CaughtUp` and `Finished`. Using it can raise `APIError`, TimeoutError, any exception of
            `jobs`, `on_error` or an `api_key` callable, or RuntimeError if the client is closed.

        Raises:
            TypeError: An argument has the wrong type, or is unknown.
            ValueError: An argument has an invalid value, such as an `interval` of 0, or a token
                that is malformed.
        """
        from asyncckpt.resources.feeds import feeds_of
        from asyncckpt.streams.roster import WatchSettings
        from asyncckpt.streams.watch import Watch

        request = self._endpoint.options(self.watch, CallOptions(**options, timeout=NOT_GIVEN))
        return Watch(
            *feeds_of(self._endpoint, jobs, request),
            WatchSettings(interval=interval, timeout=timeout, max_silence=max_silence),
            on_error=on_error,
            resume=resume,
            hooks=self._endpoint.stream_hooks("fine_tuning.jobs.watch", jobs),
        )


class AsyncFineTuning:
    """Fine-tuning: ``client.fine_tuning``."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @functools.cached_property
    def jobs(self) -> AsyncJobs:
        """Fine-tuning jobs."""
        return AsyncJobs(self._endpoint)
