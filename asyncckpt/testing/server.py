"""Provides the sandbox: a real HTTP server of the API inside the process."""

from __future__ import annotations

import asyncio
import functools
import itertools
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Self, Unpack, cast, get_args

from asyncckpt.options import check_count
from asyncckpt.testing.api import Api
from asyncckpt.testing.clocks import Clock
from asyncckpt.testing.connections import Connections, close_listener
from asyncckpt.testing.faults import Fault
from asyncckpt.testing.handler import Handler
from asyncckpt.testing.limiters import Hints, Limiter, TokenBucket
from asyncckpt.testing.profiles import ProfileName
from asyncckpt.testing.responses import RecordedRequest
from asyncckpt.testing.results import ResultFormat
from asyncckpt.testing.rules import FaultRule
from asyncckpt.testing.sandbox_jobs import SandboxJobs
from asyncckpt.testing.shapes import Status
from asyncckpt.testing.stats import Stats
from asyncckpt.testing.threads import ServerThread

if TYPE_CHECKING:
    from asyncckpt import AsyncClient
    from asyncckpt.configuration import SharedOptions
    from asyncckpt.testing.options import ClientOptions

# From a new connection to its request, asyncio and aiohttp need half as many turns of the loop.
_QUIET_TURNS = 10


class Sandbox(SandboxJobs):
    """A real HTTP server of the fine-tuning API inside the process, with generated data.

    It serves the list of jobs, single jobs, their checkpoints, events and result files, with the
    pages and errors of the API, on a free loopback port. `async with` serves on the running event
    loop, and `with` in a thread of its own, for code that runs its own event loop or none.

    Args:
        jobs: The number of jobs.
        checkpoints: The number of checkpoints of each job. They are computed when they are read, so
            a million needs no memory. A running job is half finished, and grows with
            `add_checkpoint`.
        seed: The seed of data, latency and probabilities.
        latency: Seconds before each response, or a tuple of the lowest and the highest number.
        rate_limit: Requests per second, or one of `asyncckpt.testing.limiters`; more requests are
            rejected with 429. None for no limit. `limit` also sets the headers.
        burst: Requests that are accepted at once after a pause; default: 10 % of `rate_limit`, and
            at least 1. Only with a `rate_limit` in requests per second.
        api_key: The valid API key; other keys get a 401. It can be changed at any time.
        statuses: The statuses of the jobs, newest first, repeated as needed; default: all statuses
            that have checkpoints, `succeeded` and `running` first. Jobs that are `queued` or
            `validating_files` have none.
        live: The number of jobs that run while you look: they are validated, queued and trained
            for a few minutes, and every fourth fails. They are the newest; `add_live_job` adds
            others.
        clock: The clock of the live jobs; default: a new `Clock`, which runs at normal speed. It is
            the attribute `clock`.
        results: How result files are sent: ``"csv"``, or ``"base64"`` for a CSV in base64.
        profile: The kind of server: ``"openai"``, which also has the paths of Azure; ``"azure"``,
            ``"nebius"``, or ``"minimal"`` for a home-made server, which repeats its whole list
            whatever `after` is, without `has_more`, and has times as text and few fields.
        host: The address to listen on.
        port: The port to listen on; 0 selects a free one.

    Raises:
        TypeError: `jobs`, `checkpoints`, `live` or `burst` is not an integer, or `rate_limit` is
            neither a number nor a limiter.
        ValueError: A number is out of its range, a status, a format or a profile is unknown, or
            there is a `burst` without a `rate_limit` in requests per second.
    """

    def __init__(
        self,
        *,
        jobs: int = 12,
        checkpoints: int = 30,
        seed: int = 0,
        latency: float | tuple[float, float] = 0.0,
        rate_limit: float | Limiter | None = None,
        burst: int | None = None,
        api_key: str = "sk-sandbox",
        statuses: Sequence[Status] | None = None,
        live: int = 0,
        clock: Clock | None = None,
        results: ResultFormat = "csv",
        profile: ProfileName = "openai",
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        for name, number in (("jobs", jobs), ("checkpoints", checkpoints), ("live", live)):
            check_count(name, number, least=0)
        shortest, longest = latency if isinstance(latency, tuple) else (latency, latency)
        if not 0 <= shortest <= longest:
            message = f"latency is {latency}; give seconds, or the lowest and the highest number"
            raise ValueError(message)
        if not set(statuses or ()) <= set(get_args(Status)):
            message = f"statuses are {statuses}; give some of {get_args(Status)}"
            raise ValueError(message)
        if results not in get_args(ResultFormat):
            raise ValueError(f"results is {results!r}; give one of {get_args(ResultFormat)}")
        super().__init__(
            seed=seed,
            jobs=jobs,
            checkpoints=checkpoints,
            statuses=statuses,
            live=live,
            clock=clock,
            profile=profile,
        )
        self._host = host
        self._wanted_port = port
        self._port: int | None = None
        self._handler = Handler(
            Api(self._dataset, api_key, results),
            seed=seed,
            latency=latency,
            origin_of=self._origin,
            host=host,
        )
        self.stats: Stats = self._handler.stats
        self._rule_numbers = itertools.count(1)
        self._connections: Connections | None = None
        self._listener: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: ServerThread | None = None
        self.limit(_rate_limiter(rate_limit, burst))

    # Lifetime.

    async def start(self) -> None:
        """Listen and serve until `aclose`.

        Raises:
            RuntimeError: The sandbox is already serving.
            OSError: The port is in use.
        """
        if self._listener is not None:
            raise RuntimeError("the sandbox is already serving; close it before starting it again")
        self._loop = asyncio.get_running_loop()
        self._handler.begin()
        connections = Connections(self._handler.handle, self.stats)
        self._listener = await self._loop.create_server(
            connections, self._host, self._wanted_port, backlog=1024
        )
        self._connections = connections
        self._port = self._listener.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        """Stop immediately, and close all connections. Calling this again does nothing."""
        listener, connections = self._listener, self._connections
        if listener is None or connections is None:
            return
        self._listener = self._connections = None
        await close_listener(listener)
        await connections.abort()
        await listener.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        self._thread = ServerThread(self.start, self.aclose)
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._thread.stop()

    async def idle(self) -> None:
        """Wait until no request is in progress, and no request or close is on its way.

        Use it after something has ended or cancelled requests, before looking at `stats`. What a
        client has sent counts, even if the server has not read it yet. What a client will send
        later does not: a retry after its backoff, the next poll of a watch. This can be called in
        any event loop.
        """
        await self._in_own_loop(self._idle)

    async def busy(self, requests: int = 1) -> None:
        """Wait until requests are in progress.

        Use it with a fault or a latency that keeps requests in progress, before cancelling them.
        This can be called in any event loop.

        Args:
            requests: How many requests must be in progress at the same time.

        Raises:
            TypeError: `requests` is not an integer.
            ValueError: `requests` is less than 1.
        """
        check_count("requests", requests, least=1)
        await self._in_own_loop(functools.partial(self._handler.busy, requests))

    async def _idle(self) -> None:
        quiet = 0
        while quiet < _QUIET_TURNS:
            await self._handler.idle()
            connections, listener = self._connections, self._listener
            if connections is None or listener is None:
                return
            quiet = 0 if connections.has_unread(listener) else quiet + 1
            await asyncio.sleep(0)

    async def _in_own_loop(self, wait: Callable[[], Coroutine[object, object, None]]) -> None:
        loop = self._loop
        if loop is None or loop.is_closed() or loop is asyncio.get_running_loop():
            await wait()
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(wait(), loop))

    # Observation.

    @property
    def origin(self) -> str:
        """The scheme, host and port of the server, without a path.

        Raises:
            RuntimeError: The sandbox has not been started.
        """
        return self._origin(self._host)

    @property
    def base_url(self) -> str:
        """The `base_url` for a client: the origin and `/v1`, or `/openai/v1` for Azure."""
        return f"{self.origin}{self._dataset.profile.base_path}"

    @property
    def azure_url(self) -> str:
        """The base URL of the Azure form, which is the origin and `/openai`.

        It requires the key in an `api-key` header and an `api-version` in the query. Its pages
        leave out `first_id` and `last_id`.
        """
        return f"{self.origin}/openai"

    @property
    def api_key(self) -> str:
        """The valid API key."""
        return self._handler.api.api_key

    @api_key.setter
    def api_key(self, value: str) -> None:
        self._handler.api.api_key = value

    @property
    def latency(self) -> float | tuple[float, float]:
        """Seconds before each response, or a tuple of the lowest and the highest number."""
        return self._handler.latency

    @latency.setter
    def latency(self, value: float | tuple[float, float]) -> None:
        self._handler.latency = value

    @property
    def requests(self) -> list[RecordedRequest]:
        """The last 100,000 requests, oldest first."""
        return list(self._handler.requests)

    def client(self, **options: Unpack[ClientOptions]) -> AsyncClient:
        """Return an `AsyncClient` for this sandbox, with `base_url` and `api_key` filled in.

        With the profile ``"azure"``, the key is sent as Azure's clients send it.

        Args:
            **options: The arguments of `AsyncClient`. `api_key` is not filled in if
                `default_headers` or `credential_headers` contain ``Authorization`` or ``api-key``.

        Returns:
            The client; close it, or use it with `async with`.
        """
        from asyncckpt import AsyncClient
        from asyncckpt.protocol.headers import carries_credentials

        filled: ClientOptions = {"base_url": self.base_url, **options}
        given = [options.get("default_headers"), options.get("credential_headers")]
        if not any(carries_credentials(headers or {}) for headers in given):
            filled.setdefault("api_key", self.api_key)
        if not self._dataset.profile.is_azure:
            return AsyncClient(**filled)
        endpoint, key = filled.pop("base_url", None), filled.pop("api_key", None)
        shared = cast("SharedOptions", filled)
        return AsyncClient.for_azure(endpoint=endpoint, api_key=key, **shared)

    def inject(
        self,
        *faults: Fault,
        times: int | None = 1,
        probability: float = 1.0,
        path: str | None = None,
        job: str | None = None,
        page: int | None = None,
        reused: bool | None = None,
    ) -> FaultRule:
        """Inject faults into the responses to future requests.

        Faults of one call apply together, in order. If several calls match a request, only the
        earliest one applies: `inject(A, times=2)` and then `inject(B)` give A, A, B. Requests that
        the rate limiter refuses get no fault.

        Args:
            *faults: The faults; see `asyncckpt.testing.faults`.
            times: The number of requests to apply the faults to; None for no limit.
            probability: The probability that the faults apply to a matching request. The seed of
                the sandbox makes the choice reproducible.
            path: Only requests whose path contains this text, such as `"/checkpoints"`.
            job: Only requests for the job with this id.
            page: Only requests for this page of a list, from 1.
            reused: Only requests on a connection that was used for an earlier request (True), or on
                a new connection (False).

        Returns:
            The rule; it counts its `hits`, and `stop()` ends it.

        Raises:
            ValueError: There is no fault, or a number is out of its range.
        """
        generator = random.Random(f"{self.seed}/{next(self._rule_numbers)}")
        rule = FaultRule(faults, times, probability, path, job, page, reused, generator)
        self._handler.rules.append(rule)
        return rule

    def clear(self) -> None:
        """Remove all injected faults and the rate limiter."""
        self._handler.rules.clear()
        self._handler.limiter = None

    def limit(self, limiter: Limiter | None, hints: Hints | None = None) -> None:
        """Set the rate limiter; a request that it refuses gets a 429.

        Args:
            limiter: One of `asyncckpt.testing.limiters`, or None for no limit.
            hints: The rate limit headers; default: an exact `Retry-After` in whole seconds on each
                429.
        """
        self._handler.limiter = limiter
        self._handler.hints = hints or Hints()

    def _origin(self, host: str) -> str:
        if self._port is None:
            raise RuntimeError("the sandbox has no address yet: use `async with`, or start() it")
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"


def _rate_limiter(rate: float | Limiter | None, burst: int | None) -> Limiter | None:
    if not isinstance(rate, int | float):
        if burst is not None:
            raise ValueError("burst needs a rate_limit in requests per second")
        if rate is not None and (isinstance(rate, type) or not hasattr(rate, "acquire")):
            raise TypeError(
                "rate_limit must be requests per second, or a limiter such as "
                f"asyncckpt.testing.limiters.FixedWindow(limit=5), not {rate!r}"
            )
        return rate
    if burst is None:
        return TokenBucket(rate=rate, burst=max(1, round(rate / 10)))
    check_count("burst", burst, least=1)
    return TokenBucket(rate=rate, burst=burst)
