"""HTTP without I/O: build a request, read an answer, decide on a retry."""

import json
import math
import pickle
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict
from strategies import thorough

from asyncckpt import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    InternalServerError,
    NotFoundError,
    PaginationError,
    PermissionDeniedError,
    RateLimitError,
    Request,
    Response,
    UnprocessableEntityError,
    protocol,
)

NOW = 1_721_764_867.0
REQUEST = Request("GET", "https://api.openai.com/v1/fine_tuning/jobs")


def answer(status_code: int = 200, content: bytes = b"", **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status_code, CIMultiDict(named), content, REQUEST)


class TestBaseUrl:
    @pytest.mark.parametrize(
        ("given", "bare", "query"),
        [
            ("https://api.openai.com/v1", "https://api.openai.com/v1", {}),
            ("https://api.openai.com/v1/", "https://api.openai.com/v1", {}),
            ("https://api.openai.com/v1//", "https://api.openai.com/v1", {}),
            ("https://api.openai.com", "https://api.openai.com", {}),
            ("http://localhost:8000/", "http://localhost:8000", {}),
            ("http://[::1]:8000/v1", "http://[::1]:8000/v1", {}),
            ("HTTPS://api.openai.com/v1", "https://api.openai.com/v1", {}),
            ("https://h/a/b%20c/d;e", "https://h/a/b%20c/d;e", {}),
            (
                "https://r.openai.azure.com/openai?api-version=2024-10-21",
                "https://r.openai.azure.com/openai",
                {"api-version": "2024-10-21"},
            ),
            ("https://h/v1/?a=b%26c&d=", "https://h/v1", {"a": "b&c", "d": ""}),
        ],
    )
    def test_is_parted_from_its_query(self, given: str, bare: str, query: dict[str, str]) -> None:
        assert protocol.parse_base_url(given) == (bare, query)

    @pytest.mark.parametrize(
        "given",
        [
            "",
            "api.openai.com/v1",
            "/v1",
            "//api.openai.com/v1",
            "https:",
            "https://",
            "https:///v1",
            "https://:8000/v1",
            "ftp://api.openai.com",
            "file:///etc/passwd",
            "https://api.openai.com:99999",
            "https://api.openai.com:port",
            "https://api.openai.com:-1",
            "https://[::1/v1",
            "https://[nonsense]/v1",
            "https://api.openai.com/v1#part",
            "https://api.openai.com/v1\n",
            " https://api.openai.com/v1",
            "https://api.openai.com/v 1",
            "https://api.openai.com\\@evil.example/v1",
            "https://api.openai.com/\x00",
            "https://api.openai.com/\x7f",
        ],
    )
    def test_that_is_none_is_refused(self, given: str) -> None:
        with pytest.raises(ValueError, match="^base_url "):
            protocol.parse_base_url(given)

    @pytest.mark.parametrize("given", [None, 5, b"https://api.openai.com/v1", ["https://h"]])
    def test_that_is_no_string_is_refused(self, given: Any) -> None:
        with pytest.raises(TypeError, match="^base_url must be a string, not "):
            protocol.parse_base_url(given)

    @pytest.mark.parametrize(
        "given",
        [
            "https://user:hunter2@host/v1",
            "https://hunter2@host/v1",
            "https://:hunter2@host/v1",
            "https://user:hunter2@host:99999/v1",
            "https://user:hunter2@host/v1#part",
            "https://user:hunter2@/v1",
            "https://user:hunter2 @host/v1",
            "ftp://user:hunter2@host/v1",
            # What is meant as a password may be read as something else.
            "https://user:hunter2/@host/v1",
            "https://user:hunter2#@host/v1",
            "https://user:hunter2\u2100@host/v1",
            "https://user:[hunter2]@host/v1",
            "https://host/v1?token=hunter2#part",
        ],
    )
    def test_with_credentials_is_refused_and_not_shown(self, given: str) -> None:
        with pytest.raises(ValueError, match="^base_url ") as caught:
            protocol.parse_base_url(given)
        assert "hunter2" not in str(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None

    @thorough
    @given(st.text(max_size=30) | st.text("htps:/@[].?#&%1a", max_size=20).map("http://".__add__))
    def test_garbage_raises_nothing_but_value_error(self, given: str) -> None:
        try:
            bare, _ = protocol.parse_base_url(given)
        except ValueError:
            return
        assert urlsplit(bare).hostname
        assert not urlsplit(bare).query


class TestPathSegment:
    @pytest.mark.parametrize(
        ("value", "encoded"),
        [
            ("ftjob-abc123", "ftjob-abc123"),
            ("ft:gpt-4o:acme::x", "ft%3Agpt-4o%3Aacme%3A%3Ax"),
            ("größe", "gr%C3%B6%C3%9Fe"),
            ("a;b&c=d+e", "a%3Bb%26c%3Dd%2Be"),
            ("...", "..."),
        ],
    )
    def test_is_encoded(self, value: str, encoded: str) -> None:
        assert protocol.path_segment("job", value) == encoded

    @pytest.mark.parametrize(
        "value",
        [
            "",
            ".",
            "..",
            "../files",
            "a/b",
            "a\\b",
            "a?b",
            "a#b",
            "a b",
            "a\n",
            "a\r\nHost: evil",
            "a\0",
            "\x7f",
            "a%2fb",
            "%2e%2e",
            "\u2028",
            "\u202e",
            "\ud800",
        ],
    )
    def test_that_would_lead_elsewhere_is_refused(self, value: str) -> None:
        with pytest.raises(ValueError, match="^job must ") as caught:
            protocol.path_segment("job", value)
        assert str(caught.value).isprintable()

    @pytest.mark.parametrize("value", [None, 5, b"ftjob-1", ["ftjob-1"]])
    def test_that_is_no_string_is_refused(self, value: Any) -> None:
        with pytest.raises(TypeError, match="^job must be a string, not "):
            protocol.path_segment("job", value)

    @thorough
    @given(st.text(min_size=1, max_size=10))
    def test_stays_one_segment(self, value: str) -> None:
        try:
            encoded = protocol.path_segment("job", value)
        except ValueError:
            return
        path = urlsplit(f"https://h/jobs/{encoded}/checkpoints").path
        assert [unquote(part) for part in path.split("/")] == ["", "jobs", value, "checkpoints"]


class TestHeadersAndKeys:
    def test_good_headers_are_copied(self) -> None:
        given = {"X-Team": "größe\t1", "accept": ""}
        checked = protocol.check_headers("default_headers", given)
        assert checked == given
        assert checked is not given
        assert protocol.check_headers("default_headers", None) == {}

    @pytest.mark.parametrize("header", ["", "a b", "a:", "a\n", "größe", "(a)", "a\r\nb"])
    def test_bad_header_names(self, header: str) -> None:
        with pytest.raises(ValueError, match="^extra_headers: .* is no header name"):
            protocol.check_headers("extra_headers", {header: "sk-hidden"})

    @pytest.mark.parametrize(
        "value", ["sk-hidden\n", "a\r\nX-Evil: sk-hidden", "sk-hidden\0", "\x7fsk-hidden"]
    )
    def test_bad_header_values_are_not_shown(self, value: str) -> None:
        with pytest.raises(ValueError, match="^extra_headers: the value of X-Key ") as caught:
            protocol.check_headers("extra_headers", {"X-Key": value})
        assert "hidden" not in str(caught.value)

    @pytest.mark.parametrize(
        "pair", [("X-Key", 5), ("X-Key", b"sk-hidden"), (5, "sk-hidden"), ("X-Key", None)]
    )
    def test_headers_that_are_no_strings(self, pair: Any) -> None:
        with pytest.raises(TypeError, match="^extra_headers: names and values") as caught:
            protocol.check_headers("extra_headers", dict([pair]))
        assert "hidden" not in str(caught.value)

    def test_merged_headers_ignore_case(self) -> None:
        merged = protocol.merge_headers(
            {"Accept": "a", "X-One": "1"}, {"ACCEPT": "b", "x-two": "2"}
        )
        assert merged == {"ACCEPT": "b", "X-One": "1", "x-two": "2"}

    def test_query_parameters_are_checked(self) -> None:
        assert protocol.check_query("extra_query", {"a": ""}) == {"a": ""}
        assert protocol.check_query("extra_query", None) == {}
        for pair in (("a", 5), (5, "a"), ("a", None), ("a", ["b"])):
            with pytest.raises(TypeError, match="^extra_query: names and values"):
                protocol.check_query("extra_query", dict([pair]))

    def test_keys(self) -> None:
        assert protocol.check_api_key("sk-proj_A.b/c+d=!~", "api_key") == "sk-proj_A.b/c+d=!~"

    @pytest.mark.parametrize(
        "key", ["", " ", "sk-hidden\n", "sk hidden", "sk-hiddén", "\ufeffsk-hidden"]
    )
    def test_keys_that_cannot_be_sent_are_not_shown(self, key: str) -> None:
        with pytest.raises(ValueError, match="^OPENAI_API_KEY is empty, or has ") as caught:
            protocol.check_api_key(key, "OPENAI_API_KEY")
        assert "hidd" not in str(caught.value)

    @pytest.mark.parametrize(
        "headers", [{"Authorization": "x"}, {"API-Key": "x"}, {"a": "b", "api-key": ""}]
    )
    def test_headers_that_carry_credentials(self, headers: dict[str, str]) -> None:
        assert protocol.carries_credentials(headers)

    @pytest.mark.parametrize("headers", [{}, {"X-Authorization": "x"}, {"Cookie": "x"}])
    def test_headers_that_do_not(self, headers: dict[str, str]) -> None:
        assert not protocol.carries_credentials(headers)


class TestQuery:
    def test_is_empty_without_parameters(self) -> None:
        assert protocol.encode_query({}) == ""

    def test_is_encoded(self) -> None:
        encoded = protocol.encode_query({"a b": "c d&é+", "metadata[team]": "", "limit": "3"})
        assert encoded == "?a%20b=c%20d%26%C3%A9%2B&metadata%5Bteam%5D=&limit=3"

    @thorough
    @given(
        st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
            max_size=3,
        )
    )
    def test_arrives_as_it_is(self, query: dict[str, str]) -> None:
        parts = urlsplit("https://h/v1" + protocol.encode_query(query))
        assert dict(parse_qsl(parts.query, keep_blank_values=True)) == query
        assert parts.path == "/v1"


