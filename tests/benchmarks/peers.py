"""The clients that are compared, each used as its documentation shows."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urlencode, urlsplit

from .data import id_at, parse_job_id
from .decoders import PAGE, typed_page_decoder

if TYPE_CHECKING:
    from asyncckpt import AsyncClient

KEY: Final = "sk-benchmark-0123456789abcdef"

Keep = Callable[[str], object]
"""Receives the id of each record."""


class Peer(abc.ABC):
    """A client; what it has no call for is done the way one writes it by hand."""

    @abc.abstractmethod
    def pages(self, job: str, limit: int | None = PAGE) -> AsyncIterator[Sequence[Any]]:
        """Yield the records of a job page by page."""

    async def read(self, job: str, limit: int | None = PAGE) -> int:
        """Loop over the records of a job; return their number."""
        records = 0
        async for page in self.pages(job, limit):
            for _ in page:
                records += 1
        return records

    async def read_many(self, jobs: Sequence[str], concurrency: int) -> int:
        """Loop over the records of many jobs; return their number."""
        return await _gather(self.read, jobs, concurrency)

    async def check_many(
        self, jobs: Sequence[str], concurrency: int, limit: int, keep: Keep
    ) -> int:
        """Read many jobs from a server that fails; return how many jobs were lost."""
        raise NotImplementedError("it retries nothing, and would lose nearly every job")


async def _gather(
    read: Callable[[str], Awaitable[int]], jobs: Sequence[str], concurrency: int
) -> int:
    semaphore = asyncio.Semaphore(concurrency)

    async def read_in_turn(job: str) -> int:
        async with semaphore:
            return await read(job)

    return sum(await asyncio.gather(*map(read_in_turn, jobs)))


class Asyncckpt(Peer):
    """asyncckpt, at its defaults."""

    def __init__(self, client: AsyncClient) -> None:
        self._checkpoints = client.fine_tuning.jobs.checkpoints

    async def pages(self, job: str, limit: int | None = PAGE) -> AsyncIterator[Sequence[Any]]:
        async for page in self._checkpoints.list(job, **_given(limit)).pages():
            yield page.data

    async def read(self, job: str, limit: int | None = PAGE) -> int:
        records = 0
        async for _ in self._checkpoints.list(job, **_given(limit)):
            records += 1
        return records

    async def read_many(self, jobs: Sequence[str], concurrency: int) -> int:
        records = 0
        async for _ in self._checkpoints.list_many(jobs, concurrency=concurrency, limit=PAGE):
            records += 1
        return records

    async def check_many(
        self, jobs: Sequence[str], concurrency: int, limit: int, keep: Keep
    ) -> int:
        stream = self._checkpoints.list_many(
            jobs, concurrency=concurrency, limit=limit, on_error="collect"
        )
        async for checkpoint in stream:
            keep(checkpoint.id)
        return len(stream.failures)


def _given(limit: int | None) -> dict[str, Any]:
    return {} if limit is None else {"limit": limit}


@contextlib.asynccontextmanager
async def open_asyncckpt(base_url: str, prefetch: int = 1) -> AsyncIterator[Peer]:
    """Open a client of asyncckpt."""
    from asyncckpt import AsyncClient

    async with AsyncClient(api_key=KEY, base_url=base_url, prefetch=prefetch) as client:
        yield Asyncckpt(client)


class OfficialSDK(Peer):
    """The official SDK, with its automatic pagination."""

    def __init__(self, client: Any) -> None:
        self._checkpoints = client.fine_tuning.jobs.checkpoints

    async def pages(self, job: str, limit: int | None = PAGE) -> AsyncIterator[Sequence[Any]]:
        first = await self._checkpoints.list(job, **_given(limit))
        async for page in first.iter_pages():
            yield page.data

    async def read(self, job: str, limit: int | None = PAGE) -> int:
        records = 0
        async for _ in self._checkpoints.list(job, **_given(limit)):
            records += 1
        return records

    async def check_many(
        self, jobs: Sequence[str], concurrency: int, limit: int, keep: Keep
    ) -> int:
        import openai

        async def read_or_lose(job: str) -> int:
            try:
                async for checkpoint in self._checkpoints.list(job, limit=limit):
                    keep(checkpoint.id)
            except openai.APIError:
                return 1
            return 0

        return await _gather(read_or_lose, jobs, concurrency)


@contextlib.asynccontextmanager
async def open_sdk(
    base_url: str, max_retries: int = 2, *, on_aiohttp: bool = False
) -> AsyncIterator[Peer]:
    """Open a client of the official SDK, on httpx or on aiohttp."""
    import openai

    http_client = openai.DefaultAioHttpClient() if on_aiohttp else openai.DefaultAsyncHttpxClient()
    async with openai.AsyncOpenAI(
        api_key=KEY, base_url=base_url, max_retries=max_retries, http_client=http_client
    ) as client:
        yield OfficialSDK(client)


class HandWritten(Peer):
    """A GET and `orjson.loads` in a loop: no types, no checks, no retries, no pacing."""

    headers: ClassVar = {"Authorization": f"Bearer {KEY}"}

    def __init__(
        self, base_url: str, get: Callable[[str, dict[str, str]], Awaitable[bytes]]
    ) -> None:
        import orjson

        self._base_url, self._get, self._loads = base_url, get, orjson.loads

    async def pages(self, job: str, limit: int | None = PAGE) -> AsyncIterator[Sequence[Any]]:
        url = f"{self._base_url}/fine_tuning/jobs/{job}/checkpoints"
        query = {} if limit is None else {"limit": str(limit)}
        while True:
            page = self._loads(await self._get(url, query))
            yield page["data"]
            if not page["has_more"]:
                return
            query["after"] = page["data"][-1]["id"]


def keep_large_blocks() -> None:
    """Have glibc reuse the blocks that asyncio receives into, as asyncckpt does.

    Freeing one large block raises the threshold above which glibc returns memory at once: see
    mallopt(3), M_MMAP_THRESHOLD.
    """
    bytes(2**20)


@contextlib.asynccontextmanager
async def open_hand_written(base_url: str) -> AsyncIterator[Peer]:
    """Open an aiohttp session for the hand-written loop."""
    import aiohttp

    keep_large_blocks()
    # With the default of 100 connections it would be slower at a concurrency of 200.
    connector = aiohttp.TCPConnector(limit=256)
    async with aiohttp.ClientSession(connector=connector, headers=HandWritten.headers) as session:

        async def get(url: str, query: dict[str, str]) -> bytes:
            async with session.get(url, params=query) as response:
                return await response.read()

        yield HandWritten(base_url, get)


@contextlib.asynccontextmanager
async def open_ry(base_url: str) -> AsyncIterator[Peer]:
    """Open a client of `ry`, which is written in Rust, for the same loop."""
    import ry

    keep_large_blocks()
    client = ry.Client(headers=HandWritten.headers)

    async def get(url: str, query: dict[str, str]) -> bytes:
        response = await client.get(f"{url}?{urlencode(query)}")
        return bytes(await response.bytes())

    yield HandWritten(base_url, get)


@contextlib.asynccontextmanager
async def open_pycurl(base_url: str) -> AsyncIterator[Peer]:
    """Open a handle of pycurl for the same loop; it blocks the event loop."""
    import pycurl

    keep_large_blocks()
    handle = pycurl.Curl()
    handle.setopt(
        pycurl.HTTPHEADER, [f"{name}: {HandWritten.headers[name]}" for name in HandWritten.headers]
    )

    async def get(url: str, query: dict[str, str]) -> bytes:
        handle.setopt(pycurl.URL, f"{url}?{urlencode(query)}")
        body: bytes = handle.perform_rb()
        return body

    try:
        yield HandWritten(base_url, get)
    finally:
        handle.close()


class BareStreams(Peer):
    """The floor: asyncio streams that know all requests in advance, and msgspec into attrs.

    It parses nothing of a response but its length, and fetches one page ahead as asyncckpt does.
    """

    def __init__(self, base_url: str) -> None:
        url = urlsplit(base_url)
        self._host, self._path = url.netloc, url.path
        self._decode = typed_page_decoder()
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def pages(self, job: str, limit: int | None = PAGE) -> AsyncIterator[Sequence[Any]]:
        requests = self._requests(job)
        reader, writer = self._idle.pop() if self._idle else await self._connect()
        writer.write(next(requests))
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.partition(b"Content-Length: ")[2].split(None, 1)[0])
            body = await reader.readexactly(length)
            request = next(requests, None)
            if request is None:
                break
            writer.write(request)
            yield self._decode(body).data
        self._idle.append((reader, writer))
        yield self._decode(body).data

    def _requests(self, job: str) -> Iterator[bytes]:
        _, records = parse_job_id(job)
        url = f"{self._path}/fine_tuning/jobs/{job}/checkpoints?limit={PAGE}"
        end = f" HTTP/1.1\r\nHost: {self._host}\r\n\r\n"
        yield f"GET {url}{end}".encode()
        for first in range(PAGE, records, PAGE):
            yield f"GET {url}&after={id_at(job, first - 1)}{end}".encode()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        name, _, port = self._host.partition(":")
        return await asyncio.open_connection(name, int(port), limit=2**20)

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


@contextlib.asynccontextmanager
async def open_bare_streams(base_url: str) -> AsyncIterator[Peer]:
    """Open the floor."""
    keep_large_blocks()
    with contextlib.closing(BareStreams(base_url)) as streams:
        yield streams


OURS: Final = "asyncckpt"
BY_HAND: Final = "hand-written"
SDK: Final = "official SDK"
SDK_AIOHTTP: Final = "official SDK on aiohttp"
SDK_AIOHTTP_10: Final = "official SDK on aiohttp, 10 retries"
RY: Final = "ry (Rust), hand-written"
PYCURL: Final = "pycurl, hand-written, blocking"
FLOOR: Final = "bare streams"
NO_PREFETCH: Final = "asyncckpt, prefetch=0"

PEERS: Final[dict[str, Callable[[str], AbstractAsyncContextManager[Peer]]]] = {
    OURS: open_asyncckpt,
    NO_PREFETCH: functools.partial(open_asyncckpt, prefetch=0),
    "asyncckpt, prefetch=2": functools.partial(open_asyncckpt, prefetch=2),
    "asyncckpt, prefetch=4": functools.partial(open_asyncckpt, prefetch=4),
    BY_HAND: open_hand_written,
    SDK: open_sdk,
    SDK_AIOHTTP: functools.partial(open_sdk, on_aiohttp=True),
    SDK_AIOHTTP_10: functools.partial(open_sdk, on_aiohttp=True, max_retries=10),
    RY: open_ry,
    PYCURL: open_pycurl,
    FLOOR: open_bare_streams,
}
"""By the name that the page shows."""
