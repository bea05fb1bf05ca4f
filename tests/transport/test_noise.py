"""Refusals that have nothing to do with the pace."""

import pytest

from asyncckpt.transport.noise import Noise

FALLING = (100.0, 70.0, 49.0, 34.0)


def noisy() -> Noise:
    """Return noise with a known share: going slower has not helped over four refusals."""
    noise = Noise()
    for pace in FALLING:
        noise.pace_before(10, pace, 0.7 * pace)
    return noise


def test_without_noise_no_refusal_is_tolerated() -> None:
    noise = Noise()
    assert noise.share == 0.0
    assert not noise.tolerates_refusal()


def test_refusals_that_do_not_get_rarer_are_noise() -> None:
    noise = Noise()
    back = [noise.pace_before(10, pace, 0.7 * pace) for pace in FALLING]
    # Twice the pace that it came from; four refusals to forty accepted requests.
    assert back == [None, None, None, 200.0]
    assert noise.share == pytest.approx(4 / 44)


def test_a_pace_that_has_not_halved_decides_nothing() -> None:
    noise = Noise()
    assert [noise.pace_before(10, 100.0, 51.0) for _ in range(8)] == [None] * 8
    assert noise.share == 0.0


def test_a_longer_run_shows_that_going_slower_has_helped() -> None:
    noise = Noise()
    runs = (10, 10, 29, 10)
    assert [noise.pace_before(run, 100.0, 40.0) for run in runs] == [None] * 4
    assert noise.share == 0.0


def test_a_closed_server_is_no_noise() -> None:
    noise = Noise()
    for pace in FALLING[:3]:
        noise.pace_before(10, pace, 0.7 * pace)
    noise.forget_runs()
    assert noise.pace_before(10, 34.0, 1.0) is None


def test_at_most_a_third_counts_as_noise() -> None:
    noise = Noise()
    for pace in FALLING:
        noise.pace_before(0, pace, 0.7 * pace)
    assert noise.share == pytest.approx(1 / 3)


def test_some_refusals_beyond_the_share_end_the_tolerance() -> None:
    noise = noisy()
    assert [noise.tolerates_refusal() for _ in range(4)] == [True, True, True, False]
    assert noise.share == pytest.approx(2 / 44)


def test_the_known_share_is_tolerated_for_long() -> None:
    noise = noisy()
    for number in range(1, 500):
        if number % 11:
            noise.note_response()
        else:
            assert noise.tolerates_refusal()


def test_noise_is_forgotten_after_512_responses() -> None:
    noise = noisy()
    for _ in range(511):
        noise.note_response()
    assert noise.share > 0
    noise.note_response()
    assert noise.share == 0.0
