"""Sessions that are lent to a client, and what its own session can be told."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from asyncckpt import (
    APIConnectionError,
    AsyncClient,
    AuthenticationError,
    NotFoundError,
)
from asyncckpt.testing import Sandbox, faults

from support.listing import list_ids, served_ids
from support.servers import serving, tunnel_to
from support.turns import until


async def test_the_connection_limit_is_kept(sandbox: Sandbox, leaks: None) -> None:
    sandbox.latency = 0.005
    async with sandbox.client(connection_limit=3) as client:
        await asyncio.gather(*(list_ids(client, job) for job in sandbox.job_ids))
    assert sandbox.stats.max_in_flight == 3
    assert sandbox.stats.connections == 3


async def test_the_limit_of_a_lent_session_is_kept(sandbox: Sandbox, leaks: None) -> None:
    sandbox.latency = 0.005
    connector = aiohttp.TCPConnector(limit=2)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        sandbox.client(session=session) as client,
    ):
        await asyncio.gather(*(list_ids(client, job) for job in sandbox.job_ids))
    assert sandbox.stats.max_in_flight == 2


async def test_a_lent_session_is_never_closed(sandbox: Sandbox, leaks: None) -> None:
    job = sandbox.job_ids[0]
    async with aiohttp.ClientSession() as session:
        for _ in range(2):
            async with sandbox.client(session=session) as client:
                assert await list_ids(client, job) == served_ids(sandbox, job)
            assert client.is_closed
            assert not session.closed
        assert sandbox.stats.connections == 1

        sandbox.inject(faults.Hang())
        client = sandbox.client(session=session)
        listing = asyncio.create_task(list_ids(client, job))
        await until(lambda: sandbox.stats.in_flight == 1)
        await client.aclose()
        with pytest.raises(RuntimeError, match="this client is closed"):
            await listing
        assert not session.closed
        async with session.get(sandbox.origin) as answer:
            assert answer.status == 404


async def test_a_closed_lent_session_raises(sandbox: Sandbox, leaks: None) -> None:
    session = aiohttp.ClientSession()
    await session.close()
    async with sandbox.client(session=session) as client:
        with pytest.raises(RuntimeError, match="closed"):
            await list_ids(client, sandbox.job_ids[0])


async def test_a_lent_session_can_have_any_settings(sandbox: Sandbox, leaks: None) -> None:
    job = sandbox.job_ids[0]
    async with (
        aiohttp.ClientSession(
            raise_for_status=True,
            headers={"X-Session": "1"},
            timeout=aiohttp.ClientTimeout(total=0.0001),
        ) as session,
        sandbox.client(session=session) as client,
    ):
        assert await list_ids(client, job) == served_ids(sandbox, job)
        with pytest.raises(NotFoundError):
            await list_ids(client, "ftjob-none")
    assert sandbox.requests[0].headers["x-session"] == "1"


@pytest.mark.parametrize(
    "option",
    [
        {"connection_limit": 3},
        {"ssl": False},
        {"trust_env": True},
        {"trace_configs": [aiohttp.TraceConfig()]},
    ],
)
async def test_session_options_cannot_be_combined_with_a_lent_session(option: Any) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ValueError, match="cannot be combined with session"):
            AsyncClient(api_key="sk-1", session=session, **option)


def test_trace_configs_are_checked_when_the_client_is_created() -> None:
    with pytest.raises(TypeError, match="trace_configs must be aiohttp.TraceConfig objects, not"):
        AsyncClient(api_key="sk-1", trace_configs=[5])  # type: ignore[list-item]


async def test_trace_configs_see_every_request(sandbox: Sandbox, leaks: None) -> None:
    job = sandbox.job_ids[0]
    urls: list[str] = []

    async def on_start(_: Any, __: Any, params: aiohttp.TraceRequestStartParams) -> None:
        urls.append(str(params.url))

    config = aiohttp.TraceConfig()
    config.on_request_start.append(on_start)
    async with sandbox.client(trace_configs=[config]) as client:
        assert await list_ids(client, job) == served_ids(sandbox, job)
    assert len(urls) == sandbox.stats.requests == 3
    assert all(url.startswith(sandbox.base_url) for url in urls)


async def test_a_proxy_of_the_environment_is_used_only_if_trusted(
    sandbox: Sandbox, leaks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = sandbox.origin.removeprefix("http://").split(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines.append(head.partition(b"\r\n")[0].decode())
                far_writer.write(head.replace(sandbox.origin.encode(), b"", 1))
                answer = await far_reader.readuntil(b"\r\n\r\n")
                length = int(answer.lower().partition(b"content-length: ")[2].split(b"\r")[0])
                writer.write(answer + await far_reader.readexactly(length))
                await writer.drain()
        finally:
            far_writer.close()

    job = sandbox.job_ids[0]
    async with serving(proxy) as server:
        for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.port}")
        async with sandbox.client() as client:
            assert await list_ids(client, job) == served_ids(sandbox, job)
        assert lines == []
        async with sandbox.client(trust_env=True) as client:
            assert await list_ids(client, job) == served_ids(sandbox, job)
    assert len(lines) == 3
    assert all(line.startswith(f"GET {sandbox.base_url}/fine_tuning/") for line in lines)


async def test_a_trusted_environment_adds_no_credentials(
    sandbox: Sandbox, leaks: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login nobody password of-another-service\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    job = sandbox.job_ids[0]
    async with sandbox.client(trust_env=True) as client:
        assert await list_ids(client, job) == served_ids(sandbox, job)
        with pytest.raises(AuthenticationError):
            await client.fine_tuning.jobs.list(extra_headers={"api-key": "of-azure"})
    assert "authorization" not in sandbox.requests[-1].headers


async def test_the_ssl_option_decides_which_certificates_are_trusted(
    sandbox: Sandbox, leaks: None, caplog: pytest.LogCaptureFixture
) -> None:
    import ssl

    caplog.set_level("CRITICAL", logger="asyncio")
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    job = sandbox.job_ids[0]
    async with serving(tunnel_to(sandbox), server_side) as server:
        url = f"https://127.0.0.1:{server.port}/v1"
        for tls in (trusting, False):
            async with sandbox.client(base_url=url, ssl=tls) as client:
                assert await list_ids(client, job) == served_ids(sandbox, job)
        async with sandbox.client(base_url=url) as client:
            with pytest.raises(APIConnectionError, match="ertificate"):
                await list_ids(client, job)
