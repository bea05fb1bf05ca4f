from typing import Any

import aiohttp
import pytest

from asyncckpt import APIConnectionError, APITimeoutError, Request, Timeout
from asyncckpt.transport.translation import translated

REQUEST = Request("GET", "http://x.test/")


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "is_final"),
    [
        (ValueError("x"), True),
        (UnicodeEncodeError("ascii", "\udcff", 0, 1, "x"), True),
        (LookupError("unknown encoding: x"), False),
        (RuntimeError("x"), False),
        (AssertionError(), False),
        (AttributeError("x"), False),
        (OSError(5, "x"), False),
        (EOFError(), False),
        (aiohttp.ClientPayloadError("x"), False),
        (RecursionError("x"), False),
        (UnprintableError(), False),
        (Exception("a\nb\x1b[31m\udcff" + "c" * 5000), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_exception_is_translated(error: Exception, is_final: bool) -> None:
    made = translated(error, Timeout(), REQUEST)
    assert type(made) is APIConnectionError
    assert (made.is_final, made.request) == (is_final, REQUEST)
    assert str(made).isprintable()
    assert len(str(made)) < 600
    assert str(made).startswith("Connection error: ")


def test_five_hundred_characters_are_shown() -> None:
    made = translated(RuntimeError("c" * 5000), Timeout(), REQUEST)
    shown = f"RuntimeError: {'c' * 5000}"[:500]
    assert str(made) == f"Connection error: {shown}…"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (aiohttp.ConnectionTimeoutError(), "No connection within 2 s"),
        (aiohttp.SocketTimeoutError(), "The server was silent for 3 s"),
        (TimeoutError(), "No complete response within 4 s"),
    ],
    ids=["connect", "read", "total"],
)
def test_a_timeout_says_which_one(error: Exception, message: str) -> None:
    made = translated(error, Timeout(connect=2, read=3, total=4), REQUEST)
    assert type(made) is APITimeoutError
    assert (str(made), made.request, made.is_final) == (message, REQUEST, False)


@pytest.mark.parametrize(
    ("status", "is_final"), [(407, True), (499, True), (500, False), (502, False)]
)
def test_what_a_proxy_responds(status: int, is_final: bool) -> None:
    about: Any = None
    error = aiohttp.ClientHttpProxyError(about, (), status=status)
    made = translated(error, Timeout(), REQUEST)
    assert str(made) == f"Connection error: the proxy responded with status {status}"
    assert (made.request, made.is_final) == (REQUEST, is_final)


def test_a_malformed_response_is_called_so() -> None:
    about: Any = None
    error = aiohttp.ClientResponseError(about, (), message="no status line")
    made = translated(error, Timeout(), REQUEST)
    assert str(made) == "Connection error: the response is malformed: no status line"
    assert not made.is_final


def test_what_is_translated_already_stays_as_it_is() -> None:
    error = APITimeoutError("x", request=REQUEST)
    assert translated(error, Timeout(), REQUEST) is error


def test_bytes_of_the_server_are_not_quoted() -> None:
    error = aiohttp.ClientPayloadError("malformed: b'sk-secret-1234'")
    assert (
        str(translated(error, Timeout(), REQUEST))
        == "Connection error: ClientPayloadError: malformed"
    )
