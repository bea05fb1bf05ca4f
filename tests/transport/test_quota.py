"""The quota that the server announces."""

from asyncckpt.protocol.hints import NO_HINTS, RateLimitHints
from asyncckpt.transport.quota import Quota


def heard(*announced: tuple[float, int, float], limit: int | None = None) -> Quota:
    """Return a quota that was announced: at a time, the remaining requests and the reset."""
    quota = Quota()
    for now, remaining, reset in announced:
        quota.hear(now, RateLimitHints(limit=limit, remaining=remaining, reset=reset))
    return quota


def test_without_an_announcement_nothing_is_used_up() -> None:
    quota = Quota()
    quota.hear(0.0, NO_HINTS)
    quota.hear(0.0, RateLimitHints(remaining=0))
    quota.hear(0.0, RateLimitHints(reset=5.0))
    assert not quota.is_used_up(0.0, 1000)


def test_a_quota_is_used_up_until_its_reset() -> None:
    quota = heard((0.0, 0, 5.0))
    assert quota.is_used_up(4.9, 0)
    assert not quota.is_used_up(5.0, 0)


def test_requests_in_flight_count() -> None:
    quota = heard((0.0, 2, 5.0))
    assert not quota.is_used_up(0.0, 1)
    assert quota.is_used_up(0.0, 2)


def test_the_lowest_number_of_a_window_counts() -> None:
    # Responses can arrive in another order than they were sent in.
    quota = heard((0.0, 5, 10.0), (1.0, 3, 9.0), (1.1, 4, 8.9))
    assert (quota.remaining, quota.resets_at) == (3, 10.0)


def test_the_next_window_has_a_quota_of_its_own() -> None:
    quota = heard((0.0, 0, 5.0), (5.0, 9, 5.0))
    assert (quota.remaining, quota.resets_at) == (9, 10.0)
    assert quota.is_window


def test_a_reset_that_moves_three_times_is_that_of_a_bucket() -> None:
    moving = [(0.0, 0, 10.0), (6.0, 0, 10.0), (12.0, 0, 10.0)]
    quota = heard(*moving, limit=50)
    assert quota.is_window
    assert quota.is_used_up(12.0, 0)
    assert quota.refill_rate is None
    quota = heard(*moving, (18.0, 20, 10.0), limit=50)
    assert not quota.is_window
    assert not quota.is_used_up(18.0, 1000)
    assert quota.refill_rate == 3.0
