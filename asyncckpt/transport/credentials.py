"""Holds the API key: a fixed string, or the result of an async callable."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from asyncckpt.protocol.request import check_api_key

__all__ = ["APIKeySource", "Credentials"]

APIKeySource = Callable[[], Awaitable[str]]
"""An async callable that returns an API key."""

_REMEMBERED_KEYS: Final = 8
"""The number of keys to redact: after a rotation, a late response may contain an earlier key."""


class Credentials:
    """Holds the API key of an account, and adds it to request headers.

    Callers refer to a key by its version number, so that they do not hold the key itself.

    Args:
        api_key: The key; an async callable that returns it; or None if the headers contain it.

    Raises:
        TypeError: `api_key` is neither a string nor callable.
        ValueError: The key cannot be sent in a header.
    """

    def __init__(self, api_key: str | APIKeySource | None) -> None:
        self._source: APIKeySource | None = None
        self._keys: deque[str] = deque(maxlen=_REMEMBERED_KEYS)
        self._version = 0
        self._changed_at = 0
        self._lock: asyncio.Lock | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        if callable(api_key):
            self._source = api_key
        elif api_key is not None:
            self._keys.append(check_api_key(api_key, "api_key"))

    def __repr__(self) -> str:
        return "Credentials(***)"

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
        """Whether the callable must be called before a request can be sent."""
        return self._source is not None and not self._keys

    @property
    def can_renew(self) -> bool:
        """Whether there is a callable that can return another key."""
        return self._source is not None

    def authorize(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Return the headers with the key added; without a key, return them unchanged."""
        if not self._keys:
            return headers
        return {**headers, "Authorization": f"Bearer {self._keys[-1]}"}

    async def renew(self, version: int) -> bool:
        """Call the callable for a new key, unless a key newer than `version` has arrived meanwhile.

        Concurrent calls of this method with the same version call the callable once.

        Args:
            version: The version of the key that the server rejected; 0 before the first request.

        Returns:
            Whether the key is different from that of `version`.

        Raises:
            Exception: Any exception of the callable.
            TypeError: The callable is not async, or its result is not a string.
            ValueError: Its result cannot be sent in a header.
        """
        if self._source is None:
            return False
        async with self._lock_of_loop():
            if self._version == version:
                await self._call(self._source)
        return self._changed_at > version

    async def _call(self, source: APIKeySource) -> None:
        returned: object = source()
        if not inspect.isawaitable(returned):
            kind = type(returned).__name__
            # It may be the key, and error reports show local variables.
            del returned
            raise TypeError(f"the api_key callable must be async, but it returned {kind}")
        checked = check_api_key(await returned, "the api_key callable")
        self._version += 1
        if not self._keys or checked != self._keys[-1]:
            self._keys.append(checked)
            self._changed_at = self._version

    def _lock_of_loop(self) -> asyncio.Lock:
        loop = asyncio.get_running_loop()
        if self._lock is None or self._loop is not loop:
            # The lock of an event loop that ended may still be locked.
            self._lock, self._loop = asyncio.Lock(), loop
        return self._lock