class TestAfter:
    def test_none_is_the_first_page(self) -> None:
        assert protocol.with_after("https://h/v1", None) == "https://h/v1"
        assert protocol.with_after("https://h/v1?limit=3", None) == "https://h/v1?limit=3"

    @thorough
    @given(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        st.sampled_from(["https://h/v1", "https://h/v1?limit=3&metadata[a]=b"]),
    )
    @example("a&limit=9#b c/d+%2F\r\n\0größe", "https://h/v1?limit=3")
    def test_any_cursor_arrives_as_it_is(self, cursor: str, url: str) -> None:
        parts = urlsplit(protocol.with_after(url, cursor))
        before = parse_qsl(urlsplit(url).query)
        assert parse_qsl(parts.query) == [*before, ("after", cursor)]
        assert parts._replace(query="") == urlsplit(url)._replace(query="")


class TestRedirects:
    URL = "https://api.openai.com/v1/fine_tuning/jobs?limit=3"

    @pytest.mark.parametrize(
        ("location", "url", "same_origin"),
        [
            ("/v2/jobs", "https://api.openai.com/v2/jobs", True),
            ("models", "https://api.openai.com/v1/fine_tuning/models", True),
            ("?after=a", "https://api.openai.com/v1/fine_tuning/jobs?after=a", True),
            ("https://api.openai.com/x", "https://api.openai.com/x", True),
            ("https://api.openai.com:443/x", "https://api.openai.com:443/x", True),
            ("https://API.OpenAI.com/x", "https://API.OpenAI.com/x", True),
            ("/x#part", "https://api.openai.com/x", True),
            ("//eu.openai.com/x", "https://eu.openai.com/x", False),
            ("https://openai.com/x", "https://openai.com/x", False),
            ("https://api.openai.com.evil.example/", "https://api.openai.com.evil.example/", False),
            ("http://api.openai.com/x", "http://api.openai.com/x", False),
            ("http://api.openai.com:443/x", "http://api.openai.com:443/x", False),
            ("https://api.openai.com:8443/x", "https://api.openai.com:8443/x", False),
        ],
    )
    def test_where_to_and_whether_credentials_may_go_there(
        self, location: str, url: str, same_origin: bool
    ) -> None:
        for status in (301, 302, 303, 307, 308):
            redirect = protocol.redirect_of(self.URL, status, {"location": location})
            assert redirect == protocol.Redirect(url, same_origin)

    @pytest.mark.parametrize("status", [200, 201, 300, 304, 305, 306, 400, 404, 500])
    def test_other_statuses_are_none(self, status: int) -> None:
        assert protocol.redirect_of(self.URL, status, {"location": "/x"}) is None

    def test_without_a_location_is_none(self) -> None:
        assert protocol.redirect_of(self.URL, 302, {}) is None
        assert protocol.redirect_of(self.URL, 302, {"location": ""}) is None

    @pytest.mark.parametrize(
        "location",
        [
            "ftp://api.openai.com/x",
            "ftp:x",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "data:application/json,{}",
            "mailto:a@b.example",
            "http://",
            "https://:443/x",
            "https://api.openai.com:99999/",
            "https://api.openai.com:port/",
            "https://[::1",
            "https://user:hunter2@api.openai.com/x",
            "https://hunter2@api.openai.com/x",
            "https://@api.openai.com/x",
            "ftp://user:hunter2@api.openai.com/x",
            "https://user:hunter2@api.openai.com:99999/",
            "https://api.openai.com\\@evil.example/x",
            "https://api.openai.com/a b",
            "/x\r\nX-Evil: 1",
            "/x\0",
        ],
    )
    def test_that_are_not_followed(self, location: str) -> None:
        with pytest.raises(APIConnectionError, match="^Redirected to ") as caught:
            protocol.redirect_of(self.URL, 302, {"location": location})
        assert "hunter2" not in str(caught.value)
        assert caught.value.request.url == self.URL

    def test_do_not_show_where_to(self) -> None:
        assert "hidden" not in repr(protocol.Redirect("https://h?token=sk-hidden", False))

    @thorough
    @given(st.text(max_size=30) | st.text("htps:/@[].?#1a\\", max_size=20))
    def test_garbage(self, location: str) -> None:
        try:
            redirect = protocol.redirect_of(self.URL, 302, {"location": location})
        except APIConnectionError:
            return
        if redirect is None:
            assert location == ""
            return
        target = urlsplit(redirect.url)
        assert target.scheme in ("http", "https")
        same = (target.scheme, target.hostname, target.port or 443) == (
            "https",
            "api.openai.com",
            443,
        )
        assert redirect.same_origin == same


