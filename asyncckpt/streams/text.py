"""Shows what a server or a caller gave, in text that is short and printable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["safe_text"]

_MAX_CHARACTERS: Final = 200


def safe_text(value: object, convert: Callable[[object], str] = str) -> str:
    """Convert an object to text for an error message, whatever the object does.

    Args:
        value: Anything, also an object whose own methods raise.
        convert: `str`, or `repr`.

    Returns:
        The converted text if it is printable and at most 200 characters long. Otherwise it is cut
        after 200 characters, and characters that are not printable are escaped.
    """
    try:
        text = convert(value)
    except Exception:
        text = object.__repr__(value)
    # Of a subclass of str, not even the length can be trusted.
    text = str.__str__(text)
    if len(text) <= _MAX_CHARACTERS and text.isprintable():
        return text
    shown = "".join(
        character if character.isprintable() else repr(character)[1:-1]
        for character in text[:_MAX_CHARACTERS]
    )
    return shown if len(text) <= _MAX_CHARACTERS else f"{shown}…"
