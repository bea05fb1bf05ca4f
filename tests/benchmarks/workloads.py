"""What is measured; run as a program, it runs one workload in a fresh process.

A workload returns its samples. The program prints the median of each quantity in them as JSON.
Times are seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final, Literal

import attrs

from .conditions import Conditions
from .data import job_id
from .decoders import DECODERS, PAGE
from .peers import PEERS, Peer

# How long the repeats of one round go on at most, in seconds.
_LONG_ENOUGH: Final = 1.0

Sample = dict[str, float]


@attrs.frozen
class Server:
    """The addresses of the server.

    Attributes:
        url: Without TLS.
        tls_url: With TLS.
    """

    url: str
    tls_url: str

    def base_url(self, conditions: Conditions, *, tls: bool = False) -> str:
        """Return the base URL to give to a client."""
        return f"{self.tls_url if tls else self.url}/{conditions.segment()}/v1"

    def stats(self, conditions: Conditions) -> dict[str, float]:
        """Return what the server counted in a run, and the CPU time of its process."""
        with urllib.request.urlopen(f"{self.url}/stats/{conditions.segment()}") as response:
            counts: dict[str, float] = json.load(response)
            return counts


@attrs.define
class Stopwatch:
    """Wall and CPU time of a block; `cpu` counts all threads of the process."""

    wall: float = 0.0
    cpu: float = 0.0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Measure a block."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall, self.cpu = time.perf_counter() - wall, time.process_time() - cpu


def _resident() -> int:
    """Return the bytes of memory that the process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _peak_resident() -> int:
    """Return the most memory that the process ever had; `ru_maxrss` includes its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split(None, 1)[0]) * 1024


def _check(records: int, expected: int) -> None:
    if records != expected:
        raise RuntimeError(f"{records} records arrived, not {expected}")


async def reading(
    server: Server,
    peer: str,
    *,
    jobs: int = 1,
    records: int,
    concurrency: int = 1,
    limit: int | None = PAGE,
    tls: bool = False,
    cold: bool = False,
    repeats: int = 10,
    **conditions: Any,
) -> list[Sample]:
    """Loop over the records of one job, or of many jobs at once.

    A cold client is new, with its modules imported: opening and closing it count.
    """
    base_url = server.base_url(Conditions(**conditions), tls=tls)
    ids = [job_id(number, records) for number in range(jobs)]

    async def read(client: Peer) -> None:
        one = client.read(ids[0], limit) if jobs == 1 else client.read_many(ids, concurrency)
        _check(await one, jobs * records)

    async def read_cold() -> None:
        async with PEERS[peer](base_url) as client:
            await read(client)

    if cold:
        async with PEERS[peer](base_url):
            pass
        return [await _sample(server, read_cold, jobs * records)]
    samples: list[Sample] = []
    async with PEERS[peer](base_url) as client:
        await read(client)
        until = time.monotonic() + _LONG_ENOUGH
        while not samples or (len(samples) < repeats and time.monotonic() < until):
            samples.append(await _sample(server, lambda: read(client), jobs * records))
    return samples


async def _sample(server: Server, read: Callable[[], Awaitable[None]], records: int) -> Sample:
    watch = Stopwatch()
    busy = server.stats(Conditions())["cpu"]
    with watch.running():
        await read()
    busy = server.stats(Conditions())["cpu"] - busy
    return {
        "wall": watch.wall,
        "cpu": watch.cpu,
        "per_record": watch.wall / records,
        "server_busy": busy / watch.wall,
        "peak": _peak_resident(),
    }


async def overlapping(
    server: Server,
    peer: str,
    *,
    latency: float,
    work: float,
    work_is: Literal["awaited", "blocking"] = "awaited",
    pages: int,
    jitter: bool = False,
) -> list[Sample]:
    """Work on each page of a server with a latency: how much the two overlap."""
    conditions = Conditions(latency=latency, jitter=jitter, exact=True)
    watch = Stopwatch()
    async with PEERS[peer](server.base_url(conditions)) as client:
        await client.read(job_id(2, PAGE))
        with watch.running():
            async for page in client.pages(job_id(1, pages * PAGE)):
                # Some peers make records on demand; their cost is part of the comparison.
                assert page
                if work_is == "awaited":
                    await asyncio.sleep(work)
                else:
                    time.sleep(work)  # noqa: ASYNC251
    ideal = _ideal([conditions.latency_of(page * PAGE) for page in range(pages)], work)
    return [{"wall": watch.wall, "cpu": watch.cpu, "over_ideal": watch.wall / ideal}]


def _ideal(latencies: list[float], work: float) -> float:
    """Return the time with one page fetched ahead, and everything else free."""
    received = done = worked_before = 0.0
    for latency in latencies:
        received = max(received, worked_before) + latency
        worked_before, done = done, max(done, received) + work
    return done


async def decoding(server: Server, peer: str, *, repeats: int) -> list[Sample]:
    """Decode pages without a network; `peer` names the decoder."""
    make, page = DECODERS[peer]
    decode, numbers = make(), itertools.count()
    decode(page(next(numbers)))
    samples = []
    for _ in range(repeats):
        pages = [page(next(numbers)) for _ in range(20)]
        watch = Stopwatch()
        with watch.running():
            for body in pages:
                decode(body)
        samples.append({"per_record": watch.wall / len(pages) / PAGE})
    return samples


async def importing(server: Server, peer: str, *, repeats: int) -> list[Sample]:
    """Run an import statement, which is `peer`, in processes with nothing imported."""
    program = f"import time; t = time.perf_counter(); {peer}; print(time.perf_counter() - t)"
    # Installed packages are compiled in advance; here the first run compiles what is not.
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-P", "-c", program]
    samples = []
    for _ in range(1 + repeats):
        run = subprocess.run(  # noqa: ASYNC221
            command, capture_output=True, text=True, check=True, env=environment
        )
        samples.append({"wall": float(run.stdout)})
    return samples[1:]


async def holding(server: Server, peer: str, *, records: int) -> list[Sample]:
    """Keep the records of a job in a list: the memory that they take."""
    async with PEERS[peer](server.base_url(Conditions())) as client:
        # Caches and pools are not part of the records.
        await client.read(job_id(2, 10 * PAGE))
        gc.collect()
        before = _resident()
        held = [record async for page in client.pages(job_id(1, records)) for record in page]
        gc.collect()
        taken = _resident() - before
        _check(len(held), records)
    return [{"bytes": taken / records}]


async def failing(
    server: Server, peer: str, *, jobs: int, pages: int, concurrency: int, **conditions: Any
) -> list[Sample]:
    """Read many jobs, in pages of 10 records, from a server that refuses or fails."""
    asked = Conditions(run=f"{os.getpid()}", **conditions)
    ids = [job_id(number, pages * 10) for number in range(jobs)]
    watch = Stopwatch()
    seen: list[str] = []
    async with PEERS[peer](server.base_url(asked)) as client:
        with watch.running():
            lost = await client.check_many(ids, concurrency, 10, seen.append)
    once = len(set(seen))
    counts = server.stats(asked)
    sample = {
        "wall": watch.wall,
        "refused": counts["refused"] / counts["received"],
        "lost": lost,
        "wrong": jobs * pages * 10 - once + len(seen) - once,
    }
    if asked.rate:
        sample["over_least"] = watch.wall / ((jobs * pages - asked.burst) / asked.rate)
    return [sample]


WORKLOADS: Final[dict[str, Callable[..., Awaitable[list[Sample]]]]] = {
    workload.__name__: workload
    for workload in (reading, overlapping, decoding, importing, holding, failing)
}


def main() -> None:
    """Run the workload that the argument describes."""
    task: dict[str, Any] = json.loads(sys.argv[1])
    workload = WORKLOADS[task["workload"]]

    async def run() -> list[Sample]:
        return await workload(Server(**task["server"]), task["peer"], **task["params"])

    samples = asyncio.run(run())
    medians = {name: statistics.median(one[name] for one in samples) for name in samples[0]}
    sys.stdout.write(json.dumps(medians))


if __name__ == "__main__":
    main()
