"""The benchmarks page of the docs, made from the data file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from . import plan, plots, summary
from .harness import Measurement, Summary, ratio
from .layers import FRONT_DOOR, POOL
from .plots import LABELS
from .results import Results
from .targets import FASTEST_DECODER, Target, growth_of, targets

DOCS: Final = Path("docs")
_IMAGES: Final = "benchmarks"

_INTRODUCTION: Final = """\
# Benchmarks

`nox -s bench` measures all of this and writes this page: no figure is typed by hand. Peers are
compared within one run; `nox -s bench -- --only "one job"` measures one group of peers again.
The data of the run are in {download}`results.json <benchmarks/results.json>`.

asyncckpt runs at its defaults, with `limit=100`. Beside it run the official Python SDK on both its
HTTP backends, and the loop that one would write by hand: one `aiohttp.ClientSession`,
`orjson.loads`, no types, no checks, no retries. All talk to the same server, a process of its own
on the same machine. Each measurement is a process of its own, warmed up unless said otherwise, and
the peers take turns, round by round. Figures are medians of the rounds; behind ± is half the range
that the middle half of the rounds cover, left out where there was a single round or it is too small
to show. What takes seconds gets fewer rounds than what takes a tenth of one. Ratios are taken
between neighbours in the same round.
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
        "The floor of the overlap is a bare socket that looks at nothing; that of decoding the "
        f"fastest decoder below, {FASTEST_DECODER}, which drops what it does not know. A target "
        "that lies among the middle half of the rounds counts as even.\n"
    )
    yield from _table(
        ("", "measured", "target", "", "floor"),
        (
            (
                target.what,
                _number(target.measured, target.unit),
                f"{target.sense} {target.bound:g}{_unit(target.unit)}",
                _VERDICTS[target.verdict],
                "" if target.floor is None else _number(target.floor, target.unit),
            )
            for target in found
        ),
    )


_VERDICTS: Final = {"met": "met", "even": "even", "missed": "**missed**"}


def _speed(results: Results) -> Iterator[str]:
    yield "## Speed\n"
    groups = (plan.ONE_JOB, plan.MANY_JOBS, f"{plan.MANY_JOBS}, far")
    yield _image("speed", "Records a second of asyncckpt and its peers, for one job and for many.")
    yield (
        "The last of the three begins cold. asyncckpt has glibc keep the blocks that asyncio "
        "receives into, which the loop by hand does not know to do.\n"
    )
    for group in groups:
        measured = results.of(group)
        ours = results.one(group, "asyncckpt")
        yield f"{measured[0].variant}:\n"
        yield from _table(
            ("", "records/s", "wall", "CPU", "asyncckpt is faster by"),
            (
                (
                    LABELS[one.peer],
                    _plain(plots.speed_of(one), "{:,.0f}"),
                    _seconds(one.summary("wall")),
                    _seconds(one.summary("cpu")),
                    "" if one is ours else _number(ratio(one, ours), "x"),
                )
                for one in measured
            ),
        )
    busy = max(
        one.share("origin_cpu", "wall").median for name in groups for one in results.of(name)
    )
    yield f"The server's own process was busy for {busy:.0%} of the time at most.\n"


_OVERLAP_HEAD: Final = ("", "", "wall", "ideal", "over ideal")


def _overlap(results: Results) -> Iterator[str]:
    yield "## Overlap\n"
    measured = results.of(plan.OVERLAP)
    yield (
        f"{measured[0].params['pages']} pages, a latency on the wire, and work on each page, "
        "awaited or blocking. Ideally the longer of the two hides the other: the ideal time is the "
        "first latency and then, page for page, the longer one, down to the work on the last page. "
        "The bare socket is the floor: it knows the cursors, sends the next request the moment a "
        "page is there, and looks at none. Timers, sockets and two processes that wake each other "
        "up have their share in each page, whoever asks for it; "
        f"{_works_alone(results.of(plan.OVERLAP, plan.FLOOR))}.\n"
    )
    yield _image("overlap", "Time over the ideal, for asyncckpt and its peers.")
    yield from _table(_OVERLAP_HEAD, (_overlap_row(one) for one in measured))
    yield (
        "With a latency that varies (exponentially distributed around 20 ms, the same for all) and "
        "20 ms of awaited work a page, a longer prefetch evens out what it can: a page cannot be "
        "asked for before the one it follows is there.\n"
    )
    yield from _table(_OVERLAP_HEAD, (_overlap_row(one) for one in results.of(plan.JITTER)))


def _works_alone(measured: Sequence[Measurement]) -> str:
    """What the shortest work takes by itself."""
    shortest = min(one.params["work"] for one in measured)
    alone = {
        one.params["work_is"]: one.summary("work_alone").median * 1000
        for one in measured
        if one.params["work"] == shortest
    }
    kinds = " and ".join(f"{milliseconds:.2f} ms {kind}" for kind, milliseconds in alone.items())
    return f"by itself, work of {shortest * 1000:g} ms takes {kinds}"


def _overlap_row(one: Measurement) -> tuple[str, ...]:
    return (
        LABELS[one.peer],
        one.variant,
        _seconds(one.summary("wall")),
        _seconds(one.summary("ideal")),
        _plain(one.over_ideal(), "{:.3f}"),
    )


