"""What happens when the undocumented parts of aiohttp are not as expected."""

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import client_proto, connector, http_exceptions
from yarl import URL

from asyncckpt import AsyncClient
from asyncckpt.testing import Sandbox, faults
from asyncckpt.transport import pool
from asyncckpt.transport.pool import Internals, own_key


class Broken:
    """An attribute that is as before for aiohttp, and broken for this package.

    Args:
        owner: The class that has it.
        name: Its name.
        use: What this package sees in its place; may raise.
    """

    def __init__(self, owner: type, name: str, use: Callable[[], object]) -> None:
        self._before = vars(owner).get(name)
        self._name = name
        self._use = use

    def __get__(self, instance: Any, owner: type) -> Any:
        if sys._getframe(1).f_globals["__name__"] == pool.__name__:
            return self._use()
        if hasattr(self._before, "__get__"):
            return self._before.__get__(instance, owner)
        if instance is None or self._name not in vars(instance):
            return self._before
        return vars(instance)[self._name]

    def __set__(self, instance: Any, value: Any) -> None:
        if sys._getframe(1).f_globals["__name__"] == pool.__name__:
            self._use()
        if hasattr(self._before, "__set__"):
            self._before.__set__(instance, value)
        else:
            vars(instance)[self._name] = value


def missing() -> object:
    raise AttributeError("this name is gone")


