"""What can be asked of the API, in the API's own words.

The tree is that of the official SDKs: ``client.fine_tuning.jobs.checkpoints``. Every method checks
its arguments before anything is sent, and those that list where they are called: `list` returns a
`Pager`, and nothing is sent until that is used.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Generic, NoReturn, TypeVar

import attrs

from asyncckpt.protocol import request as protocol
from asyncckpt.records.codec import Decoder, ListDecoder
from asyncckpt.streams.fanin import FanIn, Jobs, OnError
from asyncckpt.messages import Response
from asyncckpt.options import NOT_GIVEN, NotGiven, RequestOptions, Timeout, check_count
from asyncckpt.streams.page import Fetch, OnWire, Page, Unmade, ignore
from asyncckpt.streams.pager import Pager
from asyncckpt.records.checkpoints import (
    FineTuningJobCheckpoint,
    HasId,
    ListFineTuningJobCheckpointsResponse,
)
from asyncckpt.transport.sender import Account, Call, Sender, Tally

if TYPE_CHECKING:
    from asyncckpt.records.jobs import FineTuningJob

__all__ = ["AsyncCheckpoints", "AsyncFineTuning", "AsyncJobs"]

RecordT = TypeVar("RecordT", bound=HasId)

_checkpoint_list: Final = ListDecoder(ListFineTuningJobCheckpointsResponse, FineTuningJobCheckpoint)


@functools.cache
def _job_list() -> ListDecoder[FineTuningJob]:
    from asyncckpt.records.jobs import FineTuningJob, ListPaginatedFineTuningJobsResponse

    return ListDecoder(ListPaginatedFineTuningJobsResponse, FineTuningJob)


@functools.cache
def _job() -> Decoder[FineTuningJob]:
    from asyncckpt.records.jobs import FineTuningJob

    return Decoder(FineTuningJob)


@attrs.frozen
class Endpoint:
    """What the resources of a client share: where to send, on whose account, how."""

    sender: Sender
    account: Account
    base_url: str
    url_query: Mapping[str, str] = attrs.field(repr=False)
    defaults: RequestOptions
    prefetch: int

    def options(
        self,
        *,
        extra_headers: Mapping[str, str] | None,
        extra_query: Mapping[str, str] | None,
        timeout: float | Timeout | NotGiven | None,
        max_retries: int | None,
        max_wait: float | None,
    ) -> RequestOptions:
        """The client's options, with what one call changes of them."""
        options = self.defaults
        if extra_headers:
            checked = protocol.check_headers("extra_headers", extra_headers)
            options = attrs.evolve(
                options, headers=protocol.merge_headers(options.headers, checked)
            )
        if extra_query:
            checked = protocol.check_query("extra_query", extra_query)
            options = attrs.evolve(options, query={**options.query, **checked})
        return options.changed(timeout=timeout, max_retries=max_retries, max_wait=max_wait)

    def query(self, options: RequestOptions, parameters: Mapping[str, str]) -> str:
        """The query of a request, encoded: the URL's own, the options', and `parameters`."""
        return protocol.encode_query({**self.url_query, **options.query, **parameters})

    def call(self, path: str, query: str, options: RequestOptions, tally: Tally) -> Call:
        """A call of `path` and `query`, which are encoded already."""
        return Call(f"{self.base_url}{path}{query}", self.account, options, tally)


class _ListFetch(Generic[RecordT]):
    """Gets the pages of one list: a `Fetch`.

    Args:
        sender: Sends the requests.
        call: The request for the first page.
        decoder: Makes records of the bodies.
    """

    def __init__(self, sender: Sender, call: Call, decoder: ListDecoder[RecordT]) -> None:
        self._sender = sender
        self._call = call
        self._decoder = decoder

    async def __call__(self, cursor: str | None, on_wire: OnWire) -> Page[RecordT]:
        first = self._call
        # The URL is in no variable, for error reports like to show those: it may hold a key.
        call = Call(
            protocol.with_after(first.url, cursor), first.account, first.options, first.tally
        )
        return await self._sender.send(call, self._to_page, on_wire)

    async def _after(self, cursor: str) -> Page[RecordT]:
        return await self(cursor, ignore)

    def _to_page(self, response: Response) -> Page[RecordT]:
        body = self._decoder.parse(response.content)
        return Page(
            Unmade(body.data, self._decoder.to_records),
            body.has_more,
            body.first_id,
            body.last_id,
            body.object,
            body.extra,
            response=response,
            fetch=self._after,
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError("a page cannot be pickled, for it belongs to its client: pickle its data")

    def __deepcopy__(self, memo: dict[int, object]) -> _ListFetch[RecordT]:
        # A copy of a page still asks the same client for the next.
        return self


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
        query = self._endpoint.query(options, _limit_query(limit))
        call = self._endpoint.call(path, query, options, Tally())
        return Pager(
            _ListFetch(self._endpoint.sender, call, _checkpoint_list),
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
        query = self._endpoint.query(options, _limit_query(limit))
        tally = Tally()

        def fetch_of(job_id: object) -> Fetch[FineTuningJobCheckpoint]:
            call = self._endpoint.call(_checkpoints_path(job_id), query, options, tally)
            return _ListFetch(self._endpoint.sender, call, _checkpoint_list)

        return FanIn(
            jobs,
            fetch_of,
            concurrency=concurrency,
            ordered=ordered,
            on_error=on_error,
            max_records_per_job=max_records_per_job,
            tally=tally,
        )


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
        query = self._endpoint.query(options, {**_limit_query(limit), **_metadata_query(metadata)})
        call = self._endpoint.call("/fine_tuning/jobs", query, options, Tally())
        return Pager(
            _ListFetch(self._endpoint.sender, call, _job_list()),
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
        job = protocol.path_segment("fine_tuning_job_id", fine_tuning_job_id)
        options = self._endpoint.options(
            extra_headers=extra_headers,
            extra_query=extra_query,
            timeout=timeout,
            max_retries=max_retries,
            max_wait=max_wait,
        )
        query = self._endpoint.query(options, {})
        call = self._endpoint.call(f"/fine_tuning/jobs/{job}", query, options, Tally())
        return await self._endpoint.sender.send(
            call, lambda response: _job().decode(response.content), ignore
        )


class AsyncFineTuning:
    """Fine-tuning: ``client.fine_tuning``."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @functools.cached_property
    def jobs(self) -> AsyncJobs:
        """Fine-tuning jobs."""
        return AsyncJobs(self._endpoint)


def _checkpoints_path(fine_tuning_job_id: object) -> str:
    job = protocol.path_segment("fine_tuning_job_id", fine_tuning_job_id)
    return f"/fine_tuning/jobs/{job}/checkpoints"


def _limit_query(limit: int | None) -> dict[str, str]:
    if limit is None:
        return {}
    check_count("limit", limit, least=1)
    return {"limit": str(limit)}


def _metadata_query(metadata: Mapping[str, str] | NotGiven | None) -> dict[str, str]:
    if isinstance(metadata, NotGiven):
        return {}
    if metadata is None:
        return {"metadata": "null"}
    checked = protocol.check_strings("metadata", metadata)
    return {f"metadata[{key}]": value for key, value in checked.items()}
