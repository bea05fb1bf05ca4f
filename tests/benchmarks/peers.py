"""The clients that are compared, each used as its documentation would have it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from .data import id_at, parse_job_id

if TYPE_CHECKING:
    import aiohttp
    import openai

    from asyncckpt import AsyncClient, FineTuningJobCheckpoint
    from asyncckpt.records.codec import ListDecoder

PAGE: Final = 100
KEY: Final = "sk-benchmark-0123456789abcdef"

Work = Callable[[], Awaitable[None]]
Keep = Callable[[str], object]
"""Takes the id of each record, where a run checks them."""


class Peer(Protocol):
    """What every client is asked to do."""

    async def read(self, job: str) -> int:
        """Read a job record by record; return how many there were."""
        ...

    async def read_with_work(self, job: str, work: Work) -> None:
        """Read a job page by page, and do some work after each."""
        ...

    async def read_many(self, jobs: Sequence[str], concurrency: int) -> int:
        """Read many jobs at once; return how many records there were."""
        ...

    async def check_many(
        self, jobs: Sequence[str], concurrency: int, keep: Keep, limit: int
    ) -> int:
        """Read many jobs, pass on every record's id, and return how many jobs failed."""
        ...

    async def hold(self, job: str) -> list[Any]:
        """Read a job into a list."""
        ...


class Asyncckpt:
    """asyncckpt, at its defaults."""

    def __init__(self, client: AsyncClient, prefetch: int) -> None:
        self._checkpoints = client.fine_tuning.jobs.checkpoints
        self._prefetch = prefetch

    async def read(self, job: str) -> int:
        records = 0
        async for _ in self._checkpoints.list(job, limit=PAGE):
            records += 1
        return records

    async def read_with_work(self, job: str, work: Work) -> None:
        pager = self._checkpoints.list(job, limit=PAGE, prefetch=self._prefetch)
        async for page in pager.pages():
            # Records are made when they are asked for; their cost is part of the comparison.
            assert page.data
            await work()

    async def read_many(self, jobs: Sequence[str], concurrency: int) -> int:
        records = 0
        async for _ in self._checkpoints.list_many(jobs, concurrency=concurrency, limit=PAGE):
            records += 1
        return records

    async def check_many(
        self, jobs: Sequence[str], concurrency: int, keep: Keep, limit: int
    ) -> int:
        stream = self._checkpoints.list_many(
            jobs, concurrency=concurrency, limit=limit, on_error="collect"
        )
        async for checkpoint in stream:
            keep(checkpoint.id)
        return len(stream.failures)

    async def hold(self, job: str) -> list[Any]:
        return [checkpoint async for checkpoint in self._checkpoints.list(job, limit=PAGE)]


@contextlib.asynccontextmanager
async def open_asyncckpt(base_url: str, prefetch: int = 1) -> AsyncIterator[Peer]:
    from asyncckpt import AsyncClient

    async with AsyncClient(api_key=KEY, base_url=base_url) as client:
        yield Asyncckpt(client, prefetch)


