"""Gathers what a plot shows: lists the checkpoints of jobs, then reads the curves of the best."""

from __future__ import annotations

import asyncio
import inspect
from array import array
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from asyncckpt.errors import NoCheckpointError, OpenAIError
from asyncckpt.export.plots import JobPlot, Plot
from asyncckpt.export.thinning import Point, Thinned
from asyncckpt.records.base import HasId
from asyncckpt.records.checkpoints import FineTuningJobCheckpoint, Metrics, step_of
from asyncckpt.streams.criteria import Criterion, Mode, criterion_of
from asyncckpt.streams.failures import JobFailure, OnError
from asyncckpt.streams.ranking import PREFERRED_METRICS, Ranked, Selection
from asyncckpt.streams.sources import EXHAUSTED, JobSource
from asyncckpt.streams.text import safe_text

if TYPE_CHECKING:
    from asyncckpt.client import AsyncClient

__all__ = ["Gathering"]

_RELATED: Final = (
    ("full_valid_loss", "valid_loss", "train_loss"),
    ("full_valid_mean_token_accuracy", "valid_mean_token_accuracy", "train_mean_token_accuracy"),
)
"""Metrics of the same kind; each one is measured at least as often as those before it."""

_MAX_MARKS: Final = 100

_Curves: TypeAlias = Mapping[str, Thinned]
"""The curves of a job, by metric."""


class Gathering:
    """Gathers one plot.

    Args:
        client: The client to read with.
        metric: The metric to compare checkpoints by; None for the default of `Selection`.
        mode: Whether its lowest or its highest value is the best; None for what the name says.
        concurrency: How many jobs to read at the same time.
        on_error: What to do about a job that fails.
        arrived: Called for each checkpoint and each step.

    Raises:
        TypeError: `metric` is of the wrong type.
        ValueError: `metric` or `mode` has an invalid value.
    """

    def __init__(
        self,
        client: AsyncClient,
        metric: str | None,
        mode: Mode | None,
        concurrency: int,
        on_error: OnError,
        arrived: Callable[[], object] = lambda: None,
    ) -> None:
        self._arrived = arrived
        self._api = client.fine_tuning.jobs
        self._selection = Selection(1, metric, mode)
        self._concurrency = concurrency
        self._failures = _Failures(on_error)
        self._candidates = PREFERRED_METRICS if metric is None else (metric,)
        names = dict.fromkeys(name for one in self._candidates for name in _related_to(one))
        self._criteria = {
            name: criterion_of(name, mode if name == metric else None) for name in names
        }
        self._job_ids: dict[str, None] = {}
        self._marks: dict[str, _Marks] = {}

    async def plot(self, jobs: JobSource, top: int) -> Plot:
        """Gather the plot of the best jobs.

        Args:
            jobs: The jobs; their source is closed at the end.
            top: How many to show.

        Returns:
            The plot.

        Raises:
            NoCheckpointError: There is nothing to plot.
            BaseException: A job failed, or what `jobs` or `on_error` raises.
        """
        await self._list(jobs)
        best, unranked = self._ranked()
        shown = self._first(top, None if best is None else self._criteria[best.metric])
        curves = await self._read(shown)
        name = best.metric if best else _common(self._candidates, curves.values())
        criterion = self._criteria[name]
        plots = self._plots(criterion, curves)
        if not plots and unranked is not None:
            raise _nothing_to_plot(unranked, self._candidates)
        with_data = {one.fine_tuning_job_id for one in plots}
        return Plot(
            criterion.metric,
            criterion.mode,
            tuple(plots),
            best,
            tuple(job for job in shown if job not in with_data),
            len(self._job_ids) - len(shown),
            tuple(self._failures.noted),
        )

    async def _list(self, jobs: JobSource) -> None:
        stream = self._api.checkpoints.list_many(
            self._noted(jobs),
            concurrency=self._concurrency,
            on_error=self._failures,
            on_expired_cursor="restart",
        )
        async with stream:
            async for checkpoint in stream:
                self._arrived()
                self._add(checkpoint)
        for failed in self._failures.job_ids:
            if failed not in self._marks:
                self._job_ids.pop(failed, None)

    async def _noted(self, jobs: JobSource) -> AsyncGenerator[str | HasId, None]:
        """Yield the jobs, and note their ids: one without checkpoints may have a curve."""
        try:
            while (job := await jobs.take()) is not EXHAUSTED:
                id_ = job if isinstance(job, str) else getattr(job, "id", None)
                if isinstance(id_, str):
                    self._job_ids[id_] = None
                yield cast("str | HasId", job)
        finally:
            await jobs.aclose()

    def _add(self, checkpoint: FineTuningJobCheckpoint) -> None:
        self._selection.add(checkpoint)
        marks = self._marks.setdefault(checkpoint.fine_tuning_job_id, _Marks())
        step = step_of(checkpoint)
        if step is None:
            return
        for name, criterion in self._criteria.items():
            value = criterion.value_of(checkpoint.metrics)
            if value is not None:
                marks.add(name, step, value)

    def _ranked(self) -> tuple[Ranked | None, NoCheckpointError | None]:
        """Return the best checkpoint, or why there is none."""
        try:
            ranking = self._selection.result(
                jobs=len(self._job_ids) + len(self._failures.job_ids - self._job_ids.keys()),
                failures=self._failures.noted,
            )
        except NoCheckpointError as error:
            # Some checkpoints have this metric, and some that: the user has to choose.
            if not set(error.metrics).isdisjoint(self._candidates):
                raise
            return None, error
        return ranking[0], None

    def _first(self, top: int, criterion: Criterion | None) -> list[str]:
        """Return the jobs to show: the best first, those without a value last."""
        goodness: dict[str, float] = {}
        if criterion is not None:
            for job, marks in self._marks.items():
                if (best := marks.best(criterion)) is not None:
                    goodness[job] = criterion.goodness_of(best[1])
        # Sorting is stable: equal jobs keep their order.
        return sorted(self._job_ids, key=lambda job: -goodness.get(job, -float("inf")))[:top]

    async def _read(self, jobs: Sequence[str]) -> dict[str, _Curves]:
        curves: dict[str, _Curves] = {
            job: {name: Thinned() for name in self._criteria} for job in jobs
        }
        waiting = iter(job for job in jobs if job not in self._failures.job_ids)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._concurrency, len(jobs))):
                    group.create_task(self._read_some(waiting, curves))
        except BaseExceptionGroup as errors:
            # The first one has cancelled the other tasks.
            raise errors.exceptions[0] from None
        for job, curve in curves.items():
            if job in self._marks and not any(curve.values()):
                self._marks[job].copy_to(curve)
        return curves

    async def _read_some(self, jobs: Iterator[str], curves: Mapping[str, _Curves]) -> None:
        for job in jobs:
            try:
                await self._read_one(job, curves[job])
            except OpenAIError as error:
                await self._failures(JobFailure(job, error))

    async def _read_one(self, job: str, curve: _Curves) -> None:
        async with aclosing(aiter(self._api.step_metrics(job))) as steps:
            async for step in steps:
                self._arrived()
                # It has the metrics of a checkpoint, by the same names.
                metrics = cast("Metrics", step)
                for name, criterion in self._criteria.items():
                    value = criterion.value_of(metrics)
                    if value is not None:
                        curve[name].add(step.step, value)

    def _plots(self, criterion: Criterion, curves: Mapping[str, _Curves]) -> list[JobPlot]:
        names = _related_to(criterion.metric)
        drawn = names if len(curves) == 1 else (_common(names, curves.values()),)
        plots: list[JobPlot] = []
        for job, curve in curves.items():
            marks = self._marks.get(job) or _Marks()
            one = JobPlot(
                job,
                {name: curve[name].segments() for name in drawn if curve[name]},
                marks.shown(dict.fromkeys((criterion.metric, *drawn))),
                marks.best(criterion),
            )
            if one.curves or one.checkpoints:
                plots.append(one)
        return plots


