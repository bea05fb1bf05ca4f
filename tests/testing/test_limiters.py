"""The rate limiters, as functions of time."""

import pytest

from asyncckpt.testing.limiters import (
    FixedWindow,
    Limiter,
    SlidingWindow,
    TokenBucket,
    duration,
)

LIMITERS = {
    "token bucket": lambda: TokenBucket(rate=10, burst=5),
    "fixed window": lambda: FixedWindow(limit=10, seconds=1),
    "sliding window": lambda: SlidingWindow(limit=10, seconds=1),
}


@pytest.mark.parametrize("name", LIMITERS)
def test_a_limiter_admits_its_rate(name: str) -> None:
    """Asked far too often for ten seconds, it admits ten a second, and a burst at the most."""
    limiter: Limiter = LIMITERS[name]()
    admitted = sum(limiter.acquire(tick / 100).admitted for tick in range(1000))
    assert 100 <= admitted <= 105


@pytest.mark.parametrize("name", LIMITERS)
def test_a_limiter_admits_a_request_after_the_wait_it_announced(name: str) -> None:
    limiter: Limiter = LIMITERS[name]()
    now, refused = 100.0, 0
    for _ in range(200):
        verdict = limiter.acquire(now)
        if not verdict.admitted:
            refused += 1
            assert verdict.remaining == 0
            assert not limiter.acquire(now + 0.9 * verdict.retry_after).admitted
            now += verdict.retry_after + 1e-9
            assert limiter.acquire(now).admitted
    assert refused > 10


@pytest.mark.parametrize(
    "limiter",
    [
        TokenBucket(rate=10, burst=5, count_refused=True),
        SlidingWindow(limit=10, seconds=1, count_refused=True),
    ],
)
def test_a_limiter_that_counts_refusals_starves_a_persistent_client(limiter: Limiter) -> None:
    admitted = sum(limiter.acquire(tick / 100).admitted for tick in range(1000))
    assert admitted <= 11


def test_a_fixed_window_can_carry_refusals_over() -> None:
    window = FixedWindow(limit=10, seconds=1, count_refused=True)
    assert sum(window.acquire(0.5).admitted for _ in range(15)) == 10
    assert sum(window.acquire(1.6).admitted for _ in range(15)) == 5


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.02, "20ms"), (1, "1s"), (1.5, "1.5s"), (360, "6m0s"), (3_661, "1h1m1s")],
)
def test_durations_as_the_api_writes_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
