import math
import time
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from asyncckpt import (
    Request,
    Response,
)
from asyncckpt.protocol.hints import NO_HINTS, RateLimitHints, poll_after, rate_limit_hints

from support.strategies import thorough

NOW = 1_721_764_867.0


REQUEST = Request("GET", "https://api.openai.com/v1/fine_tuning/jobs")


def answer(status_code: int = 200, content: bytes = b"", **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status_code, CIMultiDict(named), content, REQUEST)


def retry_after(**headers: str) -> float | None:
    return rate_limit_hints(answer(**headers).headers, NOW).retry_after


def reset(text: str) -> float | None:
    return rate_limit_hints({"x-ratelimit-reset-requests": text}, NOW).reset


@pytest.fixture(params=["UTC0", "EST5"])
def local_time(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if not hasattr(time, "tzset"):
        pytest.skip("the time zone cannot be changed here")
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


NO_SECONDS = [
    "",
    " ",
    "-1",
    "-0.5",
    "nan",
    "-nan",
    "inf",
    "-inf",
    "Infinity",
    "1e400",
    "soon",
    "1s",
    "0x10",
    "0",
    "0.0",
    "1_0",
    "1e2",
    "+1",
    "1 0",
    "1.",
    ".5",
    "\u0661",
    "\uff11",
    "\u00b2",
]


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("text", "seconds"), [("1", 1), ("2.5", 2.5), (" 3 ", 3), ("007", 7), ("0.001", 0.001)]
    )
    def test_seconds(self, text: str, seconds: float) -> None:
        assert retry_after(retry_after=text) == seconds
        assert retry_after(Retry_After=text) == seconds

    @pytest.mark.parametrize(("text", "seconds"), [("1", 0.001), ("2500", 2.5), ("0.5", 0.0005)])
    def test_milliseconds_come_first(self, text: str, seconds: float) -> None:
        assert retry_after(retry_after_ms=text) == pytest.approx(seconds)
        assert retry_after(retry_after_ms=text, retry_after="60") == pytest.approx(seconds)

    @pytest.mark.parametrize("text", NO_SECONDS)
    def test_malformed_milliseconds_count_for_nothing(self, text: str) -> None:
        assert retry_after(retry_after_ms=text) is None
        assert retry_after(retry_after_ms=text, retry_after="60") == 60

    # The three forms of RFC 9110, section 5.6.7: all of them mean UTC.
    @pytest.mark.parametrize(
        "text",
        [
            "Tue, 23 Jul 2024 20:01:17 GMT",
            "Tuesday, 23-Jul-24 20:01:17 GMT",
            "Tue Jul 23 20:01:17 2024",
            "Tue, 23 Jul 2024 22:01:17 +0200",
            "Tue, 23 Jul 2024 20:01:17 -0000",
        ],
    )
    @pytest.mark.usefixtures("local_time")
    def test_dates(self, text: str) -> None:
        assert retry_after(retry_after=text) == 10

    @pytest.mark.parametrize(
        "date", ["Tue, 23 Jul 2019 20:01:17 GMT", "Tue, 23 Jul 2024 20:01:07 GMT"]
    )
    def test_a_date_that_is_past_is_not_a_hint(self, date: str) -> None:
        assert retry_after(retry_after=date) is None

    def test_a_date_is_compared_with_that_of_the_response(self) -> None:
        until = "Tue, 23 Jul 2024 23:01:17 GMT"
        assert retry_after(retry_after=until, date="Tue, 23 Jul 2024 23:01:10 GMT") == 7
        assert retry_after(retry_after=until, date="Tue, 23 Jul 2024 23:01:18 GMT") is None

    @pytest.mark.parametrize("date", ["", "yesterday", "1721764867"])
    def test_a_malformed_date_of_the_response_counts_for_nothing(self, date: str) -> None:
        assert retry_after(retry_after="Tue, 23 Jul 2024 20:01:17 GMT", date=date) == 10

    @pytest.mark.parametrize(
        "text",
        [
            *NO_SECONDS,
            "9" * 5000,
            "Tue, 23 Jul 2024",
            "Tue, 99 Jul 2024 20:01:17 GMT",
            "Tue, 23 Jul 99999999999999999999 20:01:17 GMT",
            "Tue, 23 Jul 2024 20:01:17 +999999",
        ],
    )
    def test_anything_else_is_not_a_hint(self, text: str) -> None:
        assert retry_after(retry_after=text) is None

    def test_none(self) -> None:
        assert retry_after() is None

    @thorough
    @given(
        st.text(max_size=40) | st.text("0123456789 :,-+GMTJulTue", max_size=40), st.text(max_size=8)
    )
    def test_garbage_is_no_hint_or_seconds(self, text: str, milliseconds: str) -> None:
        for seconds in (
            retry_after(retry_after=text),
            retry_after(retry_after=text, retry_after_ms=milliseconds),
        ):
            assert seconds is None or 0 < seconds < math.inf


