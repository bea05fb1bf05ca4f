"""Recognizes responses that do not come from the API, and says where they may come from."""

from __future__ import annotations

from typing import Final, cast

import msgspec

__all__ = ["describe_instead_of_json", "describe_instead_of_page"]

_JSON_STARTS: Final = (b"{", b"[")
_MESSAGE_FIELDS: Final = ("message", "detail", "msg", "error", "error_message", "errorMessage")


def describe_instead_of_json(content: bytes, content_type: str) -> str | None:
    """Return what a body is that should be JSON; None if it is unknown.

    Args:
        content: The body.
        content_type: The header of that name.
    """
    if content.lstrip()[:1] == b"<":
        return (
            "Expected JSON, got an HTML page: the base URL may lead to a web site, a login page or "
            "a proxy instead of the API"
        )
    if content_type.startswith("text/plain") and content.lstrip()[:1] not in _JSON_STARTS:
        return "Expected JSON, got text, probably the message of a gateway before the API"
    return None


def describe_instead_of_page(content: bytes) -> str | None:
    """Return what a body is that should be a page of a list; None if it is unknown.

    Args:
        content: A body without the list of records.
    """
    try:
        body = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(body, dict) or "data" in body:
        return None
    fields = cast("dict[str, object]", body)
    if fields.get("object") == "fine_tuning.job" or {"status", "training_file"} <= fields.keys():
        return (
            "Expected a page of a list, got a fine-tuning job: the server, or a gateway before it, "
            "does not have this list and ignores the end of the path. A gateway may have another "
            "path that passes requests on, such as LiteLLM's /openai/v1"
        )
    message = _message_in(fields)
    if message is None:
        return None
    return (
        "Expected a page of a list, got a message with a successful status, probably from a "
        f"gateway before the API: {message!r}"
    )


def _message_in(fields: dict[str, object]) -> str | None:
    for name in _MESSAGE_FIELDS:
        value = fields.get(name)
        if isinstance(value, dict):
            value = cast("dict[str, object]", value).get("message")
        if isinstance(value, str) and value:
            return value
    return None
