"""One attempt: a request, its redirects, and what leaves of both."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import pytest

from asyncckpt import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    InternalServerError,
    Request,
    Timeout,
)
from asyncckpt.protocol.headers import PUBLIC_HEADERS
from asyncckpt.transport.attempt import Attempt, Call, make_attempt

from support import clock
from support.exchanges import KEY, URL, ScriptedExchange, call, response


def run(exchange: ScriptedExchange, made: Call) -> Attempt:
    return clock.run(make_attempt(exchange, made, lambda: None))


def redirect(location: str, status: int = 307) -> Any:
    return response(status, location=location)


def test_a_call_shows_neither_its_url_nor_its_account() -> None:
    shown = repr(call(url=f"{URL}?token=sk-hidden"))
    assert "sk-hidden" not in shown
    assert "Account" not in shown


def test_a_success() -> None:
    page = response(200, b"page")
    attempt = run(ScriptedExchange([page]), call())
    assert attempt.outcome is page
    assert attempt.response is page


def test_a_status_that_is_an_error() -> None:
    failed = response(500, f"no {KEY}".encode())
    attempt = run(ScriptedExchange([failed]), call())
    assert isinstance(attempt.outcome, InternalServerError)
    assert attempt.outcome.response.content == b"no ***"
    assert attempt.response is failed


@pytest.mark.parametrize("status", [199, 300, 304, 399])
def test_only_2xx_is_a_success(status: int) -> None:
    attempt = run(ScriptedExchange([response(status)]), call())
    assert isinstance(attempt.outcome, APIStatusError)
    assert attempt.outcome.status_code == status


@pytest.mark.parametrize("status", [200, 299])
def test_every_2xx_is_a_success(status: int) -> None:
    page = response(status)
    assert run(ScriptedExchange([page]), call()).outcome is page


def test_no_response() -> None:
    lost = APIConnectionError("reset")
    attempt = run(ScriptedExchange([lost]), call())
    assert attempt.outcome is lost
    assert attempt.response is None


def test_a_host_that_repeats_the_key() -> None:
    lost = APIConnectionError(f"Cannot connect to host {KEY.lower()}.test")
    error = run(ScriptedExchange([lost]), call()).outcome
    assert str(error) == "Cannot connect to host ***.test"
    assert repr(error) == "APIConnectionError('Cannot connect to host ***.test')"


@pytest.mark.parametrize(
    "error",
    [
        ValueError("odd"),
        UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"),
        RuntimeError("inside"),
        RecursionError("deep"),
        KeyError("x"),
        type("OddError", (Exception,), {})(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_goes_wrong_is_an_api_error(error: Exception) -> None:
    attempt = run(ScriptedExchange([error]), call())
    assert isinstance(attempt.outcome, APIError)
    assert type(error).__name__ in str(attempt.outcome)
    assert attempt.outcome.request == Request("GET", URL)
    assert attempt.response is None


def test_what_goes_wrong_in_a_closed_session_is_a_runtime_error() -> None:
    exchange = ScriptedExchange([ValueError("odd")], is_closed=True)
    with pytest.raises(RuntimeError, match="this client is closed"):
        run(exchange, call())


class Interrupted(BaseException):
    """Neither an Exception nor known to anyone."""


@pytest.mark.parametrize("kind", [asyncio.CancelledError, KeyboardInterrupt, Interrupted])
def test_what_leaves_has_no_frames_that_hold_the_headers(kind: type[BaseException]) -> None:
    interruption = kind("stop")
    interruption.__context__ = LookupError(f"with {KEY}")

    async def main() -> BaseException:
        try:
            await make_attempt(ScriptedExchange([interruption]), call(), lambda: None)
        except BaseException as error:
            return error
        raise AssertionError

    error = clock.run(main())
    assert error is interruption
    assert error.__context__ is None
    assert error.__cause__ is None
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert names == ["main", "make_attempt"]


def test_an_error_has_no_traceback_and_no_context() -> None:
    failed = APIConnectionError("reset")
    failed.__context__ = LookupError(f"with {KEY}")
    error = run(ScriptedExchange([failed]), call()).outcome
    assert isinstance(error, APIError)
    assert error.__traceback__ is None
    assert error.__context__ is None


class TestRedirects:
    def test_within_the_origin_keep_the_headers(self) -> None:
        exchange = ScriptedExchange([redirect("/v2/jobs"), response(200, b"page")])
        assert run(exchange, call()).response is not None
        assert [sent.url for sent in exchange.sent] == [URL, "https://api.openai.com/v2/jobs"]
        assert exchange.sent[1].headers["Authorization"] == f"Bearer {KEY}"

    def test_to_another_origin_take_only_public_headers(self) -> None:
        exchange = ScriptedExchange(
            [redirect("https://elsewhere.example/jobs"), redirect(URL), response(200)]
        )
        run(exchange, call(headers={"X-Own": "1"}))
        assert exchange.sent[1].headers == PUBLIC_HEADERS
        # Coming back does not bring the credentials back.
        assert exchange.sent[2].headers == PUBLIC_HEADERS

    def test_more_than_five_are_an_error(self) -> None:
        exchange = ScriptedExchange([redirect("/again")])
        error = run(exchange, call()).outcome
        assert isinstance(error, APIConnectionError)
        assert error.is_final
        assert len(exchange.sent) == 6

    def test_share_one_timeout(self) -> None:
        exchange = ScriptedExchange([redirect("/again")], takes=2.0)
        error = run(exchange, call(timeout=Timeout(total=5.0))).outcome
        assert isinstance(error, APITimeoutError)
        assert "within 5.0 s" in str(error)
        # Two fit into 5 s; the third is cancelled.
        assert len(exchange.sent) == 3

    def test_without_a_timeout_may_take_their_time(self) -> None:
        exchange = ScriptedExchange([redirect("/a"), redirect("/b"), response(200)], takes=3600.0)
        attempt = run(exchange, call(timeout=Timeout(total=None)))
        assert attempt.response is attempt.outcome

    def test_do_not_take_the_headers_of_a_session_to_another_origin(self) -> None:
        exchange = ScriptedExchange(
            [redirect("https://elsewhere.example/jobs")], session_headers={"X-Gateway-Key": KEY}
        )
        error = run(exchange, call()).outcome
        assert isinstance(error, APIConnectionError)
        assert "lent session" in str(error)
        assert len(exchange.sent) == 1

    @pytest.mark.parametrize("location", ["ftp://h/x", "http://[::1", "https://u:p@h/", "\udcff:"])
    def test_to_a_bad_location_are_an_error(self, location: str) -> None:
        exchange = ScriptedExchange([redirect(location)])
        error = run(exchange, call()).outcome
        assert isinstance(error, APIError)
        assert len(exchange.sent) == 1
