"""The clock of live jobs."""

import time

import pytest

from asyncckpt.testing import Clock


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that passes outside of the clock."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_it_starts_now_unless_told_otherwise(seconds: list[float]) -> None:
    assert Clock(start=5)() == 5.0
    before = time.time()
    assert before <= Clock()() <= time.time()


def test_it_runs_at_its_speed(seconds: list[float]) -> None:
    clock = Clock(speed=60, start=1_000)
    seconds[0] += 2
    assert clock() == 1_120
    clock.speed = 0.5
    seconds[0] += 10
    assert clock() == 1_125
    clock.advance(7)
    assert clock() == 1_132


def test_it_stands_still_until_it_is_advanced(seconds: list[float]) -> None:
    clock = Clock(speed=0, start=1_000)
    seconds[0] += 50
    assert clock() == 1_000
    clock.advance(3_600.5)
    assert clock() == 4_600.5
    assert repr(clock) == "<Clock at 4600.5, speed 0>"


def test_it_does_not_run_backward() -> None:
    with pytest.raises(ValueError, match="forward"):
        Clock().advance(-1)
    for speed in (-1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="speed"):
            Clock(speed=speed)
    with pytest.raises(TypeError, match="speed"):
        Clock(speed="fast")  # type: ignore[arg-type]
