"""Converts untrusted objects to short, printable text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["safe_text"]

_MAX_CHARACTERS: Final = 200


def safe_text(value: object, convert: Callable[[object], str] = str) -> str:
    """Convert an object to text for an error message.

    This never fails: if `convert` raises an exception, the result is the default representation.

    Args:
        value: Any object.
        convert: `str` or `repr`.

    Returns:
        The text, cut after 200 characters, with non-printable characters escaped.
    """
    try:
        text = convert(value)
    except Exception:
        text = object.__repr__(value)
    # The result may be a subclass of str that overrides any method.
    text = str.__str__(text)
    if len(text) <= _MAX_CHARACTERS and text.isprintable():
        return text
    shown = "".join(
        character if character.isprintable() else repr(character)[1:-1]
        for character in text[:_MAX_CHARACTERS]
    )
    return shown if len(text) <= _MAX_CHARACTERS else f"{shown}…"
