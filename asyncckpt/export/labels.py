"""Defines the words of a plot, the same in text and in a figure.

Names come from a server, so they are escaped and cut. They are shown in ASCII: fonts lack
characters, and a terminal may show one as two columns.
"""

from __future__ import annotations

from typing import Final

from asyncckpt.export.plots import Plot
from asyncckpt.export.thinning import Point

__all__ = ["best_label", "cut", "shown_name", "shown_value", "title_of"]

_MAX_NAME: Final = 60


def shown_name(name: str) -> str:
    """Return a name on one line, in ASCII, with at most 60 characters."""
    return cut(ascii(name[: 2 * _MAX_NAME])[1:-1], _MAX_NAME, "...")


def shown_value(value: float) -> str:
    """Return a number with at most four significant digits, or all digits of a small integer."""
    return str(int(value)) if abs(value) < 1e7 and value == int(value) else f"{value:.4g}"


def best_label(best: Point) -> str:
    """Return what to call the best checkpoint."""
    step, value = best
    return f"best {value:.4g} at step {shown_value(step)}"


def title_of(plot: Plot) -> str:
    """Return the title of a plot."""
    metric = shown_name(plot.metric)
    if len(plot.jobs) == 1:
        return f"{metric} of {shown_name(plot.jobs[0].fine_tuning_job_id)}"
    drawn = {name for job in plot.jobs for name in job.curves} - {plot.metric}
    curves = f", curves of {shown_name(min(drawn))}" if drawn else ""
    return f"{metric} of {len(plot.jobs)} jobs{curves}"


def cut(text: str, width: int, ellipsis: str) -> str:
    """Return text of at most `width` characters; longer text loses its middle."""
    if len(text) <= width:
        return text
    kept = max(0, width - len(ellipsis))
    tail = kept // 3
    return (text[: kept - tail] + ellipsis + text[len(text) - tail :])[:width]