def raising() -> object:
    def fails(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("not here any more")

    return fails


def other_signature() -> object:
    return lambda these, are, new, required, arguments: None


ATTRIBUTES: list[tuple[type, str]] = [
    (connector.BaseConnector, "connect"),
    (connector.Connection, "protocol"),
    (client_proto.ResponseHandler, "read"),
    (client_proto.ResponseHandler, "set_response_params"),
    (client_proto.ResponseHandler, "start_timeout"),
    (client_proto.ResponseHandler, "should_close"),
    (client_proto.ResponseHandler, "set_exception"),
    (client_proto.ResponseHandler, "_parser"),
    (client_proto.ResponseHandler, "_buffer"),
    (aiohttp.ClientSession, "_middlewares"),
    (aiohttp.ClientRequest, "response_class"),
    (aiohttp.ClientRequest, "headers"),
    (aiohttp.ClientResponse, "start"),
]
METHODS = {
    "connect",
    "read",
    "set_response_params",
    "start_timeout",
    "set_exception",
    "start",
}
WAYS = [missing, other_signature, raising]


def owner_of(kind: type, name: str) -> type:
    return next((base for base in kind.__mro__ if name in vars(base)), kind)


def breaking(
    kind: type, name: str, use: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Broken(owner_of(kind, name), name, use)
    monkeypatch.setattr(kind, name, broken, raising=False)


def cases() -> list[Any]:
    return [
        pytest.param(kind, name, way, id=f"{kind.__name__}.{name} {way.__name__}")
        for kind, name in ATTRIBUTES
        for way in (WAYS if name in METHODS else [missing])
    ]


@contextlib.asynccontextmanager
async def client_of(sandbox: Sandbox, owner: str, **options: Any) -> Any:
    if owner == "own":
        async with sandbox.client(**options) as client:
            yield client
    else:
        async with (
            aiohttp.ClientSession() as session,
            sandbox.client(session=session, **options) as client,
        ):
            yield client


async def ids(client: AsyncClient, sandbox: Sandbox) -> set[str]:
    stream = client.fine_tuning.jobs.checkpoints.list_many(sandbox.job_ids[:4], concurrency=4)
    return {checkpoint.id async for checkpoint in stream}


def expected(sandbox: Sandbox) -> set[str]:
    return {
        checkpoint["id"]
        for job in sandbox.job_ids[:4]
        for checkpoint in sandbox.checkpoints_of(job)
    }


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [
        record
        for record in caplog.records
        if record.name == "asyncckpt" and record.levelno == logging.WARNING
    ]


@pytest.mark.parametrize("owner", ["own", "lent"])
@pytest.mark.parametrize(("kind", "name", "way"), cases())
async def test_a_name_that_is_broken_from_the_start(
    kind: type,
    name: str,
    way: Callable[[], object],
    owner: str,
    sandbox: Sandbox,
    leaks: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    breaking(kind, name, way, monkeypatch)
    # No request is repeated, so that none can be lost.
    async with client_of(sandbox, owner, max_retries=0) as client:
        assert await ids(client, sandbox) == expected(sandbox)
        assert await ids(client, sandbox) == expected(sandbox)
    # A raised error is not seen before the name is used.
    if way is not raising:
        (warning,) = warnings_of(caplog)
        assert "documented API" in warning.getMessage()
    assert len(warnings_of(caplog)) <= 1


@pytest.mark.parametrize("owner", ["own", "lent"])
@pytest.mark.parametrize(("kind", "name", "way"), cases())
async def test_a_name_that_breaks_later(
    kind: type,
    name: str,
    way: Callable[[], object],
    owner: str,
    sandbox: Sandbox,
    leaks: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with client_of(sandbox, owner, max_retries=0) as client:
        assert await ids(client, sandbox) == expected(sandbox)
        assert warnings_of(caplog) == []
        breaking(kind, name, way, monkeypatch)
        assert await ids(client, sandbox) == expected(sandbox)
        assert await ids(client, sandbox) == expected(sandbox)
    assert len(warnings_of(caplog)) <= 1


@pytest.mark.parametrize("owner", ["own", "lent"])
@pytest.mark.parametrize(
    ("module", "name"),
    [
        (http_exceptions, "HttpProcessingError"),
        (aiohttp, "ClientRequest"),
        (client_proto, "ResponseHandler"),
        (aiohttp.http, "RawResponseMessage"),
    ],
)
async def test_a_class_that_is_gone(
    module: Any,
    name: str,
    owner: str,
    sandbox: Sandbox,
    leaks: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with client_of(sandbox, owner, max_retries=0) as client:
        with monkeypatch.context() as patching:
            patching.delattr(module, name)
            assert await ids(client, sandbox) == expected(sandbox)
    assert len(warnings_of(caplog)) == 1


async def test_the_parser_of_a_response_that_is_under_way_breaks(
    sandbox: Sandbox, leaks: None, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    sandbox.inject(faults.Chunked(), times=None)
    async with sandbox.client(max_retries=0) as client:
        asking = asyncio.ensure_future(ids(client, sandbox))
        while not sandbox.requests:
            await asyncio.sleep(0)
        for name in ("_parser", "_buffer"):
            breaking(client_proto.ResponseHandler, name, missing, monkeypatch)
        assert await asking == expected(sandbox)
    assert len(warnings_of(caplog)) == 1


async def test_a_request_that_fails_for_another_reason_changes_nothing(
    sandbox: Sandbox, leaks: None, caplog: Any
) -> None:
    sandbox.inject(faults.Reset("headers"), times=3)
    sandbox.inject(faults.Header("no header", "?"), times=3)
    async with sandbox.client() as client:
        assert await ids(client, sandbox) == expected(sandbox)
    assert warnings_of(caplog) == []


def test_every_name_is_documented() -> None:
    assert pool.__doc__ is not None
    for kind, name in ATTRIBUTES:
        assert f"{kind.__name__}.{name}" in pool.__doc__ or f"its ``{name}``" in pool.__doc__


async def test_the_installed_version_is_as_expected(caplog: pytest.LogCaptureFixture) -> None:
    async with aiohttp.ClientSession() as session:
        assert Internals(session).is_usable
    assert warnings_of(caplog) == []


def test_a_key_of_its_own_equals_only_itself() -> None:
    first, second = (own_key(URL("http://x.test/a")) for _ in range(2))
    assert "".join(first) == "x.test"
    assert first != second
    assert len({first, second}) == 2


def test_a_system_without_poll_finds_no_unread_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("select.poll", raising=False)
    near, far = socket.socketpair()
    with near, far:
        far.send(b"unread")
        unread = pool.Unread()
        unread.add(near.fileno())
        assert unread.found() == []
        unread.discard(near.fileno())


def test_sockets_with_unread_bytes_are_found_while_they_are_watched() -> None:
    near, far = socket.socketpair()
    with near, far:
        unread = pool.Unread()
        unread.add(near.fileno())
        unread.add(-1)
        assert unread.found() == []
        far.send(b"unread")
        assert [fd for fd, _ in unread.found()] == [near.fileno()]
        unread.discard(-1)
        unread.discard(near.fileno())
        assert unread.found() == []
