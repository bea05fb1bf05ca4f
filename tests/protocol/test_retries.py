"""The decision whether a call is sent again, and when."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from asyncckpt import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    PaginationError,
    Request,
    Response,
)
from asyncckpt.protocol.failures import status_error, validation_error
from asyncckpt.protocol.hints import NO_HINTS, RateLimitHints, rate_limit_hints
from asyncckpt.protocol.retries import (
    GiveUp,
    History,
    Retry,
    RetryLimits,
    backoff,
    next_step,
    refusal_delay,
)

from support.strategies import thorough

NOW = 1_721_764_867.0
REQUEST = Request("GET", "https://api.openai.com/v1/fine_tuning/jobs")
LIMITS = RetryLimits(max_retries=6, max_wait=120.0)
QUOTA = b'{"error": {"code": "insufficient_quota"}}'


def response(status_code: int = 200, content: bytes = b"", **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status_code, CIMultiDict(named), content, REQUEST)


def failed(status: int, content: bytes = b"", **headers: str) -> APIStatusError:
    return status_error(response(status, content, **headers))


def step(
    error: APIError,
    history: History | None = None,
    limits: RetryLimits = LIMITS,
    *,
    others_accepted: bool = False,
    fraction: float = 1.0,
) -> Retry | GiveUp:
    hints = NO_HINTS
    if isinstance(error, APIStatusError):
        hints = rate_limit_hints(error.response.headers, NOW)
    return next_step(
        error,
        hints,
        history or History(attempts=1, refusals=1),
        limits,
        others_accepted=others_accepted,
        fraction=fraction,
    )


def delay(error: APIError, history: History | None = None) -> float | None:
    decided = step(error, history)
    return decided.delay if isinstance(decided, Retry) else None


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (APIConnectionError("cut"), 0.25),
        (APITimeoutError("slow"), 0.25),
        (APIConnectionError("certificate", is_final=True), None),
        (APIError("other"), None),
        (PaginationError("cycle", cursor="a"), None),
        (validation_error(response(), "odd", "$"), None),
        (failed(400), None),
        (failed(401), None),
        (failed(403), None),
        (failed(404), None),
        (failed(408), 0.25),
        (failed(409), 0.25),
        (failed(422), None),
        (failed(425), None),
        (failed(429), 0.05),
        (failed(500), 0.25),
        (failed(503), 0.25),
        (failed(599), 0.25),
        (failed(429, QUOTA), None),
        (failed(429, QUOTA, x_should_retry="true"), 0.05),
        (failed(400, x_should_retry="true"), 0.25),
        (failed(500, x_should_retry="false"), None),
        (failed(500, x_should_retry="maybe"), 0.25),
        (failed(400, x_should_retry="maybe"), None),
        (failed(429, retry_after="3"), 3),
        (failed(429, retry_after="0"), 0.05),
        (failed(503, retry_after="0"), 0.25),
        (failed(503, retry_after="Tue, 23 Jul 2024 19:01:17 GMT"), 0.25),
        (failed(429, retry_after_ms="1500"), 1.5),
        (failed(429, retry_after="120"), 120),
        (failed(429, retry_after="121"), None),
        (failed(503, retry_after="120"), 120),
        (failed(503, retry_after="120.1"), None),
        (failed(503, retry_after="Tue, 23 Jul 2024 20:01:17 GMT"), 10),
        (failed(503, retry_after="Tue, 23 Jul 2030 20:01:17 GMT"), None),
        (failed(503, retry_after="soon"), 0.25),
        (failed(429, retry_after="-1"), 0.05),
        (failed(429, retry_after="inf"), 0.05),
        (failed(400, retry_after="3"), None),
        (failed(500, x_should_retry="false", retry_after="3"), None),
    ],
    ids=repr,
)
def test_what_is_worth_a_retry_and_after_how_long(error: APIError, seconds: float | None) -> None:
    assert delay(error) == seconds


def test_the_delay_grows_with_the_retries_unless_the_server_says_how_long() -> None:
    delays = [delay(failed(500), History(retries=retries)) for retries in range(6)]
    assert delays == [0.25, 0.5, 1, 2, 4, 8]
    assert delay(failed(500, retry_after="3"), History(retries=5)) == 3


def test_retries_are_limited() -> None:
    assert isinstance(step(failed(500), History(retries=5)), Retry)
    assert step(failed(500), History(retries=6)) == GiveUp()
    assert step(failed(429), History(retries=6, refusals=1)) == GiveUp()


def test_no_retries_also_means_no_waiting_for_the_rate_limit() -> None:
    none = RetryLimits(max_retries=0, max_wait=120.0)
    assert step(failed(500), limits=none) == GiveUp()
    assert step(failed(429, retry_after="1"), limits=none, others_accepted=True) == GiveUp()


@pytest.mark.parametrize("headers", [{"retry_after": "1"}, {"retry_after_ms": "20"}], ids=repr)
def test_waiting_as_told_is_free_however_often(headers: dict[str, str]) -> None:
    decided = step(failed(429, **headers), History(retries=6, refusals=50))
    assert isinstance(decided, Retry)
    assert decided.is_free


def test_an_announced_reset_is_as_good_as_a_hint() -> None:
    hints = RateLimitHints(limit=10, remaining=0, reset=5.0)
    history = History(retries=6, refusals=1)
    decided = next_step(failed(429), hints, history, LIMITS, others_accepted=False, fraction=1.0)
    assert decided == Retry(0.05, is_free=True)
    for less in (
        attrs.evolve(hints, remaining=3),
        attrs.evolve(hints, reset=None),
        attrs.evolve(hints, reset=0.0),
        attrs.evolve(hints, reset=121.0),
    ):
        decided = next_step(failed(429), less, history, LIMITS, others_accepted=False, fraction=1.0)
        assert decided == GiveUp()


def test_a_refusal_is_free_while_others_are_accepted() -> None:
    history = History(retries=6, refusals=3)
    assert step(failed(429), history, others_accepted=True) == Retry(0.2, is_free=True)
    assert step(failed(429), history) == GiveUp()
    # Other failures are not about the rate.
    assert step(failed(500), history, others_accepted=True) == GiveUp()


def test_waiting_ends_with_max_wait() -> None:
    error = failed(429, retry_after="30")
    assert step(error, History(refusals=1, waited=90.0)) == Retry(30.0, is_free=True)
    given_up = step(error, History(refusals=1, waited=90.5))
    assert isinstance(given_up, GiveUp)
    assert given_up.note is not None
    assert "another 30.0 s" in given_up.note
    assert "90.5 s" in given_up.note
    assert "120 s" in given_up.note


def test_a_timeout_costs_more() -> None:
    assert step(APITimeoutError("slow")) == Retry(0.25, after_timeout=True)
    assert step(APIConnectionError("cut")) == Retry(0.25)


@thorough
@given(st.integers(0, 10_000), st.floats(0, 1))
def test_backoff_is_bounded_and_jittered_in_full(retries: int, fraction: float) -> None:
    longest = backoff(retries, 1.0)
    assert 0.25 <= longest <= 8
    assert backoff(retries, 0.0) == 0
    assert backoff(retries, fraction) == pytest.approx(fraction * longest)
    assert longest <= backoff(retries + 1, 1.0)


@thorough
@given(st.integers(1, 10_000), st.floats(0, 1), st.none() | st.floats(0.001, 120))
def test_a_refused_request_never_comes_back_early(
    refusals: int, fraction: float, retry_after: float | None
) -> None:
    seconds = refusal_delay(retry_after, refusals, fraction)
    assert seconds >= (retry_after or 0.025)
    assert seconds <= max(retry_after or 0, 2.0)


def test_refusals_back_off_from_50_ms_to_2_s() -> None:
    delays = [refusal_delay(None, refusals, 1.0) for refusals in range(1, 9)]
    assert delays == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2, 2]
    assert refusal_delay(None, 1, 0.0) == 0.025


def test_a_hint_that_is_always_too_short_is_not_followed_ever_faster() -> None:
    delays = [refusal_delay(0.002, refusals, 1.0) for refusals in (1, 2, 7)]
    assert delays == [0.002, 0.1, 2]
