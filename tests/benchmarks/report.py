"""The page of the docs and the table of the README, written from the measurements."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from . import plan, plots
from .comparison import Comparison, Target
from .decoders import PAGE
from .peers import BY_HAND, FLOOR, NO_PREFETCH, OURS, SDK, SDK_AIOHTTP
from .results import Results, Summary

DOCS: Final = Path("docs")
README: Final = Path("README.md")
_BEGIN: Final = "<!-- benchmarks: begin, written by nox -s bench -->"
_END: Final = "<!-- benchmarks: end -->"
_TIMES: Final = "\N{MULTIPLICATION SIGN}"

_WARM: Final = (plan.ONE_JOB, plan.MANY_JOBS, plan.ONE_JOB_TLS, plan.MANY_JOBS_TLS)


def write(results: Results) -> None:
    """Write the page, its plots, and the table of the README.

    Raises:
        ValueError: The README has no place for the table.
    """
    plots.write(results, DOCS / "benchmarks")
    (DOCS / "benchmarks.md").write_text("\n".join(_page(results)), "utf-8")
    text = README.read_text("utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, mark, after = rest.partition(_END)
    if not mark:
        raise ValueError(f"{README} has no place for the benchmarks: {_BEGIN} … {_END}")
    table = "\n".join(_glance(results))
    README.write_text(f"{before}{_BEGIN}\n{table}{_END}{after}", "utf-8")


def _page(results: Results) -> Iterator[str]:
    suite = {one.name: one for one in plan.comparisons()}
    yield "# Benchmarks\n"
    yield "The same work with asyncckpt, a hand-written loop, and the official Python SDK:\n"
    yield from _glance(results)
    yield from _speed(results, suite)
    yield from _real_conditions(results, suite)
    yield from _overlap(results, suite)
    yield from _limits_and_faults(results, suite)
    yield from _memory_and_import(results)
    yield from _decoding(results)
    yield from _targets(results, suite)
    yield from _method(results)


def _glance(results: Results) -> Iterator[str]:
    rows = (
        ("list one job of 10,000 checkpoints", plan.ONE_JOB, _wall),
        ("list 1,000 jobs of 30 checkpoints, 50 at once", plan.MANY_JOBS, _wall),
        ("the same over TLS", plan.MANY_JOBS_TLS, _wall),
        ("`async for` over 200 checkpoints, 50 ms away, no `limit` given", plan.NO_LIMIT, _wall),
        ("new client, 50 jobs at once, 200 ms away", plan.NEW_50, _wall),
        ("50 pages, 20 ms away, 20 ms of work on each", plan.OVERLAP, _wall),
    )
    yield from _table(
        ("", OURS, "aiohttp + orjson by hand", SDK),
        (
            (what, *(cell(results, name, label) for label in (OURS, BY_HAND, SDK)))
            for what, name, cell in rows
        ),
    )
    lost = (results.of(plan.HINTED, label, "lost").median for label in (OURS, SDK_AIOHTTP))
    yield (
        "Of 400 jobs behind a limit of 200 requests a second, asyncckpt loses {:.0f}, the official "
        "SDK (on aiohttp) {:.0f}, and the hand-written loop, which has no retries, every one that "
        "is refused.\n".format(*lost)
    )
    yield f"Medians on {results.machine}; server and client share it.\n"


def _speed(results: Results, suite: dict[str, Comparison]) -> Iterator[str]:
    yield "## Speed without latency\n"
    yield _image("speed", "Records a second of asyncckpt and others, for one job and for many.")
    yield (
        f"`{BY_HAND}` is aiohttp and orjson in a loop, without types, checks or retries. It makes "
        "the same call as asyncckpt to have glibc reuse the blocks that asyncio receives into. "
        f"`{FLOOR}` are asyncio streams that know every request in advance, and msgspec. Faster "
        "clients exist: `ry`, written in Rust, and for one job pycurl, which blocks the event "
        "loop. Both leave types, checks, retries and pacing to you.\n"
    )
    names = (plan.ONE_JOB, plan.MANY_JOBS)
    yield from _table(
        (
            "",
            *(
                f"{_head(suite[name].title)}: {part}"
                for name in names
                for part in ("time", "speed over hand-written")
            ),
        ),
        (
            (
                label,
                *(
                    cell
                    for name in names
                    for cell in (
                        _wall(results, name, label),
                        _speed_over_hand_written(results, name, label),
                    )
                ),
            )
            for label in results.rounds[plan.ONE_JOB]
        ),
    )
    yield (
        "Where the difference to the hand-written loop comes from, per page. Less CPU time is "
        "cheaper code; less waiting is overlap: the next page is requested before the records of "
        "this one are handed out. With many jobs at once the hand-written loop does not wait "
        "either.\n"
    )
    pages = {
        plan.ONE_JOB: 100,
        plan.MANY_JOBS: 1_000,
        plan.ONE_JOB_TLS: 100,
        plan.MANY_JOBS_TLS: 1_000,
    }
    yield from _table(
        ("", "hand-written", OURS, "less CPU", "less waiting"),
        (_lead(results, suite[name].title, name, pages[name]) for name in _WARM),
    )
    yield (
        "Without overlap (`prefetch=0`) asyncckpt lists one job at "
        f"{_speed_over_hand_written(results, plan.ONE_JOB, NO_PREFETCH)} the speed of the "
        "hand-written loop.\n"
    )


def _head(title: str) -> str:
    return title.partition(" of ")[0]


def _lead(results: Results, title: str, name: str, pages: int) -> Iterator[str]:
    in_us: Callable[[Summary], Summary] = lambda one: one.map(lambda s: s / pages * 1e6)  # noqa: E731
    ours, theirs = (
        [in_us(results.of(name, label, quantity)) for quantity in ("wall", "cpu")]
        for label in (OURS, BY_HAND)
    )
    less_wall, less_cpu = (theirs[which].minus(ours[which]) for which in (0, 1))
    yield title
    for one in (theirs[0], ours[0], less_cpu, less_wall.minus(less_cpu)):
        yield _with_spread(one, "{:z.0f}") + " µs"


def _real_conditions(results: Results, suite: dict[str, Comparison]) -> Iterator[str]:
    yield "## Latency, new clients, TLS\n"
    yield _image("waiting", "Seconds with a latency, for asyncckpt and others.")
    yield (
        "The latency is from a request to its response. A new client is one in a new process, "
        "with its modules imported: opening and closing it count. Where `limit` is not given, "
        "asyncckpt requests 100 records a page, and the server's default is 10.\n"
    )
    yield from _pivot(
        results,
        [one for one in suite.values() if one.name.startswith("real")],
        (OURS, BY_HAND, SDK),
        _wall,
    )


def _overlap(results: Results, suite: dict[str, Comparison]) -> Iterator[str]:
    yield "## Overlap of the server's work and yours\n"
    yield (
        "50 pages, a latency, and work on each page, awaited or blocking; time over the ideal. "
        "Ideally the longer of the two hides the other: the first latency, then page for page the "
        "longer one, and the work on the last page.\n"
    )
    cases = [one for one in suite.values() if one.name.startswith("overlap")]
    yield from _pivot(results, cases[:-1], (OURS, BY_HAND, FLOOR, SDK), _over_ideal)
    varying = results.rounds[plan.VARYING]
    yield (
        "With a latency that varies, a longer prefetch evens it out. "
        f"{cases[-1].title.capitalize()}:\n"
    )
    yield from _table(
        ("", "time"), ((label, _wall(results, plan.VARYING, label)) for label in varying)
    )


def _limits_and_faults(results: Results, suite: dict[str, Comparison]) -> Iterator[str]:
    yield "## Servers that refuse and fail\n"
    yield (
        "400 jobs of 3 pages, 50 at once, against a token bucket of 200 requests a second with a "
        "burst of 20, which takes at least 5.9 s. Then 120 jobs of 10 pages, 50 at once, against a "
        "server of which 15 % of the responses are reset, fail with 500 or are cut. The official "
        "SDK runs with its default of two retries, and with ten; on httpx it is too slow to reach "
        "the limit.\n"
    )
    names = (plan.HINTED, plan.UNHINTED, plan.FAULTY)
    yield from _table(
        ("", "", "time", "refused", "jobs lost"),
        (
            (
                suite[name].title,
                label,
                _wall(results, name, label),
                f"{results.of(name, label, 'refused').median:.0%}",
                f"{results.of(name, label, 'lost').median:.0f}",
            )
            for name in names
            for label in results.rounds[name]
        ),
    )


def _memory_and_import(results: Results) -> Iterator[str]:
    yield "## Memory\n"
    yield "100,000 records in a list, what they add to the process:\n"
    yield from _table(
        ("", "bytes a record"),
        (
            (label, _with_spread(results.of(plan.HELD, label, "bytes"), "{:,.0f}"))
            for label in results.rounds[plan.HELD]
        ),
    )
    yield "A stream needs the same memory however long it is:\n"
    yield _image("growth", "Time of a record and peak memory, by the number of records.")
    yield "## Import\n"
    yield (
        "asyncckpt imports aiohttp with its first client, and the records of jobs and the "
        "converter when they are first used.\n"
    )
    yield from _table(
        ("", "time"),
        (
            (f"`{label}`", _wall(results, plan.IMPORT, label))
            for label in results.rounds[plan.IMPORT]
        ),
    )


def _decoding(results: Results) -> Iterator[str]:
    yield "## Decoding\n"
    yield (
        f"A page of {PAGE} records, from bytes to records, without a network. asyncckpt checks all "
        "types and finds the next cursor first, and makes the records when they are used. It keeps "
        "fields that it does not know, in `.extra`; the rows with names are pages made to be "
        "expensive.\n"
    )
    yield from _table(
        ("", "µs a record"),
        (
            (
                label,
                _with_spread(
                    results.of(plan.DECODING, label, "per_record").map(lambda s: s * 1e6), "{:.2f}"
                ),
            )
            for label in results.rounds[plan.DECODING]
        ),
    )


def _targets(results: Results, suite: dict[str, Comparison]) -> Iterator[str]:
    yield "## Targets\n"
    yield (
        "A target is met if the median of the rounds meets it, and missed within the spread if a "
        "quartile does.\n"
    )
    rows = []
    for one in suite.values():
        for target in one.targets:
            measured = target.measured(results, one.name)
            rows.append(
                (
                    f"{one.title}: {target.what}",
                    _to_three_digits(measured) + target.unit,
                    target.bound,
                    _verdict(target, measured),
                )
            )
    yield from _table(("", "measured", "target", ""), rows)


def _verdict(target: Target, measured: Summary) -> str:
    if target.is_met(measured.median):
        return "met"
    is_close = any(map(target.is_met, (measured.low, measured.high)))
    return "missed within the spread" if is_close else "**missed**"


def _method(results: Results) -> Iterator[str]:
    yield "## How it is measured\n"
    busy = max(
        results.of(name, label, "server_busy").median
        for name in _WARM
        for label in results.rounds[name]
    )
    yield (
        "`nox -s bench` measures all of this and writes this page and the table of the README: no "
        'figure is typed by hand. `nox -s bench -- --only "speed"` measures the comparisons again '
        "whose name starts so, on the same machine with the same versions; `nox -s bench -- "
        "--against main` runs the package of a commit and that of the tree side by side. The data "
        "are in {download}`results.json <benchmarks/results.json>`.\n\n"
        f"asyncckpt runs at its defaults, all peers with `limit={PAGE}` unless the row says "
        "otherwise. The server is a process of its own on the same machine, started anew for each "
        f"comparison; without latency it is busy for {busy:.0%} of the time at most. In each round "
        "every peer runs in a new process, in a new order, and is warmed up first unless it is a "
        "new client. Figures are medians of the rounds; behind ± is half of the interquartile "
        "range, left out where it is too small to show. Ratios are taken round by round, because "
        "what disturbs one round disturbs its neighbours: figures of one row can be compared, "
        "those of different tables less so.\n\n"
        "Before anything is measured, asyncckpt and the official SDK list the same jobs: "
        f"{results.agreed:,} values of records, pages and an error are equal.\n"
    )
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    yield f"{results.machine}. {versions}.\n"


def _pivot(
    results: Results,
    comparisons: Sequence[Comparison],
    labels: Sequence[str],
    cell: Callable[[Results, str, str], str],
) -> Iterator[str]:
    """Yield a table with a row for each comparison and a column for each entry."""
    return _table(
        ("", *labels),
        ((one.title, *(cell(results, one.name, label) for label in labels)) for one in comparisons),
    )


def _wall(results: Results, name: str, label: str) -> str:
    if not results.has(name, label):
        return ""
    wall = results.of(name, label)
    if wall.median < 0.1:
        return _to_three_digits(wall.map(lambda s: s * 1e3)) + " ms"
    return _with_spread(wall, "{:.2f}") + " s"


def _speed_over_hand_written(results: Results, name: str, label: str) -> str:
    if label == BY_HAND or not results.has(name, label):
        return ""
    return _with_spread(results.of(name, BY_HAND).over(results.of(name, label)), "{:.2f}") + _TIMES


def _over_ideal(results: Results, name: str, label: str) -> str:
    if not results.has(name, label):
        return ""
    return _with_spread(results.of(name, label, "over_ideal"), "{:.3f}")


def _table(head: Sequence[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|---" + "|--:" * (len(head) - 1) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _image(name: str, text: str) -> str:
    return f"![{text}](benchmarks/{name}.svg)\n"


def _with_spread(summary: Summary, form: str) -> str:
    # Without a sign before a zero.
    value = (
        form.format(summary.median).replace("-0", "0")
        if abs(summary.median) < 0.5
        else form.format(summary.median)
    )
    spread = form.format((summary.high - summary.low) / 2)
    return value if float(spread.replace(",", "")) == 0 else f"{value} ± {spread}"


def _to_three_digits(summary: Summary) -> str:
    size = math.floor(math.log10(summary.median)) if summary.median else 0
    return _with_spread(summary, f"{{:,.{max(0, 2 - size)}f}}")
