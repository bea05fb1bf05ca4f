"""What is compared, with what, and how fast asyncckpt has to be."""

from __future__ import annotations

from typing import Any, Final

import attrs

from .comparison import Comparison, Target
from .decoders import DECODERS
from .peers import BY_HAND, FLOOR, NO_PREFETCH, OURS, PYCURL, RY, SDK, SDK_AIOHTTP, SDK_AIOHTTP_10

ONE_JOB: Final = "speed: one job"
MANY_JOBS: Final = "speed: many jobs"
ONE_JOB_TLS: Final = "speed: one job, TLS"
MANY_JOBS_TLS: Final = "speed: many jobs, TLS"
NO_LIMIT: Final = "real: no limit"
NEW_50: Final = "real: new client, 50 jobs"
OVERLAP: Final = "overlap: 20 ms, 20 ms awaited"
VARYING: Final = "overlap: varying latency"
DECODING: Final = "decoding"
IMPORT: Final = "import"
HELD: Final = "memory"
HINTED: Final = "limit: with a hint"
UNHINTED: Final = "limit: without"
FAULTY: Final = "faults"
BY_RECORDS: Final = "growth: records"
BY_JOBS: Final = "growth: jobs"

_USE: Final = "from asyncckpt import AsyncClient; AsyncClient(api_key='key')"

Params = dict[str, Any]


def comparisons() -> list[Comparison]:
    """Return the whole suite, which takes about twenty minutes."""
    return [
        *_speeds(),
        *_real_conditions(),
        *_overlaps(),
        _decoding(),
        _import(),
        _memory(),
        *_limits_and_faults(),
        *_growth(),
    ]


def short() -> list[Comparison]:
    """Return what a change is checked with in less than a minute."""
    return [one.shortened() for one in comparisons() if one.short is not None]


def _entries(*labels: str) -> dict[str, Params]:
    return {label: {} for label in labels}


def _speeds() -> list[Comparison]:
    """Warm clients and no latency."""
    one, many = {"records": 10_000}, {"jobs": 1_000, "records": 30, "concurrency": 50}
    tls = {"tls": True}
    titles = "one job of 10,000 records", "1,000 jobs of 30 records, 50 at once"
    few = _entries(OURS, BY_HAND, SDK)
    of_many = _entries(OURS, BY_HAND, RY, FLOOR, SDK, SDK_AIOHTTP)
    of_one = _entries(OURS, NO_PREFETCH, BY_HAND, RY, PYCURL, FLOOR, SDK, SDK_AIOHTTP)

    def over(peer: str, bound: float) -> Target:
        return Target(what=f"speed over {peer}", of=peer, over=OURS, at_least=bound)

    def targets(by_hand: float, sdk: float) -> tuple[Target, ...]:
        return over(BY_HAND, by_hand), over(SDK, sdk), over(SDK_AIOHTTP, sdk)

    tls_targets = (over(BY_HAND, 1.0),)
    return [
        Comparison(
            ONE_JOB, titles[0], "reading", one, of_one, 11, targets(1.2, 30), {"records": 2_000}
        ),
        Comparison(
            MANY_JOBS, titles[1], "reading", many, of_many, 11, targets(1, 25), {"jobs": 200}
        ),
        Comparison(ONE_JOB_TLS, f"{titles[0]}, TLS", "reading", one | tls, few, 9, tls_targets),
        Comparison(
            MANY_JOBS_TLS,
            f"{titles[1]}, TLS",
            "reading",
            many | tls,
            few,
            9,
            tls_targets,
            {"jobs": 200},
        ),
    ]


def _real_conditions() -> list[Comparison]:
    """Latency, new clients, TLS, and the code that people write first."""
    no_limit = {"records": 200, "limit": None, "latency": 0.05, "repeats": 1}
    many = {"jobs": 2_000, "records": 30, "concurrency": 200, "latency": 0.05, "repeats": 1}
    new: Params = {"records": 30, "cold": True}
    new_50 = new | {"jobs": 50, "concurrency": 50, "latency": 0.2}
    new_200 = new_50 | {"jobs": 200, "concurrency": 200}
    new_50_tls, new_tls = new_50 | {"tls": True}, new | {"tls": True}
    at_50 = "new client, 50 jobs at once, 200 ms away"
    rows: list[tuple[str, str, Params, float, Params | None]] = [
        (NO_LIMIT, "200 checkpoints without `limit`, 50 ms away", no_limit, 0.25, {"records": 60}),
        ("real: many jobs", "2,000 jobs, 200 at once, 50 ms away", many, 1.0, None),
        ("real: first request", "new client, 1 job", new, 1.0, None),
        ("real: first request, TLS", "new client, 1 job, TLS", new_tls, 1.0, None),
        (NEW_50, at_50, new_50, 1.08, {}),
        ("real: new client, 50 jobs, TLS", f"{at_50}, TLS", new_50_tls, 1.08, None),
        ("real: new client, 200 jobs", at_50.replace("50", "200"), new_200, 1.10, {}),
    ]
    entries = _entries(OURS, BY_HAND, SDK)

    def target(bound: float) -> Target:
        return Target(what=f"time over {BY_HAND}", over=BY_HAND, at_most=bound)

    return [
        Comparison(name, title, "reading", params, entries, 9, (target(bound),), short)
        for name, title, params, bound, short in rows
    ]


