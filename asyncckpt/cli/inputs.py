"""Reads job ids from standard input, and the API key from the environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from asyncckpt.cli.terminal import UsageError

__all__ = ["api_key_from", "read_ids"]


def read_ids(arguments: Sequence[str]) -> list[str]:
    """Return job ids; replace "-" by the ids on standard input.

    Call this before the event loop starts: in a loop, the blocking read would delay Ctrl-C.

    Args:
        arguments: Job ids, or "-".

    Returns:
        The ids, in order.

    Raises:
        UsageError: Standard input is closed, empty or in another encoding, or an argument is an
            unknown option.
    """
    ids: list[str] = []
    for argument in arguments:
        if argument == "-":
            ids += _ids_from_stdin()
        elif argument.startswith("-"):
            raise UsageError(f"Unknown option: {argument}. See: asyncckpt list --help")
        else:
            ids.append(argument)
    return ids


def _ids_from_stdin() -> list[str]:
    if sys.stdin is None:
        raise UsageError('"-" reads ids from standard input, which is closed')
    try:
        # Some editors write a byte order mark at the beginning of a file.
        lines = [line.lstrip("\ufeff").strip() for line in sys.stdin]
    except UnicodeDecodeError:
        encoding = sys.stdin.encoding
        raise UsageError(
            f"the ids on standard input are not valid {encoding}; save the file in that encoding"
        ) from None
    ids = [line for line in lines if line]
    if not ids:
        raise UsageError("there is no job id on standard input")
    return ids


def api_key_from(variable: str) -> str:
    """Return the API key from the environment.

    Args:
        variable: The name of the environment variable.

    Returns:
        The key.

    Raises:
        UsageError: `variable` is empty, or the variable is empty or not set.
    """
    if not variable:
        raise UsageError("--api-key-env needs the name of the variable with your API key")
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UsageError(f"set {variable} to your API key, or try --sandbox, which needs no key")
    return key
