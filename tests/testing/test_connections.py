"""The connections of a sandbox: accepted, counted, closed."""

import asyncio
import gc
import socket
import struct
import warnings

import pytest

from asyncckpt.testing import Sandbox, faults

from support.leftovers import complaints
from support.turns import turns

REQUEST = b"GET /v1/fine_tuning/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n"


def connect(box: Sandbox) -> socket.socket:
    """Connect without a turn of the event loop, so that the sandbox does not know of it yet."""
    return socket.create_connection(("127.0.0.1", int(box.origin.rpartition(":")[2])))


@pytest.mark.parametrize("number", range(8))
async def test_closing_while_accepting_leaves_nothing_open(number: int) -> None:
    with complaints() as complained, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        async with Sandbox(jobs=1) as box:
            clients = [connect(box) for _ in range(3)]
            await turns(number)
        assert box.stats.connections_open == 0
        for client in clients:
            with client:
                client.settimeout(30)
                assert is_over(client)
        gc.collect()
    assert not [str(warning.message) for warning in caught]
    assert not complained


def is_over(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


async def test_idle_counts_a_request_that_the_server_has_not_read(box: Sandbox) -> None:
    with connect(box) as client:
        client.sendall(REQUEST)
        await box.idle()
        assert box.stats.responses == {401: 1}


async def test_idle_counts_another_request_on_an_open_connection(box: Sandbox) -> None:
    with connect(box) as client:
        for number in (1, 2, 3):
            client.sendall(REQUEST)
            await box.idle()
            assert box.stats.requests == number


@pytest.mark.parametrize("resets", [False, True])
async def test_idle_counts_a_closed_connection(box: Sandbox, resets: bool) -> None:
    client = connect(box)
    await box.idle()
    assert box.stats.connections_open == 1
    if resets:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    await box.idle()
    assert box.stats.connections_open == 0


async def test_idle_counts_a_request_that_was_given_up_before_it_was_read(box: Sandbox) -> None:
    box.inject(faults.Hang())
    client = connect(box)
    client.sendall(REQUEST)
    client.close()
    await box.idle()
    assert (box.stats.in_flight, box.stats.connections_open) == (0, 0)


async def test_idle_returns_when_the_sandbox_is_closed(box: Sandbox) -> None:
    box.inject(faults.Hang())
    with connect(box) as client:
        client.sendall(REQUEST)
        await box.busy()
        idle = asyncio.create_task(box.idle())
        await turns(5)
        assert not idle.done()
        await box.aclose()
        await idle
    await box.idle()
