"""Every exception of the package, under the names the official SDKs gave them.

::

    OpenAIError
    └── APIError
        ├── APIConnectionError
        │   └── APITimeoutError
        ├── APIStatusError
        │   ├── BadRequestError           400
        │   ├── AuthenticationError       401
        │   ├── PermissionDeniedError     403
        │   ├── NotFoundError             404
        │   ├── ConflictError             409
        │   ├── UnprocessableEntityError  422
        │   ├── RateLimitError            429
        │   └── InternalServerError       5xx
        ├── APIResponseValidationError
        └── PaginationError

All of them can be pickled, so they survive a process pool or a task queue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from asyncckpt.messages import Request, Response

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIResponseValidationError",
    "APIStatusError",
    "APITimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "ConflictError",
    "InternalServerError",
    "NotFoundError",
    "OpenAIError",
    "PaginationError",
    "PermissionDeniedError",
    "RateLimitError",
    "UnprocessableEntityError",
]

_ErrorT = TypeVar("_ErrorT", bound="APIError")


class OpenAIError(Exception):
    """The root of all; raised as such only when a client cannot be set up: no key was given."""


class APIError(OpenAIError):
    """Something went wrong with one request.

    Attributes:
        message: What went wrong; the API's own words where it sent any.
        request: The request, or None where there was none.
        body: The API's error object where it sent one; otherwise the decoded body, or its text.
        code: The API's error code, such as ``"invalid_api_key"``, or None.
        param: The parameter that the API complains of, or None.
        type: The API's kind of error, such as ``"invalid_request_error"``, or None.
        request_id: The server's name for the request (``x-request-id``), or None.
        fine_tuning_job_id: The job that was being listed, where there were many; otherwise None.
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
        return f"{self._described()} (job {job})" if job else self._described()

    def _described(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (type(self), self.args, self.__dict__)


class APIConnectionError(APIError):
    """No answer came, or not a whole one: no such host, connection refused or cut, TLS failure.

    Attributes:
        is_final: Whether a retry could not help, as with a certificate that is not trusted.
    """

    def __init__(
        self, message: str, *, request: Request | None = None, is_final: bool = False
    ) -> None:
        super().__init__(message, request=request)
        self.is_final = is_final


class APITimeoutError(APIConnectionError):
    """The connection, or the answer, took longer than the timeout allows."""


class _ResponseError(APIError):
    """An answer came, and it is the trouble; what both kinds of such errors share."""

    def __init__(self, message: str, *, response: Response, body: object | None) -> None:
        super().__init__(message, request=response.request, body=body)
        self.response = response
        self.status_code = response.status_code
        self.request_id = response.request_id


class APIStatusError(_ResponseError):
    """The server answered with a status that is not a success.

    Attributes:
        response: The whole answer; anything in it that is known to be secret is masked.
        status_code: Its HTTP status.
    """

    def _described(self) -> str:
        shown = f"{self.status_code}: {self.message}"
        return f"{shown} (request {self.request_id})" if self.request_id else shown


class BadRequestError(APIStatusError):
    """400: the API does not accept a parameter; see `param`."""


class AuthenticationError(APIStatusError):
    """401: the API key is wrong, expired or revoked."""


class PermissionDeniedError(APIStatusError):
    """403: the key may not see this."""


class NotFoundError(APIStatusError):
    """404: there is no such job, or the base URL is not that of the API."""


class ConflictError(APIStatusError):
    """409: the resource is being changed; retries did not outlast that."""


class UnprocessableEntityError(APIStatusError):
    """422: well formed, but it makes no sense to the API."""


class RateLimitError(APIStatusError):
    """429: the rate limit did not let the request through within `max_wait` and `max_retries`."""


class InternalServerError(APIStatusError):
    """5xx: the server failed, and went on failing through all retries."""


class APIResponseValidationError(_ResponseError):
    """The server reported success, and sent something that is not what the API promises.

    Attributes:
        response: The whole answer.
        status_code: Its HTTP status.
        path: Where in the body, as a JSON path such as ``$.data[3].step_number``; ``$`` when the
            body is no JSON at all.
        body: The beginning of the body, some 500 characters at most.
    """

    def __init__(
        self, message: str, *, response: Response, body: object | None, path: str = "$"
    ) -> None:
        super().__init__(message, response=response, body=body)
        self.path = path


class PaginationError(APIError):
    """The server's pages lead nowhere: it says there are more, and gives no way to get them.

    Attributes:
        cursor: The cursor (`after`) that stood still; None if it is the beginning of the list.
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
