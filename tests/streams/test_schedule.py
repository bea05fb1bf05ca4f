"""When a job is polled, and what for."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncckpt.streams.schedule import (
    LONGEST,
    LONGEST_WAITING,
    POLLS_PER_SECOND,
    SETTLE,
    SHORTEST,
    Rhythm,
    needs_of,
    phase_of,
    seconds_until,
)


def poll(rhythm: Rhythm, now: float, **changes: object) -> float:
    """The seconds until the next poll."""
    facts: dict[str, object] = {
        "status": "running",
        "has_changed": False,
        "hint": None,
        "remaining": None,
        "jobs": 1,
        "fraction": 0.0,
    }
    return rhythm.after_poll(now, **{**facts, **changes}) - now  # type: ignore[arg-type]


def adaptive(phase: float = 0.0) -> Rhythm:
    return Rhythm(phase, 0.0, None)


@pytest.mark.parametrize("phase", [0.0, 0.3, 0.99])
def test_a_fixed_interval_is_kept(phase: float) -> None:
    rhythm = Rhythm(phase, 100.0, 10.0)
    now = 100.0
    waits = []
    for _ in range(5):
        # A poll takes some time itself.
        waits.append(poll(rhythm, now + 0.2) + 0.2)
        now += waits[-1]
    assert 5 <= waits[0] <= 15.2
    assert waits[1:] == pytest.approx([10.0] * 4)


def test_the_first_job_waits_a_whole_interval_from_the_start() -> None:
    assert poll(Rhythm(phase_of(0), 100.0, 10.0), 100.0) == pytest.approx(10.0)


def test_a_poll_that_takes_long_leaves_out_points_of_the_grid() -> None:
    rhythm = Rhythm(0.0, 0.0, 10.0)
    assert poll(rhythm, 17.0) == pytest.approx(13.0)
    assert poll(rhythm, 14.0) == pytest.approx(6.0)


@pytest.mark.parametrize("jobs", [2, 3, 10, 100, 1000])
@pytest.mark.parametrize("interval", [60.0, None])
def test_quiet_jobs_are_spread_evenly(jobs: int, interval: float | None) -> None:
    rhythms = [Rhythm(phase_of(number), 0.0, interval) for number in range(jobs)]
    # All of them are polled at the start, and stay quiet.
    due = [0.0] * jobs
    for _ in range(15):
        due = [
            at + poll(rhythm, at, jobs=jobs, fraction=0.5)
            for rhythm, at in zip(rhythms, due, strict=True)
        ]
    length = interval or max(LONGEST, jobs / POLLS_PER_SECOND)
    offsets = sorted(time % length for time in due)
    gaps = [second - first for first, second in itertools.pairwise(offsets)]
    gaps.append(offsets[0] + length - offsets[-1])
    # The golden ratio leaves gaps of at most 2.6 even shares.
    assert max(gaps) <= 2.7 * length / jobs


def test_the_interval_grows_while_nothing_changes() -> None:
    rhythm = adaptive()
    now, waits = 0.0, []
    for _ in range(20):
        waits.append(poll(rhythm, now))
        now += waits[-1]
    assert waits[0] < 6
    assert waits[-1] == pytest.approx(LONGEST)
    assert max(waits) <= 1.5 * LONGEST


def test_a_change_shortens_the_interval() -> None:
    rhythm = adaptive()
    for _ in range(20):
        poll(rhythm, 0.0)
    assert poll(rhythm, 0.0, has_changed=True) <= 1.5 * SHORTEST


@pytest.mark.parametrize("status", ["queued", "paused", "pausing"])
def test_the_interval_is_longer_in_the_queue(status: str) -> None:
    rhythm = adaptive()
    now = 0.0
    for _ in range(20):
        now += poll(rhythm, now, status=status)
    assert poll(rhythm, now, status=status) == pytest.approx(LONGEST_WAITING)


def test_the_interval_is_short_near_the_estimated_end() -> None:
    rhythm = adaptive()
    now = 0.0
    for _ in range(20):
        now += poll(rhythm, now)
    assert poll(rhythm, 0.0, remaining=40.0) == pytest.approx(10.0)
    assert poll(rhythm, 0.0, remaining=1.0) == pytest.approx(SHORTEST)
    assert poll(rhythm, 0.0, remaining=-1000.0) == pytest.approx(LONGEST)


def test_many_jobs_are_polled_less_often() -> None:
    assert poll(adaptive(), 0.0, jobs=2000) >= 0.5 * 2000 / POLLS_PER_SECOND


@given(st.floats(0, 1), st.booleans(), st.floats(0, 1e6))
def test_the_jitter_is_at_most_a_twentieth(fraction: float, changed: bool, now: float) -> None:
    exact = poll(adaptive(), now, has_changed=changed)
    late = poll(adaptive(), now, has_changed=changed, fraction=fraction)
    assert exact - 1e-6 <= late <= exact + 0.051 * 2 * exact + 1e-6


def test_a_hint_of_the_server_is_followed() -> None:
    rhythm = adaptive()
    assert poll(rhythm, 3.0, hint=7.0) == pytest.approx(7.0)
    assert 7.0 < poll(rhythm, 3.0, hint=7.0, fraction=1.0) < 7.0 * 1.06


def test_the_jobs_are_spread_after_the_first_hint() -> None:
    rhythms = [adaptive(phase_of(number)) for number in range(3)]
    first = [poll(rhythm, 0.0, hint=10.0) for rhythm in rhythms]
    assert first == pytest.approx([10.0, 16.18, 12.36], abs=0.01)
    assert [poll(rhythm, 0.0, hint=10.0) for rhythm in rhythms] == pytest.approx([10.0] * 3)


def test_an_interval_of_the_caller_overrides_a_hint() -> None:
    assert poll(Rhythm(0.0, 0.0, 5.0), 0.0, hint=60.0) == pytest.approx(5.0)


def test_failures_lengthen_the_adaptive_interval() -> None:
    rhythm = adaptive()
    waits = [rhythm.after_failure(0.0, jobs=1, fraction=1.0) for _ in range(20)]
    assert waits == sorted(waits)
    assert waits[0] == pytest.approx(3.0)
    assert waits[-1] == LONGEST
    assert rhythm.after_failure(0.0, jobs=1, fraction=0.0) == LONGEST / 2
    assert Rhythm(0.0, 0.0, 10.0).after_failure(0.0, jobs=1, fraction=1.0) == 10.0


def test_the_last_look_is_soon() -> None:
    assert adaptive().after_end(5.0) == 5.0 + SETTLE
    assert Rhythm(0.0, 0.0, 0.5).after_end(5.0) == 5.5
    assert Rhythm(0.0, 0.0, 60.0).after_end(5.0) == 5.0 + SETTLE


@pytest.mark.parametrize(
    ("status", "checkpoints", "events"),
    [
        ("queued", False, False),
        ("validating_files", False, True),
        ("running", True, True),
        ("paused", True, True),
        ("never heard of", True, True),
    ],
)
def test_a_poll_requests_what_the_status_allows(
    status: str, checkpoints: bool, events: bool
) -> None:
    needs = needs_of(status, is_first=False, has_changed=False, skipped=0)
    assert (needs.checkpoints, needs.events) == (checkpoints, events)


@pytest.mark.parametrize(
    "facts",
    [
        {"is_first": True, "has_changed": False, "skipped": 0},
        {"is_first": False, "has_changed": True, "skipped": 0},
        {"is_first": False, "has_changed": False, "skipped": 9},
    ],
)
def test_the_lists_of_a_queued_job_are_read_at_first_after_a_change_and_at_times(
    facts: dict[str, object],
) -> None:
    needs = needs_of("queued", **facts)  # type: ignore[arg-type]
    assert needs.checkpoints
    assert needs.events


@pytest.mark.parametrize("time", [10**400, -(10**400)])
def test_a_time_may_be_too_large_for_a_float(time: int) -> None:
    assert (seconds_until(time, 1e9) > 1e9) is (time > 0)


def test_the_seconds_until_a_time_are_exact() -> None:
    assert seconds_until(1_700_000_010, 1_700_000_000.25) == 9.75
