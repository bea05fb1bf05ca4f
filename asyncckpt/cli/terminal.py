"""What the command tells people on standard error, and text that is safe to show."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import TextIO

__all__ = [
    "AddressError",
    "UsageError",
    "complain",
    "discard",
    "printable",
    "printable_json",
    "tell",
]


class UsageError(Exception):
    """The arguments or the environment are wrong; the message says how to correct them."""


class AddressError(Exception):
    """A server cannot use its address."""


def printable(text: str) -> str:
    r"""Escape the characters that a terminal acts on or that reorder text.

    These are all that `str.isprintable` rejects: C0 and C1 controls, DEL, line separators,
    bidirectional controls and other invisible characters.

    Args:
        text: Any text.

    Returns:
        The text on one line, with each of these characters as an escape such as ``\x1b``.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def printable_json(text: str) -> str:
    r"""Escape the same characters within JSON, which stays equivalent.

    Args:
        text: JSON without insignificant whitespace other than spaces.

    Returns:
        The JSON, with each of these characters as an escape such as ``\u001b``.
    """
    if text.isprintable():
        return text
    # Outside of strings, JSON has no such characters.
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def tell(text: str) -> None:
    """Write to standard error; a closed or full one does not stop the command.

    Args:
        text: What to write.
    """
    if sys.stderr is None:
        return
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


def complain(error: Exception) -> None:
    """Write an error to standard error, on one line.

    Args:
        error: The error.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    tell(f"asyncckpt: {printable(text)}\n")


def discard(stream: TextIO) -> None:
    """Discard what a broken stream has buffered, and all that follows.

    Otherwise Python fails to flush standard output at exit, with a message and an exit code of its
    own.

    Args:
        stream: Standard output.
    """
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, stream.fileno())
    os.close(devnull)
