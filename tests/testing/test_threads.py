"""A sandbox that serves from a thread."""

import asyncio
import contextlib
import socket
import threading
import time

import pytest

from asyncckpt.testing import Sandbox, faults


def test_code_with_its_own_event_loop_uses_it() -> None:
    async def list_job(box: Sandbox) -> int:
        async with box.client() as client:
            listing = client.fine_tuning.jobs.checkpoints.list(box.job_ids[0])
            return len([checkpoint async for checkpoint in listing])

    with Sandbox(jobs=1, checkpoints=25) as box:
        assert asyncio.run(list_job(box)) == 25
        assert asyncio.run(list_job(box)) == 25


def test_it_ends_its_thread_and_all_connections() -> None:
    before = threading.active_count()
    with Sandbox(jobs=1) as box:
        box.inject(faults.Hang())
        hanging = start_request(box)
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
    box.__exit__(None, None, None)  # stops nothing twice
    with hanging, contextlib.suppress(ConnectionResetError):
        assert hanging.recv(1) == b""
    assert box.stats.in_flight == box.stats.connections_open == 0


def test_a_port_in_use_is_an_error_of_the_caller() -> None:
    before = threading.active_count()
    with (
        Sandbox(jobs=1) as box,
        pytest.raises(OSError, match="in use"),
        Sandbox(jobs=1, port=port_of(box)),
    ):
        pass
    assert threading.active_count() == before


async def test_idle_can_be_awaited_on_another_loop() -> None:
    # In debug mode a loop rejects callbacks from other threads.
    asyncio.get_running_loop().set_debug(True)
    with Sandbox(jobs=1) as box:
        box.inject(faults.Hang())
        with start_request(box):
            idle = asyncio.create_task(box.idle())
            await asyncio.sleep(0)
        async with asyncio.timeout(30):
            await idle
        assert box.stats.in_flight == 0


async def test_busy_can_be_awaited_on_another_loop() -> None:
    asyncio.get_running_loop().set_debug(True)
    with Sandbox(jobs=1) as box:
        box.inject(faults.Hang())
        busy = asyncio.create_task(box.busy())
        await asyncio.sleep(0)
        assert not busy.done()
        with start_request(box):
            async with asyncio.timeout(30):
                await busy


def start_request(box: Sandbox) -> socket.socket:
    """Send a request, and return its connection once the request is in progress."""
    connection = socket.create_connection(("127.0.0.1", port_of(box)))
    connection.sendall(b"GET /v1/fine_tuning/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n")
    while not box.stats.in_flight:
        time.sleep(0)
    return connection


def port_of(box: Sandbox) -> int:
    return int(box.origin.rpartition(":")[2])
