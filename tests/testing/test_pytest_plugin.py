"""The fixtures and the mark, in this run and in runs of their own."""

from pathlib import Path

import pytest

from asyncckpt import AsyncClient
from asyncckpt.testing import Sandbox

from support.programs import PLUGIN, plugin_options, program, run_program

USER = program("plugin_user.py")[-1]
PYTEST = [program("plugin_user.py")[0], "-m", "pytest"]


@pytest.mark.asyncckpt_sandbox(jobs=2, checkpoints=5)
async def test_the_mark_configures_the_fixture(asyncckpt_sandbox: Sandbox) -> None:
    assert len(asyncckpt_sandbox.job_ids) == 2
    assert len(asyncckpt_sandbox.checkpoints_of(asyncckpt_sandbox.job_ids[0])) == 5


async def test_the_client_uses_the_sandbox(
    asyncckpt_sandbox: Sandbox, asyncckpt_client: AsyncClient
) -> None:
    job = await asyncckpt_client.fine_tuning.jobs.retrieve(asyncckpt_sandbox.job_ids[0])
    assert job.id == asyncckpt_sandbox.job_ids[0]


def test_loading_the_plugin_loads_no_aiohttp() -> None:
    loaded = run_program([*program("imports_of.py"), PLUGIN]).out.splitlines()
    assert PLUGIN in loaded
    assert "aiohttp" not in loaded
    assert "attrs" not in loaded


def run_user(folder: Path, selected: str, command: list[str], *options: str) -> str:
    """Run tests of a user in a pytest of their own, and return what it prints."""
    settings = folder / "none.ini"
    settings.touch()
    arguments = ["-rs", "-p", "no:cacheprovider", "-c", str(settings), "-k", selected]
    ran = run_program([*command, *arguments, *plugin_options(), *options, USER], cwd=folder)
    return ran.out + ran.err


def test_the_mark_takes_no_positional_arguments(tmp_path: Path) -> None:
    said = run_user(tmp_path, "test_positional", PYTEST, "--strict-markers")
    assert "takes only keyword arguments, such as jobs=3, not (3,)" in said


def test_the_fixtures_work_in_the_strict_mode_of_pytest_asyncio(tmp_path: Path) -> None:
    selected = "test_asynchronous or test_synchronous or test_client"
    assert "4 passed" in run_user(tmp_path, selected, PYTEST, "--strict-markers")


def test_the_event_loop_of_a_test_can_be_another_one(tmp_path: Path) -> None:
    scope = "asyncio_default_fixture_loop_scope=function"
    assert "1 passed" in run_user(tmp_path, "test_other_loop", PYTEST, "-o", scope)


def test_without_pytest_asyncio_the_client_skips_and_says_why(tmp_path: Path) -> None:
    command = program("pytest_without_asyncio.py")
    said = run_user(tmp_path, "test_synchronous or test_client_without_a_loop", command)
    assert "1 passed, 1 skipped" in said
    assert "asyncckpt_client needs pytest-asyncio" in said