def retry_after(**headers: str) -> float | None:
    return protocol.rate_limit_hints(answer(**headers).headers, NOW).retry_after


def reset(text: str) -> float | None:
    return protocol.rate_limit_hints({"x-ratelimit-reset-requests": text}, NOW).reset


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
]


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("text", "seconds"), [("0", 0), ("1", 1), ("2.5", 2.5), (" 3 ", 3), ("1e2", 100)]
    )
    def test_seconds(self, text: str, seconds: float) -> None:
        assert retry_after(retry_after=text) == seconds
        assert retry_after(Retry_After=text) == seconds

    @pytest.mark.parametrize(
        ("text", "seconds"), [("0", 0), ("1", 0.001), ("2500", 2.5), ("0.5", 0.0005)]
    )
    def test_milliseconds_come_first(self, text: str, seconds: float) -> None:
        assert retry_after(retry_after_ms=text) == pytest.approx(seconds)
        assert retry_after(retry_after_ms=text, retry_after="60") == pytest.approx(seconds)

    @pytest.mark.parametrize("text", NO_SECONDS)
    def test_milliseconds_that_are_none_count_for_nothing(self, text: str) -> None:
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

    def test_a_date_that_is_past_is_now(self) -> None:
        assert retry_after(retry_after="Tue, 23 Jul 2019 20:01:17 GMT") == 0

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
    def test_what_is_none_of_these(self, text: str) -> None:
        assert retry_after(retry_after=text) is None

    def test_none(self) -> None:
        assert retry_after() is None

    @thorough
    @given(
        st.text(max_size=40) | st.text("0123456789 :,-+GMTJulTue", max_size=40), st.text(max_size=8)
    )
    def test_garbage_is_none_or_seconds(self, text: str, milliseconds: str) -> None:
        for seconds in (
            retry_after(retry_after=text),
            retry_after(retry_after=text, retry_after_ms=milliseconds),
        ):
            assert seconds is None or 0 <= seconds < math.inf


