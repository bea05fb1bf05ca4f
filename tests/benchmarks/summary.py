"""The few figures that stand in the README, put there from the data file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from . import plan, plots
from .harness import Measurement
from .results import Results

README: Final = Path("README.md")
_BEGIN: Final = "<!-- benchmarks: begin, written by nox -s bench -->"
_END: Final = "<!-- benchmarks: end -->"


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
    yield (
        "| | asyncckpt | aiohttp + orjson by hand, untyped "
        "| official SDK, on httpx | official SDK, on aiohttp |"
    )
    yield "|---" + "|--:" * len(plan.PEERS) + "|"
    for group, what in ((plan.ONE_JOB, "one job of "), (plan.MANY_JOBS, "")):
        measured = [results.one(group, peer) for peer in plan.PEERS]
        speeds = (f"{plots.speed_of(one).median:,.0f}/s" for one in measured)
        yield f"| {what}{measured[0].variant} | {' | '.join(speeds)} |"
    first = results.of(plan.OVERLAP, "asyncckpt")[0]
    over = [
        f"{results.one(plan.OVERLAP, peer, first.variant).over_ideal().median:.2f} of the ideal"
        for peer in plan.PEERS
    ]
    yield f"| {first.params['pages']} pages, {first.variant} | {' | '.join(over)} |"
    for ours in results.of(plan.LIMITED, "asyncckpt"):
        yield _limit_row(ours, results.of(plan.LIMITED, "sdk-aiohttp"))
    yield f"\nMedians on {results.machine['cores']} cores, server and client on the same machine."


def _limit_row(ours: Measurement, others: Sequence[Measurement]) -> str:
    params = ours.params
    theirs = [
        f"with {one.params['max_retries']} retries {_against_limit(one)}"
        for one in others
        if one.variant == ours.variant
    ]
    return (
        f"| {params['jobs']} jobs of {params['pages']} pages, {params['rate']:g} requests/s, "
        f"{ours.variant} | {_against_limit(ours)} | has no retries | not measured "
        f"| {'; '.join(theirs)} |"
    )


def _against_limit(one: Measurement) -> str:
    return (
        f"{one.over_ideal().median:.2f} of the least time, "
        f"{one.summary('refused').median:.0%} refused, {one.summary('lost').median:.0f} jobs lost"
    )
