"""Provides rate limiters for the sandbox. They do no I/O, and get the time as an argument.

Each admits or refuses a request, and says what the headers of the response announce.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Literal, Protocol

import attrs

__all__ = [
    "Concurrency",
    "FixedWindow",
    "Hints",
    "Limiter",
    "SlidingWindow",
    "TokenBucket",
    "Verdict",
]


@attrs.frozen
class Verdict:
    """Says whether a limiter admits a request, and what is left.

    Args:
        admitted: Whether the request is let through.
        limit: How many requests the limiter admits at most at once, or in one window.
        remaining: How many more it would admit now.
        reset: Seconds until it is as fresh as at the start.
        retry_after: Seconds until it will admit one more; 0.0 where it would now.
    """

    admitted: bool
    limit: int
    remaining: int
    reset: float
    retry_after: float


class Limiter(Protocol):
    """What the sandbox asks of a limiter."""

    def acquire(self, now: float) -> Verdict:
        """Admit or refuse a request that comes at `now`, in monotonic seconds."""
        ...

    def release(self, now: float) -> None:
        """Note that an admitted request has got its response."""
        ...


@attrs.define
class TokenBucket:
    """Admits `rate` requests a second, and `burst` at once after a rest.

    Args:
        rate: Tokens a second.
        burst: Tokens the bucket holds.
        count_refused: Whether refused requests take a token as well, into debt of one burst.
    """

    rate: float = attrs.field(validator=attrs.validators.gt(0))
    burst: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    count_refused: bool = False
    _tokens: float = attrs.field(init=False)
    _then: float | None = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self._tokens = float(self.burst)

    def acquire(self, now: float) -> Verdict:
        """Take a token, if there is one."""
        elapsed = 0.0 if self._then is None else now - self._then
        self._then = now
        self._tokens = min(float(self.burst), self._tokens + elapsed * self.rate)
        admitted = self._tokens >= 1.0
        if admitted or self.count_refused:
            self._tokens = max(-float(self.burst), self._tokens - 1.0)
        return Verdict(
            admitted=admitted,
            limit=self.burst,
            remaining=max(0, math.floor(self._tokens)),
            reset=(self.burst - self._tokens) / self.rate,
            retry_after=max(0.0, (1.0 - self._tokens) / self.rate),
        )

    def release(self, now: float) -> None:
        """Do nothing: only arrivals count."""


@attrs.define
class FixedWindow:
    """Admits `limit` requests in each window of `seconds`; the first request opens the first.

    Args:
        limit: Requests a window.
        seconds: The window's length.
        count_refused: Whether refused requests count against the next window.
    """

    limit: int = attrs.field(validator=attrs.validators.ge(1))
    seconds: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))
    count_refused: bool = False
    _opened: float | None = attrs.field(init=False, default=None)
    _used: int = attrs.field(init=False, default=0)

    def acquire(self, now: float) -> Verdict:
        """Count the request in the window that is open now."""
        if self._opened is None:
            self._opened = now
        windows = math.floor((now - self._opened) / self.seconds)
        if windows > 0:
            self._opened += windows * self.seconds
            owed = max(0, self._used - windows * self.limit) if self.count_refused else 0
            self._used = min(owed, self.limit)
        admitted = self._used < self.limit
        if admitted or self.count_refused:
            self._used += 1
        left = max(0, self.limit - self._used)
        reset = self._opened + self.seconds - now
        return Verdict(admitted, self.limit, left, reset, 0.0 if left else reset)

    def release(self, now: float) -> None:
        """Do nothing: only arrivals count."""


@attrs.define
class SlidingWindow:
    """Admits a request if fewer than `limit` were admitted in the last `seconds`.

    Args:
        limit: Requests a window.
        seconds: The window's length.
        count_refused: Whether refused requests count as well.
    """

    limit: int = attrs.field(validator=attrs.validators.ge(1))
    seconds: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))
    count_refused: bool = False
    _arrivals: deque[float] = attrs.field(init=False, factory=deque[float])

    def acquire(self, now: float) -> Verdict:
        """Count the request among those of the last window."""
        arrivals = self._arrivals
        while arrivals and arrivals[0] <= now - self.seconds:
            arrivals.popleft()
        admitted = len(arrivals) < self.limit
        if admitted or self.count_refused:
            arrivals.append(now)
        left = max(0, self.limit - len(arrivals))
        reset = arrivals[-1] + self.seconds - now if arrivals else 0.0
        leaver = len(arrivals) - self.limit
        wait = arrivals[leaver] + self.seconds - now if leaver >= 0 else 0.0
        return Verdict(admitted, self.limit, left, reset, wait)

    def release(self, now: float) -> None:
        """Do nothing: only arrivals count."""


@attrs.define
class Concurrency:
    """Admits a request while fewer than `limit` are in progress.

    Args:
        limit: Requests in flight at once.
        retry_after: Seconds that a refused request is told to wait.
    """

    limit: int = attrs.field(validator=attrs.validators.ge(1))
    retry_after: float = 0.0
    _in_flight: int = attrs.field(init=False, default=0)

    def acquire(self, now: float) -> Verdict:
        """Take a place, if there is one."""
        admitted = self._in_flight < self.limit
        self._in_flight += admitted
        left = self.limit - self._in_flight
        wait = 0.0 if left else self.retry_after
        return Verdict(admitted, self.limit, left, wait, wait)

    def release(self, now: float) -> None:
        """Free the place of a request."""
        self._in_flight -= 1


@attrs.frozen
class Hints:
    """Says which headers announce the limit.

    Args:
        retry_after: The value of `Retry-After` in a refusal: `"honest"` for the time until the
            next request is admitted, in whole seconds and rounded up (RFC 9110, 10.2.3); a number
            of seconds; text, such as a date; or None for no header.
        retry_after_ms: Whether a refusal has the exact time in `retry-after-ms` too.
        ratelimit: Whether every response has `x-ratelimit-limit-requests`,
            `-remaining-requests` and `-reset-requests`.
    """

    retry_after: Literal["honest"] | float | str | None = "honest"
    retry_after_ms: bool = False
    ratelimit: bool = False

    def headers(self, verdict: Verdict) -> tuple[tuple[str, str], ...]:
        """Return the headers for one response."""
        headers: list[tuple[str, str]] = []
        if not verdict.admitted:
            headers.extend(self._refusal(verdict))
        if self.ratelimit:
            headers.append(("x-ratelimit-limit-requests", str(verdict.limit)))
            headers.append(("x-ratelimit-remaining-requests", str(verdict.remaining)))
            headers.append(("x-ratelimit-reset-requests", duration(verdict.reset)))
        return tuple(headers)

    def _refusal(self, verdict: Verdict) -> list[tuple[str, str]]:
        headers: list[tuple[str, str]] = []
        if self.retry_after is not None:
            honest = math.ceil(verdict.retry_after)
            value = honest if self.retry_after == "honest" else self.retry_after
            headers.append(
                ("retry-after", f"{value:g}" if isinstance(value, float) else str(value))
            )
        if self.retry_after_ms:
            headers.append(("retry-after-ms", str(math.ceil(verdict.retry_after * 1000))))
        return headers


def duration(seconds: float) -> str:
    """Return a length of time as the API writes it: `20ms`, `1s`, `6m0s`, `1h0m0s`."""
    milliseconds = math.ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    text = f"{rest / 1000:g}s"
    if not minutes:
        return text
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{text}" if hours else f"{minutes}m{text}"
