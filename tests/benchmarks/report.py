"""The benchmarks page of the docs, made from the data file."""

from __future__ import annotations

import itertools
import math
import operator
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from . import plan, plots, summary
from .harness import Measurement, Summary, difference, ratio
from .layers import BY_HAND, DECODER, FRONT_DOOR, PAGER, POOL, SENDER, STEPS
from .peers import PAGE
from .plots import LABELS
from .results import Results
from .targets import Target, growth_of, targets

DOCS: Final = Path("docs")
_IMAGES: Final = "benchmarks"

_INTRODUCTION: Final = f"""\
# Benchmarks

`nox -s bench` measures all of this and writes this page: no figure is typed by hand.
`nox -s bench -- --only "one job"` measures one group of peers again, on the same machine and with
the same versions. The data are in {{download}}`results.json <benchmarks/results.json>`.

asyncckpt runs at its defaults, with `limit={PAGE}`. Beside it run the official Python SDK on both
its HTTP backends, and the loop that one would write by hand: one `aiohttp.ClientSession`,
`orjson.loads`, no types, no checks, no retries. All talk to the same server, a process of its own
on the same machine, started anew for each group.

A round is a fresh process for every peer, in an order that is drawn anew; speed, overlap, layers
and decoding are warmed up first, the rest begins cold. Figures are medians of the rounds; behind ±
is half the range that the middle half of the rounds cover, left out where it is too small to show.
A ratio is taken in each round, and is the median of these. What disturbs one round disturbs its
neighbours, so figures of one table can be compared, those of different tables less so.
"""


def write(results: Results) -> None:
    """Write the page and its plots."""
    for name, draw in _PLOTS.items():
        draw(results, DOCS / _IMAGES / f"{name}.svg")
    (DOCS / "benchmarks.md").write_text("\n".join(_page(results)))
    summary.write(results)


_PLOTS: Final[dict[str, Callable[[Results, Path], None]]] = {
    "speed": plots.speed,
    "overlap": plots.overlap,
    "decoding": plots.decoding,
    "memory": plots.memory,
    "growth": plots.growth,
}


def _page(results: Results) -> Iterator[str]:
    yield _INTRODUCTION
    yield from _about(results)
    yield from _targets(targets(results))
    yield from _speed(results)
    yield from _overlap(results)
    yield from _layers(results)
    yield from _decoding(results)
    yield from _import(results)
    yield from _memory(results)
    yield from _hostile(results)
    yield from _growth(results)


def _about(results: Results) -> Iterator[str]:
    machine, versions = results.machine, results.versions
    yield f"Machine: {machine['cores']} cores, {machine['processor']}, {machine['system']}."
    yield f"{machine['python']}, " + ", ".join(f"{name} {versions[name]}" for name in versions)
    yield ""
    yield (
        f"Before anything is measured, asyncckpt and the official SDK list the same jobs: "
        f"{results.agreed:,} values of records, pages and an error were compared, and all were "
        "equal under the same names.\n"
    )


def _targets(found: Sequence[Target]) -> Iterator[str]:
    yield "## At a glance\n"
    yield (
        "A target is met if the median meets it; the last column tells how many of the rounds do. "
        "“At best” is what the same comes to with no client at all: bare sockets that know all "
        "requests beforehand and parse but the length of an answer, and where records are wanted "
        "asyncckpt's decoder. For decoding it is the fastest other decoder below, for import "
        "aiohttp with the one package that asyncckpt needs besides.\n"
    )
    yield from _table(
        ("", "measured", "target", "", "at best", "rounds"),
        (
            (
                target.what,
                _number(target.measured, target.unit),
                f"{target.sense} {target.bound:g}{_unit(target.unit)}",
                "met" if target.is_met else "**missed**",
                "" if target.at_best is None else _number(target.at_best, target.unit),
                f"{target.rounds_that_meet} of {len(target.measured.values)}",
            )
            for target in found
        ),
    )


