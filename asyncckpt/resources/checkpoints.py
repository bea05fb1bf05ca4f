"""Defines the calls for checkpoints: `client.fine_tuning.jobs.checkpoints`.

The file is long because each call documents all its arguments.
"""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable, Coroutine
from typing import Final, TypeAlias, Unpack

from asyncckpt import streams
from asyncckpt.counts import RequestCounts
from asyncckpt.options import (
    NOT_GIVEN,
    CallOptions,
    NotGiven,
    Omit,
    RequestOptions,
    WatchOptions,
    check_count,
    show_call_options,
)
from asyncckpt.protocol.request import path_segment
from asyncckpt.records.base import HasId
from asyncckpt.records.checkpoints import (
    FineTuningJobCheckpoint,
    ListFineTuningJobCheckpointsResponse,
)
from asyncckpt.records.codec import ListDecoder
from asyncckpt.resources.endpoint import Endpoint
from asyncckpt.streams.failures import OnError, check_on_error
from asyncckpt.streams.fanin import FanIn
from asyncckpt.streams.page import Fetch
from asyncckpt.streams.pager import Pager
from asyncckpt.streams.restarts import check_on_expired_cursor
from asyncckpt.streams.sources import Jobs

__all__ = ["AsyncCheckpoints", "checkpoint_list"]

_Fetch: TypeAlias = "Fetch[FineTuningJobCheckpoint]"
_PATH: Final = "fine_tuning.jobs.checkpoints"
"""Where the methods are, from the client."""

