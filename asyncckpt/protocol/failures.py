"""Turns responses into exceptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

import msgspec

from asyncckpt.errors import (
    APIResponseValidationError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    UnprocessableEntityError,
)
from asyncckpt.messages import Response

_SHOWN_OF_A_BODY: Final = 500
_STATUS_ERRORS: Final[Mapping[int, type[APIStatusError]]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}
TOO_MANY_REQUESTS: Final = 429
UNAUTHORIZED: Final = 401


class BodyTooLongError(Exception):
    """The body is longer than allowed.

    Attributes:
        response: The answer, with as much of the body as is allowed.
    """

    def __init__(self, message: str, response: Response) -> None:
        super().__init__(message)
        self.response = response


def status_error(response: Response) -> APIStatusError:
    """The exception for an answer that is not a success, with the API's own words."""
    body = _error_body(response)
    message = body.get("message") if isinstance(body, dict) else None
    if not isinstance(message, str) or not message:
        text = " ".join(response.text[: 10 * _SHOWN_OF_A_BODY].split())
        message = _bounded(text) if text else "the server gave no reason"
    kind = _STATUS_ERRORS.get(response.status_code)
    if kind is None:
        kind = InternalServerError if response.status_code >= 500 else APIStatusError
    return kind(message, response=response, body=body)


def _error_body(response: Response) -> dict[str, object] | str | None:
    """The API's error object; what else was sent in its place; or its text, or None for nothing."""
    try:
        body = msgspec.json.decode(response.content, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _bounded(response.text) or None
    error = body.get("error")
    return cast("dict[str, object]", error) if isinstance(error, dict) else body


def validation_error(response: Response, problem: str, path: str) -> APIResponseValidationError:
    """The exception for a success that does not hold what the API promises."""
    piece = _bounded(response.text)
    message = f"The server's answer is not what the API describes: {problem} at {path}"
    content_type = response.headers.get("content-type", "none")
    if "json" not in content_type:
        message += f"; its content type is {content_type[:100]}"
    message += f"; request {response.request_id or 'without an id'}; body begins {piece[:120]!r}"
    return APIResponseValidationError(message, response=response, body=piece, path=path)


def _bounded(text: str) -> str:
    return text if len(text) <= _SHOWN_OF_A_BODY else text[:_SHOWN_OF_A_BODY] + "…"
