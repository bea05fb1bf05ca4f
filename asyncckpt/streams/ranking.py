"""Chooses the best checkpoints of one or many jobs, in one pass over a stream.

A pass keeps the `n` best checkpoints of each metric that may be the one to rank by, and a summary
of each job, whose size does not depend on the number of its checkpoints.
"""

from __future__ import annotations

import heapq
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Callable,
    Coroutine,
    Iterable,
    Sequence,
)
from typing import TYPE_CHECKING, Final, TypeAlias, cast, overload

import attrs

from asyncckpt.errors import NoCheckpointError
from asyncckpt.options import check_count
from asyncckpt.records.base import HasId
from asyncckpt.records.checkpoints import FineTuningJobCheckpoint, age_key, order_step
from asyncckpt.streams.criteria import (
    KNOWN_METRICS,
    Criterion,
    Mode,
    criterion_of,
    number_of,
)
from asyncckpt.streams.explanation import CurveSummary, Explanation, explain
from asyncckpt.streams.failures import JobFailure
from asyncckpt.streams.fanin import FanIn
from asyncckpt.streams.sources import EXHAUSTED, Jobs, JobSource, jobs_of
from asyncckpt.streams.summary import JobSummary
from asyncckpt.streams.text import safe_text

if TYPE_CHECKING:
    from asyncckpt.records.steps import StepMetrics

__all__ = ["PREFERRED_METRICS", "Ranked", "Selection", "rank_from"]

PREFERRED_METRICS: Final = (
    "full_valid_loss",
    "valid_loss",
    "full_valid_mean_token_accuracy",
    "valid_mean_token_accuracy",
    "train_loss",
)
"""What checkpoints are ranked by, if the caller does not say: the first that every job has."""

_MAX_NAMES: Final = 100
"""How many unknown metrics are remembered for an error message; a server could send any number."""


@attrs.frozen
class Ranked:
    """A checkpoint and its place in a ranking.

    Attributes:
        checkpoint: The checkpoint.
        metric: The metric that the checkpoints were ranked by.
        value: Its value for this checkpoint.
        rank: The place, from 1 on.
        mode: ``"min"`` if the lowest value is the best, ``"max"`` if it is the highest.
        unranked: The ids of the jobs that have checkpoints, but none with this metric.
        failures: The jobs that could not be listed to their end, with ``on_error="collect"``.
    """

    checkpoint: FineTuningJobCheckpoint
    metric: str
    value: float
    rank: int
    mode: Mode
    unranked: tuple[str, ...] = attrs.field(repr=False)
    failures: tuple[JobFailure, ...] = attrs.field(repr=False)
    _job: JobSummary = attrs.field(repr=False, eq=False)

    @overload
    def explain(self, curve: Iterable[StepMetrics] | None = None) -> Explanation: ...
    @overload
    def explain(
        self, curve: AsyncIterable[StepMetrics]
    ) -> Coroutine[object, object, Explanation]: ...
    def explain(
        self, curve: Iterable[StepMetrics] | AsyncIterable[StepMetrics] | None = None
    ) -> Explanation | Coroutine[object, object, Explanation]:
        """Describe where the validation of the checkpoint's job turned up.

        The description is from the checkpoints that the ranking saw. With a training curve, it also
        says which step was the best, and which checkpoint is the nearest to it::

            explanation = best.explain()
            explanation = best.explain(list_of_steps)
            explanation = await best.explain(jobs.step_metrics(job_id))

        Args:
            curve: The training curve of the checkpoint's job, in any order: a list or another
                iterable, or an async iterable such as the `Curve` that `AsyncJobs.step_metrics`
                returns. It is read once, in memory that does not depend on its length. Default:
                nothing is said of the curve.

        Returns:
            The description; ``str`` turns it into plain English. With an async iterable, what to
            await for it, which raises whatever the iterable raises.

        Raises:
            TypeError: `curve` is not an iterable of `StepMetrics`. With an async iterable, awaiting
                the result raises this if it yields something else.
        """
        criterion = criterion_of(self.metric, self.mode)
        explanation = explain(self.checkpoint, criterion, self.value, self._job)
        if curve is None:
            return explanation
        summary = CurveSummary(criterion)
        if isinstance(curve, AsyncIterable):
            return self._explain_with(curve, summary, explanation)
        if not isinstance(curve, Iterable):
            raise TypeError(
                "curve must be an iterable or async iterable of StepMetrics, such as "
                f"jobs.step_metrics(job), not {type(curve).__name__}"
            )
        for step in curve:
            summary.add(step)
        return summary.added_to(explanation, self._job)

    async def _explain_with(
        self, curve: AsyncIterable[StepMetrics], summary: CurveSummary, explanation: Explanation
    ) -> Explanation:
        steps = aiter(curve)
        try:
            async for step in steps:
                summary.add(step)
        finally:
            if isinstance(steps, AsyncGenerator):
                await steps.aclose()
        return summary.added_to(explanation, self._job)


