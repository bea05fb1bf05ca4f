"""The example on a real cluster: a scheduler and workers in processes of their own."""

import asyncio
import functools
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from asyncckpt import export
from asyncckpt.testing import Sandbox
from asyncckpt.testing.limiters import TokenBucket

from support.archives import contents, records, small_sandbox
from support.programs import environment

distributed = pytest.importorskip("distributed")

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "archive_on_dask.py"
DEADLINE = 60

# The libraries of the cluster warn about the future of Python and of themselves.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def example() -> Iterator[ModuleType]:
    """The example as a module that workers can import too."""
    spec = importlib.util.spec_from_file_location("archive_on_dask", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["archive_on_dask"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["archive_on_dask"]


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A scheduler and two workers, started with their commands, over loopback."""
    folder = tmp_path_factory.mktemp("cluster")
    address_file = folder / "scheduler.json"
    variables = environment(SANDBOX_KEY="sk-sandbox")
    variables["PYTHONPATH"] += f"{os.pathsep}{EXAMPLE.parent}"
    start = functools.partial(subprocess.Popen, env=variables, cwd=folder)
    with ExitStack() as stack:
        for command in (
            ["scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"],
            *[["worker", "--host", "127.0.0.1", "--nthreads", "2", "--no-dashboard"]] * 2,
        ):
            process = start(
                [sys.executable, "-m", "dask", *command, "--scheduler-file", str(address_file)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(_end, process)
        yield _address_in(address_file)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _address_in(path: Path) -> str:
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        try:
            return str(json.loads(path.read_bytes())["address"])
        except (FileNotFoundError, ValueError):
            time.sleep(0.05)
    raise AssertionError("the scheduler did not start")


@pytest.fixture
def cluster(scheduler: str) -> Iterator[Any]:
    with distributed.Client(scheduler, timeout=DEADLINE) as client:
        client.wait_for_workers(2, timeout=DEADLINE)
        yield client


def archived(sandbox: Sandbox, directory: Path) -> dict[str, bytes]:
    """Archive a sandbox in this process."""

    async def run() -> None:
        async with sandbox.client() as client:
            await export.archive(client, directory)

    asyncio.run(run())
    return contents(directory)


def test_each_account_is_archived(cluster: Any, example: ModuleType, tmp_path: Path) -> None:
    with ExitStack() as stack:
        sandboxes = {
            f"account-{seed}": stack.enter_context(small_sandbox(jobs=4, seed=seed))
            for seed in range(3)
        }
        accounts = [
            example.Account(name, "SANDBOX_KEY", sandbox.base_url)
            for name, sandbox in sandboxes.items()
        ]
        outcomes = [*example.archive_accounts(cluster, accounts, str(tmp_path / "cluster"))]
        assert {outcome.account for outcome in outcomes} == {*sandboxes}
        assert all(outcome.fetched_jobs == 4 for outcome in outcomes)
        assert all(outcome.failed_jobs == 0 for outcome in outcomes)
        for name, sandbox in sandboxes.items():
            alone = archived(sandbox, tmp_path / "alone" / name)
            assert contents(tmp_path / "cluster" / name) == alone


def test_an_account_that_fails_does_not_stop_the_others(
    cluster: Any, example: ModuleType, tmp_path: Path
) -> None:
    with small_sandbox(jobs=2) as sandbox:
        accounts = [
            example.Account("good", "SANDBOX_KEY", sandbox.base_url),
            example.Account("bad", "NO_SUCH_VARIABLE", sandbox.base_url),
        ]
        outcomes = [*example.archive_accounts(cluster, accounts, str(tmp_path))]
    (summary,) = (outcome for outcome in outcomes if isinstance(outcome, example.Summary))
    ((name, error),) = (outcome for outcome in outcomes if isinstance(outcome, tuple))
    assert (summary.account, summary.jobs) == ("good", 2)
    assert name == "bad"
    assert isinstance(error, KeyError)


def test_two_workers_share_the_limit_of_an_account(
    cluster: Any, example: ModuleType, tmp_path: Path
) -> None:
    with small_sandbox(jobs=60, checkpoints=1) as sandbox:
        expected = archived(sandbox, tmp_path / "alone")
        before, rate, burst = sandbox.stats.requests, 150, 15
        sandbox.limit(TokenBucket(rate=rate, burst=burst))
        accounts = [
            example.Account(name, "SANDBOX_KEY", sandbox.base_url) for name in ("one", "two")
        ]
        began = time.monotonic()
        outcomes = [*example.archive_accounts(cluster, accounts, str(tmp_path))]
        seconds = time.monotonic() - began
        accepted = sandbox.stats.requests - before - sandbox.stats.refused
    assert [outcome.failed_jobs for outcome in outcomes] == [0, 0]
    for name in ("one", "two"):
        assert contents(tmp_path / name) == expected
    assert sandbox.stats.refused > 0
    assert accepted <= burst + rate * seconds + 1


def test_a_worker_that_dies_loses_nothing(
    cluster: Any, example: ModuleType, tmp_path: Path
) -> None:
    with small_sandbox(jobs=12) as sandbox:
        expected = archived(sandbox, tmp_path / "alone")
        account = example.Account("one", "SANDBOX_KEY", sandbox.base_url)
        sandbox.latency = 0.05
        before = sandbox.stats.requests
        future = cluster.submit(example.archive_account, account, str(tmp_path), pure=False)
        while sandbox.stats.requests < before + 10:
            time.sleep(0.01)
        (worker,) = _workers_of(cluster, future)
        os.kill(cluster.run(os.getpid, workers=[worker])[worker], signal.SIGKILL)
        sandbox.latency = 0
        summary = future.result(timeout=DEADLINE)
    assert summary.jobs == 12
    assert contents(tmp_path / "one") == expected
    assert len(records(tmp_path / "one" / "jobs.jsonl")) == 12


def _workers_of(cluster: Any, future: Any) -> set[str]:
    """Return the addresses of the workers that a task runs on."""
    return {worker for worker, tasks in cluster.processing().items() if future.key in tasks}
