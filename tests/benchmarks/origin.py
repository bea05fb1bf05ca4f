"""The server that all clients are measured against, in a process of its own.

It is faster than any client: a bare protocol on uvloop that reads the request line, skips the
headers, and without special conditions sends bytes that it has built before.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, cast
from urllib.parse import parse_qs, urlsplit

import attrs
import trustme
import uvloop

from asyncckpt.testing.limiters import TokenBucket

from .conditions import NO_CONDITIONS, Conditions
from .data import index_of, page_body

HOST: Final = "127.0.0.1"
_CACHED_BYTES: Final = 200 * 2**20
# How late a sleeping thread wakes up at most, in seconds.
_LATE: Final = 0.0005
_REASONS: Final = {200: "OK", 429: "Too Many Requests", 500: "Internal Server Error"}


@attrs.define
class Run:
    """The limiter and counters of one run."""

    conditions: Conditions
    limiter: TokenBucket | None
    draw: random.Random
    received: int = 0
    refused: int = 0


class Origin:
    """Responds to requests; shared by all connections."""

    def __init__(self) -> None:
        self.cached: dict[bytes, bytes] = {}
        self._cached_bytes = 0
        self._runs: dict[str, Run] = {}
        self._sleepers = ThreadPoolExecutor(8)

    def respond(self, target: bytes, transport: asyncio.Transport) -> None:
        """Respond to a request whose response is not cached."""
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
        if segment == NO_CONDITIONS:
            self._cache(target, good)
            transport.write(good)
            return
        run = self._run(segment)
        send = self._decide(run, good, transport)
        delay = run.conditions.latency_of(start)
        loop = asyncio.get_running_loop()
        if run.conditions.exact:
            self._sleepers.submit(_call_at, arrived + delay, loop, send)
        elif delay:
            loop.call_later(delay, send)
        else:
            send()

    def _cache(self, target: bytes, good: bytes) -> None:
        if self._cached_bytes < _CACHED_BYTES:
            self.cached[target] = good
            self._cached_bytes += len(good)

    def _run(self, segment: str) -> Run:
        run = self._runs.get(segment)
        if run is None:
            conditions = Conditions.parse(segment)
            limiter = TokenBucket(conditions.rate, conditions.burst) if conditions.rate else None
            run = self._runs[segment] = Run(conditions, limiter, random.Random(segment))
        return run

    def _decide(self, run: Run, good: bytes, transport: asyncio.Transport) -> Callable[[], object]:
        run.received += 1
        conditions = run.conditions
        if run.limiter is not None and not run.limiter.acquire(time.monotonic()).admitted:
            run.refused += 1
            hint = f"Retry-After: {conditions.retry_after}\r\n" if conditions.retry_after else ""
            refusal = response(429, b'{"error": {"message": "Rate limit reached"}}', hint)
            return lambda: transport.write(refusal)
        if run.draw.random() < conditions.faults:
            failure = response(500, b'{"error": {"message": "Oops"}}')
            return run.draw.choice(
                [
                    transport.abort,
                    lambda: transport.write(failure),
                    lambda: _cut(transport, good),
                ]
            )
        return lambda: transport.write(good)

    def _stats(self, segment: str) -> bytes:
        run = self._run(segment)
        counts = {"received": run.received, "refused": run.refused}
        return json.dumps({**counts, "cpu": time.process_time()}).encode()


def _cut(transport: asyncio.Transport, good: bytes) -> None:
    transport.write(good[: len(good) * 3 // 4])
    transport.close()


def _call_at(when: float, loop: asyncio.AbstractEventLoop, send: Callable[[], object]) -> None:
    time.sleep(max(0.0, when - time.monotonic() - _LATE))
    while time.monotonic() < when:
        pass
    loop.call_soon_threadsafe(send)


def response(status: int, body: bytes, more_headers: str = "") -> bytes:
    """Return the bytes of a response, with headers as the API sends them."""
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        "openai-version: 2020-10-01\r\n"
        "openai-processing-ms: 20\r\n"
        "x-request-id: req_0123456789abcdef0123456789abcdef\r\n"
        f"{more_headers}\r\n"
    )
    return head.encode() + body


class Connection(asyncio.Protocol):
    """A client's connection, kept open; it has one request at a time."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._cached = origin.cached
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Respond once all headers of a request have arrived."""
        if self._unread:
            data = self._unread + data
        if not data.endswith(b"\r\n\r\n"):
            self._unread = data
            return
        self._unread = b""
        target = data[4 : data.index(b" ", 4)]
        cached = self._cached.get(target)
        if cached is not None:
            self._transport.write(cached)
        else:
            self._origin.respond(target, self._transport)


async def serve(ca_file: Path) -> None:
    """Serve until the standard input ends, with and without TLS; print both ports."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(ca_file)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(HOST).configure_cert(tls)
    origin, loop = Origin(), asyncio.get_running_loop()
    for context in (None, tls):
        server = await loop.create_server(
            lambda: Connection(origin), HOST, 0, backlog=1024, ssl=context
        )
        sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])))
