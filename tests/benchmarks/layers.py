"""The pages of one job through ever more of the client: where the time of a page goes."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

import aiohttp

from asyncckpt import AsyncClient
from asyncckpt.counts import RequestCounts
from asyncckpt.messages import Response
from asyncckpt.options import DEFAULT_TIMEOUT, RequestOptions
from asyncckpt.streams.page import ignore
from asyncckpt.transport.credentials import Credentials
from asyncckpt.transport.exchange import Exchange
from asyncckpt.transport.gate import Gate
from asyncckpt.transport.pacer import Pacer
from asyncckpt.transport.retry_budget import RetryBudget
from asyncckpt.transport.sender import PUBLIC_HEADERS, Account, Call, Sender
from asyncckpt.transport.session import SessionManager

from .data import id_at, parse_job_id
from .peers import (
    KEY,
    PAGE,
    keep_large_blocks,
    list_decoder,
    open_handwritten,
    open_no_client,
    records_of,
)

Read = Callable[[], Awaitable[object]]

_OPTIONS: Final = RequestOptions(
    timeout=DEFAULT_TIMEOUT,
    max_retries=6,
    max_wait=120.0,
    max_body_bytes=2**26,
    headers=PUBLIC_HEADERS,
    query={},
)


_decoder: Final = list_decoder()


def _urls(base_url: str, job: str) -> list[str]:
    first = f"{base_url}/fine_tuning/jobs/{job}/checkpoints?limit={PAGE}"
    _, records = parse_job_id(job)
    return [first] + [f"{first}&after={id_at(job, n - 1)}" for n in range(PAGE, records, PAGE)]


@contextlib.asynccontextmanager
async def _manager(session: aiohttp.ClientSession | None) -> AsyncIterator[SessionManager]:
    manager = SessionManager(
        session=session, connection_limit=16, ssl=True, trust_env=False, trace_configs=()
    )
    try:
        yield manager
    finally:
        await manager.aclose()


async def _get_all(exchange: Exchange, urls: Sequence[str]) -> None:
    headers = {**PUBLIC_HEADERS, "Authorization": f"Bearer {KEY}"}
    for url in urls:
        await exchange.get(
            url,
            headers,
            timeout=_OPTIONS.timeout,
            max_body_bytes=_OPTIONS.max_body_bytes,
            on_wire=ignore,
        )


@contextlib.asynccontextmanager
async def _bare_socket(base_url: str, job: str) -> AsyncIterator[Read]:
    async with open_no_client(base_url) as no_client:
        yield functools.partial(no_client.read_unseen, job)


@contextlib.asynccontextmanager
async def _pool(base_url: str, job: str) -> AsyncIterator[Read]:
    async with _manager(None) as manager:
        get_all = functools.partial(_get_all, urls=_urls(base_url, job))
        yield functools.partial(manager.run, get_all)


@contextlib.asynccontextmanager
async def _front_door(base_url: str, job: str) -> AsyncIterator[Read]:
    keep_large_blocks()
    # As the client makes its own.
    session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
    async with session, _manager(session) as manager:
        get_all = functools.partial(_get_all, urls=_urls(base_url, job))
        yield functools.partial(manager.run, get_all)


@contextlib.asynccontextmanager
async def _sent(
    base_url: str, job: str, decode: Callable[[Response], object]
) -> AsyncIterator[Read]:
    async with _manager(None) as manager:
        sender = Sender(manager)
        account = Account(Credentials(KEY), Gate(Pacer()), RetryBudget())
        urls = _urls(base_url, job)

        async def read() -> None:
            for url in urls:
                await sender.send(Call(url, account, _OPTIONS, RequestCounts()), decode, ignore)

        yield read


def _as_it_is(response: Response) -> Response:
    return response


def _records(response: Response) -> object:
    return records_of(_decoder, response.content)


@contextlib.asynccontextmanager
async def _client(base_url: str, job: str) -> AsyncIterator[Read]:
    async with AsyncClient(api_key=KEY, base_url=base_url) as client:

        async def read() -> None:
            async for _ in client.fine_tuning.jobs.checkpoints.list(job, limit=PAGE):
                pass

        yield read


@contextlib.asynccontextmanager
async def _by_hand(base_url: str, job: str) -> AsyncIterator[Read]:
    async with open_handwritten(base_url) as by_hand:
        yield functools.partial(by_hand.read, job)


SOCKET: Final = "the bytes, over a bare socket"
POOL: Final = "a request over aiohttp's pool and parser, and its deadline"
SENDER: Final = "pacing and retries"
DECODER: Final = "decoding"
PAGER: Final = "the pager, and the loop over records"
STEPS: Final = (SOCKET, POOL, SENDER, DECODER, PAGER)
"""Each does what the one before does, and more."""

FRONT_DOOR: Final = "a request through `ClientSession.get`"
BY_HAND: Final = "the loop written by hand"

LAYERS: Final[dict[str, Callable[[str, str], AbstractAsyncContextManager[Read]]]] = {
    SOCKET: _bare_socket,
    POOL: _pool,
    SENDER: functools.partial(_sent, decode=_as_it_is),
    DECODER: functools.partial(_sent, decode=_records),
    PAGER: _client,
    FRONT_DOOR: _front_door,
    BY_HAND: _by_hand,
}