class TestRateLimitHints:
    def test_nothing_said(self) -> None:
        assert protocol.rate_limit_hints({}, NOW) == protocol.RateLimitHints()
        assert protocol.rate_limit_hints({"content-type": "x"}, NOW) is protocol.NO_HINTS

    def test_all_said(self) -> None:
        headers = {
            "X-RateLimit-Limit-Requests": "200",
            "X-RateLimit-Remaining-Requests": "0",
            "X-RateLimit-Reset-Requests": "6m0s",
            "X-RateLimit-Remaining-Tokens": "5",
            "Retry-After": "3",
        }
        hints = protocol.rate_limit_hints(CIMultiDict(headers), NOW)
        assert hints == protocol.RateLimitHints(retry_after=3, limit=200, remaining=0, reset=360)

    @pytest.mark.parametrize("text", ["", "many", "-1", "nan", "inf", "1e400", "5/s"])
    def test_counts_that_are_none(self, text: str) -> None:
        for header, field in (("limit", "limit"), ("remaining", "remaining")):
            hints = protocol.rate_limit_hints({f"x-ratelimit-{header}-requests": text}, NOW)
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


STATUSES: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: APIStatusError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: APIStatusError,
    409: ConflictError,
    418: APIStatusError,
    422: UnprocessableEntityError,
    429: RateLimitError,
    500: InternalServerError,
    502: InternalServerError,
    503: InternalServerError,
    529: InternalServerError,
    599: InternalServerError,
    204: APIStatusError,
    304: APIStatusError,
}


