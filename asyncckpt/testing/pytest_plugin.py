"""Provides the pytest fixtures `asyncckpt_sandbox` and `asyncckpt_client`.

pytest loads this plugin if asyncckpt is installed. The fixture of the client is asynchronous and
needs pytest-asyncio. Without pytest-asyncio, tests that request it are skipped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from asyncckpt import AsyncClient
    from asyncckpt.testing import Sandbox

_MARK = "asyncckpt_sandbox"


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark, so that `--strict-markers` accepts it."""
    config.addinivalue_line(
        "markers",
        f"{_MARK}(**options): arguments of asyncckpt.testing.Sandbox, for the fixture {_MARK}",
    )


@pytest.fixture(name="asyncckpt_sandbox")
def running_sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """Serve a sandbox for one test.

    The sandbox runs in a thread, so that the test can use any event loop or none. A mark such as
    `asyncckpt_sandbox(jobs=3, latency=0.01)` on a test, class or module sets its arguments.

    Yields:
        The sandbox.
    """
    from asyncckpt.testing import Sandbox

    node = cast("pytest.Item", request.node)
    mark = node.get_closest_marker(_MARK)
    options: Mapping[str, Any] = mark.kwargs if mark else {}
    if mark and mark.args:
        message = f"{_MARK} takes only keyword arguments, such as jobs=3, not {mark.args}"
        raise TypeError(message)
    with Sandbox(**options) as sandbox:
        yield sandbox


if find_spec("pytest_asyncio") is not None:
    import pytest_asyncio

    @pytest_asyncio.fixture(name="asyncckpt_client")
    async def open_client(asyncckpt_sandbox: Sandbox) -> AsyncIterator[AsyncClient]:
        """Open a client for the sandbox of the test, and close it after the test.

        Yields:
            The client.
        """
        async with asyncckpt_sandbox.client() as client:
            yield client

else:

    @pytest.fixture(name="asyncckpt_client")
    def missing_client() -> None:
        """Skip the test, because pytest cannot run asynchronous fixtures by itself."""
        pytest.skip(
            "asyncckpt_client needs pytest-asyncio, which is not installed: "
            "python -m pip install pytest-asyncio"
        )
