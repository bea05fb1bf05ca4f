"""Defines the exceptions, under the names that the official SDKs use.

::

    OpenAIError
    ├── APIError
    │   ├── APIConnectionError
    │   │   └── APITimeoutError
    │   ├── APIStatusError
    │   │   ├── BadRequestError           400
    │   │   ├── AuthenticationError       401
    │   │   ├── PermissionDeniedError     403
    │   │   ├── NotFoundError             404
    │   │   ├── ConflictError             409
    │   │   ├── UnprocessableEntityError  422
    │   │   ├── RateLimitError            429
    │   │   ├── InternalServerError       5xx
    │   │   └── CursorExpiredError        400, 404, 410 or 422, about the cursor
    │   ├── APIResponseValidationError
    │   └── PaginationError
    ├── NoCheckpointError
    └── ArchiveError

All of them can be pickled, for process pools and task queues.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from asyncckpt.messages import Request, Response

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIResponseValidationError",
    "APIStatusError",
    "APITimeoutError",
    "ArchiveError",
    "AuthenticationError",
    "BadRequestError",
    "ConflictError",
    "CursorExpiredError",
    "InternalServerError",
    "NoCheckpointError",
    "NotFoundError",
    "OpenAIError",
    "PaginationError",
    "PermissionDeniedError",
    "RateLimitError",
    "UnprocessableEntityError",
]

_ErrorT = TypeVar("_ErrorT", bound="OpenAIError")


class OpenAIError(Exception):
    """Base class of all exceptions; raised itself only if a client gets no API key."""


class APIError(OpenAIError):
    """Base class of the errors of a request.

    Attributes:
        message: What went wrong: the API's message if it sent one.
        request: The request, or None if no request was made.
        body: The API's error object if it sent one; otherwise the decoded body, or its text.
        code: The API's error code, such as ``"invalid_api_key"``, or None.
        param: The parameter that the error is about, or None.
        type: The API's error type, such as ``"invalid_request_error"``, or None.
        request_id: The server's id for the request (``x-request-id``), or None.
        fine_tuning_job_id: The job that could not be listed, if the error comes from
            `AsyncCheckpoints.list_many`; otherwise None.
    """

    def __init__(
        self, message: str, *, request: Request | None = None, body: object | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.request = request
        self.body = body
        self.code = _text(body, "code")
        self.param = _text(body, "param")
        self.type = _text(body, "type")
        self.request_id: str | None = None
        self.fine_tuning_job_id: str | None = None

    def __str__(self) -> str:
        job = self.fine_tuning_job_id
        return f"{self._summary()} (job {job})" if job else self._summary()

    def _summary(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (type(self), self.args, self.__dict__)


class APIConnectionError(APIError):
    """No complete response arrived: unknown host, connection refused or closed, TLS failure.

    Attributes:
        is_final: Whether a retry cannot help, as with an untrusted certificate.
    """

    def __init__(
        self, message: str, *, request: Request | None = None, is_final: bool = False
    ) -> None:
        super().__init__(message, request=request)
        self.is_final = is_final


class APITimeoutError(APIConnectionError):
    """The request exceeded its `timeout`, or waited longer than `max_wait`."""


class NoCheckpointError(OpenAIError):
    """No checkpoint can be ranked: there are none, or none with the metric.

    Attributes:
        jobs: How many jobs were looked at. For a stream of checkpoints: of how many jobs they are.
        checkpoints: How many checkpoints they have.
        metrics: The metrics that were measured at any of these checkpoints.
        failed: How many of the jobs could not be listed; the error of the first one is the
            ``__cause__``.
    """

    def __init__(
        self, message: str, *, jobs: int, checkpoints: int, metrics: Sequence[str], failed: int = 0
    ) -> None:
        super().__init__(message)
        self.jobs = jobs
        self.checkpoints = checkpoints
        self.metrics = tuple(metrics)
        self.failed = failed

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (type(self), self.args, self.__dict__)


class ArchiveError(OpenAIError):
    """An archive cannot be read or continued; the message says why, and what to do."""


class _ResponseError(APIError):
    """Base class of the errors that come with a response."""

    def __init__(self, message: str, *, response: Response, body: object | None) -> None:
        super().__init__(message, request=response.request, body=body)
        self.response = response
        self.status_code = response.status_code
        self.request_id = response.request_id


class APIStatusError(_ResponseError):
    """The server sent a response with a status other than 2xx.

    Attributes:
        response: The response, with known secrets masked.
        status_code: Its HTTP status code.
    """

    def _summary(self) -> str:
        shown = f"{self.status_code}: {self.message}"
        return f"{shown} (request {self.request_id})" if self.request_id else shown


class BadRequestError(APIStatusError):
    """400: the API rejects a parameter; see `param`."""


class AuthenticationError(APIStatusError):
    """401: the API key is wrong, expired or revoked."""


class PermissionDeniedError(APIStatusError):
    """403: the key has no permission for the request."""


class NotFoundError(APIStatusError):
    """404: there is no such job, or the base URL is wrong."""


class ConflictError(APIStatusError):
    """409: another request is changing the resource, and retries did not help."""


class UnprocessableEntityError(APIStatusError):
    """422: the request is well formed, but the API cannot process it."""


class RateLimitError(APIStatusError):
    """429: the rate limit rejected the request until `max_wait` or `max_retries` was used up."""


class InternalServerError(APIStatusError):
    """5xx: the server failed, and retries did not help."""


class CursorExpiredError(APIStatusError):
    """The server does not know the record after which a list is to continue.

    It may have deleted the record, or keep cursors for a short time only. All records before it
    have been returned. With ``on_expired_cursor="restart"``, the list is started again instead.

    Attributes:
        cursor: The cursor (`after`).
    """

    def __init__(
        self, message: str, *, response: Response, body: object | None, cursor: str
    ) -> None:
        super().__init__(message, response=response, body=body)
        self.cursor = cursor


class APIResponseValidationError(_ResponseError):
    """The server sent a 2xx response whose body does not match the API reference.

    Attributes:
        response: The response, with known secrets masked; its body is cut at `max_body_bytes`.
        status_code: Its HTTP status code.
        path: The JSON path of the mismatch, such as ``$.data[3].step_number``; ``$`` if the body is
            not JSON.
        body: The first 500 characters of the body.
    """

    def __init__(
        self, message: str, *, response: Response, body: object | None, path: str = "$"
    ) -> None:
        super().__init__(message, response=response, body=body)
        self.path = path


class PaginationError(APIError):
    """The server says that a list has more records, but its cursors do not lead to them.

    Attributes:
        cursor: The cursor (`after`) that does not lead further; None if the server sent no cursor.
    """

    def __init__(self, message: str, *, cursor: str | None, request: Request | None = None) -> None:
        super().__init__(message, request=request)
        self.cursor = cursor


def _text(body: object, key: str) -> str | None:
    value = cast("Mapping[str, object]", body).get(key) if isinstance(body, Mapping) else None
    return None if value is None else str(value)


def _restore(
    kind: type[_ErrorT], args: tuple[object, ...], attributes: dict[str, object]
) -> _ErrorT:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error
