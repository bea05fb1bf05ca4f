"""The plots of the page: SVG that can be read on light and on dark."""

from __future__ import annotations

import contextlib
import functools
import operator
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from . import plan
from .results import Results, Summary

# Mid-tones: all of them have some contrast with white and with black.
_TEXT: Final = "#7d858f"
_GRID: Final = "#7d858f55"
_OURS: Final = "#1f9e8a"
_OTHERS: Final = "#8f86c9"

_STYLE: Final[Any] = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.transparent": True,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _TEXT,
    "axes.titlecolor": _TEXT,
    "axes.titlesize": "medium",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": _TEXT,
    "xtick.color": _TEXT,
    "ytick.color": _TEXT,
    "grid.color": _GRID,
    "font.family": "sans-serif",
    "svg.fonttype": "none",
    # The same data makes the same file.
    "svg.hashsalt": "asyncckpt",
}


def write(results: Results, folder: Path) -> None:
    """Draw all plots into a folder, in place of those that are there."""
    for old in folder.glob("*.svg"):
        old.unlink()
    titles = {one.name: one.title for one in plan.comparisons()}
    rate = {plan.ONE_JOB: 10_000, plan.MANY_JOBS: 30_000}
    with _figure(folder / "speed.svg", len(rate), 6.2) as rows:
        for axes, (name, records) in zip(rows, rate.items(), strict=True):
            speeds = {
                label: results.of(name, label).map(functools.partial(operator.truediv, records))
                for label in results.rounds[name]
            }
            _bars(axes, speeds, "{:,.0f}")
            axes.set_title(f"{_capitalized(titles[name])}, no latency")
            axes.xaxis.set_major_formatter("{x:,.0f}")
        rows[-1].set_xlabel("records a second (more is better)")
    waits = (plan.NO_LIMIT, plan.NEW_50, plan.OVERLAP)
    with _figure(folder / "waiting.svg", len(waits), 5.6) as rows:
        for axes, name in zip(rows, waits, strict=True):
            walls = {label: results.of(name, label) for label in results.rounds[name]}
            _bars(axes, walls, "{:.2f} s")
            pages = ", 50 pages" if name == plan.OVERLAP else ""
            axes.set_title(_capitalized(titles[name]).replace("`", "") + pages)
        rows[-1].set_xlabel("seconds (less is better)")
    with _figure(folder / "growth.svg", 2, 5.2) as rows:
        _growth(results, rows)


def _capitalized(title: str) -> str:
    return title[0].upper() + title[1:]


@contextlib.contextmanager
def _figure(path: Path, rows: int, height: float) -> Iterator[list[Axes]]:
    with mpl.rc_context(_STYLE):
        figure, axes = plt.subplots(rows, 1, figsize=(7, height), squeeze=False)
        yield [row[0] for row in axes]
        figure.tight_layout()
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)


def _bars(axes: Axes, bars: dict[str, Summary], form: str) -> None:
    """Draw horizontal bars, the first on top, each with its value and its quartiles."""
    summaries, places = list(bars.values()), range(len(bars))
    medians: Sequence[float] = [one.median for one in summaries]
    axes.barh(
        places,
        medians,
        height=0.62,
        xerr=(
            [max(0.0, one.median - one.low) for one in summaries],
            [max(0.0, one.high - one.median) for one in summaries],
        ),
        color=[_OURS if label.startswith("asyncckpt") else _OTHERS for label in bars],
        error_kw={"ecolor": _TEXT, "elinewidth": 1.2, "capsize": 2},
    )
    axes.set_yticks(places, list(bars))
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.set_xlim(0, max(one.high for one in summaries) * 1.16)
    for place, one in zip(places, summaries, strict=True):
        axes.annotate(
            form.format(one.median),
            (one.high, place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
        )


def _growth(results: Results, rows: Sequence[Axes]) -> None:
    for axes, quantity, scale, title, unit in (
        (rows[0], "per_record", 1e6, "Time of a record", "µs"),
        (rows[1], "peak", 1 / 2**20, "Peak memory of the process", "MiB"),
    ):
        for name, per_size, what, colour in (
            (plan.BY_RECORDS, 1, "one job", _OURS),
            (plan.BY_JOBS, 30, "many jobs of 30 records", _OTHERS),
        ):
            sizes = [int(label.replace(",", "")) * per_size for label in results.rounds[name]]
            values = [
                results.of(name, label, quantity).median * scale for label in results.rounds[name]
            ]
            axes.plot(sizes, values, color=colour, marker="o", linewidth=2, label=what)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_ylim(0, 1.2 * axes.get_ylim()[1])
        axes.set_title(title)
        axes.set_ylabel(unit)
        axes.grid()
    rows[1].legend(labelcolor=_TEXT, frameon=False, loc="lower right")
    rows[1].set_xlabel("records in all")
