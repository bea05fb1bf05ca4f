import pytest

from asyncckpt.export.progress import Estimate


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_nothing_is_said_before_enough_is_known(clock: Clock) -> None:
    estimate = Estimate(clock)
    assert estimate.remaining(0, 100) is None
    clock.now += 10
    assert estimate.remaining(9, 100) is None
    assert estimate.remaining(10, 100) == 90


def test_many_jobs_in_no_time_say_nothing(clock: Clock) -> None:
    estimate = Estimate(clock)
    for done in range(90):
        assert estimate.remaining(done, 100) is None


def test_the_rate_is_that_of_the_last_minute(clock: Clock) -> None:
    estimate = Estimate(clock)
    for done in range(101):
        clock.now += 0.1
        estimate.remaining(done, 1_000)
    for done in range(101, 301):
        clock.now += 1
        remaining = estimate.remaining(done, 1_000)
    assert remaining == pytest.approx(700, rel=0.02)


def test_a_slow_server_is_judged_by_its_last_ten_jobs(clock: Clock) -> None:
    estimate = Estimate(clock)
    remaining = None
    for done in range(30):
        remaining = estimate.remaining(done, 129)
        clock.now += 60
    assert remaining == pytest.approx(6_000)


def test_nothing_is_left_at_the_end(clock: Clock) -> None:
    estimate = Estimate(clock)
    estimate.remaining(0, 20)
    clock.now += 5
    assert estimate.remaining(20, 20) == 0
