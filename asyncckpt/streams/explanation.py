"""Where the validation of a job turned up, from its checkpoints and its training curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from asyncckpt.records.checkpoints import FineTuningJobCheckpoint, Metrics, step_of
from asyncckpt.streams.criteria import Criterion, Mode, criterion_of
from asyncckpt.streams.summary import JobSummary, Summary
from asyncckpt.streams.text import safe_text

if TYPE_CHECKING:
    from asyncckpt.records.steps import StepMetrics

__all__ = [
    "OVERFITTING_LAST_OVER_LOWEST",
    "OVERFITTING_VALIDATION_OVER_TRAINING",
    "CurveSummary",
    "Explanation",
    "explain",
]

OVERFITTING_LAST_OVER_LOWEST: Final = 1.2
"""From here on, the rise of the validation loss after its lowest value is taken for overfitting."""

OVERFITTING_VALIDATION_OVER_TRAINING: Final = 1.5
"""From here on, a validation loss above the training loss is taken for overfitting."""

VALIDATION_LOSSES: Final = ("full_valid_loss", "valid_loss")
_VALIDATION: Final = tuple(criterion_of(name) for name in VALIDATION_LOSSES)
_TRAINING: Final = criterion_of("train_loss")


@attrs.frozen
class Explanation:
    """What the checkpoints of a job say about a choice; as text, it is plain English.

    All values are those of the checkpoints that were seen, which need not be all of the job's:
    OpenAI keeps the checkpoints of the last three epochs only.

    Attributes:
        fine_tuning_job_id: The job.
        step: The step of the checkpoint; None if the server did not send it. What depends on the
            order of the checkpoints is None then, too.
        metric: The metric it was ranked by.
        value: Its value.
        mode: Whether the lowest or the highest value of that metric is the best.
        best_step: The step at which that metric is best in this job.
        checkpoints: How many checkpoints of the job were seen.
        last_step: The last step that has a checkpoint.
        validation_metric: The metric, if it is a validation loss; otherwise ``"full_valid_loss"``,
            or ``"valid_loss"`` if the job has no other. None if it has neither; the following
            fields are None then.
        lowest: The lowest validation loss.
        lowest_step: Its step; the last of several.
        last: The validation loss at the last step where it was measured.
        last_measured_step: That step.
        last_over_lowest: `last` divided by `lowest`; None if that is 0.
        validation_over_training: The full validation loss of the checkpoint, or else its validation
            loss, divided by its training loss; None if either was not measured, or the training
            loss is 0.
        curve_steps: How many steps the training curve has; None if no curve was given. The
            following fields are None then, and if the curve has neither the metric nor a
            validation loss.
        curve_metric: The metric of the curve: the one that the checkpoint was ranked by, if the
            curve has it; otherwise ``"full_valid_loss"`` or ``"valid_loss"``.
        curve_best: Its best value on the curve.
        curve_best_step: The step of that; the last of several.
        nearest_step: The step nearest to that one at which a checkpoint was seen; the later of two.
            None also if the server sent no steps of checkpoints.
    """

    fine_tuning_job_id: str
    step: int | None
    metric: str
    value: float
    mode: Mode
    best_step: int | None
    checkpoints: int
    last_step: int | None
    validation_metric: str | None = None
    lowest: float | None = None
    lowest_step: int | None = None
    last: float | None = None
    last_measured_step: int | None = None
    last_over_lowest: float | None = None
    validation_over_training: float | None = None
    curve_steps: int | None = None
    curve_metric: str | None = None
    curve_best: float | None = None
    curve_best_step: int | None = None
    nearest_step: int | None = None

    @property
    def best_step_has_checkpoint(self) -> bool | None:
        """Whether a checkpoint was seen at the best step of the curve; None without such a step."""
        if self.curve_best_step is None or self.nearest_step is None:
            return None
        return self.nearest_step == self.curve_best_step

    @property
    def turned_up_after(self) -> int | None:
        """The step of the lowest validation loss if it rose afterwards; otherwise None."""
        has_risen = None not in (self.lowest, self.last) and self.last != self.lowest
        return self.lowest_step if has_risen else None

    @property
    def is_overfitting(self) -> bool:
        """Whether the customary thresholds say so.

        These are a `last_over_lowest` of 1.2 or more, and a `validation_over_training` of 1.5 or
        more; one of them suffices.
        """
        return _reaches(self.last_over_lowest, OVERFITTING_LAST_OVER_LOWEST) or _reaches(
            self.validation_over_training, OVERFITTING_VALIDATION_OVER_TRAINING
        )

    def __str__(self) -> str:
        return " ".join([*self._choice(), *self._validation(), *self._training(), *self._curve()])

    def _choice(self) -> list[str]:
        best = "lowest" if self.mode == "min" else "highest"
        job = safe_text(self.fine_tuning_job_id)
        count = f"{self.checkpoints} checkpoint{'s' * (self.checkpoints != 1)}"
        if self.step is None:
            return [f"One of the {count} of job {job} has a {self.metric} of {_shown(self.value)}."]
        said = f"Step {self.step} of job {job} has a {self.metric} of {_shown(self.value)}"
        if self.best_step != self.step:
            return [f"{said}; the {best} of its {count} is at step {self.best_step}."]
        return [f"{said}, the {best} of its {count}."]

    def _validation(self) -> list[str]:
        if self.step is None:
            return ["The server did not send its step, so overfitting cannot be seen."]
        if self.validation_metric is None or self.lowest is None or self.last is None:
            return ["No validation loss was measured, so overfitting cannot be seen."]
        name = self.validation_metric
        if self.turned_up_after is None:
            return [f"{name} has not turned up: it was last measured at step {self.lowest_step}."]
        rise = f"{_shown(self.last)} at step {self.last_measured_step}"
        if self.last_over_lowest is not None:
            verdict = _verdict(self.last_over_lowest, OVERFITTING_LAST_OVER_LOWEST)
            rise += f", {self.last_over_lowest:.2f} times the lowest ({verdict})"
        if self.step == self.lowest_step and self.metric == name:
            return [f"It turned up afterwards, to {rise}."]
        lowest = f"its lowest, {_shown(self.lowest)} at step {self.lowest_step}"
        return [f"{name} turned up after {lowest}, to {rise}."]

    def _training(self) -> list[str]:
        if self.validation_over_training is None:
            return []
        verdict = _verdict(self.validation_over_training, OVERFITTING_VALIDATION_OVER_TRAINING)
        ratio = f"{self.validation_over_training:.2f} times the training loss"
        return [f"At step {self.step} its validation loss is {ratio} ({verdict})."]

    def _curve(self) -> list[str]:
        if self.curve_steps is None:
            return []
        if self.curve_best is None or self.curve_best_step is None:
            missing = "validation loss" if self.metric in VALIDATION_LOSSES else self.metric
            return [f"The training curve has no measured {missing}."]
        mode = self.mode if self.curve_metric == self.metric else "min"
        best = "lowest" if mode == "min" else "highest"
        said = (
            f"On the training curve, {self.curve_metric} is {best} at step "
            f"{self.curve_best_step} ({_shown(self.curve_best)})"
        )
        if self.nearest_step is None:
            return [f"{said}; the steps of the checkpoints are not known."]
        if self.best_step_has_checkpoint:
            return [f"{said}, which has a checkpoint."]
        nearest = "this one" if self.nearest_step == self.step else f"at step {self.nearest_step}"
        return [f"{said}, which has no checkpoint; the nearest is {nearest}."]


class CurveSummary:
    """Finds the best step of a training curve, whatever its length.

    Args:
        ranked_by: What the checkpoint was ranked by.
    """

    def __init__(self, ranked_by: Criterion) -> None:
        others = (one for one in _VALIDATION if one.metric != ranked_by.metric)
        self._criteria = (ranked_by, *others)
        self._steps = 0
        self._summary = Summary()

    def add(self, step: StepMetrics) -> None:
        """Take a step into account; they may come in any order.

        Raises:
            TypeError: It is not a step.
        """
        from asyncckpt.records.steps import StepMetrics

        if not isinstance(step, StepMetrics):
            raise TypeError(f"curve must have StepMetrics, not {safe_text(step, repr)}")
        self._steps += 1
        for criterion in self._criteria:
            value = criterion.value_of(step)
            if value is not None:
                self._summary.note(criterion, value, step.step)

    def added_to(self, explanation: Explanation, job: JobSummary) -> Explanation:
        """Return an explanation with what the curve says."""
        measured = self._summary.metrics
        metric = next((one.metric for one in self._criteria if one.metric in measured), None)
        explanation = attrs.evolve(explanation, curve_steps=self._steps)
        if metric is None:
            return explanation
        best = measured[metric]
        return attrs.evolve(
            explanation,
            curve_metric=metric,
            curve_best=best.best,
            curve_best_step=best.best_step,
            nearest_step=job.nearest_to(best.best_step),
        )


def explain(
    checkpoint: FineTuningJobCheckpoint, criterion: Criterion, value: float, job: JobSummary
) -> Explanation:
    """Describe the choice of a checkpoint.

    Args:
        checkpoint: The checkpoint.
        criterion: What it was ranked by.
        value: Its value.
        job: The summary of its job.

    Returns:
        The description.
    """
    validation = _validation_of(criterion, job)
    step = step_of(checkpoint)
    described = Explanation(
        fine_tuning_job_id=checkpoint.fine_tuning_job_id,
        step=step,
        metric=criterion.metric,
        value=value,
        mode=criterion.mode,
        best_step=None if step is None else job.metrics[criterion.metric].best_step,
        checkpoints=job.checkpoints,
        last_step=None if step is None else job.last_step,
    )
    if validation is None or step is None:
        return described
    seen = job.metrics[validation.metric]
    metrics = checkpoint.metrics
    return attrs.evolve(
        described,
        validation_metric=validation.metric,
        lowest=seen.best,
        lowest_step=seen.best_step,
        last=seen.last,
        last_measured_step=seen.last_step,
        last_over_lowest=_ratio(seen.last, seen.best),
        validation_over_training=_ratio(_validation_at(metrics), _TRAINING.value_of(metrics)),
    )


def _validation_of(ranked_by: Criterion, job: JobSummary) -> Criterion | None:
    if ranked_by in _VALIDATION:
        return ranked_by
    # Extremes of a validation loss that was ranked in the other direction are not its lowest.
    others = (one for one in _VALIDATION if one.metric != ranked_by.metric)
    return next((one for one in others if one.metric in job.metrics), None)


def _validation_at(metrics: Metrics) -> float | None:
    values = (criterion.value_of(metrics) for criterion in _VALIDATION)
    return next((value for value in values if value is not None), None)


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def _shown(value: float) -> str:
    return f"{value:.4g}"


def _reaches(ratio: float | None, threshold: float) -> bool:
    return ratio is not None and ratio >= threshold


def _verdict(ratio: float, threshold: float) -> str:
    is_high = _reaches(ratio, threshold)
    return f"a sign of overfitting: {threshold} or more" if is_high else f"below {threshold}"
