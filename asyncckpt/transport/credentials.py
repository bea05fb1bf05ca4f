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
"""An async callable that returns a key: from a vault, a token endpoint, a rotating file."""

_REMEMBERED_KEYS: Final = 8
"""Keys to keep redacting after a rotation: a late response may repeat an earlier one."""


class Credentials:
    """The API key of an account. Only request headers ever contain it.

    A key is referred to by its version, a number, so that no caller holds the key itself.

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
        """The current key; empty if there is none yet, or none at all."""
        return self._keys[-1] if self._keys else ""

    @property
    def secrets(self) -> tuple[str, ...]:
        """The keys to redact: the current one and those before it."""
        return tuple(self._keys)

    @property
    def version(self) -> int:
        """The number of the current key; it grows each time the callable returns a key."""
        return self._version

    @property
    def must_be_asked(self) -> bool:
        """Whether the callable has to be called before the first request."""
        return self._source is not None and not self._keys

    @property
    def can_renew(self) -> bool:
        """Whether a callable can be asked for another key."""
        return self._source is not None

    def authorize(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Add the key to the headers of a request, if there is one."""
        if not self._keys:
            return headers
        return {**headers, "Authorization": f"Bearer {self._keys[-1]}"}

    async def renew(self, version: int) -> bool:
        """Ask the callable for a key, unless a newer one than `version` has arrived meanwhile.

        However many requests ask at once, the callable is called once.

        Args:
            version: The version of the key that the server rejected; the current version before
                the first request.

        Returns:
            Whether there is another key now.

        Raises:
            Exception: Whatever the callable raises.
            TypeError: The callable is not async, or its result is not a string.
            ValueError: Its result cannot be sent in a header.
        """
        if self._source is None:
            return False
        async with self._one_at_a_time():
            if self._version == version:
                await self._ask(self._source)
        return self._changed_at > version

    async def _ask(self, source: APIKeySource) -> None:
        asked: object = source()
        if not inspect.isawaitable(asked):
            kind = type(asked).__name__
            # It may be the key, which must not stay in this frame.
            del asked
            raise TypeError(f"the api_key callable must be async, but it returned {kind}")
        checked = check_api_key(await asked, "the api_key callable")
        self._version += 1
        if not self._keys or checked != self._keys[-1]:
            self._keys.append(checked)
            self._changed_at = self._version

    def _one_at_a_time(self) -> asyncio.Lock:
        loop = asyncio.get_running_loop()
        if self._lock is None or self._loop is not loop:
            # A lock belongs to an event loop, which may have ended while the lock was held.
            self._lock, self._loop = asyncio.Lock(), loop
        return self._lock
