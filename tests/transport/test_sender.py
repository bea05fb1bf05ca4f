"""A call with all its attempts: waiting, retrying, renewing the key."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import asyncckpt
from asyncckpt import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    APITimeoutError,
    AuthenticationError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
    Response,
)
from asyncckpt.protocol.failures import BodyTooLongError
from asyncckpt.records.codec import MismatchError, TruncatedBodyError
from asyncckpt.transport.attempt import Call
from asyncckpt.transport.pacer import Pacer
from asyncckpt.transport.sender import send

from support import clock
from support.exchanges import KEY, ScriptedExchange, ScriptedSession, call, response

PACKAGE = Path(asyncckpt.__file__).parent
GATE = ("asyncckpt.transport.gate.monotonic",)


def text_of(response: Response) -> str:
    return response.content.decode()


def run(
    exchange: ScriptedExchange,
    made: Call,
    *,
    decode: Callable[[Response], Any] = text_of,
    on_wire: Callable[[], None] = lambda: None,
) -> Any:
    async def main() -> Any:
        try:
            return await send(ScriptedSession(exchange), made, decode, on_wire)  # type: ignore[arg-type]
        except APIError as error:
            return error

    return clock.run(main(), monotonic=GATE)


def pauses(exchange: ScriptedExchange) -> list[float]:
    return [later.at - earlier.at for earlier, later in pairwise(exchange.sent)]


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.random", lambda: 1.0)


def test_a_success_is_decoded_and_counted() -> None:
    exchange, made = ScriptedExchange([response(200, b"page")]), call()
    assert run(exchange, made) == "page"
    assert made.counts.requests == 1
    assert (made.counts.retries, made.counts.refused, made.counts.waited) == (0, 0, 0.0)
    assert exchange.sent[0].headers["Authorization"] == f"Bearer {KEY}"
    assert not exchange.sent[0].fresh


def test_it_sleeps_between_retries() -> None:
    exchange = ScriptedExchange([response(500)] * 6 + [response(200, b"page")])
    made = call()
    assert run(exchange, made) == "page"
    assert pauses(exchange) == pytest.approx([0.25, 0.5, 1, 2, 4, 8])
    assert (made.counts.requests, made.counts.retries) == (7, 6)
    assert made.counts.waited == pytest.approx(15.75)


def test_retries_end() -> None:
    exchange = ScriptedExchange([response(500)])
    error = run(exchange, call(max_retries=2))
    assert isinstance(error, InternalServerError)
    assert len(exchange.sent) == 3
    assert error.__notes__ == ["asyncckpt tried 3 times"]


def test_a_first_failure_that_is_final_has_no_note() -> None:
    error = run(ScriptedExchange([response(404)]), call())
    assert isinstance(error, NotFoundError)
    assert not hasattr(error, "__notes__")


@pytest.mark.parametrize("seconds", [4, 7, 20, 30])
def test_a_single_call_waits_as_long_as_it_is_told(seconds: int) -> None:
    refused = response(429, retry_after=str(seconds))
    exchange = ScriptedExchange([refused, response(200, b"page")], takes=0.02)
    made = call(max_retries=1)
    assert run(exchange, made) == "page"
    assert len(exchange.sent) == 2
    assert pauses(exchange)[0] >= seconds
    assert made.counts.retries == 0
    assert made.counts.refused == 1


def test_being_told_to_wait_costs_no_retries() -> None:
    refused = response(429, retry_after="1")
    exchange = ScriptedExchange([refused] * 10 + [response(500), response(200, b"page")])
    made = call(max_retries=1)
    assert run(exchange, made) == "page"
    assert (made.counts.refused, made.counts.retries) == (10, 1)


def test_refusals_without_a_hint_cost_retries_if_nothing_else_is_accepted() -> None:
    exchange = ScriptedExchange([response(429)])
    made = call(max_retries=3)
    assert isinstance(run(exchange, made), RateLimitError)
    assert len(exchange.sent) == 4
    assert made.counts.retries == 3


def test_refusals_without_a_hint_cost_nothing_while_others_are_accepted() -> None:
    made = call(max_retries=1)
    others = ScriptedExchange([response(200, b"page")])

    async def refuse() -> Response:
        await send(ScriptedSession(others), made, text_of, lambda: None)  # type: ignore[arg-type]
        return response(429)

    script = [refuse, refuse, refuse, refuse, response(200, b"page")]
    exchange = ScriptedExchange(script)
    assert run(exchange, made) == "page"
    assert made.counts.retries == 0


def test_waiting_ends_with_max_wait() -> None:
    exchange = ScriptedExchange([response(429, retry_after="7")])
    made = call(max_wait=20)
    error = run(exchange, made)
    assert isinstance(error, RateLimitError)
    assert len(exchange.sent) == 3
    assert "max_wait is 20 s" in error.__notes__[-1]
    assert made.counts.waited <= 20


def test_forty_lost_requests_in_a_row_leave_the_client_usable() -> None:
    made = call(max_retries=0)
    lost = ScriptedExchange([APIConnectionError("reset")])
    for _ in range(40):
        assert isinstance(run(lost, made), APIConnectionError)
    assert made.account.gate.pacer.in_flight == 0
    assert run(ScriptedExchange([response(200, b"page")]), made) == "page"


def test_a_cancelled_request_returns_its_slot() -> None:
    made = call()
    exchange = ScriptedExchange([response(200)], takes=60)

    async def main() -> None:
        task = asyncio.create_task(
            send(ScriptedSession(exchange), made, text_of, lambda: None)  # type: ignore[arg-type]
        )
        while not exchange.sent:
            await asyncio.sleep(0)
        assert made.account.gate.pacer.in_flight == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    clock.run(main(), monotonic=GATE)
    assert made.account.gate.pacer.in_flight == 0


def test_on_wire_is_called_when_a_request_has_to_wait() -> None:
    events: list[tuple[float, str]] = []

    def on_wire() -> None:
        events.append((asyncio.get_running_loop().time() - 1000, "on_wire"))

    exchange = ScriptedExchange([response(500), response(200, b"page")], takes=1.0)
    run(exchange, call(), on_wire=on_wire)
    # Sent; failed, so it pauses; sent again.
    assert [round(at, 2) for at, _ in events] == [0.0, 1.0, 1.25]


def test_on_wire_is_called_while_it_waits_for_its_turn() -> None:
    called: list[float] = []
    made = call(pacer=Pacer(max_requests_per_second=0.5))
    exchange = ScriptedExchange([response(200, b"page")])
    run(exchange, made)
    run(exchange, made, on_wire=lambda: called.append(asyncio.get_running_loop().time()))
    # It had to wait, and said so before it was sent.
    assert len(called) == 2
    assert called[1] > called[0]
    assert made.counts.waited > 0


def test_a_turn_that_does_not_come_within_max_wait() -> None:
    made = call(pacer=Pacer(max_requests_per_second=0.01), max_wait=5)
    exchange = ScriptedExchange([response(200, b"page")])
    run(exchange, made)
    error = run(exchange, made)
    assert isinstance(error, APITimeoutError)
    assert "waited 5.0 s for its turn" in str(error)


def test_the_wait_for_a_turn_and_the_waits_before_share_max_wait() -> None:
    made = call(pacer=Pacer(max_requests_per_second=0.05), max_wait=10)
    exchange = ScriptedExchange([response(500, retry_after="6"), response(200, b"page")])
    # The next turn comes after 20 s, but only 4 s are left.
    error = run(exchange, made)
    assert isinstance(error, APITimeoutError)
    assert "waited 10.0 s for its turn" in str(error)
    assert made.counts.waited == pytest.approx(10)


def test_a_retry_without_a_delay_is_sent_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.random", lambda: 0.0)
    called: list[None] = []
    exchange, made = ScriptedExchange([response(500), response(200, b"page")]), call()
    assert run(exchange, made, on_wire=lambda: called.append(None)) == "page"
    assert pauses(exchange) == [0.0]
    assert made.counts.waited == 0.0
    # Once for each request; it does not wait between them.
    assert len(called) == 2


def test_the_retry_budget_bounds_the_retries_of_all_calls() -> None:
    made = call(retry_budget=12)
    error = run(ScriptedExchange([response(500)]), made)
    assert error.__notes__[-1] == (
        "asyncckpt did not retry: the retry_budget of the client is used up"
    )
    assert made.counts.requests == 3


def test_a_timeout_takes_twice_as_much_of_the_budget() -> None:
    made = call(retry_budget=12)
    run(ScriptedExchange([APITimeoutError("slow")]), made)
    assert made.counts.requests == 2


def test_a_retry_that_succeeds_returns_what_it_took() -> None:
    made = call(retry_budget=5)
    for _ in range(3):
        assert run(ScriptedExchange([response(500), response(200, b"page")]), made) == "page"
    assert made.account.retry_budget is not None
    assert made.account.retry_budget.available == 5


def test_without_a_budget_retries_are_only_limited_per_call() -> None:
    made = call(retry_budget=None)
    run(ScriptedExchange([response(500)]), made)
    assert made.counts.requests == 7


class Vault:
    """Returns keys one after another, and counts how often it is asked."""

    def __init__(self, *keys: Any) -> None:
        self.keys = list(keys)
        self.asked = 0

    async def __call__(self) -> str:
        self.asked += 1
        key = self.keys.pop(0) if len(self.keys) > 1 else self.keys[0]
        if isinstance(key, BaseException):
            raise key
        return str(key)


def test_a_key_callable_is_asked_once() -> None:
    vault = Vault("sk-first-key")
    exchange, made = ScriptedExchange([response(200, b"page")]), call(api_key=vault)
    for _ in range(3):
        assert run(exchange, made) == "page"
    assert vault.asked == 1


def test_a_rejected_key_is_renewed_once_and_costs_no_retry() -> None:
    vault = Vault("sk-first-key", "sk-other-key")
    exchange = ScriptedExchange([response(401), response(200, b"page")])
    made = call(api_key=vault, max_retries=0)
    assert run(exchange, made) == "page"
    assert vault.asked == 2
    assert exchange.sent[1].headers["Authorization"] == "Bearer sk-other-key"


def test_a_second_rejection_is_raised() -> None:
    vault = Vault("sk-first-key", "sk-other-key", "sk-third-key")
    error = run(ScriptedExchange([response(401)]), call(api_key=vault))
    assert isinstance(error, AuthenticationError)
    assert vault.asked == 2


def test_the_same_key_again_is_not_tried_again() -> None:
    exchange = ScriptedExchange([response(401)])
    vault = Vault("sk-first-key")
    assert isinstance(run(exchange, call(api_key=vault)), AuthenticationError)
    assert (len(exchange.sent), vault.asked) == (1, 2)


def test_a_fixed_key_that_is_rejected_is_not_tried_again() -> None:
    exchange = ScriptedExchange([response(401)])
    assert isinstance(run(exchange, call()), AuthenticationError)
    assert len(exchange.sent) == 1


def test_headers_with_credentials_keep_the_callable_from_being_asked() -> None:
    vault = Vault("sk-first-key")
    exchange = ScriptedExchange([response(401)])
    run(exchange, call(api_key=vault, headers={"api-key": "azure-key-1"}))
    assert vault.asked == 0
    assert "Authorization" not in exchange.sent[0].headers


def test_a_callable_that_takes_too_long() -> None:
    async def sealed() -> str:
        await asyncio.sleep(1000)
        return "never"

    error = run(ScriptedExchange([response(200)]), call(api_key=sealed, max_wait=9))
    assert isinstance(error, APITimeoutError)
    assert "returned no key within max_wait" in str(error)


@pytest.mark.parametrize(
    "keys",
    [
        ("sk-secret-12345\n",),
        ("sk-secret-12345", LookupError("the vault is sealed")),
        ("sk-secret-12345", "sk-secret-12345\r\n"),
    ],
    ids=["line-break", "fails-when-asked-again", "line-break-when-asked-again"],
)
def test_no_frame_of_a_failing_callable_holds_a_key(keys: tuple[Any, ...]) -> None:
    made = call(api_key=Vault(*keys))
    exchange = ScriptedExchange([response(401)])

    async def main() -> None:
        await send(ScriptedSession(exchange), made, text_of, lambda: None)  # type: ignore[arg-type]

    with pytest.raises((ValueError, LookupError)) as caught:
        clock.run(main(), monotonic=GATE)
    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    # The callable's own frames are the caller's.
    ours = [frame for frame in report.stack if Path(frame.filename).is_relative_to(PACKAGE)]
    assert ours
    assert not any("sk-secret" in f"{frame.locals}" for frame in ours)


def test_a_cut_body_is_retried() -> None:
    bodies = iter([TruncatedBodyError("cut"), "page"])

    def decode(_: Response) -> str:
        body = next(bodies)
        if isinstance(body, TruncatedBodyError):
            raise body
        return body

    exchange = ScriptedExchange([response(200)])
    assert run(exchange, call(), decode=decode) == "page"
    assert len(exchange.sent) == 2


def test_a_body_that_does_not_fit_is_an_error_with_its_path_and_without_secrets() -> None:
    def decode(_: Response) -> str:
        raise MismatchError("Expected `array`, got `int`", "$.data")

    error = run(
        ScriptedExchange([response(200, f'{{"data": "{KEY}"}}'.encode(), x_echo=KEY)]),
        call(),
        decode=decode,
    )
    assert isinstance(error, APIResponseValidationError)
    assert error.path == "$.data"
    assert error.__context__ is None
    assert KEY not in f"{error} {error.body!r} {error.response.content!r} {error.response.headers}"


def test_a_body_that_is_too_long_shows_no_secret() -> None:
    long = response(200, f"begins with {KEY}".encode())
    error = run(ScriptedExchange([BodyTooLongError("the body is too long", long)]), call())
    assert isinstance(error, APIResponseValidationError)
    assert "too long" in str(error)
    assert KEY not in f"{error} {error.body!r} {error.response.content!r}"
    assert error.__context__ is None


def test_retries_and_waits_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    script = [response(500), response(429, retry_after="3"), response(200, b"page")]
    with caplog.at_level(logging.INFO, logger="asyncckpt"):
        run(ScriptedExchange(script), call())
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert "InternalServerError (500): retry 1 of 6 in 0.25 s" in lines
    assert "RateLimitError (429): waiting 3.00 s" in lines


def test_a_refused_request_waits_longer_each_time_until_another_response_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refused = response(429, retry_after="0.1")
    script = [*[refused] * 4, response(500), refused, response(200, b"page")]
    with caplog.at_level(logging.INFO, logger="asyncckpt"):
        run(ScriptedExchange(script), call())
    waits = [
        record.getMessage().removeprefix("RateLimitError (429): waiting ")
        for record in caplog.records
        if record.getMessage().startswith("RateLimitError")
    ]
    assert waits == ["0.10 s", "0.10 s", "0.20 s", "0.40 s", "0.10 s"]
