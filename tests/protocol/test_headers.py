from typing import Any

import pytest

from asyncckpt.protocol.headers import carries_credentials, check_headers, merge_headers
from asyncckpt.protocol.request import check_api_key, check_query


class TestHeadersAndKeys:
    def test_good_headers_are_copied(self) -> None:
        given = {"X-Team": "größe\t1", "accept": ""}
        checked = check_headers("default_headers", given)
        assert checked == given
        assert checked is not given
        assert check_headers("default_headers", None) == {}

    @pytest.mark.parametrize("header", ["", "a b", "a:", "a\n", "größe", "(a)", "a\r\nb"])
    def test_bad_header_names(self, header: str) -> None:
        with pytest.raises(ValueError, match="^extra_headers: .* is not a valid header name"):
            check_headers("extra_headers", {header: "sk-hidden"})

    @pytest.mark.parametrize(
        "value", ["sk-hidden\n", "a\r\nX-Evil: sk-hidden", "sk-hidden\0", "\x7fsk-hidden"]
    )
    def test_bad_header_values_are_not_shown(self, value: str) -> None:
        with pytest.raises(ValueError, match="^extra_headers: the value of X-Key ") as caught:
            check_headers("extra_headers", {"X-Key": value})
        assert "hidden" not in str(caught.value)

    @pytest.mark.parametrize(
        "pair", [("X-Key", 5), ("X-Key", b"sk-hidden"), (5, "sk-hidden"), ("X-Key", None)]
    )
    def test_headers_must_be_strings(self, pair: Any) -> None:
        with pytest.raises(TypeError, match="^extra_headers: names and values") as caught:
            check_headers("extra_headers", dict([pair]))
        assert "hidden" not in str(caught.value)

    @pytest.mark.parametrize("header", ["Connection", "content-length", "TE", "Upgrade"])
    def test_headers_of_the_connection_cannot_be_set(self, header: str) -> None:
        with pytest.raises(ValueError, match=f"^extra_headers: {header} cannot be set"):
            check_headers("extra_headers", {header: "x"})

    def test_headers_that_are_not_a_mapping(self) -> None:
        with pytest.raises(TypeError, match="^extra_headers must be a mapping of strings, not "):
            check_headers("extra_headers", [("X-Key", "sk-hidden")])  # type: ignore[arg-type]

    def test_merged_headers_ignore_case(self) -> None:
        merged = merge_headers({"Accept": "a", "X-One": "1"}, {"ACCEPT": "b", "x-two": "2"})
        assert merged == {"ACCEPT": "b", "X-One": "1", "x-two": "2"}

    def test_query_parameters_are_checked(self) -> None:
        assert check_query("extra_query", {"a": ""}) == {"a": ""}
        assert check_query("extra_query", None) == {}
        for pair in ((5, "a"), ("a", {5: "b"})):
            with pytest.raises(TypeError, match="^extra_query: names must be strings, not int$"):
                check_query("extra_query", dict([pair]))
        for pair in (("a", b"sk-hidden"), ("a", [object()])):
            with pytest.raises(TypeError, match="^extra_query: 'a.*' cannot be sent as") as caught:
                check_query("extra_query", dict([pair]))
            assert "hidden" not in str(caught.value)

    def test_query_parameters_that_are_not_a_mapping(self) -> None:
        with pytest.raises(TypeError, match="^extra_query must be a mapping, not list$"):
            check_query("extra_query", [("a", "b")])  # type: ignore[arg-type]

    def test_the_cursor_is_not_a_query_parameter_to_set(self) -> None:
        with pytest.raises(ValueError, match="^extra_query must not have 'after'"):
            check_query("extra_query", {"after": "ftckpt_1"})

    def test_a_lone_surrogate_in_the_query_is_not_shown(self) -> None:
        with pytest.raises(ValueError, match="^extra_query contains a lone surrogate") as caught:
            check_query("extra_query", {"token": "sk-hidden\ud800"})
        assert "hidden" not in str(caught.value)
        assert caught.value.__suppress_context__

    def test_keys(self) -> None:
        for key in ("sk-proj_A.b/c+d=!~", "k", "My API Key"):
            assert check_api_key(key, "api_key") == key

    @pytest.mark.parametrize(
        "key", ["", " ", "sk-hidden\n", " sk-hidden", "sk-hidden ", "sk-hiddén", "\ufeffsk-hidden"]
    )
    def test_keys_that_cannot_be_sent_are_not_shown(self, key: str) -> None:
        with pytest.raises(ValueError, match="^OPENAI_API_KEY is empty, or contains ") as caught:
            check_api_key(key, "OPENAI_API_KEY")
        assert "hidd" not in str(caught.value)

    @pytest.mark.parametrize(
        "headers", [{"Authorization": "x"}, {"API-Key": "x"}, {"a": "b", "api-key": ""}]
    )
    def test_headers_that_carry_credentials(self, headers: dict[str, str]) -> None:
        assert carries_credentials(headers)

    @pytest.mark.parametrize("headers", [{}, {"X-Authorization": "x"}, {"Cookie": "x"}])
    def test_headers_that_do_not(self, headers: dict[str, str]) -> None:
        assert not carries_credentials(headers)
