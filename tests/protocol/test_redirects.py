from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncckpt import (
    APIConnectionError,
)
from asyncckpt.protocol.redirects import Redirect, redirect_of

from support.strategies import thorough


class TestRedirects:
    URL = "https://api.openai.com/v1/fine_tuning/jobs?limit=3"

    @pytest.mark.parametrize(
        ("location", "url", "same_origin"),
        [
            ("/v2/jobs", "https://api.openai.com/v2/jobs", True),
            ("models", "https://api.openai.com/v1/fine_tuning/models", True),
            ("/é/\u4e00?ü", "https://api.openai.com/%C3%A9/%E4%B8%80?%C3%BC", True),
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
            redirect = redirect_of(self.URL, status, {"location": location})
            assert redirect == Redirect(url, same_origin)

    @pytest.mark.parametrize(("port", "same_origin"), [("", True), (":80", True), (":81", False)])
    def test_port_80_is_the_default_of_http(self, port: str, same_origin: bool) -> None:
        redirect = redirect_of("http://h.test/", 307, {"location": f"http://h.test{port}/x"})
        assert redirect is not None
        assert redirect.same_origin == same_origin

    @pytest.mark.parametrize("status", [200, 201, 300, 304, 305, 306, 400, 404, 500])
    def test_other_statuses_are_none(self, status: int) -> None:
        assert redirect_of(self.URL, status, {"location": "/x"}) is None

    def test_without_a_location_is_none(self) -> None:
        assert redirect_of(self.URL, 302, {}) is None
        assert redirect_of(self.URL, 302, {"location": ""}) is None

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
            "/\udcff",
            "/x?y=\udcff",
            "http://\udcff/",
            "//\ud800",
            "\udcfe",
            "http://x\u2100y/",
        ],
    )
    def test_that_are_not_followed(self, location: str) -> None:
        with pytest.raises(APIConnectionError, match="^Redirected to ") as caught:
            redirect_of(self.URL, 302, {"location": location})
        assert "hunter2" not in str(caught.value)
        assert caught.value.request.url == self.URL

    def test_do_not_show_where_to(self) -> None:
        assert "hidden" not in repr(Redirect("https://h?token=sk-hidden", False))

    @thorough
    @given(st.text(max_size=30) | st.text("htps:/@[].?#1a\\\udcff\ud800é", max_size=20))
    def test_garbage(self, location: str) -> None:
        try:
            redirect = redirect_of(self.URL, 302, {"location": location})
        except APIConnectionError:
            return
        if redirect is None:
            assert location == ""
            return
        redirect.url.encode("ascii") if location.isascii() else redirect.url.encode()
        target = urlsplit(redirect.url)
        assert target.scheme in ("http", "https")
        same = (target.scheme, target.hostname, target.port or 443) == (
            "https",
            "api.openai.com",
            443,
        )
        assert redirect.same_origin == same
