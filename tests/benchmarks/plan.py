"""Which cases make up the suite, and its short form."""

from __future__ import annotations

from typing import Final, Literal

from .decoders import decoders
from .harness import Case
from .layers import LAYERS as LAYERS_BY_NAME

PEERS: Final = ("asyncckpt", "handwritten", "sdk-httpx", "sdk-aiohttp")
FLOOR: Final = "no client"
TUNED: Final = "handwritten, tuned"
FAST: Final = ("asyncckpt", "handwritten", TUNED, FLOOR)

ONE_JOB: Final = "one job"
OVERLAP: Final = "overlap"
JITTER: Final = "jitter"
MANY_JOBS: Final = "many jobs"
FAR: Final = "many jobs, far"
LAYERS: Final = "layers"
DECODING: Final = "decoding"
IMPORT: Final = "import"
IMPORT_AIOHTTP: Final = "import aiohttp"
IMPORT_NEEDED: Final = "import aiohttp, msgspec"
IMPORT_ASYNCCKPT: Final = "import asyncckpt"
IMPORT_ALL: Final = (
    'from asyncckpt import AsyncClient, FineTuningJob, converter; AsyncClient(api_key="key")'
)
IMPORT_AND_USE: Final = 'from asyncckpt import AsyncClient; AsyncClient(api_key="key")'
STREAM: Final = "stream"
HELD: Final = "held"
LIMITED: Final = "limited"
FAULTY: Final = "faulty"
BY_JOBS: Final = "by jobs"
BY_RECORDS: Final = "by records"

WorkIs = Literal["awaited", "blocking"]


def full() -> list[Case]:
    """The whole suite: about twenty minutes."""
    return [
        *one_job(records=10_000, rounds=11),
        *overlap(rounds=5, pages=50),
        *jitter(rounds=3, pages=50),
        *many_jobs(jobs=1_000, rounds=11),
        *many_jobs_at_a_distance(jobs=10_000, rounds=5),
        *layers(records=10_000, rounds=11),
        *decoding(rounds=7, repeats=25),
        *importing(rounds=3, repeats=7),
        *memory(streamed=1_000_000, held=100_000, rounds=3),
        *limited(jobs=400, rounds=3),
        *faulty(jobs=120, rounds=7),
        *growing_jobs((1, 10, 100, 1_000, 10_000), rounds=3),
        *growing_records((100, 1_000, 10_000, 100_000, 1_000_000), rounds=3),
    ]


def short() -> list[Case]:
    """What a change is checked with: less than a minute."""
    return [
        *one_job(records=2_000, rounds=3, peers=(*PEERS[:3], FLOOR)),
        *overlap(rounds=1, pages=25, peers=(PEERS[0], FLOOR), cases=((0.02, 0.02),)),
        *many_jobs(jobs=200, rounds=3, peers=(*PEERS[:2], FLOOR)),
        *layers(records=2_000, rounds=1),
        *decoding(rounds=1, repeats=10),
        *importing(rounds=2, repeats=1),
        *memory(streamed=200_000, held=10_000, rounds=1),
        *limited(jobs=250, rounds=1, peers=(("asyncckpt", {}),)),
        *faulty(jobs=60, rounds=1, peers=(("asyncckpt", {}),)),
    ]


def _rounds_of(peer: str, rounds: int) -> int:
    # The SDK takes seconds, which even out by themselves what disturbs a tenth of one.
    return rounds if peer in FAST else min(rounds, 5)


def one_job(
    *, records: int, rounds: int, peers: tuple[str, ...] = (*PEERS, TUNED, FLOOR)
) -> list[Case]:
    """1: one job, no latency."""
    return [
        Case(
            ONE_JOB,
            f"{records:,} records",
            peer,
            "one_job",
            {"records": records, "warmups": 2, "repeats": 15}
            if peer in FAST
            else {"records": records, "warmups": 1, "repeats": 2},
            _rounds_of(peer, rounds),
        )
        for peer in peers
    ]


def overlap(
    *,
    rounds: int,
    pages: int,
    peers: tuple[str, ...] = (*PEERS, FLOOR),
    cases: tuple[tuple[float, float], ...] = (
        (0.02, 0.02),
        (0.05, 0.05),
        (0.02, 0.05),
        (0.05, 0.02),
    ),
) -> list[Case]:
    """2: a latency, and work on each page."""
    kinds: tuple[WorkIs, ...] = ("awaited", "blocking")
    return [
        Case(
            OVERLAP,
            f"{latency * 1000:g} ms on the wire, {work * 1000:g} ms {work_is}",
            peer,
            "overlap",
            {"latency": latency, "work": work, "work_is": work_is, "pages": pages},
            rounds if peer in ("asyncckpt", FLOOR) else min(rounds, 2),
        )
        for latency, work in cases
        for work_is in kinds
        for peer in peers
        if (latency, work) == (0.02, 0.02) or peer in FAST
    ]


def jitter(*, rounds: int, pages: int) -> list[Case]:
    """2: a latency that varies, which is what a longer prefetch is for."""
    params = {"latency": 0.02, "work": 0.02, "work_is": "awaited", "pages": pages, "jitter": True}
    with_prefetch = [
        Case(
            JITTER,
            f"prefetch {prefetch}",
            peer,
            "overlap",
            {**params, "prefetch": prefetch},
            rounds,
        )
        for peer in ("asyncckpt", FLOOR)
        for prefetch in (1, 2, 4)
    ]
    others = [Case(JITTER, "", peer, "overlap", params, rounds) for peer in PEERS[1:]]
    return [*with_prefetch, *others]


