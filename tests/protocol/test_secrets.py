import base64
import html
import json
import string
from collections.abc import Callable
from urllib.parse import parse_qs, quote, unquote, urlsplit

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from asyncckpt import (
    Request,
    Response,
)
from asyncckpt.protocol.request import encode_query, with_after
from asyncckpt.protocol.secrets import (
    KEPT_OF_A_BODY,
    KEPT_OF_HEADERS,
    SHORTEST_SECRET,
    mask,
    mask_text,
    masked,
    masked_request,
    masked_url,
    secrets_in,
)

from support.strategies import thorough

REQUEST = Request("GET", "https://api.openai.com/v1/fine_tuning/jobs")
KEY = "sk-1234567890/a+b_c"


def answer(status_code: int = 200, content: bytes = b"", **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status_code, CIMultiDict(named), content, REQUEST)


class TestMask:
    def test_every_secret_everywhere(self) -> None:
        content = b"key sk-1234567890 is not sk-1234567890; nor is azure-key-1"
        masked = mask(content, ["sk-1234567890", "azure-key-1"])
        assert masked == b"key *** is not ***; nor is ***"

    def test_no_secrets(self) -> None:
        assert mask(b"as it was", []) == b"as it was"
        assert mask(b"as it %77%61s", []) == b"as it %77%61s"

    def test_short_ones_would_mask_ordinary_words(self) -> None:
        assert mask(b"an error message", ["error", "", "message"]) == b"an error message"
        assert mask(b"12345678", ["1" * (SHORTEST_SECRET - 1), "12345678"]) == b"***"

    def test_secrets_that_are_no_ascii(self) -> None:
        assert mask("der Schlüssel-1".encode(), ["Schlüssel-1"]) == b"der ***"
        assert mask(b"der Schl\\u00fcssel-1", ["Schlüssel-1"]) == b"der ***"
        assert mask(b"der Schl%C3%BCssel-1", ["Schlüssel-1"]) == b"der ***"
        assert mask(b"der Schl&uuml;ssel-1", ["Schlüssel-1"]) == b"der ***"
        assert mask(b"ein \\ud83d\\ude00chluessel", ["\U0001f600chluessel"]) == b"ein ***"
        assert mask(rb"\ud800\udc00chluessel", ["\U00010000chluessel"]) == b"***"

    @pytest.mark.parametrize("form", [b"&#x10ffff;", b"&#1114111;", b"%F4%8F%BF%BF"])
    def test_the_last_character_of_unicode(self, form: bytes) -> None:
        assert mask(form + b"-secret", ["\U0010ffff-secret"]) == b"***"
        assert mask(b"&#x110000;", ["\U0010ffff-secret"]) == b"&#x110000;"

    @pytest.mark.parametrize("form", [b"abc/def+1234", rb"abc\/def+1234", b"abc%2Fdef%2B1234"])
    def test_secrets_as_json_and_urls_write_them(self, form: bytes) -> None:
        assert mask(b'{"message": "' + form + b'"}', ["abc/def+1234"]) == (b'{"message": "***"}')

    def test_secrets_that_begin_alike(self) -> None:
        secrets = ["sk-12345678", "sk-12345678-and-more"]
        for order in (secrets, secrets[::-1]):
            assert mask(b"key sk-12345678-and-more", order) == b"key ***"
            assert mask(b"key %73k-12345678-and-more", order) == b"key ***"

    @pytest.mark.parametrize(
        "spelled",
        [
            rb"\u0073k-1234567890\/a+b_c",
            rb"\u0073\u006B-1234567890\u002fa\u002Bb_c",
            rb"\x73k-1234567890/a+b_c",
            b"sk-1234567890%2fa%2bb_c",
            b"%73%6B%2D1234567890%2Fa%2Bb_c",
            b"sk-1234567890%252Fa%252bb_c",
            b"%2573k-1234567890%25252Fa+b_c",
            b"&#115;k-1234567890&#47;a&#43;b&#95;c",
            b"&#x73;k-1234567890&#X2F;a&plus;b&lowbar;c",
            b"&#0000115;k-1234567890&sol;a&plus;b&UnderBar;c",
            b"&#115k-1234567890/a+b_c",
            b"&amp;#115;k-1234567890/a+b_c",
            rb"&#92;u0073k-1234567890/a+b_c",
            rb"%5Cu0073k-1234567890/a+b_c",
            rb"\u005cu0073k-1234567890/a+b_c",
            rb"\\u0073k-1234567890\\/a+b_c",
            rb"\u002573k-1234567890/a+b_c",
            b"&percnt;73k-1234567890/a+b_c",
            b"SK-1234567890/A+B_C",
            KEY.encode("utf-16-le"),
            KEY.encode("utf-16-be"),
        ],
    )
    def test_every_spelling(self, spelled: bytes) -> None:
        shown = mask(b"the key (" + spelled + b") is wrong", [KEY])
        assert shown.replace(b"\0", b"") == b"the key (***) is wrong"

    @pytest.mark.parametrize(
        "content",
        [
            b"100 % sure & \\ all",
            b"%7",
            b"\\u00",
            b"&#x;",
            b"&#99999999;",
            b"\\ud83dx",
            b"%",
            b"&",
            b"\\",
            b"&unknown;",
            b"\0%\0",
        ],
    )
    def test_what_is_no_secret_stays(self, content: bytes) -> None:
        assert mask(content, [KEY]) == content

    @pytest.mark.parametrize("secret", ["ab%41cd-1234", "a&amp;b-1234", "a\\u0041b-12", "%%%%%%%%"])
    def test_secrets_that_look_like_escapes(self, secret: str) -> None:
        for spelled in (
            secret,
            quote(secret, safe=""),
            quote(quote(secret, safe=""), safe=""),
            json.dumps(secret)[1:-1],
            html.escape(secret),
            f"\\u{ord(secret[0]):04x}{secret[1:]}",
        ):
            assert mask(f"<{spelled}>".encode(), [secret]) == b"<***>", spelled

    def test_text(self) -> None:
        assert mask_text(f"cursor \ud800{KEY}", [KEY]) == "cursor \ud800***"