class TestStatusError:
    @pytest.mark.parametrize("status", STATUSES)
    def test_the_class_is_that_of_the_status(self, status: int) -> None:
        error = protocol.status_error(answer(status, x_request_id="req_1"))
        assert type(error) is STATUSES[status]
        assert (error.status_code, error.request_id) == (status, "req_1")

    def test_the_apis_own_words(self) -> None:
        body = {"message": "no such job", "type": "invalid", "param": "id", "code": "not_found"}
        content = json.dumps({"error": body, "other": 1}).encode()
        error = protocol.status_error(answer(404, content))
        assert error.message == "no such job"
        assert (error.code, error.param, error.type, error.body) == (
            "not_found",
            "id",
            "invalid",
            body,
        )

    @pytest.mark.parametrize(
        ("content", "message", "body"),
        [
            (b"", "the server gave no reason", None),
            (b"   \n", "the server gave no reason", "   \n"),
            (b"<h1>Bad\n  Gateway</h1>", "<h1>Bad Gateway</h1>", "<h1>Bad\n  Gateway</h1>"),
            (b'{"detail": "no"}', '{"detail": "no"}', {"detail": "no"}),
            (b'{"message": "no"}', "no", {"message": "no"}),
            (b'{"error": "no"}', '{"error": "no"}', {"error": "no"}),
            (b'{"error": {"message": ""}}', '{"error": {"message": ""}}', {"message": ""}),
            (b'{"error": {"message": 5}}', '{"error": {"message": 5}}', {"message": 5}),
            (b'{"error": null}', '{"error": null}', {"error": None}),
            (b'["no"]', '["no"]', '["no"]'),
            (b'"no"', '"no"', '"no"'),
            (b"null", "null", "null"),
            (b'{"error": {"message"', '{"error": {"message"', '{"error": {"message"'),
            (b"caf\xe9", "caf\ufffd", "caf\ufffd"),
            (b'{"error": "\xff"}', '{"error": "\ufffd"}', '{"error": "\ufffd"}'),
        ],
    )
    def test_other_bodies(self, content: bytes, message: str, body: object) -> None:
        error = protocol.status_error(answer(500, content))
        assert (error.message, error.body) == (message, body)

    def test_long_bodies_are_cut(self) -> None:
        error = protocol.status_error(answer(500, b"long " * 1000))
        assert len(error.message) <= 501
        assert len(str(error.body)) <= 501
        assert error.message.endswith("…")

    @pytest.mark.parametrize("content", [b"[" * 200_000, b'{"error":' * 200_000])
    def test_deep_bodies_do_no_harm(self, content: bytes) -> None:
        assert protocol.status_error(answer(500, content)).status_code == 500

    @thorough
    @given(
        st.binary(max_size=40)
        | st.binary(max_size=20).map(lambda part: b'{"error": ' + part + b"}")
    )
    def test_any_body(self, content: bytes) -> None:
        error = protocol.status_error(answer(400, content))
        assert error.message
        assert pickle.loads(pickle.dumps(error)).body == error.body