def many_jobs(
    *, jobs: int, rounds: int, peers: tuple[str, ...] = (*PEERS, TUNED, FLOOR)
) -> list[Case]:
    """3: many jobs of a page each."""
    params = {"jobs": jobs, "records": 30, "concurrency": 50}
    return [
        Case(
            MANY_JOBS,
            _size(**params),
            peer,
            "many_jobs",
            {**params, "repeats": 10 if peer in FAST else 1},
            _rounds_of(peer, rounds),
        )
        for peer in peers
    ]


def _size(*, jobs: int, records: int, concurrency: int) -> str:
    return f"{jobs:,} jobs of {records} records, {concurrency} at once"


def many_jobs_at_a_distance(*, jobs: int, rounds: int) -> list[Case]:
    """3: the same from a cold start, with a latency."""
    params, latency = {"jobs": jobs, "records": 30, "concurrency": 200}, 0.02
    return [
        Case(
            FAR,
            f"{_size(**params)}, {latency * 1000:g} ms on the wire",
            peer,
            "many_jobs",
            {**params, "latency": latency, "warmups": 0},
            rounds if peer in FAST else min(rounds, 3),
        )
        for peer in (*PEERS, FLOOR)
    ]


def layers(*, records: int, rounds: int) -> list[Case]:
    """Where the time of a page goes."""
    return [
        Case(LAYERS, "a page", name, "layers", {"records": records, "repeats": 15}, rounds)
        for name in LAYERS_BY_NAME
    ]


def decoding(*, rounds: int, repeats: int) -> list[Case]:
    """4: decoding alone."""
    return [
        Case(DECODING, "a page of 100", name, "decoding", {"repeats": repeats}, rounds)
        for name in decoders()
    ]


def importing(*, rounds: int, repeats: int) -> list[Case]:
    """5: import."""
    return [
        Case(IMPORT, "import", statement, "importing", {"repeats": repeats}, rounds)
        for statement in (
            IMPORT_AIOHTTP,
            IMPORT_NEEDED,
            IMPORT_ASYNCCKPT,
            IMPORT_AND_USE,
            IMPORT_ALL,
            "import openai",
        )
    ]


def memory(*, streamed: int, held: int, rounds: int) -> list[Case]:
    """6: memory, of a stream and of a list."""
    return [
        Case(
            STREAM,
            f"{streamed:,} records streamed",
            "asyncckpt",
            "streaming",
            {"records": streamed, "points": 50},
            1,
        ),
        *(
            Case(HELD, f"{held:,} records in a list", peer, "holding", {"records": held}, rounds)
            for peer in PEERS[:3]
        ),
    ]


def limited(
    *,
    jobs: int,
    rounds: int,
    peers: tuple[tuple[str, dict[str, int]], ...] = (
        ("asyncckpt", {}),
        ("sdk-aiohttp", {"max_retries": 2}),
        ("sdk-aiohttp", {"max_retries": 10}),
    ),
) -> list[Case]:
    """7: a rate limit of 200 requests a second with a burst of 20."""
    params = {"jobs": jobs, "pages": 3, "concurrency": 50, "rate": 200.0, "burst": 20}
    return [
        Case(
            LIMITED,
            "Retry-After: 1" if retry_after else "no hint",
            peer,
            "rate_limited",
            {**params, **options, "retry_after": retry_after},
            rounds,
            per_round=True,
        )
        for retry_after in (1, 0)
        for peer, options in peers
    ]


def faulty(
    *,
    jobs: int,
    rounds: int,
    peers: tuple[tuple[str, dict[str, int]], ...] = (
        ("asyncckpt", {}),
        ("sdk-aiohttp", {"max_retries": 2}),
        ("sdk-aiohttp", {"max_retries": 6}),
    ),
) -> list[Case]:
    """7: 15 % of the answers are reset, failed or cut."""
    params = {"jobs": jobs, "pages": 10, "concurrency": 50, "faults": 0.15}
    return [
        Case(
            FAULTY,
            f"{jobs * 100:,} records, {params['faults']:.0%} faults",
            peer,
            "faulty",
            {**params, **options},
            rounds,
            per_round=True,
        )
        for peer, options in peers
    ]


def growing_jobs(numbers: tuple[int, ...], *, rounds: int) -> list[Case]:
    """8: ever more jobs."""
    return [
        Case(
            BY_JOBS,
            f"{jobs}",
            "asyncckpt",
            "many_jobs",
            {
                "jobs": jobs,
                "records": 30,
                "concurrency": 50,
                "repeats": max(1, min(50, 2_000 // jobs)),
                "run": "growth",
            },
            rounds,
        )
        for jobs in numbers
    ]


def growing_records(numbers: tuple[int, ...], *, rounds: int) -> list[Case]:
    """8: ever more records of one job."""
    return [
        Case(
            BY_RECORDS,
            f"{records}",
            "asyncckpt",
            "one_job",
            {"records": records, "repeats": max(1, min(50, 100_000 // records)), "run": "growth"},
            rounds,
        )
        for records in numbers
    ]