class TestRateLimitHints:
    def test_nothing_said(self) -> None:
        assert rate_limit_hints({}, NOW) == RateLimitHints()
        assert rate_limit_hints({"content-type": "x"}, NOW) is NO_HINTS

    def test_all_said(self) -> None:
        headers = {
            "X-RateLimit-Limit-Requests": "200",
            "X-RateLimit-Remaining-Requests": "0",
            "X-RateLimit-Reset-Requests": "6m0s",
            "X-RateLimit-Remaining-Tokens": "5",
            "Retry-After": "3",
        }
        hints = rate_limit_hints(CIMultiDict(headers), NOW)
        assert hints == RateLimitHints(retry_after=3, limit=200, remaining=0, reset=360)

    @pytest.mark.parametrize(
        "text", ["", "many", "-1", "nan", "inf", "1e400", "5/s", "1_0", "\u0661"]
    )
    def test_counts_that_are_none(self, text: str) -> None:
        for header, field in (("limit", "limit"), ("remaining", "remaining")):
            hints = rate_limit_hints({f"x-ratelimit-{header}-requests": text}, NOW)
            assert getattr(hints, field) is None

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("1s", 1),
            ("6m0s", 360),
            ("20ms", 0.02),
            ("1h2m3.5s", 3723.5),
            ("1d", 86_400),
            ("0s", 0),
            ("1m30s500ms", 90.5),
            (" 7.66s ", 7.66),
            ("12", 12),
            ("1.5", 1.5),
        ],
    )
    def test_durations(self, text: str, seconds: float) -> None:
        assert reset(text) == pytest.approx(seconds)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "s",
            "soon",
            "-1s",
            "1s!",
            "1 s",
            "1x",
            "s1",
            "1s 2s",
            "nan",
            "inf",
            "-3",
            "1..5s",
            "1e5s",
            "1_0s",
            "\u0661s",
        ],
    )
    def test_durations_that_are_none(self, text: str) -> None:
        assert reset(text) is None

    @thorough
    @given(st.text(max_size=20) | st.text("0123456789.hmsd", max_size=20))
    @example("9" * 400 + "s")
    @example("9" * 308 + "d")
    def test_garbage_durations_are_none_or_finite(self, text: str) -> None:
        seconds = reset(text)
        assert seconds is None or 0 <= seconds < math.inf

    @thorough
    @given(*(st.integers(0, 10_000) for _ in range(4)))
    def test_durations_add_up(
        self, hours: int, minutes: int, seconds: int, milliseconds: int
    ) -> None:
        wanted = hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
        assert reset(f"{hours}h{minutes}m{seconds}s{milliseconds}ms") == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"openai-poll-after-ms": "5000"}, 5.0),
        ({"openai-poll-after-ms": "5000", "retry-after": "7", "x-poll-interval": "9"}, 5.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "7", "x-poll-interval": "9"}, 7.0),
        ({"x-poll-interval": "9.5"}, 9.5),
        ({"openai-poll-after-ms": "0", "retry-after": "0", "x-poll-interval": "0"}, None),
        ({"openai-poll-after-ms": "soon", "retry-after": "later", "x-poll-interval": "-1"}, None),
        ({"openai-poll-after-ms": "1"}, 0.1),
        ({"x-poll-interval": "1000000"}, 3600.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, None),
    ],
)
def test_a_server_says_when_to_poll_again(headers: dict[str, str], seconds: float | None) -> None:
    assert poll_after(CIMultiDict(headers), 2e9) == seconds