class TestValidationError:
    def test_says_what_where_and_of_which_request(self) -> None:
        response = answer(
            200, b'{"data": 5}', content_type="application/json", x_request_id="req_1"
        )
        error = protocol.validation_error(response, "Expected `array`, got `int`", "$.data")
        assert (error.path, error.status_code, error.request_id) == ("$.data", 200, "req_1")
        assert error.body == '{"data": 5}'
        for part in ("Expected `array`, got `int`", "$.data", "req_1", '{"data": 5}'):
            assert part in str(error)
        assert "content type" not in str(error)

    def test_says_when_it_is_no_json_at_all(self) -> None:
        response = answer(200, b"<html>" * 1000, content_type="text/html; charset=utf-8")
        error = protocol.validation_error(response, "JSON is malformed", "$")
        assert "content type is text/html" in str(error)
        assert len(str(error)) < 400
        assert len(str(error.body)) <= 501
        assert "without an id" in str(error)

    def test_without_a_content_type(self) -> None:
        assert "content type is none" in str(protocol.validation_error(answer(), "nothing", "$"))


class TestMask:
    def test_every_secret_everywhere(self) -> None:
        content = b"key sk-1234567890 is not sk-1234567890; nor is azure-key-1"
        masked = protocol.mask(content, ["sk-1234567890", "azure-key-1"])
        assert masked == b"key *** is not ***; nor is ***"

    def test_no_secrets(self) -> None:
        assert protocol.mask(b"as it was", []) == b"as it was"

    def test_short_ones_would_mask_ordinary_words(self) -> None:
        assert protocol.mask(b"an error message", ["error", ""]) == b"an error message"

    def test_secrets_that_are_no_ascii(self) -> None:
        assert protocol.mask("der Schlüssel-1".encode(), ["Schlüssel-1"]) == b"der ***"

    @pytest.mark.parametrize("form", [b"abc/def+1234", rb"abc\/def+1234", b"abc%2Fdef%2B1234"])
    def test_secrets_as_json_and_urls_write_them(self, form: bytes) -> None:
        assert protocol.mask(b'{"message": "' + form + b'"}', ["abc/def+1234"]) == (
            b'{"message": "***"}'
        )

    def test_a_whole_response(self) -> None:
        response = answer(
            401, b"wrong key sk-1234567890", x_echo="sk-1234567890", x_request_id="req_1"
        )
        masked = protocol.masked(response, iter(["sk-1234567890"]))
        assert masked.content == b"wrong key ***"
        assert dict(masked.headers) == {"x-echo": "***", "x-request-id": "req_1"}
        assert masked.headers["X-Echo"] == "***"
        assert (masked.status_code, masked.request) == (401, REQUEST)
        assert response.content == b"wrong key sk-1234567890"

    def test_secrets_that_begin_alike(self) -> None:
        secrets = ["sk-12345678", "sk-12345678-and-more"]
        for order in (secrets, secrets[::-1]):
            assert protocol.mask(b"key sk-12345678-and-more", order) == b"key ***"


def refused(status: int, content: bytes = b"", **headers: str) -> APIStatusError:
    return protocol.status_error(answer(status, content, **headers))


QUOTA = b'{"error": {"code": "insufficient_quota"}}'


class TestRetryDelay:
    def delay(self, error: APIError, retries_taken: int = 0) -> float | None:
        return protocol.retry_delay(error, retries_taken, fraction=1.0, now=NOW)

    @pytest.mark.parametrize(
        ("error", "delay"),
        [
            (APIConnectionError("cut"), 0.25),
            (APITimeoutError("slow"), 0.25),
            (APIConnectionError("certificate", is_final=True), None),
            (APIError("other"), None),
            (PaginationError("circle", cursor="a"), None),
            (protocol.validation_error(answer(), "odd", "$"), None),
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
        longest = protocol.backoff(taken, 1.0)
        assert 0.25 <= longest <= 8
        assert protocol.backoff(taken, 0.0) == 0
        assert protocol.backoff(taken, fraction) == pytest.approx(fraction * longest)
        assert longest <= protocol.backoff(taken + 1, 1.0)
