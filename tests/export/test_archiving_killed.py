"""A run that ends at any moment: the next one continues, and the result is the same."""

import asyncio
import functools
import os
import random
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from asyncckpt import export
from asyncckpt.testing import Sandbox, faults

from support.archives import contents, paths, small_sandbox
from support.leftovers import at_rest
from support.programs import environment, program

archive = functools.partial(export.archive, parquet=False)

OPERATIONS = ("write", "replace", "rename", "unlink", "mkdir", "rmdir", "fsync")


@pytest.fixture
def small_pages() -> None:
    """Request a hundred records a page, as by default: jobs have many events."""


async def run_killed(sandbox: Sandbox, directory: Path, fatal: int) -> tuple[int, str]:
    """Archive in a process that kills itself; return its exit code and its output."""
    process = await asyncio.create_subprocess_exec(
        *program("killed_archive.py"),
        *(sandbox.base_url, sandbox.api_key, str(directory), str(fatal)),
        stdout=asyncio.subprocess.PIPE,
        env=environment(),
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


def make_unreliable(sandbox: Sandbox) -> None:
    """Let a tenth of all requests fail."""
    for fault in (faults.Status(503), faults.Reset("body"), faults.CutBody(), faults.Html()):
        sandbox.inject(fault, times=None, probability=0.027)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("is_unreliable", [False, True], ids=["reliable", "unreliable"])
async def test_a_killed_run_is_continued(tmp_path: Path, is_unreliable: bool) -> None:
    async with small_sandbox(jobs=12) as sandbox, sandbox.client() as client:
        await archive(client, tmp_path / "whole")
        whole = Counter(paths(sandbox))
        if is_unreliable:
            make_unreliable(sandbox)
        _, out = await run_killed(sandbox, tmp_path / "counted", 0)
        generator = random.Random(is_unreliable)
        moments = sorted(generator.sample(range(8, int(out) // 2), 4))
        before, codes = len(paths(sandbox)), []
        for moment in moments:
            code, _ = await run_killed(sandbox, tmp_path / "killed", moment)
            codes.append(code)
        assert -signal.SIGKILL in codes
        sandbox.clear()
        result = await archive(client, tmp_path / "killed")
        assert result.failures == ()
        assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
        if not is_unreliable:
            # Each time, three jobs were being fetched.
            again = Counter(paths(sandbox)[before:]) - whole
            for path, count in again.items():
                assert count <= len(moments), path
            repeated = {path.split("/")[2] for path in again if path.startswith("fine_tuning")}
            assert len(repeated) <= 3 * len(moments)
            most = max(sum(1 for p in whole.elements() if job in p) for job in sandbox.job_ids)
            assert again.total() <= 3 * len(moments) * most


class Crash(BaseException):
    """The process ends here."""


class Crashing:
    """Ends a run at one of its operations on the disk, and every one after it."""

    def __init__(self, fatal: int) -> None:
        self.done = 0
        self._fatal = fatal

    def counted(self, name: str) -> Any:
        operation = getattr(os, name)

        def act(*args: Any, **kwargs: Any) -> Any:
            self.done += 1
            if self.done >= self._fatal:
                raise Crash
            return operation(*args, **kwargs)

        return act

    def everywhere(self) -> Any:
        return patch.multiple(os, **{name: self.counted(name) for name in OPERATIONS})


async def test_a_run_may_end_at_each_operation_on_the_disk(tmp_path: Path) -> None:
    async with small_sandbox(jobs=1) as sandbox, sandbox.client() as client:
        await archive(client, tmp_path / "whole")
        whole = contents(tmp_path / "whole")
        counting = Crashing(10**9)
        with counting.everywhere():
            await archive(client, tmp_path / "counted")
        assert counting.done > 15
        for fatal in range(1, counting.done + 1):
            directory = tmp_path / f"ended-{fatal}"
            with Crashing(fatal).everywhere(), pytest.raises(Crash):
                await archive(client, directory)
            await archive(client, directory)
            assert contents(directory) == whole, fatal
        await at_rest(sandbox, connections=False)


async def test_a_second_run_may_end_at_each_operation_on_the_disk(tmp_path: Path) -> None:
    async with small_sandbox(jobs=1) as sandbox, sandbox.client() as client:
        await archive(client, tmp_path / "first")
        sandbox.add_job(status="succeeded")
        await archive(client, tmp_path / "whole")
        whole = contents(tmp_path / "whole")
        for fatal in range(1, 200):
            directory = tmp_path / f"ended-{fatal}"
            shutil.copytree(tmp_path / "first", directory)
            try:
                with Crashing(fatal).everywhere():
                    await archive(client, directory)
            except Crash:
                await archive(client, directory)
            else:
                break
            assert contents(directory) == whole, fatal
        assert 20 < fatal < 199