class Handwritten:
    """aiohttp and orjson in a loop: no types, no retries, no pacing, nothing checked."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        import orjson

        self._session = session
        self._base_url = base_url
        self._loads = orjson.loads

    async def read(self, job: str) -> int:
        url = f"{self._base_url}/fine_tuning/jobs/{job}/checkpoints"
        params = {"limit": str(PAGE)}
        records = 0
        while True:
            async with self._session.get(url, params=params) as response:
                page = self._loads(await response.read())
            for _ in page["data"]:
                records += 1
            if not page["has_more"]:
                return records
            params["after"] = page["data"][-1]["id"]

    async def read_with_work(self, job: str, work: Work) -> None:
        url = f"{self._base_url}/fine_tuning/jobs/{job}/checkpoints"
        params = {"limit": str(PAGE)}
        while True:
            async with self._session.get(url, params=params) as response:
                page = self._loads(await response.read())
            await work()
            if not page["has_more"]:
                return
            params["after"] = page["data"][-1]["id"]

    async def read_many(self, jobs: Sequence[str], concurrency: int) -> int:
        return await _gather(self.read, jobs, concurrency)

    async def check_many(
        self, jobs: Sequence[str], concurrency: int, keep: Keep, limit: int
    ) -> int:
        raise NotImplementedError("it retries nothing, and would lose nearly every job")

    async def hold(self, job: str) -> list[Any]:
        url = f"{self._base_url}/fine_tuning/jobs/{job}/checkpoints"
        params = {"limit": str(PAGE)}
        records: list[Any] = []
        while True:
            async with self._session.get(url, params=params) as response:
                page = self._loads(await response.read())
            records.extend(page["data"])
            if not page["has_more"]:
                return records
            params["after"] = page["data"][-1]["id"]


@contextlib.asynccontextmanager
async def open_handwritten(base_url: str) -> AsyncIterator[Peer]:
    import aiohttp

    headers = {"Authorization": f"Bearer {KEY}"}
    # The default of 100 connections would hold it back at a concurrency of 200.
    connector = aiohttp.TCPConnector(limit=256)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        yield Handwritten(session, base_url)


@contextlib.asynccontextmanager
async def open_handwritten_tuned(base_url: str) -> AsyncIterator[Peer]:
    keep_large_blocks()
    async with open_handwritten(base_url) as peer:
        yield peer


def keep_large_blocks() -> None:
    """What asyncckpt does with its first request; see `asyncckpt.transport.session`."""
    bytes(2**20)


class BareSocket(asyncio.Protocol):
    """A connection that knows all requests beforehand, and parses but the length of an answer.

    What it takes is what the event loop, the sockets and the server take.
    """

    def __init__(self, base_url: str, prefetch: int) -> None:
        url = urlsplit(base_url)
        self._host, self._path = url.netloc, url.path
        self._prefetch = prefetch
        self._requests: deque[bytes] = deque()
        self._may_send = 0
        self._is_busy = False
        self._missing = 0
        self._parts: list[bytes] = []
        self._pages: deque[bytes] = deque()
        self._arrived = asyncio.Event()

    async def connect(self) -> None:
        name, _, port = self._host.partition(":")
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_connection(lambda: self, name, int(port))

    def close(self) -> None:
        self._transport.close()

    async def pages(self, job: str) -> AsyncIterator[bytes]:
        """The bodies of a job's pages, as many of them fetched ahead as asyncckpt would."""
        path = f"{self._path}/fine_tuning/jobs/{job}/checkpoints?limit={PAGE}"
        _, records = parse_job_id(job)
        paths = [path] + [f"{path}&after={id_at(job, n - 1)}" for n in range(PAGE, records, PAGE)]
        head = f" HTTP/1.1\r\nHost: {self._host}\r\n\r\n"
        self._requests.extend(f"GET {path}{head}".encode() for path in paths)
        self._may_send = self._prefetch
        for _ in paths:
            self._may_send += 1
            self._send_next()
            while not self._pages:
                self._arrived.clear()
                await self._arrived.wait()
            yield self._pages.popleft()

    def data_received(self, data: bytes) -> None:
        if not self._missing:
            head, _, data = data.partition(b"\r\n\r\n")
            self._missing = int(head.partition(b"Content-Length: ")[2].split()[0])
        self._parts.append(data)
        self._missing -= len(data)
        if not self._missing:
            self._is_busy = False
            self._send_next()
            self._pages.append(b"".join(self._parts))
            self._parts.clear()
            self._arrived.set()

    def _send_next(self) -> None:
        if self._requests and self._may_send and not self._is_busy:
            self._is_busy = True
            self._may_send -= 1
            self._transport.write(self._requests.popleft())


def list_decoder() -> ListDecoder[FineTuningJobCheckpoint]:
    """What asyncckpt decodes its pages with, by itself."""
    from asyncckpt.records.checkpoints import (
        FineTuningJobCheckpoint,
        ListFineTuningJobCheckpointsResponse,
    )
    from asyncckpt.records.codec import ListDecoder

    return ListDecoder(ListFineTuningJobCheckpointsResponse, FineTuningJobCheckpoint)


def records_of(
    decoder: ListDecoder[FineTuningJobCheckpoint], body: bytes
) -> list[FineTuningJobCheckpoint]:
    """Both steps of decoding, one right after the other."""
    return decoder.to_records(decoder.parse(body).data)


