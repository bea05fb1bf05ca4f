"""The API key: given as it is, or asked for."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

from asyncckpt.protocol.request import check_api_key

__all__ = ["APIKeySource", "Credentials"]

APIKeySource = Callable[[], Awaitable[str]]
"""An async callable that returns a key: from a vault, a token endpoint, a rotating file."""


class Credentials:
    """The key of a client, never shown.

    Args:
        api_key: The key; an async callable that returns it; or None if the headers carry it.

    Raises:
        TypeError: It is none of these.
        ValueError: The key could not be sent.
    """

    def __init__(self, api_key: str | APIKeySource | None) -> None:
        self._source: APIKeySource | None = None
        self._key: str | None = None
        if callable(api_key):
            self._source = api_key
        elif api_key is not None:
            self._key = check_api_key(api_key, "api_key")
        self._times_asked = 0
        self._asking: asyncio.Lock | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return "Credentials(***)"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not show anywhere."""
        return () if self._key is None else (self._key,)

    @property
    def known(self) -> str | None:
        """The key to send, if it need not be asked for."""
        return self._key

    @property
    def can_be_asked(self) -> bool:
        """Whether there is a callable to ask for a key."""
        return self._source is not None

    async def current(self) -> str | None:
        """The key to send, or None to send none; asks for it if it has not been asked for yet.

        Raises:
            Exception: Whatever the callable raises.
        """
        if self._key is None and self._source is not None:
            await self._ask(instead_of=None)
        return self._key

    async def renew(self, refused: str | None) -> bool:
        """Ask for another key, unless that happened since `refused` was sent.

        However many requests are refused at once, the callable is asked once.

        Returns:
            Whether there is another key now.

        Raises:
            Exception: Whatever the callable raises.
        """
        if self._source is None:
            return False
        await self._ask(instead_of=refused)
        return self._key != refused

    async def _ask(self, instead_of: str | None) -> None:
        times_asked = self._times_asked
        async with self._one_at_a_time():
            if self._times_asked != times_asked or self._key != instead_of:
                # Another request has asked meanwhile.
                return
            if self._source is not None:
                asked: object = self._source()
                if not inspect.isawaitable(asked):
                    kind = type(asked).__name__
                    # It may be the key, and error reports like to show the locals of frames.
                    del asked
                    raise TypeError(f"the api_key callable must be async, and not return {kind}")
                self._key = check_api_key(await asked, "the api_key callable")
                self._times_asked += 1

    def _one_at_a_time(self) -> asyncio.Lock:
        loop = asyncio.get_running_loop()
        if self._asking is None or self._loop is not loop:
            # A lock belongs to its event loop, and may have been left locked when that ended.
            self._asking, self._loop = asyncio.Lock(), loop
        return self._asking
