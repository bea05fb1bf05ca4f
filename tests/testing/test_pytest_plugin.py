"""The fixtures and the marks, in this run and in runs of their own."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from asyncckpt import AsyncClient
from asyncckpt.testing import Sandbox, pytest_plugin

from support.programs import PLUGIN, plugin_options, program, run_program

PYTEST = [program("plugin_user.py")[0], "-X", "dev", "-W", "error", "-m", "pytest"]


@pytest.mark.asyncckpt_sandbox(jobs=2, checkpoints=5)
async def test_the_mark_configures_the_fixture(asyncckpt_sandbox: Sandbox) -> None:
    assert len(asyncckpt_sandbox.job_ids) == 2
    assert len(asyncckpt_sandbox.checkpoints_of(asyncckpt_sandbox.job_ids[0])) == 5


async def test_the_client_uses_the_sandbox(
    asyncckpt_sandbox: Sandbox, asyncckpt_client: AsyncClient
) -> None:
    job = await asyncckpt_client.fine_tuning.jobs.retrieve(asyncckpt_sandbox.job_ids[0])
    assert job.id == asyncckpt_sandbox.job_ids[0]


async def test_a_test_can_request_the_client_while_it_runs(request: pytest.FixtureRequest) -> None:
    client: AsyncClient = request.getfixturevalue("asyncckpt_client")
    assert (await client.fine_tuning.jobs.list()).data


@pytest.mark.asyncckpt_client(max_retries=7, prefetch=3)
def test_a_mark_configures_the_client(asyncckpt_client: AsyncClient) -> None:
    assert (asyncckpt_client.max_retries, asyncckpt_client.is_closed) == (7, False)


def test_loading_the_plugin_loads_no_aiohttp() -> None:
    loaded = run_program([*program("imports_of.py"), PLUGIN]).out.splitlines()
    assert PLUGIN in loaded
    assert "aiohttp" not in loaded
    assert "attrs" not in loaded


def run_user(folder: Path, user: str, selected: str, without: str = "", loop: bool = True) -> str:
    """Run tests of a user in a pytest of their own, and return what it prints."""
    settings = folder / "none.ini"
    settings.touch()
    # The user has a mark that does not exist, and hypothesis warns about trio.
    quiet = ["-W", "ignore::pytest.PytestUnknownMarkWarning", "-p", "no:hypothesispytest"]
    scope = ["-o", "asyncio_default_fixture_loop_scope=function"] if loop else []
    options = [*quiet, *scope, *plugin_options()]
    for name in without.split():
        options += ["-p", f"no:{name}"]
    arguments = ["-rs", "-p", "no:cacheprovider", "-c", str(settings), "-k", selected, *options]
    ran = run_program([*PYTEST, *arguments, program(user)[-1]], cwd=folder)
    return ran.out + ran.err


def test_the_fixtures_work_in_every_loop_scope_of_pytest_asyncio(tmp_path: Path) -> None:
    # Before pytest-asyncio 1.3, asyncio.run makes it leave an event loop open.
    selected = "not wrong and not sync_client"
    assert " 21 passed, 9 deselected in" in run_user(tmp_path, "plugin_user.py", selected)


def test_the_fixtures_work_with_the_plugin_of_anyio(tmp_path: Path) -> None:
    user = "plugin_user_anyio.py"
    has_trio = find_spec("trio") is not None
    selected = "test" if has_trio else "not alone"
    said = run_user(tmp_path, user, selected, without="asyncio aiohttp", loop=False)
    assert f" {4 if has_trio else 3} passed, 1 skipped" in said
    assert "asyncckpt_client needs asyncio, and this test runs on trio" in said


def test_the_fixtures_work_with_pytest_aiohttp(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    if not pytestconfig.pluginmanager.has_plugin("aiohttp"):
        pytest.skip("needs pytest-aiohttp")
    assert " 2 passed in" in run_user(tmp_path, "plugin_user_aiohttp.py", "test")


def test_the_fixtures_work_without_any_of_these_plugins(tmp_path: Path) -> None:
    selected, without = "test_sync or unused or nearest", "asyncio aiohttp anyio"
    said = run_user(tmp_path, "plugin_user.py", selected, without, loop=False)
    assert " 4 passed, 26 deselected in" in said


def test_a_wrong_mark_is_an_error_that_says_what_is_right(tmp_path: Path) -> None:
    said = run_user(tmp_path, "plugin_user.py", "wrong")
    assert "8 errors" in said
    for message in (
        "asyncckpt_sandbox takes only keyword arguments, such as jobs=3, not (3,)",
        "asyncckpt_sandbox has no argument 'job': did you mean 'jobs'?",
        "asyncckpt_sandbox has no argument 'zzz': give some of api_key, burst, check",
        "asyncckpt_client has no argument 'max_retry': did you mean 'max_retries'?",
        "asyncckpt_sandbox has no argument 'max_retries': use @pytest.mark.asyncckpt_client(...)",
        "asyncckpt_sandbox has no argument 'faults': use @pytest.mark.asyncckpt_faults(...)",
        "asyncckpt_faults has no argument 'time': did you mean 'times'?",
        "there is no mark 'asyncckpt': give some of asyncckpt_client, asyncckpt_faults, ",
    ):
        assert message in said


def test_the_plugin_registers_its_marks(pytestconfig: pytest.Config) -> None:
    marks = {line.partition("(")[0] for line in pytestconfig.getini("markers")}
    assert {"asyncckpt_sandbox", "asyncckpt_client", "asyncckpt_faults"} <= marks
    assert pytestconfig.pluginmanager.is_registered(pytest_plugin)
