"""Provides the pytest fixtures `asyncckpt_sandbox` and `asyncckpt_client`, and marks for them.

pytest loads this plugin if asyncckpt is installed. The fixtures are synchronous, so they work with
pytest-asyncio, anyio's plugin and pytest-aiohttp, whatever event loop a test runs in, and with code
that starts its own event loop.
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import copy
import difflib
import inspect
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, NoReturn, cast

import pytest

if TYPE_CHECKING:
    from asyncckpt import AsyncClient
    from asyncckpt.testing import Sandbox

_SANDBOX = "asyncckpt_sandbox"
_CLIENT = "asyncckpt_client"
_FAULTS = "asyncckpt_faults"

_MARKS = {
    _SANDBOX: f"{_SANDBOX}(**options): arguments of asyncckpt.testing.Sandbox",
    _CLIENT: f"{_CLIENT}(**options): arguments of asyncckpt.AsyncClient",
    _FAULTS: f"{_FAULTS}(*faults, **options): arguments of Sandbox.inject",
}

_VERY_CLOSE = 0.8


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks, so that `--strict-markers` accepts them."""
    for description in _MARKS.values():
        config.addinivalue_line("markers", description)


@pytest.fixture(name="asyncckpt_sandbox")
def running_sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """Serve a sandbox for one test.

    The sandbox runs in a thread, so that the test can use any event loop or none. Marks on the
    test, its class or its module set the arguments of the sandbox and inject faults:
    `asyncckpt_sandbox(jobs=3, latency=0.01)`, `asyncckpt_faults(faults.Status(503), times=2)`.
    The mark nearest to the test comes first.

    Yields:
        The sandbox.
    """
    from asyncckpt.testing import Sandbox

    node = cast("pytest.Item", request.node)
    _reject_unknown_marks(node)
    options = _options(node, _SANDBOX)
    if "rate_limit" in options:
        # A limiter counts requests, and the same mark can be on many tests.
        options["rate_limit"] = copy.deepcopy(options["rate_limit"])
    with Sandbox(**options) as sandbox:
        for mark in node.iter_markers(_FAULTS):
            _check_names(mark)
            sandbox.inject(*mark.args, **mark.kwargs)
        yield sandbox


@pytest.fixture(name="asyncckpt_client")
def open_client(
    request: pytest.FixtureRequest, asyncckpt_sandbox: Sandbox
) -> Iterator[AsyncClient]:
    """Create a client for the sandbox of the test, and close it after the test.

    Marks such as `asyncckpt_client(max_retries=0)` set its arguments. A test that anyio runs on
    trio is skipped.

    Yields:
        The client.
    """
    if "anyio_backend" in request.fixturenames:
        backend: str | tuple[str, object] = request.getfixturevalue("anyio_backend")
        name = backend if isinstance(backend, str) else backend[0]
        if name != "asyncio":
            pytest.skip(f"{_CLIENT} needs asyncio, and this test runs on {name}")
    client = asyncckpt_sandbox.client(**_options(cast("pytest.Item", request.node), _CLIENT))
    yield client
    _close(client)


def _close(client: AsyncClient) -> None:
    """Close a client in the event loop that it was used in; if that is closed, in another one."""
    loop = client._session.loop
    if loop is not None and not loop.is_closed() and not loop.is_running():
        loop.run_until_complete(client.aclose())
        return
    other = asyncio.new_event_loop()
    try:
        other.run_until_complete(client.aclose())
    finally:
        other.close()


def _options(node: pytest.Item, name: str) -> dict[str, Any]:
    """Return the arguments of all marks with this name; the nearest mark takes precedence."""
    options: dict[str, Any] = {}
    for mark in node.iter_markers(name):
        if mark.args:
            _fail(f"{name} takes only keyword arguments, such as {_example(name)}, not {mark.args}")
        _check_names(mark)
        options = {**mark.kwargs, **options}
    return options


def _example(name: str) -> str:
    return "jobs=3" if name == _SANDBOX else "max_retries=0"


def _check_names(mark: pytest.Mark) -> None:
    names = _names(mark.name)
    for name in mark.kwargs:
        if name not in names:
            _fail(f"{mark.name} has no argument {name!r}: {_right_place(name, names)}")


def _right_place(name: str, names: Collection[str]) -> str:
    """Say which argument or which mark is meant by a name that is not among `names`."""
    if difflib.get_close_matches(name, names, cutoff=_VERY_CLOSE):
        return _suggestion(name, names)
    others = [mark for mark in _MARKS if name in _names(mark)]
    if name in {"fault", "faults"}:
        others = [_FAULTS]
    return f"use @pytest.mark.{others[0]}(...)" if others else _suggestion(name, names)


def _names(mark: str) -> Collection[str]:
    from asyncckpt.testing import Sandbox
    from asyncckpt.testing.options import ClientOptions

    if mark == _CLIENT:
        return ClientOptions.__optional_keys__
    parameters = inspect.signature(Sandbox if mark == _SANDBOX else Sandbox.inject).parameters
    return [name for name, one in parameters.items() if one.kind is one.KEYWORD_ONLY]


def _reject_unknown_marks(node: pytest.Item) -> None:
    # Without --strict-markers, pytest only warns of such a mark.
    for mark in node.iter_markers():
        if mark.name.startswith("asyncckpt") and mark.name not in _MARKS:
            _fail(f"there is no mark {mark.name!r}: {_suggestion(mark.name, _MARKS, _VERY_CLOSE)}")


def _suggestion(name: str, names: Collection[str], cutoff: float = 0.5) -> str:
    closest = difflib.get_close_matches(name, names, n=1, cutoff=cutoff)
    return (
        f"did you mean {closest[0]!r}?" if closest else f"give some of {', '.join(sorted(names))}"
    )


def _fail(message: str) -> NoReturn:
    pytest.fail(message, pytrace=False)
