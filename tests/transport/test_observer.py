"""What hooks are told of one call: numbers and durations, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest

from asyncckpt import APIConnectionError, APIError, APITimeoutError, Response, hooks
from asyncckpt.hooks import Hooks
from asyncckpt.protocol.failures import BodyTooLongError
from asyncckpt.transport.attempt import Call
from asyncckpt.transport.observer import ObservedExchange
from asyncckpt.transport.pacer import Pacer
from asyncckpt.transport.sender import new_observer, send

from support import clock
from support.events import Recorder, check_rules
from support.exchanges import KEY, ScriptedExchange, ScriptedSession, call, response

CLOCKS = ("asyncckpt.transport.gate.monotonic", "asyncckpt.transport.observer.monotonic")


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.random", lambda: 1.0)


def observed(events: Recorder, **options: Any) -> Call:
    made = call(**options)
    made.account = attrs.evolve(made.account, hooks=Hooks([events]))
    return made


def run(exchange: ScriptedExchange, made: Call) -> Any:
    async def main() -> Any:
        try:
            return await send(
                ScriptedSession(exchange),  # type: ignore[arg-type]
                made,
                lambda response: response.content,
                lambda: None,
            )
        except (APIError, RuntimeError) as error:
            return error

    return clock.run(main(), monotonic=CLOCKS)


def test_durations_are_those_of_the_request_and_of_the_call() -> None:
    events = Recorder()
    exchange = ScriptedExchange([response(500), response(502)], takes=2.0)
    error = run(exchange, observed(events, max_retries=1))
    assert [received.duration for received in events.of(hooks.ResponseReceived)] == [2.0, 2.0]
    assert events.one(hooks.RetryScheduled).delay == 0.25
    failed = events.one(hooks.CallFailed)
    assert (failed.error, failed.attempts, failed.duration) == (error, 2, 4.25)
    first, second = events.of(hooks.RequestStarted)
    assert (first.waited, second.waited) == (0.0, 0.25)
    check_rules(events)


def test_a_wait_for_the_pace_is_reported_with_its_length() -> None:
    events = Recorder()
    made = observed(events, pacer=Pacer(max_requests_per_second=0.5))
    exchange = ScriptedExchange([response(500), response(200, b"page")])
    assert run(exchange, made) == b"page"
    paused = events.one(hooks.Paused)
    # The interval of 2 s, less the backoff, and less what the pacer lets an event loop catch up.
    assert (paused.reason, paused.duration) == ("pace", pytest.approx(1.74))
    assert events.of(hooks.RequestStarted)[1].waited == pytest.approx(1.99)


def test_a_closed_server_is_the_reason_of_a_wait() -> None:
    events = Recorder()
    exchange = ScriptedExchange([response(429, retry_after="0.001"), response(200, b"page")])
    assert run(exchange, observed(events)) == b"page"
    assert events.one(hooks.Paused).reason == "server"


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (APITimeoutError("late"), APITimeoutError),
        (OSError("broken"), APIConnectionError),
        (TimeoutError(), APITimeoutError),
    ],
)
def test_what_an_exchange_raises_is_a_failed_request(
    raised: Exception, kind: type[Exception]
) -> None:
    events = Recorder()
    error = run(ScriptedExchange([raised]), observed(events, max_retries=0))
    failed = events.one(hooks.RequestFailed)
    assert type(failed.error) is type(error) is kind
    assert str(failed.error) == str(error)
    check_rules(events)


def test_an_exchange_that_was_closed_is_a_runtime_error() -> None:
    events = Recorder()
    exchange = ScriptedExchange([ConnectionError("closed")], is_closed=True)
    error = run(exchange, observed(events))
    assert type(events.one(hooks.RequestFailed).error) is type(error) is RuntimeError
    assert events.one(hooks.RequestFailed).error.__traceback__ is None


def test_a_body_that_is_too_long_is_a_response() -> None:
    events = Recorder()
    too_long = BodyTooLongError("too long", response(200, b"12345"))
    run(ScriptedExchange([too_long]), observed(events))
    assert events.one(hooks.ResponseReceived).size == 5


def test_what_the_server_says_of_a_request_is_masked_and_cut() -> None:
    events = Recorder()
    url = f"https://api.openai.com/v1/fine_tuning/jobs/{KEY}/checkpoints?after={KEY}&code=1234"
    made = observed(events, url=url)
    run(ScriptedExchange([response(200, x_request_id=f"{KEY} {'x' * 500}")]), made)
    received = events.one(hooks.ResponseReceived)
    assert received.request_id == f"*** {'x' * 96}…"
    assert received.url == (
        "https://api.openai.com/v1/fine_tuning/jobs/***/checkpoints?after=***&code=***"
    )
    assert received.fine_tuning_job_id == "***"
    assert KEY not in repr(events)


def test_secrets_of_the_session_are_masked() -> None:
    events = Recorder()
    exchange = ScriptedExchange(
        [response(200, x_request_id="of-a-session of-a-proxy")],
        session_headers={"x-token": "of-a-session"},
        secrets=["of-a-proxy"],
    )
    run(exchange, observed(events))
    assert events.one(hooks.ResponseReceived).request_id == "*** ***"


def test_the_exchange_passes_everything_on() -> None:
    events = Recorder()
    exchange = ScriptedExchange(
        [response()], session_headers={"x": "1"}, secrets=["a"], is_closed=True
    )
    observer = new_observer(observed(events))
    assert observer is not None
    wrapped = observer.observed(exchange)
    assert isinstance(wrapped, ObservedExchange)
    assert wrapped.is_closed
    assert wrapped.session_headers == wrapped.session_headers_for("https://h") == {"x": "1"}
    assert wrapped.secrets == ["a"]


def test_a_hook_sees_no_exception_that_is_being_handled() -> None:
    import sys

    seen: list[BaseException | None] = []
    made = call(max_retries=0)
    made.account = attrs.evolve(made.account, hooks=Hooks([lambda _: seen.append(sys.exception())]))
    error = run(ScriptedExchange([OSError("with headers in its frames")]), made)
    # The error of the call itself has frames without secrets only.
    assert seen == [None, None, error]


def test_a_cancelled_request_is_reported_once() -> None:
    events = Recorder()
    made = observed(events)

    async def main() -> None:
        exchange = ScriptedExchange([response()], takes=5.0)
        sending = asyncio.ensure_future(
            send(ScriptedSession(exchange), made, Response.json, lambda: None)  # type: ignore[arg-type]
        )
        await asyncio.sleep(1)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

    clock.run(main(), monotonic=CLOCKS)
    assert events.names == ["RequestStarted", "RequestCancelled"]
    assert events.one(hooks.RequestCancelled).duration == 1.0


def test_a_call_without_hooks_is_not_observed() -> None:
    assert new_observer(call()) is None
