"""The example apps of the docs, each as a process of its own."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import attrs

from asyncckpt.testing import Sandbox

from support.programs import Ran, environment

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
WEB_APPS = ["aiohttp_app.py", "fastapi_app.py"]


@attrs.define
class App:
    """A running example app.

    Attributes:
        url: Where it serves.
        process: Its process.
        session: A session to send requests with.
    """

    url: str
    process: asyncio.subprocess.Process
    session: aiohttp.ClientSession

    async def stop(self) -> Ran:
        """Stop it as a service manager does; return its exit code and the rest of its output."""
        self.process.send_signal(signal.SIGTERM)
        out, err = await asyncio.wait_for(self.process.communicate(), 60)
        assert self.process.returncode is not None
        return Ran(self.process.returncode, out.decode(), err.decode())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def running_app(
    name: str, sandbox: Sandbox, *arguments: str, port: int | None = None, ready: str = "/"
) -> AsyncIterator[App]:
    """Start an example app against a sandbox; kill it at the end of the block."""
    port = port or free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / name),
        "--port",
        str(port),
        *arguments,
        env=environment(OPENAI_BASE_URL=sandbox.base_url, OPENAI_API_KEY=sandbox.api_key),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            app = App(f"http://127.0.0.1:{port}", process, session)
            await _until_ready(app, ready)
            yield app
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def _until_ready(app: App, path: str) -> None:
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with app.session.get(app.url + path) as response:
                    assert response.status == 200
                    return
            assert app.process.returncode is None, await app.process.communicate()
            await asyncio.sleep(0.02)
