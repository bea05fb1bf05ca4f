"""The sandbox: a real HTTP server of the API in process.

It records what comes, asks the limiter, the API and the orders for an answer, and sends it.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import socket
import struct
import weakref
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack, get_args

import attrs
from aiohttp import web

from asyncckpt.options import check_count
from asyncckpt.testing.answers import (
    Answer,
    Ending,
    Exchange,
    RecordedRequest,
    error_answer,
    script,
)
from asyncckpt.testing.api import Api, Target, target_of
from asyncckpt.testing.data import (
    METHODS,
    STATUSES,
    CheckpointObject,
    Checkpoints,
    Dataset,
    Job,
    JobObject,
    Method,
    Status,
    digest_of,
    name_from,
)
from asyncckpt.testing.faults import Fault
from asyncckpt.testing.limiters import Hints, Limiter, Verdict
from asyncckpt.testing.orders import Order

if TYPE_CHECKING:
    from asyncckpt import AsyncClient
    from asyncckpt.testing.options import ClientOptions

    _Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_SECRETS = frozenset({"authorization", "api-key", "cookie", "proxy-authorization"})
_KEPT_REQUESTS = 100_000
_SHUTDOWN_SECONDS = 2.0
_BEARER = "bearer "


@attrs.define
class Stats:
    """What the sandbox has served so far.

    Args:
        requests: Requests that came in.
        answers: Answers by status, as they were meant to be sent; a reset before the headers
            counts as no answer.
        refused: Requests the limiter refused.
        faults: Requests that met an ordered fault.
        connections: Connections opened.
        connections_open: Connections open now.
        in_flight: Requests being answered now.
        max_in_flight: The most that were being answered at once.
    """

    requests: int = 0
    answers: Counter[int] = attrs.field(factory=Counter[int])
    refused: int = 0
    faults: int = 0
    connections: int = 0
    connections_open: int = 0
    in_flight: int = 0
    max_in_flight: int = 0


class _Connections(web.Server):
    """The open connections, counted; on each of them aiohttp speaks HTTP."""

    def __init__(self, handler: _Handler, stats: Stats) -> None:
        super().__init__(handler, handler_cancellation=True, access_log=None)
        self._stats = stats
        self._used: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()
        self._is_aborting = False

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._stats.connections += 1
        self._stats.connections_open += 1
        if self._is_aborting:
            # It was being accepted when the listener closed.
            transport.abort()

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        super().connection_lost(handler, exc)
        self._stats.connections_open -= 1

    def is_reused(self, transport: asyncio.Transport | None) -> bool:
        """Note a request on a connection; return whether it had carried one before."""
        if transport is None or transport in self._used:
            return transport is not None
        self._used.add(transport)
        return False

    async def abort(self) -> None:
        """Close every connection at once, and wait until its task has ended."""
        self._is_aborting = True
        for connection in self.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await self.shutdown(_SHUTDOWN_SECONDS)


class _Sent(web.StreamResponse):
    """Tells aiohttp that the handler has sent the answer itself."""

    def __init__(self, *, keep: bool) -> None:
        super().__init__()
        self._keep = keep

    @property
    def keep_alive(self) -> bool:
        return self._keep

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


class Sandbox:
    """A real HTTP server of the fine-tuning API in process, with made data.

    It answers the list of jobs, one job, and a job's checkpoints, with the API's own pages and
    errors, on a free loopback port. Use it with `async with`, or `start` and `aclose`.

    Args:
        jobs: How many jobs there are.
        checkpoints: How many checkpoints each has. They are made when asked for, so that a
            million costs no memory. A running job is half way, and grows with `add_checkpoint`.
        seed: What data, latency and chances are drawn from.
        latency: Seconds before each answer, or the least and the most of them.
        api_key: The key that is let in; a request with another is answered with 401. It may be
            changed while the server runs.
        statuses: What the jobs' statuses are dealt from in turn, from the newest job on; by
            default all that have checkpoints, `succeeded` and `running` first. Jobs that are
            `queued` or `validating_files` have none.
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one.

    Raises:
        TypeError: `jobs` or `checkpoints` is no whole number.
        ValueError: A number is negative, or a status is none.
    """

    def __init__(
        self,
        *,
        jobs: int = 12,
        checkpoints: int = 30,
        seed: int = 0,
        latency: float | tuple[float, float] = 0.0,
        api_key: str = "sk-sandbox",
        statuses: Sequence[Status] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        for name, number in (("jobs", jobs), ("checkpoints", checkpoints)):
            check_count(name, number, least=0)
        shortest, longest = latency if isinstance(latency, tuple) else (latency, latency)
        if not 0 <= shortest <= longest:
            message = f"latency is {latency}; give seconds, or the least and the most of them"
            raise ValueError(message)
        if not set(statuses or ()) <= set(get_args(Status)):
            message = f"statuses are {statuses}; give some of {get_args(Status)}"
            raise ValueError(message)
        self.seed = seed
        self.latency = latency
        self.stats = Stats()
        self._checkpoints = checkpoints
        self._dataset = Dataset(seed)
        dealt = tuple(statuses or STATUSES)
        for position in reversed(range(jobs)):
            self._dataset.add_job(
                checkpoints=checkpoints,
                status=dealt[position % len(dealt)],
                method=METHODS[position % len(METHODS)],
            )
        self._api = Api(self._dataset, api_key)
        self._host = host
        self._wanted_port = port
        self._port: int | None = None
        self._random = random.Random(seed)
        self._numbers = itertools.count(1)
        self._orders: list[Order] = []
        self._limiter: Limiter | None = None
        self._hints = Hints()
        self._requests: deque[RecordedRequest] = deque(maxlen=_KEPT_REQUESTS)
        self._started_at = 0.0
        self._connections: _Connections | None = None
        self._listener: asyncio.Server | None = None

    # Life.

    async def start(self) -> None:
        """Listen and serve, until `aclose`.

        Raises:
            RuntimeError: The sandbox serves already.
            OSError: The port is taken.
        """
        if self._listener is not None:
            raise RuntimeError("the sandbox serves already; start() it once, or after aclose()")
        loop = asyncio.get_running_loop()
        connections = _Connections(self._handle, self.stats)
        self._listener = await loop.create_server(
            connections, self._host, self._wanted_port, backlog=1024
        )
        self._connections = connections
        self._port = self._listener.sockets[0].getsockname()[1]
        self._started_at = loop.time()

    async def aclose(self) -> None:
        """Stop at once: close every connection, whatever is under way on it. May be repeated."""
        listener, connections = self._listener, self._connections
        if listener is None or connections is None:
            return
        self._listener = self._connections = None
        listener.close()
        await connections.abort()
        await listener.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    # What a test asks.

    @property
    def origin(self) -> str:
        """The address of the server with scheme, host and port, and no path.

        Raises:
            RuntimeError: The sandbox has not been started.
        """
        return self._origin(self._host)

    @property
    def base_url(self) -> str:
        """The address for a client's `base_url`: the origin and `/v1`."""
        return f"{self.origin}/v1"

    @property
    def azure_url(self) -> str:
        """The base address of the Azure form, which is the origin and `/openai`.

        It wants the key in an `api-key` header and an `api-version` in the query, and its pages
        leave out `first_id` and `last_id`.
        """
        return f"{self.origin}/openai"

    @property
    def api_key(self) -> str:
        """The key that is let in."""
        return self._api.api_key

    @api_key.setter
    def api_key(self, value: str) -> None:
        self._api.api_key = value

    @property
    def jobs(self) -> list[JobObject]:
        """The jobs as served, newest first."""
        return [job.object for job in self._dataset.jobs]

    @property
    def job_ids(self) -> list[str]:
        """The ids of the jobs, newest first."""
        return [job["id"] for job in self.jobs]

    @property
    def requests(self) -> list[RecordedRequest]:
        """What was asked, in order; the last 100,000 requests are kept."""
        return list(self._requests)

    def checkpoints_of(self, job_id: str) -> Checkpoints:
        """Return a job's checkpoints as served, newest first.

        Args:
            job_id: The job.

        Returns:
            A sequence that makes each record when it is asked for.

        Raises:
            KeyError: There is no such job.
        """
        return self._job(job_id).checkpoints

    def client(self, **options: Unpack[ClientOptions]) -> AsyncClient:
        """Return a client of this sandbox: an `AsyncClient` with address and key filled in.

        Args:
            **options: What `AsyncClient` takes. `base_url` and `api_key` may be given too; no key
                is filled in beside `default_headers` that carry one.

        Returns:
            The client; close it, or use it with `async with`.
        """
        from asyncckpt import AsyncClient
        from asyncckpt.protocol.headers import carries_credentials

        filled: ClientOptions = {"base_url": self.base_url, **options}
        if not carries_credentials(options.get("default_headers") or {}):
            filled.setdefault("api_key", self.api_key)
        return AsyncClient(**filled)

    # What a test orders.

    def add_job(
        self,
        *,
        checkpoints: int | None = None,
        status: Status | None = None,
        method: Method | None = None,
        metadata: Mapping[str, str] | None = None,
        validation: bool = True,
    ) -> str:
        """Make one more job, the newest.

        Args:
            checkpoints: How many checkpoints it has; by default as many as the others.
            status: Its status; by default the next in turn.
            method: Its method; by default the next in turn.
            metadata: Its metadata; by default made.
            validation: Whether it has a validation file, and so validation metrics.

        Returns:
            Its id.
        """
        job = self._dataset.add_job(
            checkpoints=self._checkpoints if checkpoints is None else checkpoints,
            status=status,
            method=method,
            metadata=metadata,
            validation=validation,
        )
        return job.object["id"]

    def add_checkpoint(self, job_id: str) -> CheckpointObject:
        """Let a job that has not finished make its next checkpoint; a waiting job then runs.

        Args:
            job_id: The job.

        Returns:
            The new checkpoint as served.

        Raises:
            KeyError: There is no such job.
            ValueError: The job has finished.
        """
        return self._job(job_id).add_checkpoint()

    def finish(self, job_id: str, status: Status = "succeeded") -> None:
        """Bring a job to its end.

        Args:
            job_id: The job.
            status: `succeeded`, `failed` or `cancelled`.

        Raises:
            KeyError: There is no such job.
            ValueError: The job has finished already, or `status` is no end.
        """
        self._job(job_id).finish(status)

    def inject(
        self,
        *faults: Fault,
        times: int | None = 1,
        probability: float = 1.0,
        path: str | None = None,
        job: str | None = None,
        page: int | None = None,
        reused: bool | None = None,
    ) -> Order:
        """Order faults for requests to come.

        Several faults in one call apply together, one after the other. Of several orders that
        match a request, the first one given meets it: `inject(A, times=2)` and then
        `inject(B)` give A, A, B. Requests that the limiter refuses meet no fault.

        Args:
            *faults: What to apply; see `asyncckpt.testing.faults`.
            times: How many requests at most; None for every one.
            probability: The chance that a request which matches is met, drawn from the seed.
            path: Only requests whose path contains this, such as `"/checkpoints"`.
            job: Only requests about the job with this id.
            page: Only requests for this page of a list, from 1.
            reused: Only requests on a connection that has (True), or has not (False), carried
                a request before.

        Returns:
            The order, which counts its `hits`; `stop()` ends it.

        Raises:
            ValueError: There is no fault, or a number is out of its range.
        """
        chance = random.Random(f"{self.seed}/{next(self._numbers)}")
        order = Order(faults, times, probability, path, job, page, reused, chance)
        self._orders.append(order)
        return order

    def clear(self) -> None:
        """Take back every order, and the limiter."""
        self._orders.clear()
        self._limiter = None

    def limit(self, limiter: Limiter | None, hints: Hints | None = None) -> None:
        """Put a rate limiter in front: what it refuses is answered with 429.

        Args:
            limiter: One of `asyncckpt.testing.limiters`, or None for none.
            hints: What the headers say of it; by default `Retry-After` on a refusal, honest
                and in whole seconds.
        """
        self._limiter = limiter
        self._hints = hints or Hints()

    # Serving.

    def _job(self, job_id: str) -> Job:
        job = self._dataset.get(job_id)
        if job is None:
            message = f"the sandbox has no job {job_id!r}; its jobs are in .job_ids"
            raise KeyError(message)
        return job

    def _origin(self, host: str) -> str:
        if self._port is None:
            raise RuntimeError("the sandbox has no address yet: use `async with`, or start() it")
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        recorded = self._record(request, loop.time() - self._started_at)
        limiter = self._limiter
        verdict = limiter.acquire(loop.time()) if limiter else None
        stats = self.stats
        stats.requests += 1
        stats.in_flight += 1
        stats.max_in_flight = max(stats.max_in_flight, stats.in_flight)
        try:
            return await self._send(request, self._answer(request, recorded, verdict))
        except ConnectionError:
            # The client has gone, which is its right.
            return _Sent(keep=False)
        finally:
            stats.in_flight -= 1
            if limiter and verdict and verdict.admitted:
                limiter.release(loop.time())

    def _record(self, request: web.BaseRequest, at: float) -> RecordedRequest:
        target = target_of(request.path)
        query = dict(request.query)
        connections = self._connections
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
            page=self._api.page_number(target, query) if target and target.is_list else None,
            reused=connections is not None and connections.is_reused(request.transport),
        )
        self._requests.append(recorded)
        return recorded

    def _answer(
        self, request: web.BaseRequest, recorded: RecordedRequest, verdict: Verdict | None
    ) -> Answer:
        if verdict is None:
            return self._unlimited_answer(request, recorded)
        if verdict.admitted:
            answer = self._unlimited_answer(request, recorded)
        else:
            self.stats.refused += 1
            answer = attrs.evolve(error_answer(429), wait=self._draw_latency())
        return answer.with_headers(*self._hints.headers(verdict))

    def _unlimited_answer(self, request: web.BaseRequest, recorded: RecordedRequest) -> Answer:
        credentials = _credentials(request, target_of(recorded.path))
        answer = self._api.answer(recorded, credentials)
        answer = attrs.evolve(answer, wait=self._draw_latency())
        order = next((order for order in self._orders if order.meets(recorded)), None)
        if order is None:
            return answer
        self.stats.faults += 1
        return order.apply(answer, self._exchange(request, recorded, credentials))

    def _exchange(
        self, request: web.BaseRequest, recorded: RecordedRequest, credentials: str | None
    ) -> Exchange:
        def first_page() -> Answer:
            query = {name: value for name, value in recorded.query.items() if name != "after"}
            return self._api.answer(attrs.evolve(recorded, query=query), credentials)

        other_host = "127.0.0.1" if self._host == "localhost" else "localhost"
        return Exchange(
            request=recorded,
            target=request.path_qs,
            origin=self.origin,
            other_origin=self._origin(other_host),
            first_page=first_page,
        )

    def _draw_latency(self) -> float:
        if isinstance(self.latency, tuple):
            return self._random.uniform(*self.latency)
        return self.latency

    async def _send(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        if answer.head:
            self.stats.answers[answer.status] += 1
        number = digest_of(self.seed, "request", self.stats.requests)
        own_headers = {
            "x-request-id": f"req_{name_from(number, 32)}",
            "openai-processing-ms": str(20 + number[63] % 80),
        }
        for step in script(answer, own_headers):
            if isinstance(step, bytes):
                await request.writer.write(step)
            else:
                await asyncio.sleep(step)
        if answer.ending is Ending.HANG:
            await asyncio.get_running_loop().create_future()
        if answer.ending is Ending.RESET and request.transport is not None:
            _reset(request.transport)
        return _Sent(keep=answer.ending is Ending.KEEP and request.keep_alive)


def _credentials(request: web.BaseRequest, target: Target | None) -> str | None:
    if target is not None and target.azure and "api-key" in request.headers:
        return request.headers["api-key"]
    authorization = request.headers.get("authorization", "")
    if not authorization.lower().startswith(_BEARER):
        return None
    return authorization[len(_BEARER) :].strip() or None


def _reset(transport: asyncio.Transport) -> None:
    """Close with a TCP RST: SO_LINGER with a time of zero, as socket(7) has it."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
