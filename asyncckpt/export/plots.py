"""Plots fine-tuning jobs: the training curves, with the checkpoints and the best of them."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Final, cast

import attrs

from asyncckpt.export.thinning import Point, Segment
from asyncckpt.options import check_count
from asyncckpt.records.base import HasId
from asyncckpt.streams.criteria import Mode
from asyncckpt.streams.failures import JobFailure, OnError, check_on_error
from asyncckpt.streams.ranking import Ranked
from asyncckpt.streams.sources import Jobs, JobSource

if TYPE_CHECKING:
    from os import PathLike

    from matplotlib.figure import Figure

    from asyncckpt.client import AsyncClient

__all__ = ["JobPlot", "Plot", "plot"]

_MAX_JOBS: Final = 20


@attrs.frozen
class JobPlot:
    """What a plot shows of one job.

    Attributes:
        fine_tuning_job_id: The job.
        curves: The curves by metric. Each is a sequence of lines with gaps between them; a line is
            a sequence of steps and values. A long curve is reduced to what a plot can show.
        checkpoints: The steps of the checkpoints and their values, ascending by step. A checkpoint
            without the metric of the plot has the value of the next related one, as
            ``"valid_loss"`` for ``"full_valid_loss"``.
        best: The step and the value of the job's best checkpoint; None if no checkpoint has the
            metric.
    """

    fine_tuning_job_id: str
    curves: Mapping[str, tuple[Segment, ...]]
    checkpoints: tuple[Point, ...]
    best: Point | None


def _check_jobs(_plot: object, _field: object, jobs: tuple[JobPlot, ...]) -> None:
    if not any(job.curves or job.checkpoints for job in jobs):
        raise ValueError("there is nothing to draw: no job has a curve or a checkpoint")


@attrs.frozen
class Plot:
    """A plot of one or several jobs: text for a terminal, or a file.

    ``str`` is `text` at its default size. At least one job has a curve or a checkpoint.

    Attributes:
        metric: The metric that the checkpoints are compared by.
        mode: ``"min"`` if its lowest value is the best, ``"max"`` if it is the highest.
        jobs: The jobs that are shown, the one with the best checkpoint first.
        best: The best of all checkpoints; None if there is none with the metric.
        without_data: The ids of the jobs that have nothing to show.
        left_out: How many jobs are not shown because more than `top` were given.
        failures: The jobs of which something could not be read, with ``on_error="collect"``.
    """

    metric: str
    mode: Mode
    jobs: tuple[JobPlot, ...] = attrs.field(validator=_check_jobs)
    best: Ranked | None = None
    without_data: tuple[str, ...] = ()
    left_out: int = 0
    failures: tuple[JobFailure, ...] = ()

    def text(self, *, width: int = 80, height: int = 24, ascii_only: bool = False) -> str:
        """Draw the plot as plain text, without colours.

        Args:
            width: The number of columns, at least 20.
            height: The number of lines to fill. A long legend may need more.
            ascii_only: Whether to use ASCII characters only, instead of Braille for lines.

        Returns:
            Lines of at most `width` characters, each with a line break.

        Raises:
            TypeError: `width` or `height` is not an integer.
            ValueError: `width` is below 20, or `height` below 1.
        """
        from asyncckpt.export.text_plots import drawn_as_text

        check_count("width", width, least=20)
        check_count("height", height, least=1)
        return drawn_as_text(self, width, height, ascii_only=ascii_only)

    def figure(self) -> Figure:
        """Draw the plot with matplotlib, without its global state (`pyplot`).

        The background is transparent, and the colours have contrast on white and on black.

        Returns:
            The figure, to be changed and saved.

        Raises:
            ImportError: matplotlib is missing; it comes with ``asyncckpt[plots]``.
        """
        from asyncckpt.export.figures import drawn_as_figure

        return drawn_as_figure(self)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the plot to a file, which is complete or not there.

        Args:
            path: The file. Its suffix chooses the format: ``.png`` or ``.svg``.

        Raises:
            ValueError: The suffix is another one.
            ImportError: matplotlib is missing; it comes with ``asyncckpt[plots]``.
            OSError: The file cannot be written.
        """
        from asyncckpt.export.figures import save_figure

        save_figure(self, path)

    def __str__(self) -> str:
        return self.text()


def plot(
    client: AsyncClient,
    jobs: str | HasId | Jobs,
    *,
    metric: str | None = None,
    mode: Mode | None = None,
    top: int = 10,
    concurrency: int = 10,
    on_error: OnError = "raise",
) -> Coroutine[object, object, Plot]:
    """Gather a plot: the training curves of jobs, with their checkpoints and the best of them.

    The checkpoints of all jobs are listed, then the curves of those that are shown are read. Memory
    does not grow with the length of a curve.

    For one job, the curves are those of the metric and of related ones: ``"train_loss"`` beside
    ``"valid_loss"``. For several, there is one for each: that of the metric, or of a related one
    that is measured more often.

    Args:
        client: The client to read with.
        jobs: One id or job record, or several, as for `AsyncCheckpoints.list_many`.
        metric: The metric to compare checkpoints by, as for `AsyncCheckpoints.top`. Default: also
            as there; without a checkpoint, the first of these that the curves have.
        mode: Whether its lowest or its highest value is the best, as for `AsyncCheckpoints.top`.
        top: How many jobs to show: those with the best checkpoints; default 10, at most 20.
        concurrency: How many jobs to read at the same time; default 10.
        on_error: What to do about a job that fails, as for `AsyncCheckpoints.list_many`. A job
            whose curve cannot be read is shown by its checkpoints.

    Returns:
        What to await for the plot.

    Raises:
        NoCheckpointError: There is nothing to plot; it says what was seen. Raised when awaited.
        APIError: A job failed, with ``on_error="raise"``. Raised when awaited.
        TypeError: An argument is of the wrong type.
        ValueError: An argument has an invalid value.
        BaseException: What `jobs`, `on_error` or an `api_key` callable raises, when awaited.
    """
    from asyncckpt.export.gathering import Gathering

    check_count("top", top, least=1)
    if top > _MAX_JOBS:
        raise ValueError(f"top must be at most {_MAX_JOBS}, so that the curves can be told apart")
    check_count("concurrency", concurrency, least=1)
    check_on_error(on_error)
    is_one = isinstance(jobs, str) or isinstance(getattr(jobs, "id", None), str)
    source = JobSource(cast("Jobs", (jobs,) if is_one else jobs))
    gathering = Gathering(client, metric, mode, concurrency, on_error)
    return gathering.plot(source, top)
