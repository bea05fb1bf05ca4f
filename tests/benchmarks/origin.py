"""The server that everything is measured against, in a process of its own.

It is made to be faster than any client: a bare protocol on uvloop that reads the request line,
skips the headers, and without orders answers with bytes that it has built before.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, cast
from urllib.parse import parse_qs, urlsplit

import attrs

from asyncckpt.testing.limiters import TokenBucket

from .data import index_of, page_body
from .orders import NO_ORDERS, Orders

_CACHED_BYTES_AT_MOST: Final = 200 * 2**20
# Seconds.
_LATE: Final = 0.0005
_FIRST_LINES: Final = {200: "OK", 429: "Too Many Requests", 500: "Internal Server Error"}


@attrs.define
class Run:
    """What the origin keeps of one run: its limiter, and counts."""

    orders: Orders
    limiter: TokenBucket | None
    draw: random.Random
    received: int = 0
    refused: int = 0
    faulty: int = 0


class Origin:
    """Answers requests; shared by all connections."""

    def __init__(self) -> None:
        self.ready: dict[bytes, bytes] = {}
        self._ready_bytes = 0
        self._runs: dict[str, Run] = {}
        self._sleepers = ThreadPoolExecutor(8)

    def answer(self, target: bytes, transport: asyncio.Transport) -> None:
        """Answer a request that is no longer, or not yet, among those that are ready."""
        arrived = time.monotonic()
        parts = urlsplit(target.decode())
        _, segment, *path = parts.path.split("/")
        if segment == "stats":
            transport.write(response(200, self._stats(path[0])))
            return
        query = parse_qs(parts.query)
        after, limit = query.get("after"), int(query.get("limit", ["10"])[0])
        start = index_of(after[0]) + 1 if after else 0
        good = response(200, page_body(path[3], start, limit))
        if segment == NO_ORDERS:
            self._keep(target, good)
            transport.write(good)
            return
        run = self._run(segment)
        send = self._decide(run, good, transport)
        delay = run.orders.latency_of(start)
        loop = asyncio.get_running_loop()
        if run.orders.exact:
            self._sleepers.submit(_call_at, arrived + delay, loop, send)
        elif delay:
            loop.call_later(delay, send)
        else:
            send()

    def _keep(self, target: bytes, answer: bytes) -> None:
        if self._ready_bytes < _CACHED_BYTES_AT_MOST:
            self.ready[target] = answer
            self._ready_bytes += len(answer)

    def _run(self, segment: str) -> Run:
        run = self._runs.get(segment)
        if run is None:
            orders = Orders.parse(segment)
            limiter = TokenBucket(orders.rate, orders.burst) if orders.rate else None
            run = self._runs[segment] = Run(orders, limiter, random.Random(segment))
        return run

    def _decide(self, run: Run, good: bytes, transport: asyncio.Transport) -> Callable[[], object]:
        run.received += 1
        orders = run.orders
        if run.limiter is not None and not run.limiter.acquire(time.monotonic()).admitted:
            run.refused += 1
            hint = f"Retry-After: {orders.retry_after}\r\n" if orders.retry_after else ""
            refusal = response(429, b'{"error": {"message": "Rate limit reached"}}', hint)
            return lambda: transport.write(refusal)
        if run.draw.random() < orders.faults:
            run.faulty += 1
            return run.draw.choice(
                [
                    transport.abort,
                    lambda: transport.write(response(500, b'{"error": {"message": "Oops"}}')),
                    lambda: _cut(transport, good),
                ]
            )
        return lambda: transport.write(good)

    def _stats(self, segment: str) -> bytes:
        run = self._run(segment)
        counts = {"received": run.received, "refused": run.refused, "faulty": run.faulty}
        return json.dumps({**counts, "cpu": time.process_time()}).encode()


def _cut(transport: asyncio.Transport, answer: bytes) -> None:
    transport.write(answer[: len(answer) * 3 // 4])
    transport.close()


def _call_at(when: float, loop: asyncio.AbstractEventLoop, send: Callable[[], object]) -> None:
    # A sleeper wakes up a little late.
    time.sleep(max(0.0, when - time.monotonic() - _LATE))
    while time.monotonic() < when:
        pass
    loop.call_soon_threadsafe(send)


def response(status: int, body: bytes, more_headers: str = "") -> bytes:
    """The bytes of an answer, with headers as the API sends them."""
    head = (
        f"HTTP/1.1 {status} {_FIRST_LINES[status]}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        "openai-version: 2020-10-01\r\n"
        "openai-processing-ms: 20\r\n"
        "x-request-id: req_0123456789abcdef0123456789abcdef\r\n"
        f"{more_headers}\r\n"
    )
    return head.encode() + body


class Connection(asyncio.Protocol):
    """One client's connection, kept open; requests come one at a time."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._ready = origin.ready
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer once a request's headers are there."""
        if self._unread:
            data = self._unread + data
        if not data.endswith(b"\r\n\r\n"):
            self._unread = data
            return
        self._unread = b""
        target = data[4 : data.index(b" ", 4)]
        answer = self._ready.get(target)
        if answer is not None:
            self._transport.write(answer)
        else:
            self._origin.answer(target, self._transport)


async def serve() -> None:
    """Serve until the standard input ends; say on which port."""
    loop = asyncio.get_running_loop()
    origin = Origin()
    server = await loop.create_server(lambda: Connection(origin), "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


@attrs.frozen
class RunningOrigin:
    """An origin in another process."""

    url: str

    def base_url(self, orders: Orders) -> str:
        """The base URL to give to a client."""
        return f"{self.url}/{orders.segment()}/v1"

    def stats(self, orders: Orders) -> dict[str, float]:
        """What the origin counted in a run: received, refused, faulty; and its CPU seconds."""
        address = f"{self.url}/stats/{orders.segment()}"
        with urllib.request.urlopen(address) as answer:
            counts: dict[str, Any] = json.load(answer)
            return counts


@contextlib.contextmanager
def running_origin() -> Iterator[RunningOrigin]:
    """Start an origin in a process of its own; it ends with the block."""
    command = [sys.executable, "-m", f"{__package__}.origin"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        if not port:
            raise RuntimeError("the origin did not start")
        yield RunningOrigin(f"http://127.0.0.1:{port}")
        assert process.stdin is not None
        process.stdin.close()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve())
