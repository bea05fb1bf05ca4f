"""Work that ends when the client of an ASGI request disconnects."""

import asyncio
from collections.abc import MutableMapping

import pytest

from asyncckpt.web import while_connected


class Client:
    def __init__(self, *messages: str) -> None:
        self.messages = list(messages)

    async def receive(self) -> MutableMapping[str, object]:
        if not self.messages:
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(0)
        return {"type": self.messages.pop(0)}


async def forever(ended: list[str]) -> None:
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        ended.append("ended")


async def result() -> int:
    return 5


async def failing() -> int:
    raise LookupError("no")


async def test_the_result_of_the_work() -> None:
    assert await while_connected(Client("http.request").receive, result()) == 5


async def test_the_exception_of_the_work() -> None:
    with pytest.raises(LookupError, match="no"):
        await while_connected(Client().receive, failing())


async def test_a_disconnect_cancels_the_work() -> None:
    ended: list[str] = []
    with pytest.raises(ConnectionResetError, match="has disconnected"):
        await while_connected(Client("http.request", "http.disconnect").receive, forever(ended))
    assert ended == ["ended"]


async def test_a_cancellation_cancels_the_work() -> None:
    ended: list[str] = []
    before = asyncio.all_tasks()
    waiting = asyncio.create_task(while_connected(Client().receive, forever(ended)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended == ["ended"]
    assert asyncio.all_tasks() == before
