"""Measures what an archive costs, and calculates what many jobs cost.

It archives a sandbox that is served by another process, and prints what docs/archive.md says. The
argument is the number of jobs.
"""

import asyncio
import json
import math
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from asyncckpt import AsyncClient
from asyncckpt.export import archive
from asyncckpt.export.store import Store

PAGE = 100
LIMITS = (10, 50, 200)


@attrs.frozen
class Costs:
    """What one job costs, on average."""

    requests: float
    cpu: float
    disk: float
    memory: float
    check: float


@contextmanager
def sandbox_of(jobs: int) -> Iterator[str]:
    """Serve a sandbox from a process of its own; yield its URL."""
    command = [sys.executable, "-m", "asyncckpt.cli", "sandbox", "--port", "0"]
    with subprocess.Popen(
        [*command, "--jobs", str(jobs), "--checkpoints", "3"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield next(
                line.split("=")[1].strip() for line in process.stdout if line.startswith("export")
            )
        finally:
            process.terminate()


def requests_of(directory: Path) -> int:
    """Return how many requests a first run sends without failures, not counting the jobs' list."""
    checkpoints = Counter(
        json.loads(line)["fine_tuning_job_id"] for line in (directory / "checkpoints.jsonl").open()
    )
    index = [json.loads(line) for line in (directory / ".asyncckpt" / "index.jsonl").open()]
    assert sum(checkpoints.values()) == sum(row["checkpoints"]["count"] for row in index)
    pages = sum(
        max(1, math.ceil(row[part]["count"] / PAGE))
        for row in index
        for part in ("checkpoints", "events")
    )
    return pages + sum(1 for _ in (directory / "files.jsonl").open())


async def save(base_url: str, directory: Path) -> None:
    async with AsyncClient(base_url=base_url, api_key="sk-sandbox") as client:
        result = await archive(client, directory, concurrency=50)
    assert not result.failures


def measure(jobs: int, directory: Path) -> Costs:
    with sandbox_of(jobs) as base_url:
        began = time.process_time()
        asyncio.run(save(base_url, directory))
        cpu = time.process_time() - began
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    store = Store(directory)
    tracemalloc.start()
    began = time.process_time()
    store.load(threading.Event())
    check = time.process_time() - began
    memory, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    store.close()
    return Costs(
        requests=requests_of(directory) / jobs + 1 / PAGE,
        cpu=cpu / jobs,
        disk=size / jobs,
        memory=memory / jobs,
        check=check / jobs,
    )


def shown_time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5_400:
        return f"{seconds / 60:,.0f} min"
    return f"{seconds / 3_600:,.1f} h" if seconds < 172_800 else f"{seconds / 86_400:,.1f} d"


def table(costs: Costs) -> str:
    one = (
        f"A job: {costs.requests:.1f} requests, {costs.cpu * 1_000:.1f} ms of CPU, "
        f"{costs.disk / 1_000:.0f} kB on the disk, {costs.memory / 1_000:.1f} kB of memory. "
        f"A process: {costs.requests / costs.cpu:,.0f} requests/s."
    )
    rows = [
        one,
        "",
        "| jobs | requests | CPU | disk | memory | "
        + " | ".join(f"at {limit}/s" for limit in LIMITS)
        + " | a run without news at 10/s |",
        "|--:|--:|--:|--:|--:|" + "--:|" * (len(LIMITS) + 1),
    ]
    for jobs in (10_000, 100_000, 1_000_000):
        requests = jobs * costs.requests
        times = [shown_time(max(requests / limit, jobs * costs.cpu)) for limit in LIMITS]
        again = jobs / PAGE / 10 + jobs * costs.check
        cells = [
            f"{jobs:,}",
            f"{requests:,.0f}",
            shown_time(jobs * costs.cpu),
            f"{jobs * costs.disk / 1e9:,.1f} GB",
            f"{jobs * costs.memory / 1e6:,.0f} MB",
            *times,
            shown_time(again),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(table(measure(int(sys.argv[1]), Path(folder))))
