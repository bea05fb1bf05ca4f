"""The pytest plugin: a sandbox and a client of it as fixtures, for a user's own tests.

pytest finds it by itself once asyncckpt is installed. The fixtures are asynchronous and need
pytest-asyncio; without it, tests that ask for them are skipped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from asyncckpt import AsyncClient
    from asyncckpt.testing import Sandbox

_MARK = "asyncckpt_sandbox"
_REASON = "{} needs pytest-asyncio, which is not installed: python -m pip install pytest-asyncio"


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known, so that `--strict-markers` accepts it."""
    config.addinivalue_line(
        "markers",
        f"{_MARK}(**options): what asyncckpt.testing.Sandbox takes, for the fixture {_MARK}",
    )


if find_spec("pytest_asyncio") is not None:
    import pytest_asyncio

    @pytest_asyncio.fixture(name="asyncckpt_sandbox")
    async def running_sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
        """A sandbox that serves for the length of a test.

        The mark `asyncckpt_sandbox(jobs=3, latency=0.01)` on a test, class or module sets it up.

        Yields:
            The sandbox.
        """
        from asyncckpt.testing import Sandbox

        node = cast("pytest.Item", request.node)
        mark = node.get_closest_marker(_MARK)
        options: Mapping[str, Any] = mark.kwargs if mark else {}
        if mark and mark.args:
            message = f"{_MARK} takes keyword arguments, such as jobs=3, and not {mark.args}"
            raise TypeError(message)
        async with Sandbox(**options) as sandbox:
            yield sandbox

    @pytest_asyncio.fixture(name="asyncckpt_client")
    async def open_client(asyncckpt_sandbox: Sandbox) -> AsyncIterator[AsyncClient]:
        """A client of the test's sandbox, closed after the test.

        Yields:
            The client.
        """
        async with asyncckpt_sandbox.client() as client:
            yield client

else:

    @pytest.fixture(name="asyncckpt_sandbox")
    def missing_sandbox() -> None:
        """Skip: there is nothing to run an asynchronous fixture."""
        pytest.skip(_REASON.format("asyncckpt_sandbox"))

    @pytest.fixture(name="asyncckpt_client")
    def missing_client() -> None:
        """Skip: there is nothing to run an asynchronous fixture."""
        pytest.skip(_REASON.format("asyncckpt_client"))
