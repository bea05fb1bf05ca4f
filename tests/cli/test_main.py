"""The entry point, and Ctrl-C before there is an event loop."""

import shutil
import signal
import sys
import threading
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from asyncckpt.cli import main

from support.programs import COMMAND, Run, program, run_program


@pytest.mark.parametrize("missing", ["cyclopts", "rich"])
def test_without_the_extra_it_says_how_to_install_it(
    run: Run, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    ran = run("--help")
    assert ran.code == 1
    assert ran.err == 'asyncckpt: the command needs: pip install "asyncckpt[cli]"\n'


def test_importing_it_imports_next_to_nothing() -> None:
    nothing = set(run_program([*program("imports_of.py"), "sys"]).out.splitlines())
    loaded = set(run_program([*program("imports_of.py"), "asyncckpt.cli"]).out.splitlines())
    standard = {name for name in loaded - nothing if name.partition(".")[0] != "asyncckpt"}
    assert loaded & {"asyncckpt", "asyncckpt.cli"} == {"asyncckpt", "asyncckpt.cli"}
    assert "asyncckpt.client" not in loaded
    assert standard <= {"__future__", "signal", "_signal", "enum"} | set(
        run_program([*program("imports_of.py"), "signal"]).out.splitlines()
    )


@pytest.mark.parametrize(
    "module",
    [
        "cyclopts",
        "asyncckpt.cli.app",
        "asyncckpt.errors",
        "asyncckpt.cli.listing",
        "asyncckpt.client",
        "asyncio",
        "attrs",
        "msgspec",
    ],
)
def test_ctrl_c_during_an_import_is_130_and_quiet(module: str) -> None:
    ran = run_program([*program("interrupted_import.py"), module, "list", "--sandbox"])
    assert (ran.code, ran.out, ran.err) == (130, "", "")


@pytest.mark.parametrize("module", ["asyncckpt.testing.handler", "aiohttp", "aiohttp.web"])
def test_ctrl_c_during_an_import_in_the_loop_is_130_and_quiet(module: str) -> None:
    ran = run_program([*program("interrupted_import.py"), module, "list", "--sandbox"])
    assert (ran.code, ran.out, ran.err) == (130, "", "")


def test_ctrl_c_while_ids_are_read_is_130_and_quiet(tmp_path: Path) -> None:
    ran = run_program([*program("interrupted_import.py"), "asyncckpt.cli.inputs", "list", "-"])
    assert (ran.code, ran.out, ran.err) == (130, "", "")


def test_the_handler_of_sigint_is_left_as_it_was(run: Run) -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    run("--version")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_ignored_sigint_stays_ignored(run: Run) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        run("list", "--sandbox")
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_it_runs_in_a_thread_that_is_not_the_main_one(capsys: pytest.CaptureFixture[str]) -> None:
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(main(["--version"])))
    thread.start()
    thread.join()
    assert codes == [0]


def test_the_module_runs_the_command() -> None:
    ran = run_program([*COMMAND, "--version"])
    assert (ran.code, ran.err) == (0, "")


def test_the_installed_script_is_the_entry_point() -> None:
    scripts = list(entry_points(group="console_scripts", name="asyncckpt"))
    if not scripts:
        pytest.skip("the package is not installed")
    assert [script.value for script in scripts] == ["asyncckpt.cli:main"]
    folder = str(Path(sys.executable).parent)
    assert shutil.which("asyncckpt", path=folder), "the script is missing"