checkpoint_list: Final = ListDecoder(ListFineTuningJobCheckpointsResponse, FineTuningJobCheckpoint)


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
        on_expired_cursor: streams.OnExpiredCursor = "raise",
        **options: Unpack[CallOptions],
    ) -> Pager[FineTuningJobCheckpoint]:
        """List the checkpoints of one job, in the server's order.

        OpenAI and Azure send the newest first, other servers the oldest.

        Nothing is sent until the pager is used. API reference: *List fine-tuning checkpoints*,
        ``GET /fine_tuning/jobs/{fine_tuning_job_id}/checkpoints``.

        Args:
            fine_tuning_job_id: The job, such as ``"ftjob-abc123"``.
            after: Start after the checkpoint with this id; default: start with the server's first
                one.
            limit: The number of checkpoints per page. Default: iterating requests 100, or
                `max_records` if that is less; if the server rejects that, the request is repeated
                without a limit. Awaiting requests no limit; OpenAI then sends 10.
            prefetch: The number of pages to fetch ahead of the current one; default: the client's.
            max_records: Stop after this many checkpoints; default: no limit.
            on_expired_cursor: What to do if the server no longer knows the last record of a page,
                after which the next page is to start. ``"raise"``, the default: raise
                `CursorExpiredError`. ``"restart"``: list the checkpoints from the start again, and
                skip those that were yielded. This requests the pages again, and needs a server that
                keeps its order; if the place is not found, it raises the error.
            **options: See `CallOptions`.

        Returns:
            A `Pager`: ``async for`` yields checkpoints, ``await`` returns the first page, and
            `Pager.pages` yields pages. Using it can raise `APIError`, `PaginationError`, any
            exception of an `api_key` callable, or RuntimeError if the client is closed.

        Raises:
            TypeError: An argument has the wrong type, or is unknown.
            ValueError: An argument has an invalid value, such as an id with a slash, a `limit`
                below 1 or a negative `prefetch`.
        """
        return self._endpoint.pager(
            _checkpoints_path(fine_tuning_job_id),
            {},
            checkpoint_list,
            self._endpoint.options(self.list, options),
            after=after,
            limit=limit,
            prefetch=prefetch,
            max_records=max_records,
            on_expired_cursor=on_expired_cursor,
            hooks=self._endpoint.stream_hooks(f"{_PATH}.list", fine_tuning_job_id),
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
        on_expired_cursor: streams.OnExpiredCursor = "raise",
        **options: Unpack[CallOptions],
    ) -> FanIn[FineTuningJobCheckpoint]:
        """List the checkpoints of many jobs as one stream.

        Nothing is sent, and no job is taken from `jobs`, until the stream is iterated over. The
        number of pages fetched ahead of the consumer is bounded, so a slow consumer slows the
        requests down. API reference: as for `list`.

        Args:
            jobs: Ids or job records, from any iterable or async iterable, such as a `Pager` of
                jobs. Each job is taken only when a worker can start to list it, at most 1.5 times
                `concurrency` jobs ahead of the one being yielded. A generator is closed at the end.
            concurrency: The number of jobs to list at the same time; default 50.
            ordered: Yield the jobs one after the other, in the order of `jobs`, and fetch later
                jobs ahead; default: yield pages in the order of arrival.
            on_error: What to do if a job fails. ``"raise"``, the default: start no other job, yield
                the records that arrived before, and raise the error. ``"collect"``: continue, and
                add the failure to `FanIn.failures`. A callable, async or not: call it with the
                `JobFailure`, and continue unless it raises.
            limit: The number of checkpoints per page. Default: 100, or `max_records_per_job` if
                that is less; if the server rejects that, the request is repeated without a limit.
            max_records_per_job: Yield at most this many checkpoints of each job, the first ones in
                the server's order; default: no limit. `latest` yields the newest of each job.
            on_expired_cursor: As for `list`.
            **options: See `CallOptions`.

        Returns:
            A `FanIn`: ``async for`` yields checkpoints, those of each job in the server's order.
            Using it can raise `APIError`, any exception of `jobs`, `on_error` or an `api_key`
            callable, or RuntimeError if the client is closed.

        Raises:
            TypeError: An argument has the wrong type, or is unknown; `jobs` is a single id.
            ValueError: An argument has an invalid value.
        """
        check_count("concurrency", concurrency, least=1)
        if max_records_per_job is not None:
            check_count("max_records_per_job", max_records_per_job, least=1)
        check_on_expired_cursor(on_expired_cursor)
        request = self._endpoint.options(self.list_many, options)
        return self._fan_in(
            jobs,
            request,
            concurrency=concurrency,
            ordered=ordered,
            on_error=on_error,
            limit=limit,
            max_records_per_job=max_records_per_job,
            restarts=on_expired_cursor == "restart",
            operation=f"{_PATH}.list_many",
        )

    @show_call_options
    def latest(
        self,
        jobs: Jobs,
        *,
        concurrency: int = 50,
        ordered: bool = False,
        on_error: OnError = "raise",
        **options: Unpack[CallOptions],
    ) -> FanIn[FineTuningJobCheckpoint]:
        """Find the newest checkpoint of each job, whatever the order of the server.

        The newest is that of the highest step. If steps are equal or unknown, it is that created
        last, then that with the greatest id. All checkpoints are read once; one page and one
        checkpoint of each job being listed are kept in memory. If a cursor expires, the list of the
        job is started again.

        Args:
            jobs: As for `list_many`.
            concurrency: The number of jobs to list at the same time; default 50.
            ordered: Yield the checkpoints in the order of `jobs`; default: in the order of arrival.
            on_error: What to do if a job fails, as for `list_many`. A job that could not be listed
                completely has no checkpoint in the stream.
            **options: See `CallOptions`.

        Returns:
            A `FanIn`: ``async for`` yields one checkpoint of each job that has any. Using it can
            raise what that of `list_many` raises.

        Raises:
            TypeError: An argument has the wrong type, or is unknown; `jobs` is a single id.
            ValueError: An argument has an invalid value.
        """
        check_count("concurrency", concurrency, least=1)
        from asyncckpt.streams.newest import only_newest

        return self._fan_in(
            jobs,
            self._endpoint.options(self.latest, options),
            concurrency=concurrency,
            ordered=ordered,
            on_error=on_error,
            limit=None,
            max_records_per_job=None,
            view=only_newest,
            operation=f"{_PATH}.latest",
        )

    @show_call_options
    def best(
        self,
        jobs: str | HasId | Jobs,
        *,
        metric: str | None = None,
        mode: streams.Mode | None = None,
        concurrency: int = 50,
        on_error: OnError = "raise",
        **options: Unpack[CallOptions],
    ) -> Coroutine[object, object, streams.Ranked]:
        """Find the best checkpoint of one or many jobs.

        All checkpoints are read once; memory does not depend on their number. `top` finds more than
        one, and describes the order.

        Args:
            jobs: As for `top`.
            metric: As for `top`.
            mode: As for `top`.
            concurrency: How many jobs to list at the same time; default 50.
            on_error: What to do about a job that fails, as for `list_many`.
            **options: See `CallOptions`.

        Returns:
            The best checkpoint, with its metric and its value; `Ranked.explain` says where the
            validation of its job turned up.

        Raises:
            NoCheckpointError: Nothing can be ranked; it says what was seen.
            APIError: A job failed, with ``on_error="raise"``.
            RuntimeError: The client is closed.
            TypeError: An argument is of the wrong type, or unknown; raised by the call, before its
                result is awaited.
            ValueError: An argument has an invalid value; also raised by the call.
            BaseException: What `jobs`, `on_error` or an `api_key` callable raises.
        """
        request = self._endpoint.options(self.best, options)
        operation = f"{_PATH}.best"
        return _first(self._rank(jobs, 1, metric, mode, request, concurrency, on_error, operation))

    @show_call_options
    def top(
        self,
        jobs: str | HasId | Jobs,
        n: int,
        *,
        metric: str | None = None,
        mode: streams.Mode | None = None,
        concurrency: int = 50,
        on_error: OnError = "raise",
        **options: Unpack[CallOptions],
    ) -> Coroutine[object, object, builtins.list[streams.Ranked]]:
        """Find the best checkpoints of one or many jobs.

        All checkpoints are read once. Memory is needed for `n` checkpoints of each metric that may
        be the one to rank by, and for a short summary of each job.

        A value that is missing, null, NaN or infinite is skipped, and so is a negative loss or
        accuracy, which some servers send for one that was not measured. Of equal values, the later
        step comes first, then the later `created_at`, then the greater id.

        Args:
            jobs: One id or job record; or several, as for `list_many`; or checkpoints from any
                iterable or async iterable, such as a stream that you have filtered.
            n: How many checkpoints to find.
            metric: The metric to rank by: any key of `metrics`, also one that this version does not
                know. Default: the first of full_valid_loss, valid_loss,
                full_valid_mean_token_accuracy, valid_mean_token_accuracy and train_loss that every
                job with checkpoints has.
            mode: ``"min"`` if the lowest value is the best, ``"max"`` if it is the highest.
                Default: by the name. A loss, error or perplexity is better if it is lower; an
                accuracy, reward or score if it is higher.
            concurrency: How many jobs to list at the same time; default 50.
            on_error: What to do about a job that fails, as for `list_many`. The failures collected
                are in `Ranked.failures`.
            **options: See `CallOptions`.

        Returns:
            At most `n` checkpoints, the best first. Jobs without the metric are in
            `Ranked.unranked`.

        Raises:
            NoCheckpointError: Nothing can be ranked; it says what was seen.
            APIError: A job failed, with ``on_error="raise"``.
            RuntimeError: The client is closed.
            TypeError: An argument is of the wrong type, or unknown; raised by the call, before its
                result is awaited. Also if `jobs` yields both jobs and checkpoints.
            ValueError: An argument has an invalid value; also raised by the call.
            BaseException: What `jobs`, `on_error` or an `api_key` callable raises.
        """
        request = self._endpoint.options(self.top, options)
        operation = f"{_PATH}.top"
        return self._rank(jobs, n, metric, mode, request, concurrency, on_error, operation)

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
    ) -> streams.CheckpointWatch:
        """Watch the checkpoints of running jobs until the jobs end.

        This is `AsyncJobs.watch`, reduced to checkpoints; events are not requested. Of each job,
        the existing checkpoints come first, then new ones as they are created.

        Args:
            jobs: As for `AsyncJobs.watch`.
            interval: As for `AsyncJobs.watch`.
            timeout: As for `AsyncJobs.watch`.
            resume: The `resume_token` of an earlier watch of checkpoints.
            max_silence: As for `AsyncJobs.watch`.
            on_error: As for `AsyncJobs.watch`.
            **options: See `CallOptions`.

        Returns:
            A `CheckpointWatch`: ``async for`` yields checkpoints, those of each job in ascending
            order of `step_number`. A checkpoint that the server lists late comes late. Using it
            can raise what a `Watch` can raise.

        Raises:
            TypeError: An argument has the wrong type, or is unknown.
            ValueError: An argument has an invalid value, such as an `interval` of 0, or a token
                that is malformed.
        """
        from asyncckpt.resources.feeds import feeds_of
        from asyncckpt.streams.roster import WatchSettings

        request = self._endpoint.options(self.watch, CallOptions(**options, timeout=NOT_GIVEN))
        return streams.CheckpointWatch(
            *feeds_of(self._endpoint, jobs, request),
            WatchSettings(interval=interval, timeout=timeout, max_silence=max_silence),
            on_error=on_error,
            resume=resume,
            hooks=self._endpoint.stream_hooks(f"{_PATH}.watch", jobs),
        )

    def _rank(
        self,
        jobs: str | HasId | Jobs,
        n: int,
        metric: str | None,
        mode: streams.Mode | None,
        request: RequestOptions,
        concurrency: int,
        on_error: OnError,
        operation: str,
    ) -> Coroutine[object, object, builtins.list[streams.Ranked]]:
        from asyncckpt.streams.ranking import Selection, rank_from

        check_count("concurrency", concurrency, least=1)
        check_on_error(on_error)
        listed = functools.partial(
            self._fan_in,
            request=request,
            concurrency=concurrency,
            ordered=False,
            on_error=on_error,
            limit=None,
            max_records_per_job=None,
            # The order does not matter, and a checkpoint that comes twice counts once.
            restarts=True,
            operation=operation,
        )
        return rank_from(jobs, Selection(n, metric, mode), listed)

    def _fan_in(
        self,
        jobs: Jobs,
        request: RequestOptions,
        *,
        concurrency: int,
        ordered: bool,
        on_error: OnError,
        limit: int | NotGiven | Omit | None,
        max_records_per_job: int | None,
        operation: str,
        restarts: bool = False,
        view: Callable[[_Fetch], _Fetch] | None = None,
    ) -> FanIn[FineTuningJobCheckpoint]:
        query = self._endpoint.list_query(request, {}, limit, max_records_per_job)
        counts = RequestCounts()

        def fetch_of(job_id: object) -> _Fetch:
            path = _checkpoints_path(job_id)
            fetch = self._endpoint.list_fetch(
                path, query, checkpoint_list, request, counts, job_id=str(job_id)
            )
            return fetch if view is None else view(fetch)

        checkpoints = FanIn(
            jobs,
            fetch_of,
            concurrency=concurrency,
            ordered=ordered,
            on_error=on_error,
            max_records_per_job=max_records_per_job,
            counts=counts,
            restarts=restarts,
            hooks=self._endpoint.stream_hooks(operation),
        )
        checkpoints.record_type = FineTuningJobCheckpoint
        return checkpoints


async def _first(ranking: Coroutine[object, object, list[streams.Ranked]]) -> streams.Ranked:
    return (await ranking)[0]


def _checkpoints_path(fine_tuning_job_id: object) -> str:
    job = path_segment("fine_tuning_job_id", fine_tuning_job_id)
    return f"/fine_tuning/jobs/{job}/checkpoints"
