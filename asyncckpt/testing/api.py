"""The behaviour of the API: which request gets which page, job, file or error. Nothing here awaits.

It follows the fine-tuning section of the OpenAI API reference, and Azure's form of it: the prefix
`/openai`, of a resource or a project, the `api-key` header, the `api-version` query field, and
pages without `first_id` and `last_id`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, cast

import attrs

from asyncckpt.testing.data import Dataset
from asyncckpt.testing.job import Job
from asyncckpt.testing.responses import RecordedRequest, ServerResponse, error_body
from asyncckpt.testing.results import ResultFormat, result_file
from asyncckpt.testing.shapes import CheckpointObject, EventObject, JobObject, PageObject

Kind = Literal["jobs", "job", "checkpoints", "events", "file"]

_RESOURCE = re.compile(
    r"/(?P<prefix>v1|(?:api/projects/[^/]+/)?openai(?:/v1)?)/(?:"
    r"fine_tuning/jobs(?:/(?P<job_id>[^/]+)(?:/(?P<list>checkpoints|events))?)?"
    r"|files/(?P<file_id>[^/]+)/content"
    r")/?"
)
_METADATA = re.compile(r"metadata\[(.+)\]")
_JOBS_PER_PAGE = 20
_CHECKPOINTS_PER_PAGE = 10
_EVENTS_PER_PAGE = 20
_MAX_PER_PAGE = 100


@attrs.frozen
class Target:
    """The resource that a path names.

    Args:
        kind: What it is.
        job_id: The job, or None for the list of jobs and for files.
        file_id: The file, if it is one.
        azure: Whether the path has the form used by Azure.
        dated: Whether it is that of Azure's dated API.
    """

    kind: Kind
    job_id: str | None
    file_id: str | None
    azure: bool
    dated: bool

    @property
    def is_list(self) -> bool:
        """Whether the response is a page."""
        return self.kind in {"jobs", "checkpoints", "events"}


class RefusedError(Exception):
    """A request that the API rejects."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.response = ServerResponse(
            status=status, body=error_body(message, param=param, code=code)
        )


def target_of(path: str) -> Target | None:
    """Return the resource that a path names, or None if there is none."""
    match = _RESOURCE.fullmatch(path)
    if match is None:
        return None
    job_id, file_id = match["job_id"], match["file_id"]
    kind = match["list"] or ("job" if job_id else "file" if file_id else "jobs")
    prefix = match["prefix"]
    return Target(
        cast("Kind", kind), job_id, file_id, azure=prefix != "v1", dated=prefix.endswith("openai")
    )


def masked(key: str) -> str:
    """Return a key as the API shows it in errors: only the first and last characters."""
    if len(key) <= 7:
        return "*" * len(key)
    head, tail = (8, 4) if len(key) > 20 else (5, 2)
    return f"{key[:head]}{'*' * (len(key) - head - tail)}{key[-tail:]}"


