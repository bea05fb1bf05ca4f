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


def test_what_is_translated_already_stays_as_it_is() -> None:
    error = APITimeoutError("x", request=REQUEST)
    assert translated(error, Timeout(), REQUEST) is error


def test_bytes_of_the_server_are_not_quoted() -> None:
    error = aiohttp.ClientPayloadError("malformed: b'sk-secret-1234'")
    assert (
        str(translated(error, Timeout(), REQUEST))
        == "Connection error: ClientPayloadError: malformed"
    )
