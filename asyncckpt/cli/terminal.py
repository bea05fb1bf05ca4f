"""What the commands say to people: complaints, on one line of stderr each."""

from __future__ import annotations

import sys

__all__ = ["UsageError", "complain", "printable"]


class UsageError(Exception):
    """The command cannot be meant as it was given; the message says how to mend it."""


def printable(text: str) -> str:
    """Take out of a server's text what a terminal would obey instead of show.

    Args:
        text: Any text.

    Returns:
        The text on one line, every control character replaced.
    """
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def complain(error: Exception) -> None:
    """Say on one line of stderr what went wrong.

    Args:
        error: What went wrong.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    sys.stderr.write(f"asyncckpt: {printable(text)}\n")