def _speed(results: Results) -> Iterator[str]:
    yield "## Speed\n"
    groups = (plan.ONE_JOB, plan.MANY_JOBS, plan.FAR)
    yield _image("speed", "Records a second of asyncckpt and its peers, for one job and for many.")
    yield (
        f"“{LABELS[plan.TUNED]}” is the same loop after one call that has glibc keep the blocks "
        "that asyncio receives into; asyncckpt makes that call itself. Without it a process may be "
        "lucky with its memory, or not.\n"
    )
    for group in groups:
        measured = results.of(group)
        ours = results.one(group, "asyncckpt")
        yield f"{measured[0].variant}:\n"
        yield from _table(
            ("", "records/s", *_TAKEN, "asyncckpt's speed over it"),
            (
                (
                    LABELS[one.peer],
                    _plain(plots.speed_of(one), "{:,.0f}"),
                    *_taken(one),
                    "" if one is ours else _number(ratio(one, ours), "x"),
                )
                for one in measured
            ),
        )
    busy = max(
        one.share("origin_cpu", "wall").median for name in groups for one in results.of(name)
    )
    yield f"In all of these the server's process was busy for {busy:.0%} of the time at most.\n"


_TAKEN: Final = ("wall", "CPU", "rounds")


def _taken(one: Measurement) -> tuple[str, str, str]:
    return _seconds(one.summary("wall")), _seconds(one.summary("cpu")), f"{len(one.rounds)}"


_OVERLAP_HEAD: Final = ("", "", *_TAKEN, "ideal", "over ideal")


def _overlap(results: Results) -> Iterator[str]:
    yield "## Overlap\n"
    measured = results.of(plan.OVERLAP)
    yield (
        f"{measured[0].params['pages']} pages, a latency on the wire, and work on each page, "
        "awaited or blocking. Ideally the longer of the two hides the other: the ideal time is the "
        "first latency and then, page for page, the longer one, down to the work on the last page. "
        f"“{LABELS[plan.FLOOR]}” looks at no page. Timers, sockets and two processes that wake "
        "each other up have their share in each page, whoever asks for it; by itself, "
        f"{_works_alone(measured)}. What asyncckpt takes more is to receive a page, check it, send "
        f"the next request and make the records: {_overhead(results):.0f} µs a page in the first "
        "of these, with caches that went cold while it waited, where "
        f"[a busy process](#where-the-time-goes) takes {_overhead_when_busy(results):.0f}.\n"
    )
    yield _image("overlap", "Time over the ideal, for asyncckpt and its peers.")
    yield from _table(_OVERLAP_HEAD, (_overlap_row(one) for one in measured))
    varying = results.of(plan.JITTER)
    latency, work = (varying[0].params[name] * 1000 for name in ("latency", "work"))
    yield (
        f"With a latency that varies (exponentially distributed around {latency:g} ms, the same "
        f"for all) and {work:g} ms of awaited work a page, a longer prefetch evens out what it "
        "can. The ideal is that of the same prefetch, and of a prefetch of 1 for peers that have "
        "none: no page is asked for before the one it follows is there, nor further ahead.\n"
    )
    yield from _table(_OVERLAP_HEAD, (_overlap_row(one) for one in varying))


def _overlap_row(one: Measurement) -> tuple[str, ...]:
    return (
        LABELS[one.peer],
        one.variant,
        *_taken(one),
        _seconds(one.summary("ideal")),
        _plain(one.over_ideal(), "{:.3f}"),
    )


def _overhead(results: Results) -> float:
    """Microseconds a page that asyncckpt takes more than no client."""
    ours = results.of(plan.OVERLAP, "asyncckpt")[0]
    none = results.one(plan.OVERLAP, plan.FLOOR, ours.variant)
    pages: int = ours.params["pages"]
    return difference(ours, none, "wall").median / pages * 1e6


def _overhead_when_busy(results: Results) -> float:
    first, last = (results.one(plan.LAYERS, name) for name in (STEPS[0], STEPS[-1]))
    return difference(last, first, "per_page").median * 1e6


def _works_alone(measured: Sequence[Measurement]) -> str:
    """What the shortest work takes when there is nothing else."""
    work = min(one.params["work"] for one in measured)
    taken: dict[str, list[float]] = {}
    for one in measured:
        if one.params["work"] == work:
            taken.setdefault(one.params["work_is"], []).extend(one.medians("work_alone"))
    kinds = [f"{statistics.median(alone) * 1000:.2f} ms {kind}" for kind, alone in taken.items()]
    return f"work of {work * 1000:g} ms takes {' and '.join(kinds)}"