class NoClient:
    """The floor: bare sockets, and asyncckpt's decoder where records are asked for."""

    def __init__(self, base_url: str, prefetch: int) -> None:
        self._new_socket = functools.partial(BareSocket, base_url, prefetch)
        self._sockets: list[BareSocket] = []
        self._decoder = list_decoder()

    async def _connected(self, number: int) -> list[BareSocket]:
        while len(self._sockets) < number:
            socket = self._new_socket()
            await socket.connect()
            self._sockets.append(socket)
        return self._sockets[:number]

    def close(self) -> None:
        for socket in self._sockets:
            socket.close()

    async def read(self, job: str) -> int:
        [socket] = await self._connected(1)
        return await self._count(socket, job)

    async def read_unseen(self, job: str) -> None:
        """Receive a job's pages, and look at none."""
        await self.read_with_work(job, _no_work)

    async def read_with_work(self, job: str, work: Work) -> None:
        [socket] = await self._connected(1)
        async for _ in socket.pages(job):
            await work()

    async def read_many(self, jobs: Sequence[str], concurrency: int) -> int:
        left = iter(jobs)

        async def read_what_is_left(socket: BareSocket) -> int:
            return sum([await self._count(socket, job) for job in left])

        sockets = await self._connected(concurrency)
        return sum(await asyncio.gather(*map(read_what_is_left, sockets)))

    async def _count(self, socket: BareSocket, job: str) -> int:
        records = 0
        async for page in socket.pages(job):
            for _ in records_of(self._decoder, page):
                records += 1
        return records

    async def check_many(
        self, jobs: Sequence[str], concurrency: int, keep: Keep, limit: int
    ) -> int:
        raise NotImplementedError("it retries nothing, and would lose nearly every job")

    async def hold(self, job: str) -> list[Any]:
        raise NotImplementedError("its records are asyncckpt's")


async def _no_work() -> None:
    pass


@contextlib.asynccontextmanager
async def open_no_client(base_url: str, prefetch: int = 1) -> AsyncIterator[NoClient]:
    keep_large_blocks()
    no_client = NoClient(base_url, prefetch)
    try:
        yield no_client
    finally:
        no_client.close()


class OfficialSDK:
    """The official SDK, by its automatic pagination."""

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self._checkpoints = client.fine_tuning.jobs.checkpoints

    async def read(self, job: str) -> int:
        records = 0
        async for _ in self._checkpoints.list(job, limit=PAGE):
            records += 1
        return records

    async def read_with_work(self, job: str, work: Work) -> None:
        page = await self._checkpoints.list(job, limit=PAGE)
        async for _ in page.iter_pages():
            await work()

    async def read_many(self, jobs: Sequence[str], concurrency: int) -> int:
        return await _gather(self.read, jobs, concurrency)

    async def check_many(
        self, jobs: Sequence[str], concurrency: int, keep: Keep, limit: int
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

    async def hold(self, job: str) -> list[Any]:
        return [checkpoint async for checkpoint in self._checkpoints.list(job, limit=PAGE)]


@contextlib.asynccontextmanager
async def open_sdk_httpx(base_url: str, max_retries: int = 2) -> AsyncIterator[Peer]:
    import openai

    async with openai.AsyncOpenAI(
        api_key=KEY, base_url=base_url, max_retries=max_retries
    ) as client:
        yield OfficialSDK(client)


@contextlib.asynccontextmanager
async def open_sdk_aiohttp(base_url: str, max_retries: int = 2) -> AsyncIterator[Peer]:
    import openai

    async with openai.AsyncOpenAI(
        api_key=KEY,
        base_url=base_url,
        max_retries=max_retries,
        http_client=openai.DefaultAioHttpClient(),
    ) as client:
        yield OfficialSDK(client)


async def _gather(
    read: Callable[[str], Awaitable[int]], jobs: Sequence[str], concurrency: int
) -> int:
    semaphore = asyncio.Semaphore(concurrency)

    async def read_in_turn(job: str) -> int:
        async with semaphore:
            return await read(job)

    return sum(await asyncio.gather(*map(read_in_turn, jobs)))


OPEN: Final[dict[str, Callable[..., AbstractAsyncContextManager[Peer]]]] = {
    "asyncckpt": open_asyncckpt,
    "handwritten": open_handwritten,
    "sdk-httpx": open_sdk_httpx,
    "sdk-aiohttp": open_sdk_aiohttp,
    "handwritten, tuned": open_handwritten_tuned,
    "no client": open_no_client,
}
