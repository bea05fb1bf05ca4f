"""Runs a server in a thread, for code that has its own event loop or none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future


class ServerThread:
    """A thread with an event loop in which a server runs.

    Args:
        start: Starts the server.
        stop: Stops the server.

    Raises:
        BaseException: Any exception of `start`.
    """

    def __init__(
        self, start: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]
    ) -> None:
        self._started: Future[None] = Future()
        self._stopping: Future[None] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(start, stop)), name="asyncckpt-sandbox"
        )
        self._thread.start()
        try:
            self._started.result()
        except BaseException:
            self.stop()
            raise

    async def _serve(
        self, start: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]
    ) -> None:
        try:
            await start()
        except BaseException as error:
            self._started.set_exception(error)
            return
        self._started.set_result(None)
        await asyncio.wrap_future(self._stopping)
        await stop()

    def stop(self) -> None:
        """Stop the server, and wait until the thread has ended."""
        if not self._stopping.done():
            self._stopping.set_result(None)
        self._thread.join()