_Key: TypeAlias = tuple[float, int, float, str, str]


class _Best:
    """The `n` best checkpoints by one criterion.

    Ties go to the later step, then to the later creation, then to the greater id. A checkpoint that
    comes twice counts once.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._kept: dict[_Key, tuple[FineTuningJobCheckpoint, float]] = {}
        self._keys: list[_Key] = []

    def offer(self, goodness: float, value: float, checkpoint: FineTuningJobCheckpoint) -> None:
        """Keep a checkpoint if it is among the best so far."""
        keys = self._keys
        is_full = len(keys) == self._n
        if is_full and goodness < keys[0][0]:
            return
        key = (
            goodness,
            *age_key(checkpoint),
            checkpoint.fine_tuning_job_id,
        )
        if key in self._kept or (is_full and key < keys[0]):
            return
        if is_full:
            del self._kept[heapq.heapreplace(keys, key)]
        else:
            heapq.heappush(keys, key)
        self._kept[key] = (checkpoint, value)

    def in_order(self) -> list[tuple[FineTuningJobCheckpoint, float]]:
        """Return the checkpoints and their values, the best first."""
        return [self._kept[key] for key in sorted(self._keys, reverse=True)]


class Selection:
    """Selects the best of the checkpoints that are added to it, in any order.

    Args:
        n: How many to select.
        metric: The metric to rank by. Default: the first of `PREFERRED_METRICS` that every job with
            checkpoints has.
        mode: Whether the lowest or the highest value is the best; default: by the name.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument has an invalid value: an `n` below 1, a metric whose name does not
            tell which values are better, a `mode` without a metric.
    """

    def __init__(self, n: int, metric: str | None = None, mode: Mode | None = None) -> None:
        check_count("n", n, least=1)
        if metric is None and mode is not None:
            raise ValueError("mode belongs to a metric: pass metric= as well")
        names = PREFERRED_METRICS if metric is None else (metric,)
        self._metric = metric
        self._ranked = {name: (criterion_of(name, mode), _Best(n)) for name in names}
        noted = (criterion_of(name) for name in KNOWN_METRICS if name not in self._ranked)
        self._measured: list[tuple[Criterion, _Best | None]] = [
            *self._ranked.values(),
            *((criterion, None) for criterion in noted),
        ]
        self._jobs: dict[str, JobSummary] = {}
        self._unknown: set[str] = set()
        self._checkpoints = 0

    def add(self, checkpoint: FineTuningJobCheckpoint) -> None:
        """Take a checkpoint into account."""
        self._checkpoints += 1
        step, metrics = order_step(checkpoint), checkpoint.metrics
        job = self._jobs.get(checkpoint.fine_tuning_job_id)
        if job is None:
            job = self._jobs[checkpoint.fine_tuning_job_id] = JobSummary()
        job.count(step)
        for criterion, best in self._measured:
            value = criterion.value_of(metrics)
            if value is None:
                continue
            job.note(criterion, value, step)
            if best is not None:
                best.offer(criterion.goodness_of(value), value, checkpoint)
        if metrics.extra:
            self._note_unknown(metrics.extra)

    def result(
        self, *, jobs: int | None = None, failures: Sequence[JobFailure] = ()
    ) -> list[Ranked]:
        """Return the best of the checkpoints added so far.

        Args:
            jobs: How many jobs were looked at; default: those with checkpoints.
            failures: The jobs that could not be listed to their end.

        Returns:
            At most `n`, the best first.

        Raises:
            NoCheckpointError: There is no checkpoint with the metric, or no metric that every job
                has.
        """
        metric = self._chosen()
        chosen = [] if metric is None else self._ranked[metric][1].in_order()
        if metric is None or not chosen:
            reason = failures[0].error if failures else None
            raise self._nothing(jobs, failures) from reason
        criterion = self._ranked[metric][0]
        unranked = tuple(id_ for id_, job in self._jobs.items() if metric not in job.metrics)
        return [
            Ranked(
                checkpoint,
                metric,
                value,
                place,
                criterion.mode,
                unranked,
                tuple(failures),
                self._jobs[checkpoint.fine_tuning_job_id],
            )
            for place, (checkpoint, value) in enumerate(chosen, start=1)
        ]

    def _chosen(self) -> str | None:
        if self._metric is not None:
            return self._metric
        jobs = self._jobs.values()
        return next(
            (name for name in self._ranked if all(name in job.metrics for job in jobs)), None
        )

    def _note_unknown(self, extra: dict[str, object]) -> None:
        for name, value in extra.items():
            if len(self._unknown) < _MAX_NAMES and number_of(value) is not None:
                self._unknown.add(safe_text(name))

    def _nothing(self, jobs: int | None, failures: Sequence[JobFailure]) -> NoCheckpointError:
        counts = {
            criterion.metric: sum(criterion.metric in job.metrics for job in self._jobs.values())
            for criterion, _ in self._measured
        }
        known = [name for name in KNOWN_METRICS if counts.get(name)]
        seen = (*known, *sorted(self._unknown.difference(known)))
        said = self._reason(jobs, counts, seen)
        if failures:
            first = safe_text(failures[0].error)
            said += f"; {_counted(len(failures), 'job')} could not be listed: {first}"
        return NoCheckpointError(
            said,
            jobs=len(self._jobs) if jobs is None else jobs,
            checkpoints=self._checkpoints,
            metrics=seen,
            failed=len(failures),
        )

    def _reason(self, jobs: int | None, counts: dict[str, int], seen: Sequence[str]) -> str:
        if not self._checkpoints:
            where = "" if jobs is None else f" in {_counted(jobs, 'job')}"
            return f"there is no checkpoint to rank{where}"
        checkpoints = _counted(self._checkpoints, "checkpoint")
        total = len(self._jobs)
        where = f"{checkpoints} of {_counted(total, 'job')}"
        if self._metric is not None:
            present = f"they have: {', '.join(seen)}" if seen else "they have no metrics"
            return f"none of {where} has a measured {safe_text(self._metric)!r}; {present}"
        shares = ", ".join(
            f"{name} in {counts[name]} of {total}" for name in PREFERRED_METRICS if counts[name]
        )
        if shares:
            return f"no metric is in every job of {where} ({shares}): choose a metric"
        others = f", but other metrics ({', '.join(seen)}): choose one" if seen else ""
        return f"{where} have no metric to rank by{others}"


def rank_from(
    jobs: str | HasId | Jobs,
    selection: Selection,
    list_jobs: Callable[[Jobs], FanIn[FineTuningJobCheckpoint]],
) -> Coroutine[object, object, list[Ranked]]:
    """Select the best checkpoints of jobs, or of the checkpoints that are given.

    Args:
        jobs: An id, a job record, or several of them; or checkpoints. A generator is closed at the
            end.
        selection: Selects them.
        list_jobs: Lists the checkpoints of jobs.

    Returns:
        What to await for the checkpoints, the best first. It raises NoCheckpointError if nothing
        can be ranked, TypeError if `jobs` yields both jobs and checkpoints, and whatever `jobs` or
        the list of checkpoints raises.

    Raises:
        TypeError: `jobs` is of the wrong type, such as a single checkpoint.
    """
    if isinstance(jobs, FineTuningJobCheckpoint):
        raise TypeError("jobs must be jobs, or several checkpoints, not a single checkpoint")
    return _rank(JobSource(jobs_of(jobs)), selection, list_jobs)


async def _rank(
    source: JobSource,
    selection: Selection,
    list_jobs: Callable[[Jobs], FanIn[FineTuningJobCheckpoint]],
) -> list[Ranked]:
    try:
        first = await source.take()
        if first is EXHAUSTED:
            return selection.result()
        if isinstance(first, FineTuningJobCheckpoint):
            await _add_all(first, source, selection)
            return selection.result()
        stream = list_jobs(_jobs_from(first, source))
        async with stream:
            async for checkpoint in stream:
                selection.add(checkpoint)
        return selection.result(jobs=source.taken, failures=stream.failures)
    finally:
        await source.aclose()


async def _add_all(first: object, source: JobSource, selection: Selection) -> None:
    item = first
    while item is not EXHAUSTED:
        if not isinstance(item, FineTuningJobCheckpoint):
            raise TypeError(f"expected only checkpoints, got {safe_text(item, repr)}")
        selection.add(item)
        item = await source.take()


async def _jobs_from(first: object, source: JobSource) -> AsyncGenerator[str | HasId, None]:
    item = first
    while item is not EXHAUSTED:
        if isinstance(item, FineTuningJobCheckpoint):
            raise TypeError(f"expected only jobs, got the checkpoint {safe_text(item.id)}")
        yield cast("str | HasId", item)
        item = await source.take()


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
