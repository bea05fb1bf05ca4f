"""Turns responses into exceptions whose messages are bounded and printable."""

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
from asyncckpt.protocol.secrets import KEPT_OF_A_BODY
from asyncckpt.protocol.strangers import describe_instead_of_json

SHOWN_OF_A_BODY: Final = 500
"""How much of a body an error's message shows, in characters."""

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
        response: The response, with as much of the body as is allowed.
    """

    def __init__(self, message: str, response: Response) -> None:
        super().__init__(message)
        self.response = response


def status_error(response: Response) -> APIStatusError:
    """Return the exception for a response that is not a success, with the API's own words.

    The exception keeps the response as it is; `asyncckpt.protocol.secrets.masked` bounds it.
    """
    body = _error_body(response)
    said = body.get("message") if isinstance(body, dict) else None
    message = printable(said) if isinstance(said, str) else ""
    message = message or printable(_excerpt(response)) or "the server gave no reason"
    kind = _STATUS_ERRORS.get(response.status_code)
    if kind is None:
        kind = InternalServerError if response.status_code >= 500 else APIStatusError
    error = kind(message, response=response, body=body)
    error.request_id = _shown_request_id(response)
    return error


def _error_body(response: Response) -> dict[str, object] | str | None:
    """Return the API's error object, or what was sent in its place, or None for an empty body."""
    try:
        # What is cut here is malformed, so that the object is bounded too.
        excerpt = response.content[:KEPT_OF_A_BODY]
        body = msgspec.json.decode(excerpt, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _bounded(_excerpt(response), SHOWN_OF_A_BODY) or None
    error = body.get("error")
    return cast("dict[str, object]", error) if isinstance(error, dict) else body


def validation_error(response: Response, problem: str, path: str) -> APIResponseValidationError:
    """Return the exception for a success that does not hold what the API promises.

    The exception keeps the response as it is; `asyncckpt.protocol.secrets.masked` bounds it.

    Args:
        response: The response.
        problem: What is wrong.
        path: Where in the body, as a JSON path.
    """
    excerpt = _excerpt(response)
    content_type = response.headers.get("content-type", "none")
    if path == "$":
        problem = describe_instead_of_json(response.content, content_type) or problem
    message = (
        f"The server's response is not what the API describes: {printable(problem)} "
        f"at {printable(path)}"
    )
    if "json" not in content_type:
        message += f"; its content type is {printable(content_type, 100)}"
    request_id = _shown_request_id(response)
    begins = printable(excerpt[:120], 120)
    message += f"; request {request_id or 'without an id'}; body begins {begins!r}"
    body = _bounded(excerpt, SHOWN_OF_A_BODY)
    error = APIResponseValidationError(message, response=response, body=body, path=path)
    error.request_id = request_id
    return error


def printable(text: str, most: int = SHOWN_OF_A_BODY) -> str:
    """Return a text that is safe to show: on one line, printable, and bounded.

    Args:
        text: The text.
        most: How many characters to keep. A longer text ends with an ellipsis.

    Returns:
        The text with a single space for every run of white space, and the replacement character
        U+FFFD for every other character that does not print, such as control characters, lone
        surrogates, and marks that change the direction of writing.
    """
    # A text may begin with any amount of white space; what is past this is not looked for.
    shown = " ".join(text[: 10 * most].split())
    if not shown.isprintable():
        shown = "".join(character if character.isprintable() else "\ufffd" for character in shown)
    return _bounded(shown, most)


def _shown_request_id(response: Response) -> str | None:
    return printable(response.request_id or "", 100) or None


def _excerpt(response: Response) -> str:
    """Return the beginning of the body as text, not of the whole body."""
    return response.content[:KEPT_OF_A_BODY].decode("utf-8", "replace")


def _bounded(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + "…"