def _unicode_escape(character: str) -> str:
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


SPELLINGS: list[Callable[[str], str]] = [
    str,
    _unicode_escape,
    lambda character: (
        _unicode_escape(character).replace("\\u00", "\\u00").upper().replace("U", "u")
    ),
    lambda character: "".join(f"%{byte:02x}" for byte in character.encode()),
    lambda character: "".join(f"%{byte:02X}" for byte in character.encode()),
    lambda character: "".join(f"%25{byte:02X}" for byte in character.encode()),
    lambda character: f"&#{ord(character)};",
    lambda character: f"&#x{ord(character):x};",
    lambda character: f"&#X{ord(character):05X};",
    lambda character: f"&amp;#{ord(character)};",
    lambda character: quote(_unicode_escape(character), safe=""),
    lambda character: "".join(f"\\u0025{byte:02x}" for byte in character.encode()),
]

secrets = st.text(string.ascii_letters + string.digits + "-_.~/+=:", min_size=8, max_size=40)
any_secrets = secrets | st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=8, max_size=20
)


@st.composite
def spelled(draw: st.DrawFn) -> tuple[str, str]:
    secret = draw(any_secrets)
    return secret, "".join(draw(st.sampled_from(SPELLINGS))(character) for character in secret)


surroundings = st.text(string.ascii_letters + ' <>"{}:,%&\\;#0123', max_size=10)


def decodings(text: str) -> set[str]:
    """What a reader may make of a text: any decoders, up to three in any order."""
    seen = {text}
    for _ in range(3):
        for known in seen.copy():
            seen.add(unquote(known, errors="surrogateescape"))
            seen.add(html.unescape(known))
            with_quotes = known.replace('"', '\\"')
            try:
                seen.add(json.loads(f'"{with_quotes}"', strict=False))
            except ValueError:
                continue
    return seen


@thorough
@given(spelled(), surroundings, surroundings)
def test_no_mixture_of_spellings_stays(pair: tuple[str, str], before: str, after: str) -> None:
    secret, text = pair
    # Whatever stands before must not change what the first letter of the secret is part of.
    shown = mask(f"{before} {text} {after}".encode(), [secret]).decode()
    assert text not in shown
    assert not any(secret.lower() in decoded.lower() for decoded in decodings(shown))
    assert "***" in shown


@thorough
@given(st.binary(max_size=60) | st.text('\\u0073%&#;25x"k', max_size=40).map(str.encode), secrets)
@example(b"\\u", "\\u\\u\\u\\u")
def test_any_bytes(content: bytes, secret: str) -> None:
    shown = mask(content, [secret])
    assert secret.encode() not in shown
    if b"***" not in shown:
        assert shown == content


