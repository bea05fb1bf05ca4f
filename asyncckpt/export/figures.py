"""Draws a plot with matplotlib, and saves it as PNG or SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from asyncckpt.export.drafts import Draft
from asyncckpt.export.extras import check_extra
from asyncckpt.export.labels import best_label, shown_name, title_of
from asyncckpt.export.plots import JobPlot, Plot
from asyncckpt.export.raster import Raster
from asyncckpt.export.thinning import Point, Segment

if TYPE_CHECKING:
    from os import PathLike

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "INK", "check_path", "drawn_as_figure", "save_figure"]

# Each has a contrast of at least 3 with white and with black (WCAG 2.2, 1.4.11).
INK: Final = "#7c7c7c"
COLOURS: Final = (
    "#1b7ded",
    "#e15e06",
    "#078e4b",
    "#dc3697",
    "#8d51e0",
    "#0095a2",
    "#b48700",
    "#de2620",
    "#729508",
    "#707d8f",
)
_FIRST_CURVE: Final = {"color": COLOURS[0]}
_OTHER_CURVES: Final = (
    {"color": INK, "linewidth": 0.8},
    {"color": INK, "linewidth": 0.8, "linestyle": "--"},
)
_LINES: Final = ("-", "--", ":", "-.")
_MARKERS: Final = "os^Dv<>pP"
_WIDTH, _HEIGHT, _LEGEND_LINE = 8.0, 4.5, 0.2
_DPI: Final = 150
# A character is about this share of the axes.
_CELLS: Final = (90, 22)
_TWO_COLUMNS: Final = 60
_NO_LABEL, _SHOWN = "_", " "
_FORMATS: Final = {".png": {}, ".svg": {"Date": None}}


def check_path(path: str | PathLike[str]) -> Path:
    """Return a path if a plot can be saved there.

    Args:
        path: The file.

    Raises:
        ValueError: Its suffix is neither ``.png`` nor ``.svg``.
        ImportError: matplotlib is missing.
    """
    target = Path(path)
    if target.suffix.lower() not in _FORMATS:
        raise ValueError(f"a plot is saved as .png or .svg, not as {target.name!r}")
    check_extra("plots", "matplotlib")
    return target


def save_figure(plot: Plot, path: str | PathLike[str]) -> None:
    """Write a plot to a file; see `Plot.save`."""
    target = check_path(path)
    suffix = target.suffix.lower()
    figure: Any = drawn_as_figure(plot)
    draft = Draft(target)
    draft.open()
    try:
        figure.savefig(
            draft.file,
            format=suffix[1:],
            dpi=_DPI,
            transparent=True,
            # A file without the time does not change with each run.
            metadata=_FORMATS[suffix],
        )
        draft.commit()
    except BaseException:
        draft.discard()
        raise


def drawn_as_figure(plot: Plot) -> Figure:
    """Draw a plot with matplotlib; see `Plot.figure`."""
    check_extra("plots", "matplotlib")
    from matplotlib.figure import Figure

    is_single = len(plot.jobs) == 1
    entries = 1 if is_single else math.ceil(len(plot.jobs) / 2)
    figure = Figure(
        figsize=(_WIDTH, _HEIGHT + _LEGEND_LINE * entries),
        facecolor="none",
        layout="constrained",
    )
    axes = figure.add_subplot(facecolor="none")
    if is_single:
        _draw_one(axes, plot.jobs[0])
    else:
        _draw_several(axes, plot.jobs)
    _label_best(axes, plot)
    _style(axes, plot)
    _add_legend(figure, axes, is_single=is_single)
    return figure


def _draw_one(axes: Axes, job: JobPlot) -> None:
    for number, (name, segments) in reversed(list(enumerate(job.curves.items()))):
        how = _FIRST_CURVE if number == 0 else _OTHER_CURVES[number - 1]
        _draw_curve(axes, segments, shown_name(name), how)
    _draw_marks(axes, job.checkpoints, "checkpoint", COLOURS[0], "o")
    if job.best is not None:
        _draw_best(axes, job.best, best_label(job.best), COLOURS[1], "*", 15)


def _draw_several(axes: Axes, jobs: Sequence[JobPlot]) -> None:
    for index, job in reversed(list(enumerate(jobs))):
        colour = COLOURS[index % len(COLOURS)]
        marker = _MARKERS[index % len(_MARKERS)]
        line = _LINES[index % len(_LINES)]
        label = shown_name(job.fine_tuning_job_id)
        if job.best is not None:
            label += f": {best_label(job.best)}"
        for segments in job.curves.values():
            _draw_curve(axes, segments, None, {"color": colour, "linestyle": line})
        _draw_marks(axes, job.checkpoints, None, colour, marker)
        if job.best is not None:
            _draw_best(axes, job.best, None, colour, marker, 9)
        # What stands for the job in the legend: its line with its mark.
        _plot(axes, [], label, color=colour, linestyle=line, marker=marker, markersize=5)


def _plot(axes: Any, points: Sequence[tuple[float, float]], label: str | None, **how: Any) -> None:
    # matplotlib leaves a label with an underscore in front out of the legend.
    axes.plot(
        [step for step, _ in points],
        [value for _, value in points],
        label=_NO_LABEL if label is None else f"{_SHOWN}{label}",
        **how,
    )


def _draw_curve(
    axes: Axes, segments: Sequence[Segment], label: str | None, how: Mapping[str, Any]
) -> None:
    # A point that is not a number ends a line.
    points = [point for segment in segments for point in (*segment, (math.nan, math.nan))]
    _plot(axes, points, label, **{"linewidth": 1.3, **how})
    alone = [segment[0] for segment in segments if len(segment) == 1]
    _plot(axes, alone, None, linestyle="none", marker=".", markersize=4, color=how["color"])


def _draw_marks(
    axes: Axes, points: Sequence[Point], label: str | None, colour: str, marker: str
) -> None:
    hollow = {"markerfacecolor": "none", "markeredgecolor": colour}
    _plot(axes, points, label, linestyle="none", marker=marker, markersize=5, **hollow)


def _draw_best(
    axes: Axes, best: Point, label: str | None, colour: str, marker: str, size: float
) -> None:
    how = {"marker": marker, "markersize": size, "color": colour, "zorder": 3}
    _plot(axes, [best], label, linestyle="none", **how)


def _label_best(axes: Any, plot: Plot) -> None:
    best = plot.jobs[0].best
    if best is None:
        return
    label = best_label(best)
    raster = Raster(plot, *_CELLS)
    width = len(label) + 2
    # Without a free place, the legend has the label.
    if (place := raster.place_near(best, width)) is None:
        return
    column, row = place
    at = (
        raster.x.value((column + width / 2) / raster.canvas.columns),
        raster.y.value(1 - (row + 0.5) / raster.canvas.rows),
    )
    axes.annotate(
        label,
        best,
        xytext=at,
        ha="center",
        va="center",
        color=INK,
        arrowprops={"arrowstyle": "-", "color": INK, "shrinkB": 6},
    )


def _style(axes: Any, plot: Plot) -> None:
    # All that is set here does not depend on the user's matplotlibrc.
    title = axes.set_title(title_of(plot), loc="left", color=INK, fontsize="medium")
    title.set_parse_math(False)
    axes.set_xlabel("step", color=INK)
    axes.tick_params(colors=INK)
    axes.grid(visible=True, color=INK, alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(INK)
    axes.xaxis.get_major_locator().set_params(integer=True)


def _add_legend(figure: Any, axes: Any, *, is_single: bool) -> None:
    handles, labels = axes.get_legend_handles_labels()
    shown = [label.removeprefix(_SHOWN) for label in labels]
    columns = 4 if is_single else 2 if max(map(len, shown)) <= _TWO_COLUMNS else 1
    # The best job was drawn last.
    legend = figure.legend(
        handles[::-1],
        shown[::-1],
        loc="outside lower left",
        ncols=columns,
        frameon=False,
        labelcolor=INK,
        fontsize="small" if is_single else "x-small",
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
