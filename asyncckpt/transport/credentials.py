"""Holds the API key or token of a client: a fixed string, or what a callable returns."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final, Protocol, TypeAlias

from asyncckpt.protocol.headers import AUTHORIZATION
from asyncckpt.protocol.request import check_api_key

__all__ = ["APIKeySource", "AccessToken", "Credentials", "TokenProvider"]

APIKeySource: TypeAlias = Callable[[], Awaitable[str]]
"""An async callable that returns an API key."""


class AccessToken(Protocol):
    """A token that says when it expires, such as `azure.core.credentials.AccessToken`."""

    @property
    def token(self) -> str:
        """The token."""
        ...

    @property
    def expires_on(self) -> int:
        """When the token expires, in Unix seconds."""
        ...


TokenProvider: TypeAlias = Callable[[], str | AccessToken | Awaitable[str] | Awaitable[AccessToken]]
"""A callable, async or not, that returns a bearer token."""

_REMEMBERED_KEYS: Final = 8
"""The number of keys to redact: after a rotation, a late response may contain an earlier key."""

_ASK_AGAIN_AFTER: Final = 60.0
"""How long a token is used that does not say when it expires, in seconds.

The providers of azure-identity return such tokens. They keep a token until 4 or 5 minutes before it
expires, so to ask one every minute costs little, and no token expires meanwhile.
"""

_RENEW_BEFORE_EXPIRY: Final = 300.0
"""How long before a token expires the provider is asked for another, in seconds."""


class Credentials:
    """Holds the API key or token of an account, and adds it to request headers.

    Callers refer to a key by its version number, so that they do not hold the key itself.

    Args:
        api_key: The key; an async callable that returns it; or None if the headers contain it.
        token: A bearer token, or its provider, in place of `api_key`.
        key_header: The header for `api_key`: ``Authorization``, as a bearer token, or another.

    Raises:
        TypeError: `api_key` is neither a string nor callable.
        ValueError: The key cannot be sent in a header.
    """

    def __init__(
        self,
        api_key: str | APIKeySource | None,
        *,
        token: str | TokenProvider | None = None,
        key_header: str = AUTHORIZATION,
    ) -> None:
        self._key_header = key_header
        self._sends_token = token is not None
        self._ask: Callable[[], Awaitable[tuple[str, float | None]]] | None = None
        self._keys: deque[str] = deque(maxlen=_REMEMBERED_KEYS)
        self._version = 0
        self._changed_at = 0
        self._renew_at: float | None = None
        self._authorized: tuple[Mapping[str, str], str, Mapping[str, str]] = ({}, "", {})
        self._lock: asyncio.Lock | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        if callable(token):
            self._ask = partial(_ask_for_token, token)
        elif token is not None:
            self._keys.append(check_api_key(token, "the token"))
        elif callable(api_key):
            self._ask = partial(_ask_for_key, api_key)
        elif api_key is not None:
            self._keys.append(check_api_key(api_key, "api_key"))

    def __repr__(self) -> str:
        return "Credentials(***)"

    def replaced(self, api_key: str | APIKeySource | None) -> Credentials:
        """Return credentials with another key, which is sent in the same header as a key here."""
        return Credentials(api_key, key_header=self._key_header)

    @property
    def header(self) -> str | None:
        """The header that the key or token is sent in; None if there is none to send."""
        if self._ask is None and not self._keys:
            return None
        return AUTHORIZATION if self._sends_token else self._key_header

    @property
    def key(self) -> str:
        """The current key; empty if there is no key."""
        return self._keys[-1] if self._keys else ""

    @property
    def secrets(self) -> tuple[str, ...]:
        """The keys to redact: the current key and earlier ones."""
        return tuple(self._keys)

    @property
    def version(self) -> int:
        """The version of the current key; each call of the callable increases it by 1."""
        return self._version

    @property
    def needs_key(self) -> bool:
        """Whether the callable must be called before a request is sent."""
        if self._ask is None:
            return False
        if self._renew_at is not None and time.monotonic() >= self._renew_at:
            return True
        return not self._keys

    @property
    def can_renew(self) -> bool:
        """Whether there is a callable that can return another key."""
        return self._ask is not None

    def authorize(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Return the headers with the key added; without a key, return them unchanged.

        The result is not to be changed. It is the same object if the headers and the key are.
        """
        header = self.header
        if header is None or not self._keys:
            return headers
        key = self._keys[-1]
        known, known_key, authorized = self._authorized
        if headers is not known or key is not known_key:
            authorized = {**headers, header: f"Bearer {key}" if header == AUTHORIZATION else key}
            self._authorized = headers, key, authorized
        return authorized

    async def renew(self, version: int) -> bool:
        """Call the callable for a new key, unless a key newer than `version` has arrived meanwhile.

        Concurrent calls of this method with the same version call the callable once.

        Args:
            version: The version of the key that the server rejected, or that is about to expire; 0
                before the first request.

        Returns:
            Whether the key is different from that of `version`.

        Raises:
            Exception: Any exception of the callable.
            TypeError: The `api_key` callable is not async, or the result is not a string.
            ValueError: The result cannot be sent in a header.
        """
        if self._ask is None:
            return False
        async with self._lock_of_loop():
            if self._version == version:
                key, seconds = await self._ask()
                self._version += 1
                self._renew_at = None if seconds is None else time.monotonic() + seconds
                if not self._keys or key != self._keys[-1]:
                    self._keys.append(key)
                    self._changed_at = self._version
        return self._changed_at > version

    def _lock_of_loop(self) -> asyncio.Lock:
        loop = asyncio.get_running_loop()
        if self._lock is None or self._loop is not loop:
            # The lock of an event loop that ended may still be locked.
            self._lock, self._loop = asyncio.Lock(), loop
        return self._lock


async def _ask_for_key(source: APIKeySource) -> tuple[str, None]:
    returned: object = source()
    if not inspect.isawaitable(returned):
        kind = type(returned).__name__
        # It may be the key, and error reports show local variables.
        del returned
        raise TypeError(f"the api_key callable must be async, but it returned {kind}")
    return check_api_key(await returned, "the api_key callable"), None


async def _ask_for_token(provider: TokenProvider) -> tuple[str, float]:
    """Return a token, and for how many seconds to use it."""
    # Not in variables: error reports show them.
    held = [await _returned_by(provider)]
    expires_on: object = getattr(held[0], "expires_on", None)
    if expires_on is not None:
        held.append(getattr(held.pop(), "token", None))
    return check_api_key(held.pop(), "the token provider"), _seconds_to_use(expires_on)


async def _returned_by(provider: TokenProvider) -> object:
    if any(map(inspect.iscoroutinefunction, (provider, type(provider).__call__))):
        returned: object = provider()
    else:
        # It may block: those of azure-identity make requests, or start a program.
        returned = await asyncio.to_thread(_called, provider)
    return await returned if inspect.isawaitable(returned) else returned


def _called(provider: TokenProvider) -> object:
    try:
        return provider()
    except StopIteration:
        # A future cannot hold it, and the caller would wait forever.
        raise RuntimeError("the token provider raised StopIteration") from None


def _seconds_to_use(expires_on: object) -> float:
    left = expires_on - time.time() if isinstance(expires_on, int | float) else 0
    if left <= 0:
        return _ASK_AGAIN_AFTER
    return max(left - _RENEW_BEFORE_EXPIRY, left / 2)
