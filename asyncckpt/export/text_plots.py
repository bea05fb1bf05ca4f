"""Draws a plot as plain text: a title, the curves, two axes and a legend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import attrs

from asyncckpt.export.canvas import Canvas, Dashes
from asyncckpt.export.labels import best_label, cut, shown_name, shown_value, title_of
from asyncckpt.export.plots import JobPlot, Plot
from asyncckpt.export.raster import Raster, dashes_of

__all__ = ["drawn_as_text"]

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_MARK_DISTANCE: Final = 4
_LEAST_ROWS: Final = 6
_ROWS_PER_COLUMN: Final = 0.3
_COLUMNS_PER_TICK: Final = 10
_ROWS_PER_TICK: Final = 3
_SAMPLE: Final = 4
_GAP: Final = 3
_LEAST_NAME: Final = 8
_MAX_TICK: Final = 9
_X_TITLE: Final = "step"


@attrs.frozen
class _Characters:
    """The characters of a plot that are not letters."""

    checkpoint: str
    best: str
    vertical: str
    vertical_tick: str
    horizontal: str
    horizontal_tick: str
    corner: str
    ellipsis: str


_UNICODE: Final = _Characters("○", "★", "│", "┤", "─", "┬", "└", "…")
_ASCII: Final = _Characters("o", "*", "|", "+", "-", "+", "+", "...")


def drawn_as_text(plot: Plot, width: int, height: int, *, ascii_only: bool) -> str:
    """Draw a plot as text; see `Plot.text`."""
    drawing = _Drawing(plot, width, height, ascii_only=ascii_only)
    return "".join(f"{line.rstrip()}\n" for line in drawing.lines())


class _Drawing:
    """One drawing of a plot.

    Args:
        plot: The plot.
        width: Its width in characters.
        height: The lines to fill.
        ascii_only: Whether to use ASCII characters only.
    """

    def __init__(self, plot: Plot, width: int, height: int, *, ascii_only: bool) -> None:
        self._plot = plot
        self._width = width
        self._ascii_only = ascii_only
        self._characters = _ASCII if ascii_only else _UNICODE
        self._is_single = len(plot.jobs) == 1
        self._legend = self._legend_lines()
        # Above and below are the title, the axis and its labels.
        rows = height - len(self._legend) - 3
        rows = max(_LEAST_ROWS, min(rows, round(width * _ROWS_PER_COLUMN)))
        self._y_labels = self._labels_of(Raster(plot, 1, rows), rows)
        self._margin = max(len(_X_TITLE), *map(len, self._y_labels.values())) + 1
        self._raster = Raster(plot, width - self._margin - 1, rows, ascii_only=ascii_only)
        self._canvas = self._raster.canvas

    def lines(self) -> list[str]:
        """Return the lines of the drawing."""
        for index, job in reversed(list(enumerate(self._plot.jobs))):
            self._draw_checkpoints(index, job)
        for index, job in reversed(list(enumerate(self._plot.jobs))):
            if job.best is not None:
                self._canvas.text(*self._raster.cell(job.best), self._best_mark(index))
        self._draw_label()
        title = cut(title_of(self._plot), self._width, self._characters.ellipsis)
        return [title, *self._body(), *self._axis(), *self._legend]

    def _draw_checkpoints(self, index: int, job: JobPlot) -> None:
        mark = self._characters.checkpoint if self._is_single else _LETTERS[index]
        last = -_MARK_DISTANCE
        for point in job.checkpoints:
            column, row = self._raster.cell(point)
            # Between the letters of several jobs, their lines have to be seen.
            if self._is_single or column - last >= _MARK_DISTANCE:
                self._canvas.text(column, row, mark)
                last = column

    def _best_mark(self, index: int) -> str:
        return self._characters.best if self._is_single else _LETTERS[index].upper()

    def _draw_label(self) -> None:
        best = self._plot.jobs[0].best
        if best is None:
            return
        whose = "" if self._is_single else f"{self._best_mark(0)}: "
        text = f" {whose}{best_label(best)} "
        # If there is no place for it, the legend has it too.
        if place := self._raster.place_near(best, len(text)):
            self._canvas.text(*place, text)

    def _body(self) -> list[str]:
        plain, tick = self._characters.vertical, self._characters.vertical_tick
        return [
            f"{self._y_labels.get(row, ''):>{self._margin - 1}} "
            f"{tick if row in self._y_labels else plain}{line}"
            for row, line in enumerate(self._canvas.lines())
        ]

    def _axis(self) -> list[str]:
        line = [self._characters.horizontal] * self._canvas.columns
        labels = [*_X_TITLE.ljust(self._width)]
        free = self._margin
        for tick in self._raster.x.ticks(max(2, self._canvas.columns // _COLUMNS_PER_TICK)):
            text, cell = shown_value(tick), self._raster.x.dot(tick) // 2
            # Centred under the tick, as far as there is room.
            start = min(self._margin + 1 + cell - len(text) // 2, self._width - len(text))
            if start >= free and tick == int(tick):
                labels[start : start + len(text)] = text
                line[cell] = self._characters.horizontal_tick
                free = start + len(text) + 2
        corner = " " * self._margin + self._characters.corner
        return [corner + "".join(line), "".join(labels)]

    @staticmethod
    def _labels_of(raster: Raster, rows: int) -> dict[int, str]:
        ticks = raster.y.ticks(max(2, rows // _ROWS_PER_TICK))
        labels: dict[int, str] = {}
        for tick, text in zip(ticks, _with_same_decimals(ticks), strict=True):
            labels.setdefault(rows - 1 - raster.y.dot(tick) // 4, text)
        return labels

    def _legend_lines(self) -> list[str]:
        if self._is_single:
            items = self._legend_of_one(self._plot.jobs[0])
        else:
            items = self._legend_of_several(self._plot.jobs)
        items = [cut(item, self._width, self._characters.ellipsis) for item in items]
        return _filled(items, self._width) if self._is_single else _in_columns(items, self._width)

    def _legend_of_one(self, job: JobPlot) -> list[str]:
        items = [
            f"{self._sample(dashes_of(number))} {shown_name(name)}"
            for number, name in enumerate(job.curves)
        ]
        if job.checkpoints:
            items.append(f"{self._characters.checkpoint} checkpoint")
        if job.best is not None:
            items.append(f"{self._characters.best} {best_label(job.best)}")
        return items

    def _legend_of_several(self, jobs: Sequence[JobPlot]) -> list[str]:
        items: list[str] = []
        for index, job in enumerate(jobs):
            sample = self._sample(dashes_of(index))
            best = "" if job.best is None else f"  {best_label(job.best)}"
            # Of a long item, the name is cut, not the value.
            room = self._width - len(best) - _SAMPLE - 3
            if room < _LEAST_NAME:
                best = best.replace("best ", "")
                room = max(_LEAST_NAME, self._width - len(best) - _SAMPLE - 3)
            name = cut(shown_name(job.fine_tuning_job_id), room, self._characters.ellipsis)
            items.append(f"{_LETTERS[index]} {sample} {name}{best}")
        return items

    def _sample(self, dashes: Dashes) -> str:
        sample = Canvas(_SAMPLE, 1, ascii_only=self._ascii_only)
        sample.line((0, 2), (2 * _SAMPLE - 1, 2), dashes)
        return sample.lines()[0]


def _with_same_decimals(ticks: Sequence[float]) -> list[str]:
    """Return numbers with as few decimals as they all need."""
    for decimals in range(_MAX_TICK - 2):
        texts = [f"{tick:.{decimals}f}" for tick in ticks]
        pairs = zip(texts, ticks, strict=True)
        if max(map(len, texts)) <= _MAX_TICK and all(
            math.isclose(float(text), tick, rel_tol=1e-9) for text, tick in pairs
        ):
            return texts
    return [shown_value(tick) for tick in ticks]


def _filled(items: Sequence[str], width: int) -> list[str]:
    """Put items side by side, as many on a line as fit."""
    lines: list[str] = []
    for item in items:
        if lines and len(lines[-1]) + _GAP + len(item) <= width:
            lines[-1] += " " * _GAP + item
        else:
            lines.append(item)
    return lines


def _in_columns(items: Sequence[str], width: int) -> list[str]:
    """Put items below each other, in as many columns as fit."""
    each = max(map(len, items))
    columns = max(1, (width + _GAP) // (each + _GAP))
    rows = math.ceil(len(items) / columns)
    return [(" " * _GAP).join(item.ljust(each) for item in items[row::rows]) for row in range(rows)]
