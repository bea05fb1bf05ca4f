"""Limiters that only tests need, beside those of `asyncckpt.testing.limiters`."""

from __future__ import annotations

import copy
import random

import attrs

from asyncckpt.testing.limiters import Limiter, TokenBucket, Verdict

_ADMITTED = Verdict(admitted=True, limit=1, remaining=1, reset=0.0, retry_after=0.0)


def _refused(retry_after: float) -> Verdict:
    return Verdict(False, limit=1, remaining=0, reset=retry_after, retry_after=retry_after)


class Unlimited:
    """Admits every request."""

    def acquire(self, now: float) -> Verdict:
        return _ADMITTED

    def release(self, now: float) -> None: ...


@attrs.define
class Noise(Unlimited):
    """Refuses a share of the requests at random, as one bad replica does, before `limiter`."""

    share: float
    limiter: Limiter = attrs.field(factory=Unlimited)
    seed: int = 0
    _random: random.Random = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def acquire(self, now: float) -> Verdict:
        if self._random.random() < self.share:
            return _refused(1.0)
        return self.limiter.acquire(now)


@attrs.define
class Outage(Unlimited):
    """Refuses every request from `start` to `end`, in seconds, before `limiter`."""

    start: float
    end: float
    limiter: Limiter = attrs.field(factory=Unlimited)

    def acquire(self, now: float) -> Verdict:
        if self.start <= now < self.end:
            return _refused(self.end - now)
        return self.limiter.acquire(now)


@attrs.define
class ChangingBucket(TokenBucket):
    """A token bucket whose rate changes: `changes` holds times with the rates from then on."""

    changes: list[tuple[float, float]] = attrs.field(factory=list, kw_only=True)

    def acquire(self, now: float) -> Verdict:
        while self.changes and now >= self.changes[0][0]:
            at, rate = self.changes.pop(0)
            if self._then is not None:
                self._tokens = min(float(self.burst), self._tokens + (at - self._then) * self.rate)
            self._then, self.rate = at, rate
        return super().acquire(now)


def least_seconds(limiter: Limiter, requests: int) -> float:
    """Return the least time in which a limiter that counts arrivals admits so many requests."""
    limiter, now = copy.deepcopy(limiter), 0.0
    for _ in range(requests):
        while not (verdict := limiter.acquire(now)).admitted:
            now += max(verdict.retry_after, 1e-6)
    return now
