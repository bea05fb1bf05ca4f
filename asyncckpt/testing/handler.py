"""Handles the requests of a sandbox: records them, applies limiter and faults, and responds."""

from __future__ import annotations

import asyncio
import random
import weakref
from collections import deque
from collections.abc import Callable

import attrs
from aiohttp import web

from asyncckpt.testing.api import Api, Target, target_of
from asyncckpt.testing.connections import AlreadySent, send
from asyncckpt.testing.digests import digest_of, name_from
from asyncckpt.testing.limiters import Hints, Limiter, Verdict
from asyncckpt.testing.responses import (
    FaultContext,
    RecordedRequest,
    ServerResponse,
    error_response,
)
from asyncckpt.testing.rules import FaultRule
from asyncckpt.testing.stats import Stats

_SECRETS = frozenset({"authorization", "api-key", "cookie", "proxy-authorization"})
_KEPT_REQUESTS = 100_000
_BEARER = "bearer "


class Handler:
    """Handles the requests of all connections of a sandbox.

    Args:
        api: The API to serve.
        seed: The seed of the latency and of request ids.
        latency: Seconds before each response, or a tuple of the lowest and the highest number.
        origin_of: Returns the origin of the server for a host name.
        host: The host name of the server.
    """

    def __init__(
        self,
        api: Api,
        *,
        seed: int,
        latency: float | tuple[float, float],
        origin_of: Callable[[str], str],
        host: str,
    ) -> None:
        self.api = api
        self.latency = latency
        self.stats = Stats()
        self.rules: list[FaultRule] = []
        self.limiter: Limiter | None = None
        self.hints = Hints()
        self.requests: deque[RecordedRequest] = deque(maxlen=_KEPT_REQUESTS)
        self._seed = seed
        self._random = random.Random(seed)
        self._origin_of = origin_of
        self._host = host
        self._began = 0.0
        self._used: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._waiting: dict[asyncio.Future[None], int] = {}

    def begin(self) -> None:
        """Prepare to handle requests on the running event loop."""
        self._began = asyncio.get_running_loop().time()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._waiting.clear()

    async def idle(self) -> None:
        """Wait until no request is in progress."""
        await self._is_idle.wait()

    async def busy(self, requests: int) -> None:
        """Wait until this many requests are in progress."""
        if self.stats.in_flight >= requests:
            return
        reached = asyncio.get_running_loop().create_future()
        self._waiting[reached] = requests
        try:
            await reached
        finally:
            self._waiting.pop(reached, None)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Record a request, and send its response."""
        loop = asyncio.get_running_loop()
        recorded = self._record(request, loop.time() - self._began)
        limiter = self.limiter
        verdict = limiter.acquire(loop.time()) if limiter else None
        stats = self.stats
        stats.requests += 1
        stats.in_flight += 1
        stats.max_in_flight = max(stats.max_in_flight, stats.in_flight)
        self._is_idle.clear()
        for reached, requests in self._waiting.items():
            if stats.in_flight >= requests and not reached.done():
                reached.set_result(None)
        try:
            return await self._send(request, self._respond(request, recorded, verdict))
        except ConnectionError:
            # The client may close the connection at any time.
            return AlreadySent(keep=False)
        finally:
            stats.in_flight -= 1
            if not stats.in_flight:
                self._is_idle.set()
            if limiter and verdict and verdict.admitted:
                limiter.release(loop.time())

    def _record(self, request: web.BaseRequest, at: float) -> RecordedRequest:
        target = target_of(request.path)
        query = dict(request.query)
        recorded = RecordedRequest(
            method=request.method,
            path=request.path,
            query=query,
            headers={
                name.lower(): "***" if name.lower() in _SECRETS else value
                for name, value in request.headers.items()
            },
            at=at,
            job_id=target.job_id if target else None,
            page=self.api.page_number(target, query) if target and target.is_list else None,
            reused=self._is_reused(request.transport),
        )
        self.requests.append(recorded)
        return recorded

    def _is_reused(self, transport: asyncio.Transport | None) -> bool:
        if transport is None or transport in self._used:
            return transport is not None
        self._used.add(transport)
        return False

    def _respond(
        self, request: web.BaseRequest, recorded: RecordedRequest, verdict: Verdict | None
    ) -> ServerResponse:
        if verdict is None:
            return self._respond_unlimited(request, recorded)
        if verdict.admitted:
            response = self._respond_unlimited(request, recorded)
        else:
            self.stats.refused += 1
            response = attrs.evolve(error_response(429), wait=self._draw_latency())
        return response.with_headers(*self.hints.headers(verdict))

    def _respond_unlimited(
        self, request: web.BaseRequest, recorded: RecordedRequest
    ) -> ServerResponse:
        credentials = _credentials(request, target_of(recorded.path))
        response = self.api.respond(recorded, credentials)
        response = attrs.evolve(response, wait=self._draw_latency())
        rule = next((rule for rule in self.rules if rule.claims(recorded)), None)
        if rule is None:
            return response
        self.stats.faults += 1
        return rule.apply(response, self._context(request, recorded, credentials))

    def _context(
        self, request: web.BaseRequest, recorded: RecordedRequest, credentials: str | None
    ) -> FaultContext:
        def first_page() -> ServerResponse:
            query = {name: value for name, value in recorded.query.items() if name != "after"}
            return self.api.respond(attrs.evolve(recorded, query=query), credentials)

        other_host = "127.0.0.1" if self._host == "localhost" else "localhost"
        return FaultContext(
            request=recorded,
            target=request.path_qs,
            origin=self._origin_of(self._host),
            other_origin=self._origin_of(other_host),
            first_page=first_page,
        )

    def _draw_latency(self) -> float:
        if isinstance(self.latency, tuple):
            return self._random.uniform(*self.latency)
        return self.latency

    async def _send(self, request: web.BaseRequest, response: ServerResponse) -> AlreadySent:
        if response.head:
            self.stats.responses[response.status] += 1
        number = digest_of(self._seed, "request", self.stats.requests)
        headers = {
            "x-request-id": f"req_{name_from(number, 32)}",
            "openai-processing-ms": str(20 + number[63] % 80),
        }
        return await send(request, response, headers)


def _credentials(request: web.BaseRequest, target: Target | None) -> str | None:
    if target is not None and target.azure and "api-key" in request.headers:
        return request.headers["api-key"]
    authorization = request.headers.get("authorization", "")
    if not authorization.lower().startswith(_BEARER):
        return None
    return authorization[len(_BEARER) :].strip() or None
