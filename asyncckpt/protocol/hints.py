"""Reads what response headers say about the server's rate limit."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC
from typing import Final

import attrs

MAX_RETRY_AFTER: Final = 120.0
"""Seconds; the client does not wait longer for a server, the error goes to the caller."""


@attrs.frozen
class RateLimitHints:
    """The rate limit hints in a response's headers; None where there is no usable one.

    Attributes:
        retry_after: Seconds to wait before the same request may be repeated; more than 0.
        limit: Requests allowed in a window.
        remaining: Requests left in this window.
        reset: Seconds until the full limit is available again.
    """

    retry_after: float | None = None
    limit: int | None = None
    remaining: int | None = None
    reset: float | None = None


NO_HINTS: Final = RateLimitHints()


def rate_limit_hints(headers: Mapping[str, str], now: float) -> RateLimitHints:
    """Read ``retry-after-ms``, ``retry-after`` and ``x-ratelimit-*-requests``.

    A `retry-after` (RFC 9110, section 10.2.3) of 0, one that is a past date, and a malformed value
    are not hints.

    Args:
        headers: The response's headers; look-ups must ignore case.
        now: The wall clock, in Unix seconds. A `retry-after` that is a date is compared with it
            if the response has no valid `date`.
    """
    retry_after = _retry_after(headers, now)
    limit = headers.get("x-ratelimit-limit-requests")
    remaining = headers.get("x-ratelimit-remaining-requests")
    reset = headers.get("x-ratelimit-reset-requests")
    if retry_after is None and limit is None and remaining is None and reset is None:
        return NO_HINTS
    return RateLimitHints(retry_after, _whole(limit), _whole(remaining), _duration(reset))


MAX_POLL_AFTER: Final = 3600.0
"""Seconds; a server that asks to be polled less often is polled after this time."""

_MIN_POLL_AFTER: Final = 0.1


def poll_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds after which a server asks to be polled again; None if it does not.

    The headers are, in this order, ``openai-poll-after-ms``, as the official SDKs read it,
    ``retry-after-ms``, ``retry-after`` and ``x-poll-interval``, in seconds. The result is at least
    0.1 and at most `MAX_POLL_AFTER`.

    Args:
        headers: The headers of a successful response; look-ups must ignore case.
        now: As for `rate_limit_hints`.
    """
    milliseconds = _number(headers.get("openai-poll-after-ms"))
    seconds = milliseconds / 1000 if milliseconds else _retry_after(headers, now)
    seconds = seconds or _number(headers.get("x-poll-interval"))
    return min(max(seconds, _MIN_POLL_AFTER), MAX_POLL_AFTER) if seconds else None


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    # A wait of 0 s, or until a moment that is past, says nothing about when to ask again.
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds:
        return milliseconds / 1000
    value = headers.get("retry-after")
    if value is None:
        return None
    seconds = _number(value)
    if seconds is None:
        seconds = _seconds_until(value, headers.get("date"), now)
    return seconds if seconds and seconds > 0 else None


def _seconds_until(text: str, date: str | None, now: float) -> float | None:
    """Return the seconds until an HTTP date, by the `Date` of the response if it has one."""
    moment = _timestamp(text)
    if moment is None:
        return None
    sent_at = None if date is None else _timestamp(date)
    return moment - (now if sent_at is None else sent_at)


def _timestamp(text: str) -> float | None:
    # Importing it takes half as long as importing this package, and it is rarely needed.
    import email.utils

    try:
        date = email.utils.parsedate_to_datetime(text)
        if date.tzinfo is None:
            # All forms that RFC 9110 allows are in UTC; that of asctime() does not say so.
            date = date.replace(tzinfo=UTC)
        return date.timestamp()
    except (ValueError, OverflowError):
        return None


_DECIMAL: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def _number(text: str | None) -> float | None:
    """Read an ASCII decimal such as `1` or `2.5`; `float` also takes `1_0`, `+1` and `1e2`."""
    if text is None or not _DECIMAL.fullmatch(stripped := text.strip(" \t")):
        return None
    number = float(stripped)
    return number if math.isfinite(number) else None


def _whole(text: str | None) -> int | None:
    number = _number(text)
    return None if number is None else int(number)


_UNITS: Final[Mapping[str, float]] = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")


def _duration(text: str | None) -> float | None:
    """Return the seconds of a duration such as ``1s``, ``6m0s``, ``20ms`` or ``1h2m3.5s``."""
    if text is None:
        return None
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(map("".join, parts)) != text.strip(" \t"):
        return _number(text)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return seconds if math.isfinite(seconds) else None


def within_reason(hints: RateLimitHints) -> RateLimitHints:
    """Return the hints without waits longer than `MAX_RETRY_AFTER`, which would stop a client."""
    if (hints.retry_after or 0) > MAX_RETRY_AFTER:
        hints = attrs.evolve(hints, retry_after=None)
    if (hints.reset or 0) > MAX_RETRY_AFTER:
        hints = attrs.evolve(hints, reset=None)
    return hints