def _layers(results: Results) -> Iterator[str]:
    yield "## Where the time goes\n"
    pool, front_door = (results.one(plan.LAYERS, name) for name in (POOL, FRONT_DOOR))
    saved = difference(front_door, pool, "per_page").scaled(1e6)
    yield (
        f"CPU time of a page of {PAGE} records of one job, without latency, through ever more of "
        f"the client. Through `ClientSession.get` a request takes {_plain(saved, '{:.0f}')} µs "
        "more; only a session that is lent, traced or told to trust the environment is used that "
        "way.\n"
    )
    steps = [results.one(plan.LAYERS, name) for name in STEPS]
    more = [steps[0].summary("per_page")]
    more += [difference(step, before, "per_page") for before, step in itertools.pairwise(steps)]
    yield from _table(
        ("", "µs a page", "of these", "µs a record"),
        (
            (
                f"and {step.peer}" if index else step.peer,
                _plain(step.summary("per_page").scaled(1e6), "{:.0f}"),
                _plain(added.scaled(1e6), "{:.0f}"),
                f"{step.summary('per_page').median * 1e6 / PAGE:.2f}",
            )
            for index, (step, added) in enumerate(zip(steps, more, strict=True))
        ),
    )
    yield (
        "The last step costs next to nothing: with the next page under way, the process does not "
        "go to sleep between two.\n"
    )
    yield _beside_the_loop_by_hand(results)
    ours, none = (
        results.one(plan.MANY_JOBS, peer).summary("cpu").median
        / results.one(plan.MANY_JOBS, peer).params["jobs"]
        * 1e6
        for peer in ("asyncckpt", plan.FLOOR)
    )
    yield (
        f"With many jobs, a job of {results.of(plan.MANY_JOBS)[0].params['records']} records takes "
        f"`list_many` {ours:.0f} µs, of which {none:.0f} are the bare sockets' and the "
        "decoder's.\n"
    )


def _beside_the_loop_by_hand(results: Results) -> str:
    by_hand, client, pool, sender, decoder = (
        results.one(plan.LAYERS, name) for name in (BY_HAND, PAGER, POOL, SENDER, DECODER)
    )
    wall, cpu = by_hand.summary("wall_per_page"), by_hand.summary("per_page")
    least = Summary(
        tuple(
            request + decoded - undecoded
            for request, decoded, undecoded in zip(
                *(one.medians("per_page") for one in (pool, decoder, sender)), strict=True
            )
        )
    )
    speed = Summary(tuple(map(operator.truediv, wall.values, least.values)))
    return (
        f"The loop written by hand takes {_plain(wall.scaled(1e6), '{:.0f}')} µs for the same "
        f"page, {_plain(cpu.scaled(1e6), '{:.0f}')} of them CPU time: it waits for the server. "
        "asyncckpt, which waits for nothing here, has "
        f"{_plain(ratio(by_hand, client), '{:.2f}')} times its speed. If pacing, retries and the "
        "pager cost nothing, and only the request over aiohttp's pool and the decoding were left, "
        f"{_plain(least.scaled(1e6), '{:.0f}')} µs, it would be {_plain(speed, '{:.2f}')} times.\n"
    )


def _decoding(results: Results) -> Iterator[str]:
    yield "## Decoding\n"
    checked, attrs_only, ours = (
        f"{results.one(plan.DECODING, name).summary('per_record').median * 1e6:.2f} µs"
        for name in ("asyncckpt, checked only", "msgspec into attrs", "asyncckpt")
    )
    yield (
        f"A page of {PAGE} records, from bytes to records, without a network. asyncckpt does it in "
        f"two steps. The first checks all types and finds the next cursor, in {checked} a record; "
        f"the second, when the records are asked for, makes it {ours}. For frozen attrs records "
        f"msgspec by itself takes {attrs_only}, and drops unknown fields.\n"
    )
    yield _image("decoding", "Microseconds to decode a record, by several libraries.")
    yield from _table(
        ("", "µs a record"),
        (
            (one.peer, _plain(one.summary("per_record").scaled(1e6), "{:.2f}"))
            for one in results.of(plan.DECODING)
        ),
    )


def _import(results: Results) -> Iterator[str]:
    yield "## Import\n"
    alone = results.one(plan.IMPORT, plan.IMPORT_AIOHTTP)
    yield (
        "asyncckpt imports aiohttp with its first client, and the records of jobs and the "
        "converter when they are first asked for.\n"
    )
    yield from _table(
        ("", "ms", "over aiohttp alone"),
        (
            (
                f"`{one.peer}`",
                _plain(one.summary("wall").scaled(1e3), "{:.0f}"),
                "" if one is alone else _number(ratio(one, alone), "x"),
            )
            for one in results.of(plan.IMPORT)
        ),
    )


