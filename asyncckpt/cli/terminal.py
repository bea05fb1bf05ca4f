"""Writes messages to standard error, and escapes text for a terminal."""

from __future__ import annotations

import json
import os
import sys
from typing import TextIO

__all__ = [
    "AddressError",
    "UsageError",
    "discard",
    "print_error",
    "print_to_stderr",
    "printable",
    "printable_json",
]


class UsageError(Exception):
    """The arguments or the environment variables are wrong; the message says how to fix them."""


class AddressError(Exception):
    """A server cannot listen on an address."""


def printable(text: str) -> str:
    r"""Escape the characters that `str.isprintable` rejects.

    These include control characters, line separators, and characters that change the direction of
    text. A terminal would interpret them.

    Args:
        text: Any text.

    Returns:
        The text on one line, with escapes such as ``\x1b``.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def printable_json(text: str) -> str:
    r"""Escape the same characters in JSON; the result is equivalent JSON.

    Args:
        text: JSON on one line.

    Returns:
        The JSON, with escapes such as ``\u001b``.
    """
    if text.isprintable():
        return text
    # JSON on one line has such characters only inside of strings.
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def print_to_stderr(text: str) -> None:
    """Write text to standard error. If that fails, do nothing."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        discard(sys.stderr)
    except ValueError:
        # It is closed.
        return


def print_error(error: Exception) -> None:
    """Write an error to standard error, on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    print_to_stderr(f"asyncckpt: {printable(text)}\n")


def discard(stream: TextIO) -> None:
    """Discard the buffer of a broken output stream, and all later output.

    Otherwise Python would fail to flush the stream at exit, and change the exit code.

    Args:
        stream: Standard output or standard error.
    """
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, stream.fileno())
    os.close(devnull)