class Api:
    """Responds to requests from a dataset.

    Args:
        dataset: The jobs.
        api_key: The valid API key.
        results: How to send result files.
    """

    def __init__(self, dataset: Dataset, api_key: str, results: ResultFormat = "csv") -> None:
        self.dataset = dataset
        self.api_key = api_key
        self.results = results

    def respond(self, request: RecordedRequest, credentials: str | None) -> ServerResponse:
        """Return the response to a request.

        Args:
            request: The request.
            credentials: The API key of the request, or None.
        """
        try:
            target = self._target(request, credentials)
            if target.kind == "file":
                return self._file(target)
            if target.kind == "job":
                return ServerResponse(body=self._job(target.job_id).object)
            return ServerResponse(body=self._page(target, request.query))
        except RefusedError as error:
            return error.response

    def page_number(self, target: Target, query: Mapping[str, str]) -> int | None:
        """Return the number of the requested page, from 1; None if it is not a list."""
        try:
            start, limit, _ = self._window(target, query)
        except RefusedError:
            return None
        return -(-start // limit) + 1

    def _target(self, request: RecordedRequest, credentials: str | None) -> Target:
        target = target_of(request.path)
        if target is None:
            raise RefusedError(404, f"Invalid URL ({request.method} {request.path})")
        if request.method != "GET":
            raise RefusedError(405, f"Not allowed to {request.method} on {request.path}.")
        self._authenticate(target, credentials)
        if target.dated and "api-version" not in request.query:
            raise RefusedError(404, "Resource not found: the api-version query field is missing.")
        return target

    def _authenticate(self, target: Target, credentials: str | None) -> None:
        if credentials is None:
            header = "an api-key header" if target.azure else "an Authorization header"
            message = f"You didn't provide an API key. You need to provide it in {header}."
            raise RefusedError(401, message)
        if credentials != self.api_key:
            message = (
                f"Incorrect API key provided: {masked(credentials)}. "
                "You can find your API key at https://platform.openai.com/account/api-keys."
            )
            raise RefusedError(401, message, code="invalid_api_key")

    def _page(self, target: Target, query: Mapping[str, str]) -> PageObject:
        start, limit, records = self._window(target, query)
        data = list(records[start : start + limit])
        page: PageObject = {
            "object": "list",
            "data": data,
            "has_more": start + limit < len(records),
        }
        if target.kind == "checkpoints" and not target.azure:
            page["first_id"] = data[0]["id"] if data else None
            page["last_id"] = data[-1]["id"] if data else None
        return page

    def _job(self, job_id: str | None) -> Job:
        job = self.dataset.get(job_id or "")
        if job is None:
            message = f"Could not find fine tune: {job_id}"
            raise RefusedError(404, message, param="fine_tuning_job_id", code="fine_tune_not_found")
        return job

    def _file(self, target: Target) -> ServerResponse:
        job = self.dataset.with_result_file(target.file_id or "")
        if job is None:
            raise RefusedError(404, f"No such File object: {target.file_id}", param="id")
        content = result_file(
            job.checkpoints.training,
            job.checkpoints.steps,
            azure=target.azure,
            as_base64=self.results == "base64",
        )
        return ServerResponse(body=content, headers=(("content-type", "application/octet-stream"),))

    def _window(
        self, target: Target, query: Mapping[str, str]
    ) -> tuple[int, int, Sequence[CheckpointObject] | Sequence[EventObject] | Sequence[JobObject]]:
        if target.kind == "checkpoints":
            checkpoints = self._job(target.job_id).checkpoints
            limit = _limit_of(query, _CHECKPOINTS_PER_PAGE)
            return self._start(query, checkpoints.position_of), limit, checkpoints
        if target.kind == "events":
            events = self._job(target.job_id).events
            limit = _limit_of(query, _EVENTS_PER_PAGE)
            return self._start(query, events.position_of), limit, events
        jobs = [job.object for job in self.dataset.jobs if _metadata_matches(job.object, query)]
        limit = _limit_of(query, _JOBS_PER_PAGE)
        positions = {job["id"]: position for position, job in enumerate(jobs)}
        return self._start(query, positions.get), limit, jobs

    def _start(self, query: Mapping[str, str], position_of: Callable[[str], int | None]) -> int:
        after = query.get("after")
        if after is None:
            return 0
        position = position_of(after)
        if position is None:
            message = f"Invalid value for 'after': no object of this list has the id '{after}'."
            raise RefusedError(400, message, param="after", code="invalid_value")
        return position + 1


def _limit_of(query: Mapping[str, str], default: int) -> int:
    text = query.get("limit")
    if text is None:
        return default
    try:
        limit = int(text)
    except ValueError:
        message = f"Invalid type for 'limit': expected an integer, but got '{text}' instead."
        raise RefusedError(400, message, param="limit", code="invalid_type") from None
    if limit < 1:
        message = f"Invalid 'limit': expected a value >= 1, but got {limit} instead."
        raise RefusedError(400, message, param="limit", code="integer_below_min_value")
    if limit > _MAX_PER_PAGE:
        message = f"Invalid 'limit': expected a value <= {_MAX_PER_PAGE}, but got {limit} instead."
        raise RefusedError(400, message, param="limit", code="integer_above_max_value")
    return limit


def _metadata_matches(job: JobObject, query: Mapping[str, str]) -> bool:
    metadata = job["metadata"]
    if query.get("metadata") == "null":
        return metadata is None
    wanted = {
        match[1]: value for name, value in query.items() if (match := _METADATA.fullmatch(name))
    }
    return wanted.items() <= (metadata or {}).items()
