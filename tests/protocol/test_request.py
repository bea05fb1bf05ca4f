from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncckpt.protocol.request import encode_query, parse_base_url, path_segment, with_after

from support.strategies import thorough


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
        assert parse_base_url(given) == (bare, query)

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
    def test_malformed_ones_are_rejected(self, given: str) -> None:
        with pytest.raises(ValueError, match="^base_url "):
            parse_base_url(given)

    @pytest.mark.parametrize("given", [None, 5, b"https://api.openai.com/v1", ["https://h"]])
    def test_must_be_a_string(self, given: Any) -> None:
        with pytest.raises(TypeError, match="^base_url must be a string, not "):
            parse_base_url(given)

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
    def test_with_credentials_is_rejected_and_not_shown(self, given: str) -> None:
        with pytest.raises(ValueError, match="^base_url ") as caught:
            parse_base_url(given)
        assert "hunter2" not in str(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None

    def test_that_is_empty_is_called_empty(self) -> None:
        with pytest.raises(ValueError, match="^base_url is empty"):
            parse_base_url("")

    def test_does_not_set_the_cursor(self) -> None:
        with pytest.raises(ValueError, match="^base_url must not have 'after'"):
            parse_base_url("https://api.openai.com/v1?after=ftckpt_1")

    @thorough
    @given(st.text(max_size=30) | st.text("htps:/@[].?#&%1a", max_size=20).map("http://".__add__))
    def test_any_text_is_valid_or_raises_value_error(self, given: str) -> None:
        try:
            bare, _ = parse_base_url(given)
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
            ("a b", "a%20b"),
        ],
    )
    def test_is_encoded(self, value: str, encoded: str) -> None:
        assert path_segment("job", value) == encoded

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
            " ",
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
    def test_that_changes_the_path_is_rejected(self, value: str) -> None:
        with pytest.raises(ValueError, match="^job must ") as caught:
            path_segment("job", value)
        assert str(caught.value).isprintable()

    @pytest.mark.parametrize("value", [None, 5, b"ftjob-1", ["ftjob-1"]])
    def test_must_be_a_string(self, value: Any) -> None:
        with pytest.raises(TypeError, match="^job must be a string, not "):
            path_segment("job", value)

    @thorough
    @given(st.text(min_size=1, max_size=10))
    def test_stays_one_segment(self, value: str) -> None:
        try:
            encoded = path_segment("job", value)
        except ValueError:
            return
        path = urlsplit(f"https://h/jobs/{encoded}/checkpoints").path
        assert [unquote(part) for part in path.split("/")] == ["", "jobs", value, "checkpoints"]


class TestQuery:
    def test_is_empty_without_parameters(self) -> None:
        assert encode_query({}) == ""

    def test_values_are_encoded_as_the_official_sdk_does(self) -> None:
        query = {"n": 5, "f": 1.5, "t": True, "no": False, "none": None, "m": {"a b": 1}, "l": [1]}
        assert encode_query(query) == "?n=5&f=1.5&t=true&no=false&m%5Ba%20b%5D=1&l%5B%5D=1"
        assert encode_query({"none": None, "empty": {}}) == ""

    def test_is_encoded(self) -> None:
        encoded = encode_query({"a b": "c d&é+", "metadata[team]": "", "limit": "3"})
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
        parts = urlsplit("https://h/v1" + encode_query(query))
        assert dict(parse_qsl(parts.query, keep_blank_values=True)) == query
        assert parts.path == "/v1"


class TestAfter:
    def test_none_is_the_first_page(self) -> None:
        assert with_after("https://h/v1", None) == "https://h/v1"
        assert with_after("https://h/v1?limit=3", None) == "https://h/v1?limit=3"

    @thorough
    @given(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        st.sampled_from(["https://h/v1", "https://h/v1?limit=3&metadata[a]=b"]),
    )
    @example("a&limit=9#b c/d+%2F\r\n\0größe", "https://h/v1?limit=3")
    def test_any_cursor_arrives_as_it_is(self, cursor: str, url: str) -> None:
        parts = urlsplit(with_after(url, cursor))
        before = parse_qsl(urlsplit(url).query)
        assert parse_qsl(parts.query) == [*before, ("after", cursor)]
        assert parts._replace(query="") == urlsplit(url)._replace(query="")
