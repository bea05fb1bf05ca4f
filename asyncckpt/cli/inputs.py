"""Reads job ids, times and metadata from arguments."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from asyncckpt.cli.terminal import UsageError

__all__ = ["metadata_from", "read_ids", "time_from"]

_SECONDS: Final = {"m": 60, "h": 3_600, "d": 86_400}
_AGO: Final = re.compile(r"([0-9]{1,9})([mhd])")


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
            raise UsageError(f"Unknown option: {argument}. See: asyncckpt --help")
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


def time_from(text: str) -> float:
    """Return the time that an argument names, as Unix time in seconds.

    Args:
        text: A date or a time in ISO 8601, in UTC if it has no offset; or a number of minutes,
            hours or days back from now, such as ``"30m"``, ``"12h"`` or ``"7d"``.

    Returns:
        The time.

    Raises:
        UsageError: The text is in another form.
    """
    if ago := _AGO.fullmatch(text):
        return time.time() - int(ago[1]) * _SECONDS[ago[2]]
    try:
        named = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"not a time: {text}. Give a date (2025-01-31), a time (2025-01-31T12:00) or a time "
            "span back from now (7d, 12h, 30m)"
        ) from None
    return (named if named.tzinfo else named.replace(tzinfo=UTC)).timestamp()


def metadata_from(arguments: Sequence[str]) -> dict[str, str]:
    """Return the keys and values that arguments such as ``team=search`` name.

    Args:
        arguments: The arguments; the value begins after the first equals sign.

    Returns:
        The values by key.

    Raises:
        UsageError: An argument has no equals sign, or nothing before it.
    """
    pairs = [argument.partition("=") for argument in arguments]
    for key, sign, _ in pairs:
        if not key or not sign:
            raise UsageError("--metadata takes KEY=VALUE, such as team=search")
    return {key: value for key, _, value in pairs}
