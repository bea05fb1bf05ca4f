"""Makes one GET request and returns its response, over aiohttp.

There are two ways, with the same behavior and the same errors. Neither follows redirects.

- `SessionExchange` uses the documented API of an `aiohttp.ClientSession`, and works with any.
- `PoolExchange` is faster; see `asyncckpt.transport.pool`. It is for the client's own session, if
  requests need neither tracing nor a proxy.

`open_exchange` chooses one of them for a session. The module is longer than others
because it keeps both ways together, so that their behavior stays the same.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextvars import ContextVar
from typing import Final, Protocol

import aiohttp
from yarl import URL

from asyncckpt.messages import Request, Response
from asyncckpt.options import Timeout
from asyncckpt.protocol.failures import BodyTooLongError
from asyncckpt.protocol.secrets import secrets_in
from asyncckpt.transport.pool import MAX_ORIGINS, Guard, Internals, Pool, own_key
from asyncckpt.transport.proxies import Proxy, basic_authorization, netrc_login, proxy_for
from asyncckpt.transport.translation import translated

__all__ = [
    "Exchange",
    "PoolExchange",
    "SessionExchange",
    "open_exchange",
    "translated",
    "wire_trace",
]

_REQUEST_OF_AIOHTTP: Final = vars(aiohttp.ClientSession)["_request"]

_on_wire: Final[ContextVar[Callable[[], None] | None]] = ContextVar("on_wire", default=None)


class Exchange(Protocol):
    """Makes one GET request."""

    @property
    def is_closed(self) -> bool:
        """Whether the session is closed."""
        ...

    @property
    def session_headers(self) -> Mapping[str, str]:
        """The headers that the session adds to every request, wherever it goes."""
        ...

    @property
    def secrets(self) -> Iterable[str]:
        """Secrets that the exchange itself sends, such as the credentials of a proxy."""
        ...

    def session_headers_for(self, url: str) -> Mapping[str, str]:
        """Return what the session adds to a request to a URL: headers, cookies, a netrc entry."""
        ...

    def get(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        timeout: Timeout,
        max_body_bytes: int,
        on_wire: Callable[[], None],
        fresh: bool = False,
    ) -> Coroutine[object, object, Response]:
        """Make one GET request, and read the response to its end.

        Args:
            url: The absolute URL, encoded.
            headers: The headers of the request.
            timeout: How long it may take.
            max_body_bytes: How long the decompressed body may be.
            on_wire: Called when the request was written to a connection; again if it is written to
                another one.
            fresh: Whether to use a new connection, on which nothing but the response may arrive,
                and which is closed afterwards.

        Raises:
            APIConnectionError: There was no response, or not a complete one.
            APITimeoutError: It took too long.
            BodyTooLongError: The body is longer than allowed.
        """
        ...


def open_exchange(
    session: aiohttp.ClientSession,
    *,
    is_lent: bool,
    uses_env_proxies: bool = False,
    has_traces: bool = False,
) -> Exchange:
    """Choose the exchange for a session, when the session is first used.

    Args:
        session: The session. If it is not lent, its `trace_configs` contain `wire_trace()`.
        is_lent: Whether the session belongs to the caller.
        uses_env_proxies: Whether to take proxies from the environment. A session that does so by
            itself (`trust_env`) would send credentials of a netrc file instead of the key.
        has_traces: Whether the caller traces requests.
    """
    if vars(aiohttp.ClientSession)["_request"] is not _REQUEST_OF_AIOHTTP:
        # A test has replaced aiohttp's requests, as aioresponses does: nothing goes over a wire.
        return SessionExchange(session)
    internals = Internals(session)
    documented = SessionExchange(
        session,
        internals=internals,
        has_wire_trace=not is_lent,
        uses_env_proxies=uses_env_proxies,
    )
    if is_lent or uses_env_proxies or has_traces or not internals.is_usable:
        return documented
    return PoolExchange(session, internals, documented)


def wire_trace() -> aiohttp.TraceConfig:
    """Return the tracing hook that tells `SessionExchange` when a request is on the wire."""
    config = aiohttp.TraceConfig()
    config.on_request_headers_sent.append(_call_on_wire)
    return config


async def _call_on_wire(*_: object) -> None:
    on_wire = _on_wire.get()
    if on_wire is not None:
        on_wire()


class SessionExchange:
    """Makes requests through the documented API of a session.

    A session of the client's own tells through `wire_trace` when a request is on the wire. A lent
    session has no documented way to do so for a single request: there, the `Guard` of the pool
    tells; without it, the request is taken to be on the wire one iteration of the event loop
    after it began, which is right whenever a connection is open.

    Args:
        session: The session.
        internals: The undocumented parts of aiohttp; None for a session that does not use them.
        has_wire_trace: Whether the session has the hook of `wire_trace`.
        uses_env_proxies: Whether to take proxies from the environment, which is read when the
            session first contacts an origin.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        internals: Internals | None = None,
        has_wire_trace: bool = False,
        uses_env_proxies: bool = False,
    ) -> None:
        self._session = session
        self._internals = internals
        self._guard = None if internals is None else Guard(session, internals)
        self._has_wire_trace = has_wire_trace
        self._uses_env_proxies = uses_env_proxies
        self._proxies: dict[URL, Proxy | None] = {}

    @property
    def is_closed(self) -> bool:
        """See `Exchange.is_closed`."""
        return self._session.closed

    @property
    def session_headers(self) -> Mapping[str, str]:
        """See `Exchange.session_headers`."""
        auth = self._session.auth
        added = {} if auth is None else {"Authorization": auth.encode()}
        return {**self._session.headers, **added}

    @property
    def secrets(self) -> Iterable[str]:
        """See `Exchange.secrets`."""
        proxies = [proxy for proxy in self._proxies.values() if proxy is not None]
        return [secret for proxy in proxies for secret in secrets_in(proxy.headers, "")]

    def session_headers_for(self, url: str) -> Mapping[str, str]:
        """See `Exchange.session_headers_for`."""
        headers = dict(self.session_headers)
        try:
            target = URL(url, encoded=True)
            cookies = self._session.cookie_jar.filter_cookies(target)
        except ValueError:
            # A host that cannot be looked up; the request will fail.
            return headers
        if cookies:
            sent = "; ".join(f"{name}={morsel.value}" for name, morsel in cookies.items())
            headers["Cookie"] = sent
        if self._session.trust_env and (login := netrc_login(target.host or "")):
            # For requests without this header.
            headers["Authorization"] = basic_authorization(*login)
        return headers

    async def get(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        timeout: Timeout,
        max_body_bytes: int,
        on_wire: Callable[[], None],
        fresh: bool = False,
    ) -> Response:
        """See `Exchange.get`."""
        request = Request("GET", url)
        called = _on_wire.set(on_wire if self._has_wire_trace else None)
        try:
            arguments = request, headers, timeout, max_body_bytes, on_wire, fresh
            try:
                return await self._get(URL(url, encoded=True), *arguments)
            except BodyTooLongError:
                raise
            except Exception as error:
                if self._internals is None or self._internals.is_network_error(error):
                    raise
                # It may come from the internals that the guard uses: try once more without.
                self._internals.give_up(error)
            return await self._get(URL(url, encoded=True), *arguments)
        except BodyTooLongError:
            raise
        except Exception as error:
            if self._session.closed:
                raise RuntimeError("the aiohttp.ClientSession is closed") from None
            raise translated(error, timeout, request) from None
        finally:
            _on_wire.reset(called)

    async def _get(
        self,
        url: URL,
        request: Request,
        headers: Mapping[str, str],
        timeout: Timeout,
        max_body_bytes: int,
        on_wire: Callable[[], None],
        fresh: bool,
    ) -> Response:
        options: dict[str, object] = {}
        if fresh and self._internals is not None:
            options["server_hostname"] = own_key(url)
            headers = {**headers, "Connection": "close"}
        if self._guard is not None and self._guard.is_usable:
            on_wire_of_guard = None if self._has_wire_trace else on_wire
            authorization = None
            if self._session.trust_env:
                # aiohttp refuses this header if a netrc file names the host.
                headers = dict(headers)
                authorization = headers.pop("Authorization", None)
            options["middlewares"] = self._guard.middlewares(on_wire_of_guard, authorization)
        elif not self._has_wire_trace:
            asyncio.get_running_loop().call_soon(on_wire)
        proxy = self._proxy_for(url)
        if proxy is not None:
            options["proxy"] = proxy.url
            if url.scheme == "https":
                options["proxy_headers"] = proxy.headers
            else:
                headers = {**headers, **proxy.headers}
        response = await self._session.get(
            url,
            headers=headers,
            timeout=_aiohttp_timeout(timeout),
            allow_redirects=False,
            raise_for_status=False,
            **options,  # type: ignore[arg-type]
        )
        try:
            body, is_whole = await _read(response.content, max_body_bytes)
            if is_whole and self._guard is not None:
                await self._guard.finish(response, fresh)
        finally:
            # A response that was read to its end has returned its connection to the pool already.
            response.close()
        return _response(response.status, response.headers, body, request, is_whole)

    def _proxy_for(self, url: URL) -> Proxy | None:
        if not self._uses_env_proxies:
            return None
        origin = url.origin()
        if origin not in self._proxies:
            if len(self._proxies) == MAX_ORIGINS:
                # Redirects may lead to any number of them.
                self._proxies.clear()
            self._proxies[origin] = proxy_for(origin)
        return self._proxies[origin]


