"""Reads what response headers say about the server's rate limit."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC
from typing import Final

import attrs

MAX_RETRY_AFTER: Final = 120.0
"""Seconds; a server that asks for a longer pause gets none: the error goes to the caller."""


@attrs.frozen
class RateLimitHints:
    """What an answer's headers say of the server's rate limit; None where they say nothing.

    Attributes:
        retry_after: Seconds until another request is welcome.
        limit: Requests allowed in a window.
        remaining: Requests left in this window.
        reset: Seconds until the window is full again.
    """

    retry_after: float | None = None
    limit: int | None = None
    remaining: int | None = None
    reset: float | None = None


NO_HINTS: Final = RateLimitHints()


def rate_limit_hints(headers: Mapping[str, str], now: float) -> RateLimitHints:
    """Read ``retry-after-ms``, ``retry-after`` and ``x-ratelimit-*-requests``.

    Args:
        headers: The answer's headers; look-ups must ignore case.
        now: The wall clock, in Unix seconds, for a `retry-after` that is a date.
    """
    retry_after = _retry_after(headers, now)
    limit = headers.get("x-ratelimit-limit-requests")
    remaining = headers.get("x-ratelimit-remaining-requests")
    reset = headers.get("x-ratelimit-reset-requests")
    if retry_after is None and limit is None and remaining is None and reset is None:
        return NO_HINTS
    return RateLimitHints(retry_after, _whole(limit), _whole(remaining), _duration(reset))


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    milliseconds, value = headers.get("retry-after-ms"), headers.get("retry-after")
    if milliseconds is None and value is None:
        return None
    seconds = _number(milliseconds)
    if seconds is not None:
        return seconds / 1000
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    # It costs an import what half of this package does, and is hardly ever needed.
    import email.utils

    try:
        date = email.utils.parsedate_to_datetime(value)
        if date.tzinfo is None:
            # Every form that RFC 9110 allows means UTC; that of asctime() does not say so.
            date = date.replace(tzinfo=UTC)
        return max(0.0, date.timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _whole(text: str | None) -> int | None:
    number = _number(text)
    return None if number is None else int(number)


_UNITS: Final[Mapping[str, float]] = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration(text: str | None) -> float | None:
    """Seconds in a duration such as ``1s``, ``6m0s``, ``20ms`` or ``1h2m3.5s``."""
    if text is None:
        return None
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text)
    if not parts or "".join(map("".join, parts)) != text.strip():
        return _number(text)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return seconds if math.isfinite(seconds) else None


def within_reason(hints: RateLimitHints) -> RateLimitHints:
    """The hints without pauses longer than `MAX_RETRY_AFTER`: one such must not stop a client."""
    if (hints.retry_after or 0) > MAX_RETRY_AFTER:
        hints = attrs.evolve(hints, retry_after=None)
    if (hints.reset or 0) > MAX_RETRY_AFTER:
        hints = attrs.evolve(hints, reset=None)
    return hints
