"""Decides whether and when to retry."""

from __future__ import annotations

from typing import Final

from asyncckpt.errors import APIConnectionError, APIError, APIStatusError
from asyncckpt.protocol.hints import MAX_RETRY_AFTER, _retry_after

_FIRST_BACKOFF: Final = 0.25
_LONGEST_BACKOFF: Final = 8.0


def retry_delay(
    error: APIError, retries_taken: int, *, fraction: float, now: float
) -> float | None:
    """Seconds until the same request may fare better; None if it cannot.

    Connection errors are worth a retry, and the statuses 408, 409, 429 and 5xx, unless
    ``x-should-retry`` says otherwise, the server asks for a pause longer than `MAX_RETRY_AFTER`, or
    the account's quota is used up.

    Args:
        error: What went wrong.
        retries_taken: How many retries there were already.
        fraction: A random number from 0 to 1, for the jitter.
        now: The wall clock, in Unix seconds.
    """
    if isinstance(error, APIStatusError):
        if not _is_worth_a_retry(error):
            return None
        retry_after = _retry_after(error.response.headers, now)
        if retry_after is not None:
            return retry_after if retry_after <= MAX_RETRY_AFTER else None
    elif not isinstance(error, APIConnectionError) or error.is_final:
        return None
    return backoff(retries_taken, fraction)


def _is_worth_a_retry(error: APIStatusError) -> bool:
    should_retry = error.response.headers.get("x-should-retry")
    if should_retry in ("true", "false"):
        return should_retry == "true"
    if error.code == "insufficient_quota":
        return False
    return error.status_code in (408, 409, 429) or error.status_code >= 500


def backoff(retries_taken: int, fraction: float) -> float:
    """Seconds to wait before the next retry: exponential, with full jitter.

    Args:
        retries_taken: How many retries there were already.
        fraction: A random number from 0 to 1.
    """
    # The exponent is bounded: 2.0 ** 1100 overflows.
    return fraction * min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(retries_taken, 30))
