"""Decides which request gets which page, job, file or error. Nothing here awaits.

It follows the fine-tuning section of the OpenAI API reference, and Azure's form of it: the prefix
`/openai`, of a resource or a project, the `api-key` header, the `api-version` query field, and
pages without `first_id` and `last_id`. `asyncckpt.testing.profiles` describes how other servers
differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias, cast, overload

import attrs

from asyncckpt.testing.data import Dataset
from asyncckpt.testing.job import Job
from asyncckpt.testing.profiles import Form
from asyncckpt.testing.responses import RecordedRequest, ServerResponse, error_body
from asyncckpt.testing.results import ResultFormat, result_file
from asyncckpt.testing.shapes import FINISHED, CheckpointObject, EventObject, JobObject

Kind = Literal["jobs", "job", "checkpoints", "events", "file"]

_Record: TypeAlias = CheckpointObject | EventObject | JobObject
_PositionOf: TypeAlias = Callable[[str], int | None]

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
        self._profile = dataset.profile
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
                job = cast("Mapping[str, object]", self._job(target.job_id).object)
                return ServerResponse(body=self._profile.job(job))
            return ServerResponse(body=self._page(target, request.query))
        except RefusedError as error:
            body = cast("Mapping[str, object]", error.response.body)
            return attrs.evolve(error.response, body=self._profile.error(body))

    def page_number(self, target: Target, query: Mapping[str, str]) -> int | None:
        """Return the number of the requested page, from 1; None if it is not a list."""
        try:
            start, limit, _ = self._window(target, query)
        except RefusedError:
            return None
        return -(-start // limit) + 1

    def _target(self, request: RecordedRequest, credentials: str | None) -> Target:
        target = target_of(request.path)
        is_known = self._profile.is_openai or (target and target.azure == self._profile.is_azure)
        if target is None or not is_known:
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

    def _page(self, target: Target, query: Mapping[str, str]) -> dict[str, object]:
        start, limit, records = self._window(target, query)
        data = list(records[start : start + limit])
        has_more = start + limit < len(records)
        form = self._form_of(target)
        fields: dict[str, object] = {
            "object": "list",
            "data": [form(cast("Mapping[str, object]", record)) for record in data],
            "has_more": has_more,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
        }
        sent = {"data", *self._profile.page_fields}
        if target.kind != "checkpoints" or target.azure:
            sent -= {"first_id", "last_id"}
        if not has_more and not self._profile.sends_end:
            sent -= {"has_more"}
        return {name: fields[name] for name in fields if name in sent}

    def _form_of(self, target: Target) -> Form:
        profile = self._profile
        forms = {"checkpoints": profile.checkpoint, "events": profile.event, "jobs": profile.job}
        return forms[target.kind]

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
    ) -> tuple[int, int, Sequence[_Record]]:
        """Return the start and the length of a page, and the list that it is from."""
        records, position_of, default_limit = self._list(target, query)
        if not self._profile.newest_first:
            records, position_of = _oldest_first(records, position_of)
        if not self._profile.paginates:
            return 0, max(1, len(records)), records
        limit = _limit_of(query, default_limit)
        return self._start(query, position_of), limit, records

    def _list(
        self, target: Target, query: Mapping[str, str]
    ) -> tuple[Sequence[_Record], _PositionOf, int]:
        """Return a list, newest first, the positions of ids in it, and the size of its pages."""
        if target.kind == "jobs":
            jobs = [job.object for job in self.dataset.jobs if _metadata_matches(job.object, query)]
            positions = {job["id"]: position for position, job in enumerate(jobs)}
            return jobs, positions.get, _JOBS_PER_PAGE
        job = self._job(target.job_id)
        if target.kind == "events":
            return job.events, job.events.position_of, _EVENTS_PER_PAGE
        if not self._profile.shows_running and job.object["status"] not in FINISHED:
            return (), lambda _: None, _CHECKPOINTS_PER_PAGE
        return job.checkpoints, job.checkpoints.position_of, _CHECKPOINTS_PER_PAGE

    def _start(self, query: Mapping[str, str], position_of: Callable[[str], int | None]) -> int:
        after = query.get("after")
        if after is None:
            return 0
        position = position_of(after)
        if position is None:
            message = f"Invalid value for 'after': no object of this list has the id '{after}'."
            raise RefusedError(400, message, param="after", code="invalid_value")
        return position + 1


class _Reversed(Sequence[_Record]):
    """A sequence in the opposite order, which reads only what is asked for."""

    def __init__(self, records: Sequence[_Record]) -> None:
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> _Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[_Record]: ...
    def __getitem__(self, index: int | slice) -> _Record | list[_Record]:
        last = len(self._records) - 1
        if isinstance(index, slice):
            return [self._records[last - place] for place in range(*index.indices(last + 1))]
        return self._records[last - index]


def _oldest_first(
    records: Sequence[_Record], position_of: _PositionOf
) -> tuple[Sequence[_Record], _PositionOf]:
    def reversed_position_of(record_id: str) -> int | None:
        position = position_of(record_id)
        return None if position is None else len(records) - 1 - position

    return _Reversed(records), reversed_position_of


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