class TestMasked:
    def test_a_whole_response(self) -> None:
        response = answer(
            401, b"wrong key sk-1234567890", x_echo="sk-1234567890", x_request_id="req_1"
        )
        shown = masked(response, iter(["sk-1234567890"]))
        assert shown.content == b"wrong key ***"
        assert dict(shown.headers) == {"x-echo": "***", "x-request-id": "req_1"}
        assert shown.headers["X-Echo"] == "***"
        assert (shown.status_code, shown.request) == (401, REQUEST)
        assert response.content == b"wrong key sk-1234567890"

    def test_the_names_of_headers(self) -> None:
        response = Response(200, CIMultiDict({"X-SK-1234567890": "a"}), b"", REQUEST)
        assert dict(masked(response, ["sk-1234567890"]).headers) == {"X-***": "a"}

    def test_headers_that_are_not_utf_8(self) -> None:
        response = Response(200, CIMultiDict({"x": "\udcff sk-1234567890"}), b"", REQUEST)
        assert masked(response, ["sk-1234567890"]).headers["x"] == "\udcff ***"

    def test_a_bounded_part_of_the_headers_is_kept(self) -> None:
        long = [(f"x-{number}", "\\" * 8_000) for number in range(100)]
        headers = CIMultiDict([*long, ("x-request-id", "req_1")])
        shown = masked(Response(500, headers, b"", REQUEST), ["sk-1234567890"]).headers
        assert shown["x-request-id"] == "req_1"
        assert sum(len(name) + len(value) for name, value in shown.items()) <= KEPT_OF_HEADERS

    def test_the_url(self) -> None:
        request = Request("GET", "https://x.test/a/%73k-1234567890?after=sk-1234567890&limit=3")
        response = Response(404, CIMultiDict(), b"", request)
        shown = masked(response, ["sk-1234567890"]).request
        assert shown.url == "https://x.test/a/***?after=***&limit=3"
        assert masked_request(REQUEST, ["sk-1234567890"]) == REQUEST
        signed = masked_request(Request("GET", "https://x.test/?sig=ab&limit=3"), [])
        assert attrs.astuple(signed) == ("GET", "https://x.test/?sig=***&limit=3")

    def test_a_bounded_excerpt_is_kept(self) -> None:
        shown = masked(answer(500, b"x" * (1 << 20)), ["sk-1234567890"])
        assert shown.content == b"x" * KEPT_OF_A_BODY

    @given(st.integers(0, 40))
    def test_a_secret_at_the_end_of_the_excerpt(self, before: int) -> None:
        text = b"x" * (KEPT_OF_A_BODY - before) + b"%2573k-12345%2536%3789%30" + b"y" * 1000
        shown = masked(answer(500, text), ["sk-1234567890"]).content
        assert len(shown) <= KEPT_OF_A_BODY + 3
        assert b"73k" not in shown
        assert b"12345" not in shown

    def test_many_secrets_at_the_end_of_the_excerpt(self) -> None:
        shown = masked(answer(500, b"sk-1234567890" * 10_000), ["sk-1234567890"]).content
        assert set(shown) == set(b"*")


class TestSecretsIn:
    def test_words_of_headers_that_are_not_public(self) -> None:
        headers = {"Authorization": "Bearer key-1", "User-Agent": "us", "X-Key": "key-2"}
        assert set(secrets_in(headers, "")) - {""} == {"Bearer", "key-1", "key-2"}

    def test_query_parameters_that_are_not_public(self) -> None:
        url = "https://x.test/?limit=3&after=a&token=key-3&tenant=a%20b"
        assert set(secrets_in({}, url)) - {""} == {"key-3", "a", "b"}

    def test_what_a_value_assigns(self) -> None:
        found = secrets_in({"Cookie": 'a=key-1; b="key-2"', "X-Sig": "t=1,v=key-3"}, "")
        assert {"key-1", "key-2"} <= set(found)

    def test_basic_credentials(self) -> None:
        encoded = base64.b64encode(b"user:pass:word").decode()
        found = secrets_in({"Proxy-Authorization": f"Basic {encoded}"}, "")
        assert {encoded, "user:pass:word", "pass:word"} <= set(found)

    @pytest.mark.parametrize("value", ["Basic", "Basic !", "basic ÿ", "Bearer YTpi"])
    def test_what_are_no_basic_credentials(self, value: str) -> None:
        assert "a:b" not in secrets_in({"Authorization": value}, "")


@given(
    cursor=st.text(st.characters(exclude_categories=["Cs"]), min_size=1), other=st.text("ab&=%\n")
)
def test_a_url_of_the_client_is_shown_as_requests_show_it(cursor: str, other: str) -> None:
    url = with_after(f"https://h/v1/jobs{encode_query({'limit': 5, 'code': other})}", cursor)
    assert masked_url(url, ["sk-planted-1"]) == Request("GET", url).url


@given(before=st.text("a%&\n\\u0", max_size=4), after=st.text("a%&\n", max_size=4))
def test_a_url_of_the_client_shows_no_secret(before: str, after: str) -> None:
    key = "sk-planted/9f8e+7d=&?"
    cursor = f"{before}{key}{after}"
    url = with_after("https://h/v1/jobs/ftjob-1/checkpoints?code=12345678", cursor)
    shown = masked_url(url, [key])
    assert parse_qs(urlsplit(shown).query)["code"] == ["***"]
    assert key not in unquote(unquote(shown))
    assert "***" in parse_qs(urlsplit(shown).query)["after"][0]


def test_the_path_of_a_url_is_masked() -> None:
    assert masked_url("https://h/v1/jobs/sk-planted-1", ["sk-planted-1"]) == "https://h/v1/jobs/***"