class _Failures:
    """The jobs that failed, and what to do about one.

    Args:
        on_error: See `Gathering`.
    """

    def __init__(self, on_error: OnError) -> None:
        self._on_error = on_error
        self.noted: list[JobFailure] = []
        self.job_ids: set[str] = set()

    async def __call__(self, failure: JobFailure) -> None:
        """Note a failure.

        Raises:
            BaseException: The error of the job, or what `on_error` raises.
        """
        if self._on_error == "raise":
            raise failure.error
        self.job_ids.add(failure.fine_tuning_job_id)
        if not callable(self._on_error):
            self.noted.append(failure)
            return
        returned: object = self._on_error(failure)
        if inspect.isawaitable(returned):
            await returned


class _Marks:
    """The values of a job's checkpoints, by metric.

    They are kept for all jobs until the best are known, so they are small.
    """

    def __init__(self) -> None:
        self._points: dict[str, tuple[list[int], array[float]]] = {}

    def add(self, metric: str, step: int, value: float) -> None:
        """Add the value of a checkpoint."""
        if metric not in self._points:
            self._points[metric] = [], array("d")
        steps, values = self._points[metric]
        steps.append(step)
        values.append(value)

    def best(self, criterion: Criterion) -> Point | None:
        """Return the best point; of equal ones the one at the latest step."""
        points = self._of(criterion.metric)
        return max(
            points, key=lambda point: (criterion.goodness_of(point[1]), point[0]), default=None
        )

    def shown(self, metrics: Mapping[str, None]) -> tuple[Point, ...]:
        """Return a point for each step, with the first of the metrics that it has, thinned."""
        by_step: dict[int, float] = {}
        for metric in metrics:
            for step, value in self._of(metric):
                by_step.setdefault(step, value)
        thinned = Thinned(_MAX_MARKS)
        for step in sorted(by_step):
            thinned.add(step, by_step[step])
        return tuple(point for segment in thinned.segments() for point in segment)

    def copy_to(self, curve: _Curves) -> None:
        """Add the points to the curves of a job that has no other."""
        for metric in self._points:
            for step, value in sorted(dict(self._of(metric)).items()):
                curve[metric].add(step, value)

    def _of(self, metric: str) -> list[Point]:
        if metric not in self._points:
            return []
        return list(zip(*self._points[metric], strict=True))


def _related_to(metric: str) -> tuple[str, ...]:
    for family in _RELATED:
        if metric in family:
            return family[family.index(metric) :]
    return (metric,)


def _common(metrics: Sequence[str], jobs: Iterable[_Curves]) -> str:
    """Return the first metric that all curves have; if there is none, the first that one has."""
    measured = [curve for curve in jobs if any(curve.values())]
    for enough in (all, any):
        for metric in metrics:
            if measured and enough(curve[metric] for curve in measured):
                return metric
    return metrics[0]


def _nothing_to_plot(error: NoCheckpointError, metrics: Sequence[str]) -> NoCheckpointError:
    measured = safe_text(metrics[0]) if len(metrics) == 1 else "metric"
    nothing = NoCheckpointError(
        f"nothing to plot: no training curve has a measured {measured}, and {error}",
        jobs=error.jobs,
        checkpoints=error.checkpoints,
        metrics=error.metrics,
        failed=error.failed,
    )
    nothing.__cause__ = error.__cause__
    return nothing