def _overlaps() -> list[Comparison]:
    """A latency, and work on each page."""
    entries = _entries(OURS, BY_HAND, FLOOR)
    target = Target(what="time over the ideal", quantity="over_ideal", at_most=1.03, slack=1.45)

    def case(latency: int, work: int, kind: str, rounds: int = 3) -> Comparison:
        params = {"latency": latency / 1e3, "work": work / 1e3, "work_is": kind, "pages": 50}
        title = f"{latency} ms away, {work} ms {kind}"
        name = f"overlap: {latency} ms, {work} ms {kind}"
        return Comparison(name, title, "overlapping", params, entries, rounds, (target,))

    first = attrs.evolve(
        case(20, 20, "awaited", rounds=5), entries=entries | _entries(SDK), short={"pages": 25}
    )
    prefetching = "asyncckpt, prefetch=2", "asyncckpt, prefetch=4"
    varying = attrs.evolve(
        first,
        name=VARYING,
        title="20 ms away on average, 20 ms awaited",
        params=first.params | {"jitter": True},
        entries=_entries(OURS, *prefetching, BY_HAND, SDK),
        targets=(),
        short=None,
    )
    others = [(20, 20, "blocking"), (50, 50, "awaited"), (20, 50, "awaited"), (50, 20, "awaited")]
    return [first, *(case(*one) for one in others), varying]


def _decoding() -> Comparison:
    quantity = "per_record"
    time = Target(what="time", quantity=quantity, at_most=2, scale=1e6, unit=" µs a record")
    hostile = [
        Target(
            what=f"{label.partition(', ')[2]}, time over a normal page",
            of=label,
            over=OURS,
            quantity=quantity,
            at_most=4,
            slack=1.5,
        )
        for label, (_, page) in DECODERS.items()
        if page.__name__.endswith("_names")
    ]
    params, targets = {"repeats": 25}, (time, *hostile)
    entries = _entries(*DECODERS)
    title = "decoding a page"
    return Comparison(DECODING, title, "decoding", params, entries, 5, targets, {"repeats": 5})


def _import() -> Comparison:
    alone, ours = "import aiohttp", "import asyncckpt"
    targets = tuple(
        Target(what=f"{what}time over `{alone}`", of=of, over=alone, at_most=1.15, slack=1.5)
        for what, of in (("", ours), ("and first client, ", _USE))
    )
    params, entries = {"repeats": 7}, _entries(alone, ours, _USE, "import openai")
    title = "import"
    return Comparison(IMPORT, title, "importing", params, entries, 3, targets, {"repeats": 1})


def _memory() -> Comparison:
    target = Target(what=f"memory over {SDK}", over=SDK, quantity="bytes", at_most=0.5)
    params, entries = {"records": 100_000}, _entries(OURS, BY_HAND, SDK)
    return Comparison(HELD, "100,000 records in a list", "holding", params, entries, 3, (target,))


def _limits_and_faults() -> list[Comparison]:
    """Servers that refuse and fail."""
    # On aiohttp, because on httpx the SDK is too slow to reach the limit.
    entries = _entries(OURS, SDK_AIOHTTP, SDK_AIOHTTP_10)
    # With some latency, because an event loop cannot refuse and admit in no time.
    limited = {"jobs": 400, "concurrency": 50, "pages": 3, "rate": 200.0, "burst": 20}
    limited |= {"latency": 0.001}
    faulty = {"jobs": 120, "concurrency": 50, "pages": 10, "faults": 0.15}
    lost = Target(what="jobs lost", quantity="lost", at_most=0, unit="")
    wrong = Target(what="records missing or doubled", quantity="wrong", at_most=0, unit="")
    least = Target(what="time over the least", quantity="over_least", at_most=1.1)
    refused = Target(what="refused", quantity="refused", at_most=3, scale=100, unit=" %", slack=3)
    rows = (
        (HINTED, "200 requests/s, `Retry-After: 1`", limited | {"retry_after": 1}, {"jobs": 200}),
        (UNHINTED, "200 requests/s, no hint", limited, None),
    )
    of_limits = least, refused, lost, wrong
    return [
        *(
            Comparison(name, title, "failing", params, entries, 3, of_limits, short)
            for name, title, params, short in rows
        ),
        Comparison(
            FAULTY,
            "15 % of responses reset, cut or failed",
            "failing",
            faulty,
            entries,
            3,
            (lost, wrong),
            {"jobs": 60},
        ),
    ]


def _growth() -> list[Comparison]:
    """More records, and more jobs: neither the time of each nor the memory may grow."""

    def growing(name: str, what: str, params: Params, sizes: tuple[int, ...]) -> Comparison:
        entries = {f"{size:,}": {"peer": OURS, what: size} for size in sizes}
        most, base = f"{sizes[-1]:,}", f"{sizes[1]:,}"
        targets = tuple(
            Target(
                what=f"{quantity} of {most} over {base}",
                of=most,
                over=base,
                quantity=key,
                at_most=1.1,
            )
            for key, quantity in (("per_record", "time of each"), ("peak", "peak memory"))
        )
        # With a name for the run the server caches no responses: all sizes are treated the same.
        return Comparison(name, what, "reading", params | {"run": "growth"}, entries, 3, targets)

    many = {"records": 30, "concurrency": 50, "repeats": 20}
    return [
        growing(BY_RECORDS, "records", {"repeats": 50}, (100, 10_000, 1_000_000)),
        growing(BY_JOBS, "jobs", many, (1, 100, 10_000)),
    ]
