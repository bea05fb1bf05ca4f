"""Decides whether to send a call again, and when."""

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
    """How far a call may go.

    Attributes:
        max_retries: Retries after failures; 0 turns off waiting for the rate limit as well.
        max_wait: Seconds that the call may wait in total.
    """

    max_retries: int
    max_wait: float


@attrs.define
class History:
    """What has happened to a call so far.

    Attributes:
        attempts: Requests sent.
        retries: Attempts that counted as retries.
        refusals: Responses with status 429 in a row.
        waited: Seconds that it waited for the rate limit and between attempts.
    """

    attempts: int = 0
    retries: int = 0
    refusals: int = 0
    waited: float = 0.0


@attrs.frozen
class Retry:
    """Send the call again.

    Attributes:
        delay: Seconds to wait first.
        is_free: Whether it neither counts as a retry nor takes tokens from the retry budget.
        after_timeout: Whether the attempt before it timed out, which costs more tokens.
    """

    delay: float
    is_free: bool = False
    after_timeout: bool = False


@attrs.frozen
class GiveUp:
    """Raise the error.

    Attributes:
        note: What to add to the error; None for nothing.
    """

    note: str | None = None


NO_USE = GiveUp()


def next_step(
    error: APIError,
    hints: RateLimitHints,
    history: History,
    limits: RetryLimits,
    *,
    others_accepted: bool,
    fraction: float,
) -> Retry | GiveUp:
    """Decide what follows a failed attempt.

    Worth a retry are connection errors that are not final, and the statuses 408, 409, 429 and 5xx,
    unless ``x-should-retry`` says otherwise, the server asks for a pause longer than
    `MAX_RETRY_AFTER`, or the account's quota is used up.

    A 429 is not a failure while the server says when to come back, or accepts other requests: the
    call waits and is sent again, without using up a retry.

    Args:
        error: Why the attempt failed.
        hints: What the response's headers say about the rate limit.
        history: What has happened to the call so far, this attempt included.
        limits: How far the call may go.
        others_accepted: Whether the server has accepted another request of the client since the
            call's previous attempt.
        fraction: A random number from 0 to 1, for the jitter.
    """
    if not limits.max_retries or not _may_help(error):
        return NO_USE
    # 0 is not a hint: a server that knows when it accepts again would not have refused.
    retry_after = hints.retry_after or None
    if retry_after is not None and retry_after > MAX_RETRY_AFTER:
        return NO_USE
    is_free = False
    if isinstance(error, RateLimitError):
        is_free = others_accepted or _says_when(hints)
        delay = refusal_delay(retry_after, history.refusals, fraction)
    elif retry_after is not None:
        delay = retry_after
    else:
        delay = backoff(history.retries, fraction)
    if not is_free and history.retries >= limits.max_retries:
        return NO_USE
    if history.waited + delay > limits.max_wait:
        return GiveUp(
            f"asyncckpt did not wait {delay:.1f} s more: it has waited {history.waited:.1f} s, and "
            f"max_wait is {limits.max_wait:g} s"
        )
    return Retry(delay, is_free, isinstance(error, APITimeoutError))


def _says_when(hints: RateLimitHints) -> bool:
    return bool(hints.retry_after) or (
        hints.remaining == 0 and hints.reset is not None and 0 < hints.reset <= MAX_RETRY_AFTER
    )


def _may_help(error: APIError) -> bool:
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
    """Return the seconds to wait before a retry: exponential, with full jitter.

    Args:
        retries: How many retries there were before.
        fraction: A random number from 0 to 1.
    """
    # The exponent is bounded: 2.0 ** 1100 overflows.
    return fraction * min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(retries, 30))


def refusal_delay(retry_after: float | None, refusals: int, fraction: float) -> float:
    """Return the seconds that a refused request waits before it enters the rate limiter again.

    Args:
        retry_after: What the server asked for, in seconds; None if it did not say.
        refusals: How often the request has been refused in a row, this time included.
        fraction: A random number from 0 to 1, for the jitter.
    """
    if retry_after is not None and refusals <= 1:
        return retry_after
    longest = min(_LONGEST_REFUSAL, _FIRST_REFUSAL * 2.0 ** min(refusals - 1, 30))
    # A hint that turned out to be too short must not make the client ask ever faster.
    return max(retry_after or 0.0, longest * (1 + fraction) / 2)
