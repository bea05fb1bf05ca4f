"""Programs that tests start: the command, and those in `tests/programs`.

All of them import the same copy of the package as the tests do.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import attrs

import asyncckpt
from asyncckpt.testing import Sandbox

PLUGIN = "asyncckpt.testing.pytest_plugin"
COMMAND = [sys.executable, "-m", "asyncckpt.cli"]

_TREE = Path(asyncckpt.__file__).parent.parent
_TESTS = Path(__file__).parent.parent
_PROGRAMS = _TESTS / "programs"


@attrs.frozen
class Ran:
    """What a program has written, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def ids(self) -> list[str]:
        return [json.loads(line)["id"] for line in self.out.splitlines()]


Run = Callable[..., Ran]
"""Runs the command in the process of the tests."""


def ids_of(sandbox: Sandbox, job: str) -> list[str]:
    return [checkpoint["id"] for checkpoint in sandbox.checkpoints_of(job)]


def environment(**changes: str) -> dict[str, str]:
    """Return the environment for a program that imports asyncckpt or `support`.

    It is that of this process, without a debug mode, in which asyncio logs slow callbacks.
    """
    paths = [str(_TREE), str(_TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    debug = {"PYTHONASYNCIODEBUG", "PYTHONDEVMODE"}
    inherited = {name: value for name, value in os.environ.items() if name not in debug}
    return {**inherited, "PYTHONPATH": os.pathsep.join(paths), **changes}


def program(name: str) -> list[str]:
    """Return the command line of a program in `tests/programs`."""
    return [sys.executable, str(_PROGRAMS / name)]


def checked_program(name: str) -> list[str]:
    """Return the command line of a program that runs with every check of Python's on."""
    return [sys.executable, "-X", "dev", "-W", "error", str(_PROGRAMS / name)]


def plugin_options() -> list[str]:
    """Return the options with which another pytest loads the plugin of a tree not installed."""
    announced = any(entry.value == PLUGIN for entry in entry_points(group="pytest11"))
    return [] if announced else ["-p", PLUGIN]


def run_program(command: list[str], **options: Any) -> Ran:
    """Run a program to its end."""
    options.setdefault("env", environment())
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    ran = subprocess.run(command, text=True, check=False, timeout=100, **options)
    return Ran(ran.returncode, ran.stdout or "", ran.stderr or "")


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start the command with pipes for its output."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        **options,
    )


def end(process: subprocess.Popen[str]) -> Ran:
    """Return what a program still writes; unlike `communicate`, with what is buffered already."""
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = process.stdout.read(), process.stderr.read()
    return Ran(process.wait(100), out, err)
