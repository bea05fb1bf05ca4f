"""What is measured. Each workload runs in a fresh process and returns its samples."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final, Literal

import attrs

from .data import job_id
from .decoders import decoders
from .orders import Orders
from .origin import RunningOrigin
from .peers import OPEN, PAGE, Peer

_WORK_ALONE: Final = 20

Sample = dict[str, float]
Samples = list[Sample]


@attrs.define
class Stopwatch:
    """Wall and CPU seconds of a block; `cpu` counts all threads of the process."""

    wall: float = 0.0
    cpu: float = 0.0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Measure a block."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall, self.cpu = time.perf_counter() - wall, time.process_time() - cpu

    def sample(self, **more: float) -> Sample:
        """What was measured, and what else is known of it."""
        return {"wall": self.wall, "cpu": self.cpu, **more}


def _now_resident() -> int:
    """Bytes of memory that the process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _peak_resident() -> int:
    """The most memory that the process ever had; `ru_maxrss` would count its parent's as well."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this system does not say how much memory a process has had")


@contextlib.asynccontextmanager
async def _opened(
    origin: RunningOrigin, peer: str, orders: Orders | None = None, **options: Any
) -> AsyncIterator[Peer]:
    async with OPEN[peer](origin.base_url(orders or Orders()), **options) as opened:
        yield opened


def _expect(records: int, expected: int) -> None:
    if records != expected:
        raise RuntimeError(f"{records} records came, not {expected}")


async def one_job(
    origin: RunningOrigin,
    peer: str,
    *,
    records: int,
    warmups: int = 1,
    repeats: int,
    run: str = "",
) -> Samples:
    """All records of one job, no latency."""
    job = job_id(1, records)
    samples = []
    async with _opened(origin, peer, Orders(run=run)) as client:
        for turn in range(warmups + repeats):
            watch = Stopwatch()
            busy = origin.stats(Orders())["cpu"]
            with watch.running():
                _expect(await client.read(job), records)
            busy = origin.stats(Orders())["cpu"] - busy
            if turn >= warmups:
                samples.append(watch.sample(origin_cpu=busy, peak=_peak_resident()))
    return samples


async def overlap(
    origin: RunningOrigin,
    peer: str,
    *,
    latency: float,
    work: float,
    work_is: Literal["awaited", "blocking"],
    pages: int,
    prefetch: int | None = None,
    jitter: bool = False,
) -> Samples:
    """A latency on the wire and work on each page: how much of the two goes on at once."""

    async def do_work() -> None:
        if work_is == "awaited":
            await asyncio.sleep(work)
        else:
            time.sleep(work)  # noqa: ASYNC251

    orders = Orders(latency=latency, jitter=jitter, exact=True)
    options = {} if prefetch is None else {"prefetch": prefetch}
    latencies = [orders.latency_of(page * PAGE) for page in range(pages)]
    alone, watch = Stopwatch(), Stopwatch()
    with alone.running():
        for _ in range(_WORK_ALONE):
            await do_work()
    async with _opened(origin, peer, orders, **options) as client:
        await client.read(job_id(2, PAGE))
        with watch.running():
            await client.read_with_work(job_id(1, pages * PAGE), do_work)
    ideal = _ideal(latencies, work, 1 if prefetch is None else prefetch)
    return [watch.sample(ideal=ideal, work_alone=alone.wall / _WORK_ALONE)]


def _ideal(latencies: list[float], work: float, prefetch: int) -> float:
    """Seconds with all overlapped that may be.

    No page is asked for before the one it follows is there, or more than `prefetch` ahead of the
    one in use; and there is no work before its page.
    """
    arrived, done = 0.0, [0.0]
    for page, latency in enumerate(latencies):
        arrived = max(arrived, done[max(0, page - prefetch)]) + latency
        done.append(max(done[-1], arrived) + work)
    return done[-1]


async def many_jobs(
    origin: RunningOrigin,
    peer: str,
    *,
    jobs: int,
    records: int,
    concurrency: int,
    latency: float = 0.0,
    warmups: int = 1,
    repeats: int = 1,
    run: str = "",
) -> Samples:
    """Many jobs at once."""
    ids = [job_id(number, records) for number in range(jobs)]
    samples = []
    async with _opened(origin, peer, Orders(latency=latency, run=run)) as client:
        for turn in range(warmups + repeats):
            watch = Stopwatch()
            busy = origin.stats(Orders())["cpu"]
            with watch.running():
                _expect(await client.read_many(ids, concurrency), jobs * records)
            busy = origin.stats(Orders())["cpu"] - busy
            if turn >= warmups:
                samples.append(watch.sample(origin_cpu=busy, peak=_peak_resident()))
    return samples


async def layers(
    origin: RunningOrigin, peer: str, *, records: int, warmups: int = 2, repeats: int
) -> Samples:
    """The pages of one job through a part of the client, which `peer` names."""
    from .layers import LAYERS

    samples = []
    async with LAYERS[peer](origin.base_url(Orders()), job_id(1, records)) as read:
        for turn in range(warmups + repeats):
            watch = Stopwatch()
            with watch.running():
                await read()
            if turn >= warmups:
                pages = records / PAGE
                samples.append(
                    watch.sample(per_page=watch.cpu / pages, wall_per_page=watch.wall / pages)
                )
    return samples


async def decoding(origin: RunningOrigin, peer: str, *, repeats: int) -> Samples:
    """Bytes of a page to records, without a network; `peer` names the decoder."""
    decode = decoders()[peer]()
    decode()
    samples = []
    for _ in range(repeats):
        watch = Stopwatch()
        with watch.running():
            for _ in range(20):
                decode()
        samples.append(watch.sample(per_record=watch.wall / 20 / PAGE))
    return samples


async def importing(origin: RunningOrigin, peer: str, *, repeats: int) -> Samples:
    """A statement that imports, which is `peer`, in a process with nothing imported."""
    program = f"import time; t = time.perf_counter(); {peer}; print(time.perf_counter() - t)"
    # Installed packages come compiled; here the first run compiles what is not.
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}
    samples = []
    for _ in range(1 + repeats):
        run = subprocess.run(  # noqa: ASYNC221
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
        samples.append({"wall": float(run.stdout)})
    return samples[1:]


async def streaming(origin: RunningOrigin, peer: str, *, records: int, points: int) -> Samples:
    """The memory of the process while records stream by."""
    every = records // PAGE // points
    samples: Samples = []
    seen = 0

    async def look() -> None:
        nonlocal seen
        seen += 1
        if seen % every == 0:
            samples.append({"records": seen * PAGE, "resident": _now_resident()})

    async with _opened(origin, peer) as client:
        await client.read_with_work(job_id(1, records), look)
    return samples


async def holding(origin: RunningOrigin, peer: str, *, records: int) -> Samples:
    """The memory that records take that are kept in a list."""
    async with _opened(origin, peer) as client:
        # What is cached or pooled in any case is not the records'.
        await client.read(job_id(2, 10 * PAGE))
        gc.collect()
        before = _now_resident()
        held = await client.hold(job_id(1, records))
        gc.collect()
        taken = _now_resident() - before
        _expect(len(held), records)
    return [{"bytes": taken / records}]


@attrs.frozen
class Checked:
    """Many jobs, read from a server that refuses or fails."""

    watch: Stopwatch
    counts: dict[str, float]
    lost: int
    missing: int
    doubled: int


async def _check_many(
    origin: RunningOrigin,
    peer: str,
    orders: Orders,
    *,
    jobs: int,
    pages: int,
    concurrency: int,
    **options: int,
) -> Checked:
    ids = [job_id(number, pages * 10) for number in range(jobs)]
    watch = Stopwatch()
    seen: list[str] = []
    async with _opened(origin, peer, orders, **options) as client:
        with watch.running():
            lost = await client.check_many(ids, concurrency, seen.append, 10)
    once = len(set(seen))
    return Checked(watch, origin.stats(orders), lost, jobs * pages * 10 - once, len(seen) - once)


async def rate_limited(
    origin: RunningOrigin,
    peer: str,
    *,
    run: str,
    rate: float,
    burst: int,
    retry_after: int,
    **size: int,
) -> Samples:
    """A server that lets so many requests a second through, and says 429 to the others."""
    orders = Orders(latency=0.001, rate=rate, burst=burst, retry_after=retry_after, run=run)
    checked = await _check_many(origin, peer, orders, **size)
    return [
        checked.watch.sample(
            ideal=(size["jobs"] * size["pages"] - burst) / rate,
            lost=checked.lost,
            missing=checked.missing,
            refused=checked.counts["refused"] / checked.counts["received"],
        )
    ]


async def faulty(
    origin: RunningOrigin, peer: str, *, run: str, faults: float, **size: int
) -> Samples:
    """A server that resets, fails or cuts a share of its answers."""
    checked = await _check_many(origin, peer, Orders(faults=faults, run=run), **size)
    return [
        checked.watch.sample(
            lost=checked.lost,
            missing=checked.missing,
            doubled=checked.doubled,
            faulty=checked.counts["faulty"] / checked.counts["received"],
        )
    ]


Workload = Callable[..., Awaitable[Samples]]

WORKLOADS: Final[dict[str, Workload]] = {
    workload.__name__: workload
    for workload in (
        one_job,
        overlap,
        many_jobs,
        layers,
        decoding,
        importing,
        streaming,
        holding,
        rate_limited,
        faulty,
    )
}


def run(origin: RunningOrigin, name: str, peer: str, params: dict[str, Any]) -> Samples:
    """Run one workload to its end."""
    workload = functools.partial(WORKLOADS[name], origin, peer, **params)

    async def main() -> Samples:
        return await workload()

    return asyncio.run(main())
