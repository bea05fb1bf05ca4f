"""Keeps what a ranking needs of a job, however many checkpoints it has."""

from __future__ import annotations

import attrs

from asyncckpt.records.checkpoints import UNKNOWN_STEP
from asyncckpt.streams.criteria import Criterion

__all__ = ["Extremes", "JobSummary", "Summary"]


@attrs.define
class Extremes:
    """The best and the last value of one metric.

    Attributes:
        best: The best value.
        best_step: Its step; the last of several.
        last: The value at the last step where it was measured.
        last_step: That step.
    """

    best: float
    best_step: int
    last: float
    last_step: int


@attrs.define
class Summary:
    """What is kept of measurements at many steps, in any order.

    Attributes:
        metrics: The best and last values of the metrics that were measured, by name.
    """

    metrics: dict[str, Extremes] = attrs.field(factory=dict[str, Extremes])

    def note(self, criterion: Criterion, value: float, step: int) -> None:
        """Note a value that was measured at a step."""
        known = self.metrics.get(criterion.metric)
        if known is None:
            self.metrics[criterion.metric] = Extremes(value, step, value, step)
            return
        sign = 1 if criterion.mode == "max" else -1
        if (sign * value, step) > (sign * known.best, known.best_step):
            known.best, known.best_step = value, step
        if (step, sign * value) > (known.last_step, sign * known.last):
            known.last, known.last_step = value, step


@attrs.define
class JobSummary(Summary):
    """What is kept of a job.

    Checkpoints are usually created at regular steps and listed in order, so their steps are kept
    as ranges.

    Attributes:
        checkpoints: How many checkpoints were seen.
        last_step: The last step that has one.
    """

    checkpoints: int = 0
    last_step: int = 0
    _runs: list[range] = attrs.field(factory=list[range])

    def count(self, step: int) -> None:
        """Count a checkpoint at a step, or at `UNKNOWN_STEP`; they may come in any order."""
        self.last_step = step if not self.checkpoints else max(self.last_step, step)
        self.checkpoints += 1
        if step == UNKNOWN_STEP:
            return
        run = self._runs[-1] if self._runs else range(0)
        if step in run:
            return
        if run and len(run) == 1:
            self._runs[-1] = _run(run[0], step, step - run[0])
        elif run and step == run[-1] + run.step:
            self._runs[-1] = _run(run[0], step, run.step)
        else:
            self._runs.append(range(step, step + 1))

    def nearest_to(self, step: int) -> int | None:
        """Return the step with a checkpoint that is nearest to a step; the later of two.

        It is None if no checkpoint with a known step was counted.
        """
        return min(
            (_nearest_in(run, step) for run in self._runs),
            key=lambda found: (abs(found - step), -found),
            default=None,
        )


def _run(first: int, last: int, stride: int) -> range:
    return range(first, last + (1 if stride > 0 else -1), stride)


def _nearest_in(run: range, step: int) -> int:
    before = (step - run.start) // run.step
    found = (run[min(max(index, 0), len(run) - 1)] for index in (before, before + 1))
    return min(found, key=lambda one: (abs(one - step), -one))