def _memory(results: Results) -> Iterator[str]:
    yield "## Memory\n"
    stream = results.of(plan.STREAM)[0]
    yield (
        f"{stream.variant}: after the first tenth the process grew by at most "
        f"{growth_of(stream) / 2**20:.1f} MiB.\n"
    )
    yield _image("memory", "The memory of the process while records stream by.")
    held = results.of(plan.HELD)
    yield f"{held[0].variant}, what they add to the process:\n"
    yield from _table(
        ("", "bytes a record"),
        ((LABELS[one.peer], _plain(one.summary("bytes"), "{:,.0f}")) for one in held),
    )


def _hostile(results: Results) -> Iterator[str]:
    yield "## Servers that refuse and fail\n"
    limited = results.of(plan.LIMITED)
    params = limited[0].params
    ideal = limited[0].summary("ideal").median
    yield (
        f"{params['jobs']} jobs of {params['pages']} pages, {params['concurrency']} at once, "
        f"against a token bucket of {params['rate']:g} requests a second with a burst of "
        f"{params['burst']}, which allows no less than {ideal:.1f} s. It says `Retry-After: 1` "
        "with each refusal, or nothing.\n"
    )
    yield from _table(
        ("", "", *_TAKEN, "over the least", "refused", "jobs lost"),
        (
            (
                _with_retries(one),
                one.variant,
                *_taken(one),
                _plain(one.over_ideal(), "{:.2f}"),
                _plain(one.summary("refused").scaled(100), "{:.1f} %"),
                _plain(one.summary("lost"), "{:.0f}"),
            )
            for one in limited
        ),
    )
    faulty = results.of(plan.FAULTY)
    params = faulty[0].params
    yield (
        f"{faulty[0].variant}: {params['jobs']} jobs of {params['pages']} pages, "
        f"{params['concurrency']} at once; answers are reset, fail with 500, or are cut in the "
        "middle. Pauses between retries are drawn, and grow: the page that fails most often in a "
        "row decides the time.\n"
    )
    yield from _table(
        ("", *_TAKEN, "jobs lost", "records missing", "doubled"),
        (
            (
                _with_retries(one),
                *_taken(one),
                _plain(one.summary("lost"), "{:.0f}"),
                _plain(one.summary("missing"), "{:.0f}"),
                _plain(one.summary("doubled"), "{:.0f}"),
            )
            for one in faulty
        ),
    )


def _with_retries(one: Measurement) -> str:
    label = LABELS[one.peer]
    retries = one.params.get("max_retries")
    return label if retries is None else f"{label}, {retries} retries"


def _growth(results: Results) -> Iterator[str]:
    yield "## As the work grows\n"
    yield _image("growth", "Time and peak memory against the number of records, and of jobs.")
    for group, size in ((plan.BY_RECORDS, "records"), (plan.BY_JOBS, "jobs")):
        yield from _table(
            (size, *_TAKEN, f"µs per {size.removesuffix('s')}", "peak MiB"),
            (
                (
                    f"{one.params[size]:,}",
                    *_taken(one),
                    _to_three_digits(one.summary("wall").scaled(1e6 / one.params[size])),
                    _plain(one.summary("peak").scaled(1 / 2**20), "{:.0f}"),
                )
                for one in results.of(group)
            ),
        )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "|".join("---" if column == 0 else "--:" for column in range(len(head))) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _image(name: str, text: str) -> str:
    return f"![{text}]({_IMAGES}/{name}.svg)\n"


def _plain(summary: Summary, form: str) -> str:
    half = (summary.high - summary.low) / 2
    value, spread = form.format(summary.median), form.format(half)
    return value if float(spread.strip(" %").replace(",", "")) == 0 else f"{value} ± {spread}"


def _to_three_digits(summary: Summary) -> str:
    decimals = max(0, 2 - math.floor(math.log10(summary.median)))
    return _plain(summary, f"{{:,.{decimals}f}}")


def _seconds(summary: Summary) -> str:
    if summary.median < 0.1:
        return _to_three_digits(summary.scaled(1e3)) + " ms"
    return _plain(summary, "{:.2f}") + " s"


def _number(summary: Summary, unit: str) -> str:
    digits = "{:.3f}" if unit == "x" and summary.median < 2 else "{:.1f}"
    if unit in ("jobs", "records"):
        digits = "{:.0f}"
    return _plain(summary, digits) + _unit(unit)


def _unit(unit: str) -> str:
    return "\N{MULTIPLICATION SIGN}" if unit == "x" else f" {unit}"
