"""An exchange that plays a script, for tests of what stands above it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import attrs
from multidict import CIMultiDict

from asyncckpt import Request, Response, Timeout
from asyncckpt.counts import RequestCounts
from asyncckpt.options import RequestOptions
from asyncckpt.transport.account import Account
from asyncckpt.transport.attempt import Call
from asyncckpt.transport.credentials import APIKeySource, Credentials
from asyncckpt.transport.gate import Gate
from asyncckpt.transport.pacer import Pacer
from asyncckpt.transport.retry_budget import RetryBudget

URL = "https://api.openai.com/v1/fine_tuning/jobs"
KEY = "sk-test-1234567890"


def response(status: int = 200, content: bytes = b"", **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, CIMultiDict(named), content, Request("GET", URL))


@attrs.define(repr=False)
class Sent:
    """One request that reached the exchange, and when."""

    at: float
    url: str
    headers: Mapping[str, str]
    fresh: bool


@attrs.define(repr=False)
class ScriptedExchange:
    """Plays a list of responses and exceptions; the last one is repeated.

    Args:
        script: What the requests get in turn; an awaitable callable is called.
        takes: Seconds that each request takes.
    """

    script: list[Any]
    takes: float = 0.0
    session_headers: Mapping[str, str] = attrs.field(factory=dict[str, str])
    is_closed: bool = False
    sent: list[Sent] = attrs.field(factory=list[Sent])
    secrets: list[str] = attrs.field(factory=list[str])

    def session_headers_for(self, url: str) -> Mapping[str, str]:
        return self.session_headers

    async def get(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        timeout: Timeout,
        max_body_bytes: int,
        on_wire: Callable[[], None],
        fresh: bool,
    ) -> Response:
        self.sent.append(Sent(asyncio.get_running_loop().time(), url, headers, fresh))
        on_wire()
        await asyncio.sleep(self.takes)
        result = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if callable(result):
            result = await result()
        if isinstance(result, BaseException):
            raise result
        assert isinstance(result, Response)
        return result


@attrs.define
class ScriptedSession:
    """A session manager that leases one exchange."""

    exchange: ScriptedExchange

    def lease(self) -> ScriptedSession:
        return self

    async def __aenter__(self) -> ScriptedExchange:
        return self.exchange

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass


def call(
    *,
    api_key: str | APIKeySource | None = KEY,
    max_retries: int = 6,
    max_wait: float = 120.0,
    timeout: Timeout | None = None,
    headers: Mapping[str, str] | None = None,
    retry_budget: int | None = 500,
    pacer: Pacer | None = None,
    url: str = URL,
) -> Call:
    account = Account(
        Credentials(api_key),
        Gate(pacer or Pacer()),
        None if retry_budget is None else RetryBudget(retry_budget),
    )
    options = RequestOptions(
        timeout=timeout or Timeout(),
        max_retries=max_retries,
        max_wait=max_wait,
        max_body_bytes=2**20,
        headers=headers or {},
        query={},
    )
    return Call(url, account, options, RequestCounts())