class PoolExchange:
    """Makes requests on the connections of a session's pool.

    It uses the documented exchange for good once the internals of aiohttp fail.

    Args:
        session: The session that owns the pool.
        internals: The undocumented parts of aiohttp.
        documented: What to use if they fail.
    """

    def __init__(
        self, session: aiohttp.ClientSession, internals: Internals, documented: SessionExchange
    ) -> None:
        self._session = session
        self._internals = internals
        self._pool = Pool(session, internals)
        self._documented = documented

    @property
    def is_closed(self) -> bool:
        """See `Exchange.is_closed`."""
        return self._session.closed

    @property
    def session_headers(self) -> Mapping[str, str]:
        """See `Exchange.session_headers`; the client's own session adds none."""
        return {}

    @property
    def secrets(self) -> Iterable[str]:
        """See `Exchange.secrets`."""
        return ()

    def session_headers_for(self, url: str) -> Mapping[str, str]:
        """See `Exchange.session_headers_for`."""
        return {}

    async def get(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        timeout: Timeout,
        max_body_bytes: int,
        on_wire: Callable[[], None],
        fresh: bool = False,
    ) -> Response:
        """See `Exchange.get`."""
        if self._internals.is_usable:
            request = Request("GET", url)
            try:
                async with asyncio.timeout(timeout.total):
                    reply = await self._pool.send(
                        url, headers, _aiohttp_timeout(timeout), on_wire, fresh
                    )
                    try:
                        body, is_whole = await _read(reply.content, max_body_bytes)
                    except BaseException:
                        reply.close()
                        raise
                    # It closes a connection on which the response was not read to its end.
                    reply.release()
                return _response(reply.status, reply.headers, body, request, is_whole)
            except BodyTooLongError:
                raise
            except Exception as error:
                if self._session.closed:
                    raise RuntimeError("this client is closed; make a new AsyncClient") from None
                if self._internals.is_network_error(error):
                    raise translated(error, timeout, request) from None
                self._internals.give_up(error)
        return await self._documented.get(
            url,
            headers,
            timeout=timeout,
            max_body_bytes=max_body_bytes,
            on_wire=on_wire,
            fresh=fresh,
        )


async def _read(content: aiohttp.StreamReader, most: int) -> tuple[bytes, bool]:
    """Return the body and whether it is complete; stop reading when it is longer than allowed."""
    chunk = await content.readany()
    if content.at_eof() and len(chunk) <= most:
        return chunk, True
    chunks: list[bytes] = []
    size = 0
    while chunk:
        chunks.append(chunk)
        size += len(chunk)
        if size > most:
            return b"".join(chunks)[:most], False
        chunk = await content.readany()
    return b"".join(chunks), True


def _response(
    status: int, headers: Mapping[str, str], body: bytes, request: Request, is_whole: bool
) -> Response:
    response = Response(status, headers, body, request)
    if not is_whole:
        raise BodyTooLongError(
            f"the body is longer than max_body_bytes, {len(body)} bytes", response
        )
    return response


@functools.lru_cache(maxsize=32)
def _aiohttp_timeout(timeout: Timeout) -> aiohttp.ClientTimeout:
    # Not `connect`: that would count the wait for a free connection of the pool.
    return aiohttp.ClientTimeout(
        total=timeout.total, sock_connect=timeout.connect, sock_read=timeout.read
    )
