"""Decides whether to retry a call, and when."""

from __future__ import annotations

import attrs

from asyncckpt.errors import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    RateLimitError,
)
from asyncckpt.protocol.hints import MAX_RETRY_AFTER, RateLimitHints

__all__ = ["GiveUp", "History", "Retry", "RetryLimits", "backoff", "next_step", "refusal_delay"]

_FIRST_BACKOFF = 0.25
_LONGEST_BACKOFF = 8.0
_FIRST_REFUSAL = 0.05
_LONGEST_REFUSAL = 2.0


@attrs.frozen
class RetryLimits:
    """The limits of a call.

    Attributes:
        max_retries: The highest number of retries after failures; with 0, a 429 is not retried
            either.
        max_wait: The total seconds that the call may wait.
    """

    max_retries: int
    max_wait: float


@attrs.define
class History:
    """The attempts of a call so far.

    Attributes:
        attempts: The number of requests sent.
        retries: The number of attempts that counted as retries.
        refusals: The number of consecutive responses with status 429.
        waited: Total seconds that the call waited for the rate limit and between attempts.
    """

    attempts: int = 0
    retries: int = 0
    refusals: int = 0
    waited: float = 0.0


@attrs.frozen
class Retry:
    """The decision to send the call again.

    Attributes:
        delay: Seconds to wait before.
        is_free: Whether the attempt does not count as a retry, and takes no tokens from the retry
            budget.
        after_timeout: Whether the last attempt timed out; the retry then takes more tokens.
    """

    delay: float
    is_free: bool = False
    after_timeout: bool = False


@attrs.frozen
class GiveUp:
    """The decision to raise the error.

    Attributes:
        note: A note to add to the error; None for no note.
    """

    note: str | None = None


GIVE_UP = GiveUp()


def next_step(
    error: APIError,
    hints: RateLimitHints,
    history: History,
    limits: RetryLimits,
    *,
    others_accepted: bool,
    fraction: float,
) -> Retry | GiveUp:
    """Decide what to do after a failed attempt.

    Connection errors are retried unless they are final. Responses with status 408, 409, 429 or 5xx
    are retried unless the quota of the account is used up. The header ``x-should-retry`` overrides
    both rules. Nothing is retried if the server requests a delay longer than `MAX_RETRY_AFTER`.

    After a 429, the attempt does not count as a retry while the server says when to send again, or
    accepts other requests.

    Args:
        error: The error of the attempt.
        hints: The rate limit headers of the response.
        history: The attempts so far, including this one.
        limits: The limits of the call.
        others_accepted: Whether the server has accepted another request of the client since the
            previous attempt of the call.
        fraction: A random number from 0 to 1, for the jitter.
    """
    if not limits.max_retries or not _is_retryable(error):
        return GIVE_UP
    # A delay of 0 is ignored: the server has just refused a request.
    retry_after = hints.retry_after or None
    if retry_after is not None and retry_after > MAX_RETRY_AFTER:
        return GIVE_UP
    is_free = False
    if isinstance(error, RateLimitError):
        is_free = others_accepted or _has_retry_time(hints)
        delay = refusal_delay(retry_after, history.refusals, fraction)
    elif retry_after is not None:
        delay = retry_after
    else:
        delay = backoff(history.retries, fraction)
    if not is_free and history.retries >= limits.max_retries:
        return GIVE_UP
    if history.waited + delay > limits.max_wait:
        return GiveUp(
            f"asyncckpt did not wait another {delay:.1f} s: it has waited {history.waited:.1f} s, "
            f"and max_wait is {limits.max_wait:g} s"
        )
    return Retry(delay, is_free, isinstance(error, APITimeoutError))


def _has_retry_time(hints: RateLimitHints) -> bool:
    return bool(hints.retry_after) or (
        hints.remaining == 0 and hints.reset is not None and 0 < hints.reset <= MAX_RETRY_AFTER
    )


def _is_retryable(error: APIError) -> bool:
    if isinstance(error, APIConnectionError):
        return not error.is_final
    if not isinstance(error, APIStatusError):
        return False
    should_retry = error.response.headers.get("x-should-retry")
    if should_retry in ("true", "false"):
        return should_retry == "true"
    if error.code == "insufficient_quota":
        return False
    return error.status_code in (408, 409, 429) or error.status_code >= 500


def backoff(retries: int, fraction: float) -> float:
    """Return the seconds to wait before a retry: exponential backoff with full jitter.

    Args:
        retries: The number of earlier retries.
        fraction: A random number from 0 to 1, for the jitter.
    """
    # The exponent is bounded: 2.0 ** 1100 overflows.
    return fraction * min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(retries, 30))


def refusal_delay(retry_after: float | None, refusals: int, fraction: float) -> float:
    """Return the seconds to wait after a 429, before the request enters the rate limiter again.

    Args:
        retry_after: The delay that the server requested, in seconds; None if it requested none.
        refusals: The number of consecutive responses with status 429, including this one.
        fraction: A random number from 0 to 1, for the jitter.
    """
    if retry_after is not None and refusals <= 1:
        return retry_after
    longest = min(_LONGEST_REFUSAL, _FIRST_REFUSAL * 2.0 ** min(refusals - 1, 30))
    # The first delay was too short, so the server's hint alone is not enough.
    return max(retry_after or 0.0, longest * (1 + fraction) / 2)
