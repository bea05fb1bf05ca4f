"""The arguments that all commands share."""

import math

import pytest

from asyncckpt import AsyncClient
from asyncckpt.cli.connection import Connection, finite
from asyncckpt.cli.terminal import UsageError
from asyncckpt.testing import Sandbox

from support.programs import Run


def test_a_number_must_be_finite() -> None:
    for number in (None, 0.0, 5.0):
        finite(None, number)
    for number in (math.inf, -math.inf, math.nan):
        with pytest.raises(ValueError, match="Must be a finite number"):
            finite(None, number)


@pytest.mark.parametrize("timeout", ["inf", "nan", "0", "-1"])
def test_a_timeout_without_a_meaning_is_2(served: Sandbox, run: Run, timeout: str) -> None:
    ran = run("jobs", f"--timeout={timeout}")
    assert (ran.code, ran.out) == (2, "")
    assert "--timeout" in ran.err


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ({"base_url": "http://localhost"}, "--base-url"),
        ({"azure": True}, "--azure"),
        ({"header_env": ("x-key=KEY",)}, "--header-env"),
    ],
)
def test_a_sandbox_is_not_combined_with_a_server(option: dict[str, object], name: str) -> None:
    async def work(client: AsyncClient, sandbox: Sandbox | None) -> None:
        raise AssertionError("it must not run")

    with pytest.raises(UsageError, match=f"--sandbox and {name} cannot be combined"):
        Connection(sandbox=True, **option).run(work)  # type: ignore[arg-type]


def test_the_client_has_the_options_and_is_closed_at_the_end() -> None:
    clients: list[AsyncClient] = []

    async def work(client: AsyncClient, sandbox: Sandbox | None) -> None:
        assert sandbox is not None
        assert len((await client.fine_tuning.jobs.list()).data) == 12
        assert client.max_retries == 3
        assert getattr(client.timeout, "total", None) == 9.0
        clients.append(client)

    Connection(sandbox=True, max_retries=3, timeout=9.0).run(work)
    assert clients[0].is_closed


def test_a_command_can_have_a_sandbox_of_its_own() -> None:
    async def work(client: AsyncClient, sandbox: Sandbox | None) -> None:
        assert sandbox is not None
        assert len(sandbox.job_ids) == 2

    Connection(sandbox=True).run(work, lambda: Sandbox(jobs=2))


def test_without_a_sandbox_the_client_uses_the_environment(served: Sandbox) -> None:
    async def work(client: AsyncClient, sandbox: Sandbox | None) -> None:
        assert sandbox is None
        assert len((await client.fine_tuning.jobs.list()).data) == 6

    Connection().run(work)
