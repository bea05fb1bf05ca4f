"""The plots of the benchmarks page: SVG that reads on light and on dark."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from . import plan
from .harness import Measurement, Summary
from .results import Results

# Mid-tones: all of them have some contrast with white and with black.
_TEXT: Final = "#7d858f"
_GRID: Final = "#7d858f55"
_OURS: Final = "#1f9e8a"
_THEIRS: Final = "#8f86c9"

LABELS: Final = {
    "asyncckpt": "asyncckpt",
    "handwritten": "aiohttp + orjson by hand",
    "sdk-httpx": "official SDK, httpx",
    "sdk-aiohttp": "official SDK, aiohttp",
    "handwritten, tuned": "by hand, blocks kept",
    "no client": "no client",
}

_STYLE: Final[Any] = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
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
    "legend.frameon": False,
    "font.family": "sans-serif",
    "svg.fonttype": "none",
    # The same data makes the same file.
    "svg.hashsalt": "asyncckpt",
}


@contextlib.contextmanager
def _figure(path: Path, rows: int, width: float, height: float) -> Iterator[list[Axes]]:
    with mpl.rc_context(_STYLE):
        figure, axes = plt.subplots(rows, 1, figsize=(width, height), squeeze=False)
        yield [row[0] for row in axes]
        figure.tight_layout()
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)


def _bars(axes: Axes, bars: Sequence[tuple[str, Summary, bool]], form: str) -> None:
    """Horizontal bars, the first on top, each with its value and its spread."""
    places = range(len(bars))
    values = [summary.median for _, summary, _ in bars]
    below = [max(0.0, summary.median - summary.low) for _, summary, _ in bars]
    above = [max(0.0, summary.high - summary.median) for _, summary, _ in bars]
    axes.barh(
        places,
        values,
        height=0.62,
        xerr=(below, above),
        color=[_OURS if is_ours else _THEIRS for *_, is_ours in bars],
        error_kw={"ecolor": _TEXT, "elinewidth": 1.2, "capsize": 2},
    )
    axes.set_yticks(places, [name for name, *_ in bars])
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.set_xlim(0, max(summary.high for _, summary, _ in bars) * 1.14)
    for place, (_, summary, _) in zip(places, bars, strict=True):
        axes.annotate(
            form.format(summary.median),
            (summary.high, place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
        )


def speed(results: Results, path: Path) -> None:
    """Records a second, for one job and for many."""
    groups = (plan.ONE_JOB, plan.MANY_JOBS, plan.FAR)
    with _figure(path, len(groups), 8, 8.4) as rows:
        for axes, group in zip(rows, groups, strict=True):
            measured = results.of(group)
            bars = [(LABELS[one.peer], speed_of(one), one.peer == "asyncckpt") for one in measured]
            _bars(axes, bars, "{:,.0f}")
            axes.set_title(measured[0].variant)
            axes.xaxis.set_major_formatter("{x:,.0f}")
        rows[-1].set_xlabel("records a second; more is better")


def speed_of(measurement: Measurement) -> Summary:
    """Records a second."""
    params = measurement.params
    records = params["records"] * params.get("jobs", 1)
    return measurement.summary("wall").inverse(records)


def overlap(results: Results, path: Path) -> None:
    """Time over the ideal, where all peers were measured."""
    measured = results.of(plan.OVERLAP)
    full = {one.variant for one in measured if one.peer == "sdk-httpx"}
    variants = [v for v in dict.fromkeys(one.variant for one in measured) if v in full]
    with _figure(path, len(variants), 8, 2.1 * len(variants)) as rows:
        for axes, variant in zip(rows, variants, strict=True):
            bars = [
                (LABELS[one.peer], one.over_ideal(), one.peer == "asyncckpt")
                for one in measured
                if one.variant == variant
            ]
            _bars(axes, bars, "{:.2f}")
            axes.axvline(1, color=_TEXT, linestyle=":", linewidth=1.2)
            axes.set_title(f"{variant} a page")
        rows[-1].set_xlabel("time over the ideal, in which latency and work overlap; 1 is best")


def decoding(results: Results, path: Path) -> None:
    """Microseconds a record."""
    with _figure(path, 1, 8, 3.4) as (axes,):
        # The SDK's would leave the others no room.
        bars = [
            (one.peer, one.summary("per_record").scaled(1e6), one.peer.startswith("asyncckpt"))
            for one in results.of(plan.DECODING)
            if one.peer != "official SDK"
        ]
        _bars(axes, bars, "{:.2f}")
        axes.set_xlabel("µs a record; less is better")


def memory(results: Results, path: Path) -> None:
    """The size of the process while records stream by."""
    stream = results.of(plan.STREAM)[0]
    points = stream.rounds[0]
    with _figure(path, 1, 8, 2.8) as (axes,):
        axes.plot(
            [point["records"] for point in points],
            [point["resident"] / 2**20 for point in points],
            color=_OURS,
            linewidth=2,
        )
        axes.set_ylim(0, 1.2 * max(point["resident"] for point in points) / 2**20)
        axes.set_xlim(0, None)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.grid()
        axes.set_xlabel("records streamed so far")
        axes.set_ylabel("MiB of memory")


def growth(results: Results, path: Path) -> None:
    """Time and memory as the work grows."""
    with _figure(path, 2, 8, 5.6) as rows:
        for axes, quantity, scale, label in (
            (rows[0], "wall", 1.0, "seconds"),
            (rows[1], "peak", 1 / 2**20, "peak MiB"),
        ):
            for group, size, name, colour in (
                (plan.BY_RECORDS, "records", "records of one job", _OURS),
                (plan.BY_JOBS, "jobs", "jobs of 30 records", _THEIRS),
            ):
                measured = results.of(group)
                sizes = [one.params[size] for one in measured]
                values = [one.summary(quantity).median * scale for one in measured]
                axes.plot(sizes, values, color=colour, marker="o", linewidth=2, label=name)
            axes.set_xscale("log")
            axes.set_ylabel(label)
            axes.grid()
        rows[0].set_yscale("log")
        rows[0].legend(labelcolor=_TEXT)
        rows[1].set_ylim(0, 1.2 * rows[1].get_ylim()[1])
        rows[1].set_xlabel("records, or jobs")
