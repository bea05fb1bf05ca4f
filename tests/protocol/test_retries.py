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
from asyncckpt.protocol.retries import backoff, retry_delay

from support.strategies import thorough

NOW = 1_721_764_867.0


REQUEST = Request("GET", "https://api.openai.com/v1/fine_tuning/jobs")


def answer(status_code: int = 200, content: bytes = b"", **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status_code, CIMultiDict(named), content, REQUEST)


def refused(status: int, content: bytes = b"", **headers: str) -> APIStatusError:
    return status_error(answer(status, content, **headers))


QUOTA = b'{"error": {"code": "insufficient_quota"}}'


class TestRetryDelay:
    def delay(self, error: APIError, retries_taken: int = 0) -> float | None:
        return retry_delay(error, retries_taken, fraction=1.0, now=NOW)

    @pytest.mark.parametrize(
        ("error", "delay"),
        [
            (APIConnectionError("cut"), 0.25),
            (APITimeoutError("slow"), 0.25),
            (APIConnectionError("certificate", is_final=True), None),
            (APIError("other"), None),
            (PaginationError("circle", cursor="a"), None),
            (validation_error(answer(), "odd", "$"), None),
            (refused(400), None),
            (refused(401), None),
            (refused(403), None),
            (refused(404), None),
            (refused(408), 0.25),
            (refused(409), 0.25),
            (refused(422), None),
            (refused(425), None),
            (refused(429), 0.25),
            (refused(500), 0.25),
            (refused(503), 0.25),
            (refused(599), 0.25),
            (refused(429, QUOTA), None),
            (refused(429, QUOTA, x_should_retry="true"), 0.25),
            (refused(400, x_should_retry="true"), 0.25),
            (refused(500, x_should_retry="false"), None),
            (refused(500, x_should_retry="maybe"), 0.25),
            (refused(400, x_should_retry="maybe"), None),
            (refused(429, retry_after="3"), 3),
            (refused(429, retry_after="0"), 0),
            (refused(429, retry_after_ms="1500"), 1.5),
            (refused(503, retry_after="120"), 120),
            (refused(503, retry_after="120.1"), None),
            (refused(503, retry_after="Tue, 23 Jul 2024 20:01:17 GMT"), 10),
            (refused(503, retry_after="Tue, 23 Jul 2030 20:01:17 GMT"), None),
            (refused(503, retry_after="soon"), 0.25),
            (refused(429, retry_after="-1"), 0.25),
            (refused(429, retry_after="inf"), 0.25),
            (refused(400, retry_after="3"), None),
            (refused(500, x_should_retry="false", retry_after="3"), None),
        ],
        ids=repr,
    )
    def test_table(self, error: APIError, delay: float | None) -> None:
        assert self.delay(error) == delay

    def test_grows_with_the_retries_unless_the_server_says_how_long(self) -> None:
        delays = [self.delay(refused(500), taken) for taken in range(7)]
        assert delays == [0.25, 0.5, 1, 2, 4, 8, 8]
        assert self.delay(refused(500, retry_after="3"), 6) == 3

    @thorough
    @given(st.integers(0, 10_000), st.floats(0, 1))
    def test_backoff_is_bounded_and_jittered_in_full(self, taken: int, fraction: float) -> None:
        longest = backoff(taken, 1.0)
        assert 0.25 <= longest <= 8
        assert backoff(taken, 0.0) == 0
        assert backoff(taken, fraction) == pytest.approx(fraction * longest)
        assert longest <= backoff(taken + 1, 1.0)