def _layers(results: Results) -> Iterator[str]:
    yield "## Where the time goes\n"
    taken = {one.peer: one.summary("per_page") for one in results.of(plan.LAYERS)}
    front_door, pool = taken.pop(FRONT_DOOR), taken[POOL]
    saved = (front_door.median - pool.median) * 1e6
    decoding = results.one(plan.DECODING, "asyncckpt").summary("per_record").median * 100 * 1e6
    yield (
        "CPU time of a page of 100 records of one job, without latency, through ever more of the "
        f"client. Through `ClientSession.get` in place of the pool a page takes {saved:.0f} µs "
        "more, so the client's own session does without; one that is lent, traced or behind a "
        f"proxy is used through it. Of what the last row adds, decoding is {decoding:.0f} µs "
        "when measured alone.\n"
    )
    below = [0.0, *(summary.median for summary in taken.values())]
    yield from _table(
        ("", "µs a page", "of these"),
        (
            (
                f"and {name}" if before else name,
                _plain(summary.scaled(1e6), "{:.0f}"),
                f"{(summary.median - before) * 1e6:.0f}",
            )
            for (name, summary), before in zip(taken.items(), below, strict=False)
        ),
    )


def _decoding(results: Results) -> Iterator[str]:
    yield "## Decoding\n"
    floor, typed = (
        results.one(plan.DECODING, name).summary("per_record").scaled(1e6).median
        for name in (FASTEST_DECODER, "msgspec into attrs")
    )
    yield (
        "A page of 100 records, from bytes to records, without a network. The floor is "
        f"{FASTEST_DECODER} with {floor:.2f} µs a record, which is also the first of asyncckpt's "
        f"two steps: types are checked. For frozen attrs records msgspec needs {typed:.2f} µs when "
        "it may drop unknown fields; what asyncckpt takes more goes into keeping them.\n"
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
    alone = results.one(plan.IMPORT, "aiohttp")
    yield (
        "asyncckpt imports aiohttp with its first client. Both together are what a program pays "
        "that lists something; one that only names a record or an error pays the second row.\n"
    )
    yield from _table(
        ("", "ms", "over aiohttp alone"),
        (
            (
                f"`import {one.peer}`",
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
        f"{stream.variant}: after the first tenth the process grew by "
        f"{growth_of(stream) / 2**20:.1f} MiB.\n"
    )
    yield _image("memory", "The memory of the process is flat while records stream by.")
    held = results.of(plan.HELD)
    yield f"{held[0].variant}, what they add to the process:\n"
    yield from _table(
        ("", "bytes a record"),
        ((LABELS[one.peer], f"{one.summary('bytes').median:,.0f}") for one in held),
    )


def _hostile(results: Results) -> Iterator[str]:
    yield "## Servers that refuse and fail\n"
    limited = results.of(plan.LIMITED)
    params = limited[0].params
    ideal = limited[0].summary("ideal").median
    yield (
        f"{params['jobs']} jobs of {params['pages']} pages, {params['concurrency']} at once, "
        f"against a token bucket of {params['rate']:g} requests a second with a burst of "
        f"{params['burst']}, which alone takes {ideal:.1f} s. It says `Retry-After: 1` with each "
        "refusal, or nothing.\n"
    )
    yield from _table(
        ("", "", "wall", "over the limit's own", "refused", "jobs lost"),
        (
            (
                _with_retries(one),
                one.variant,
                _seconds(one.summary("wall")),
                _plain(one.over_ideal(), "{:.2f}"),
                _plain(one.summary("refused").scaled(100), "{:.1f} %"),
                _plain(one.summary("lost"), "{:.0f}"),
            )
            for one in limited
        ),
    )
    faulty = results.of(plan.FAULTY)
    yield f"{faulty[0].variant}: answers reset, failed with 500, or cut in the middle.\n"
    yield from _table(
        ("", "wall", "jobs lost", "records missing", "doubled"),
        (
            (
                _with_retries(one),
                _seconds(one.summary("wall")),
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
    yield _image("growth", "Time grows in proportion to the work, memory hardly at all.")
    for group, size in ((plan.BY_RECORDS, "records"), (plan.BY_JOBS, "jobs")):
        yield from _table(
            (size, "wall", f"µs per {size.removesuffix('s')}", "peak MiB"),
            (
                (
                    f"{one.params[size]:,}",
                    _seconds(one.summary("wall")),
                    _plain(one.summary("wall").scaled(1e6 / one.params[size]), "{:,.3g}"),
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


def _seconds(summary: Summary) -> str:
    if summary.median < 0.1:
        return _plain(summary.scaled(1e3), "{:.3g}") + " ms"
    return _plain(summary, "{:.2f}") + " s"


def _number(summary: Summary, unit: str) -> str:
    digits = "{:.3f}" if unit == "x" and summary.median < 2 else "{:.1f}"
    if unit in ("jobs", "records"):
        digits = "{:.0f}"
    return _plain(summary, digits) + _unit(unit)


def _unit(unit: str) -> str:
    return "\N{MULTIPLICATION SIGN}" if unit == "x" else f" {unit}"
