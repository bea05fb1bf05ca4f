"""The few figures that stand in the README, put there from the data file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from . import plan, plots
from .results import Results
from .targets import SDK

README: Final = Path("README.md")
_BEGIN: Final = "<!-- benchmarks: begin, written by nox -s bench -->"
_END: Final = "<!-- benchmarks: end -->"
_PEERS: Final = ("asyncckpt", "handwritten", SDK)


def write(results: Results) -> None:
    """Put the table between its marks.

    Raises:
        ValueError: The marks are not there.
    """
    text = README.read_text("utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, mark, after = rest.partition(_END)
    if not mark:
        raise ValueError(f"{README} has no place for the benchmarks: {_BEGIN} … {_END}")
    table = "\n".join(_table(results))
    README.write_text(f"{before}{_BEGIN}\n{table}\n{_END}{after}", "utf-8")


def _table(results: Results) -> Iterator[str]:
    yield "| | asyncckpt | aiohttp + orjson by hand, untyped | official SDK, on httpx |"
    yield "|---|--:|--:|--:|"
    for group, what in ((plan.ONE_JOB, "one job of"), (plan.MANY_JOBS, "")):
        measured = [results.one(group, peer) for peer in _PEERS]
        speeds = (f"{plots.speed_of(one).median:,.0f}/s" for one in measured)
        yield f"| {what} {measured[0].variant} | {' | '.join(speeds)} |".replace("|  ", "| ")
    overlap = results.of(plan.OVERLAP, "asyncckpt")[0].variant
    over = [
        f"{one.over_ideal().median:.2f} of the ideal time"
        for peer in _PEERS
        for one in results.of(plan.OVERLAP, peer)
        if one.variant == overlap
    ]
    yield f"| 50 pages, {overlap} | {' | '.join(over)} |"
    limited = [
        next(one for one in results.of(plan.LIMITED, peer) if "Retry-After" in one.variant)
        for peer in ("asyncckpt", "sdk-aiohttp")
    ]
    ours, theirs = (
        f"{one.over_ideal().median:.2f} of the limit's own time, "
        f"{one.summary('refused').median:.0%} refused, {one.summary('lost').median:.0f} jobs lost"
        for one in limited
    )
    params = limited[0].params
    yield (
        f"| {params['jobs']} jobs of {params['pages']} pages, {params['rate']:g} requests/s "
        f"| {ours} | | on aiohttp: {theirs} |"
    )
