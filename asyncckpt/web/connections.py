"""Stops work for a reader that has left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import TypeVar

from asyncckpt.streams.tasks import cancel_and_wait

__all__ = ["while_connected"]

_T = TypeVar("_T")


async def while_connected(
    receive: Callable[[], Awaitable[MutableMapping[str, object]]],
    work: Coroutine[object, object, _T],
) -> _T:
    """Await work for an ASGI request, and cancel it if the client disconnects.

    ASGI servers do not cancel a handler when the client disconnects. Frameworks notice it when they
    send the response, but not before it starts.

    Args:
        receive: The ``receive`` of the ASGI application; ``request.receive`` in Starlette and
            FastAPI. The body of the request must have been read.
        work: What to await.

    Returns:
        The result of the work.

    Raises:
        ConnectionResetError: The client has disconnected. The work has been cancelled.
        Exception: Whatever the work raises.
    """
    working = asyncio.create_task(work)
    watching = asyncio.create_task(_until_disconnected(receive))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ConnectionResetError("the client has disconnected")
    finally:
        await cancel_and_wait([working, watching])


async def _until_disconnected(
    receive: Callable[[], Awaitable[MutableMapping[str, object]]],
) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
