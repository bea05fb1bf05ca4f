"""Where the validation of a job turned up, from the checkpoints that were seen of it.

Of each metric, the best and the last value are kept, however many checkpoints there are.
"""

from __future__ import annotations

from typing import Final

import attrs

from asyncckpt.records.checkpoints import FineTuningJobCheckpoint, Metrics
from asyncckpt.streams.criteria import Criterion, Mode, criterion_of
from asyncckpt.streams.text import safe_text

__all__ = [
    "OVERFITTING_LAST_OVER_LOWEST",
    "OVERFITTING_VALIDATION_OVER_TRAINING",
    "Explanation",
    "JobSummary",
    "explain",
]

OVERFITTING_LAST_OVER_LOWEST: Final = 1.2
"""From here on, the rise of the validation loss after its lowest value is taken for overfitting."""

OVERFITTING_VALIDATION_OVER_TRAINING: Final = 1.5
"""From here on, a validation loss above the training loss is taken for overfitting."""

VALIDATION_LOSSES: Final = ("full_valid_loss", "valid_loss")
_VALIDATION: Final = tuple(criterion_of(name) for name in VALIDATION_LOSSES)
_TRAINING: Final = criterion_of("train_loss")


@attrs.define
class Extremes:
    """The best and the last value of one metric of a job.

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
class JobSummary:
    """What is kept of a job, whatever the number of its checkpoints.

    Attributes:
        checkpoints: How many checkpoints were seen.
        last_step: The last step that has one.
        metrics: The best and last values of the metrics that were measured, by name.
    """

    checkpoints: int = 0
    last_step: int = 0
    metrics: dict[str, Extremes] = attrs.field(factory=dict[str, Extremes])

    def count(self, step: int) -> None:
        """Count a checkpoint at a step; they may come in any order."""
        self.last_step = step if not self.checkpoints else max(self.last_step, step)
        self.checkpoints += 1

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


@attrs.frozen
class Explanation:
    """What the checkpoints of a job say about a choice; as text, it is plain English.

    All values are those of the checkpoints that were seen, which need not be all of the job's:
    OpenAI keeps the checkpoints of the last three epochs only.

    Attributes:
        fine_tuning_job_id: The job.
        step: The step of the checkpoint.
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
    """

    fine_tuning_job_id: str
    step: int
    metric: str
    value: float
    mode: Mode
    best_step: int
    checkpoints: int
    last_step: int
    validation_metric: str | None = None
    lowest: float | None = None
    lowest_step: int | None = None
    last: float | None = None
    last_measured_step: int | None = None
    last_over_lowest: float | None = None
    validation_over_training: float | None = None

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
        return " ".join([*self._choice(), *self._validation(), *self._training()])

    def _choice(self) -> list[str]:
        best = "lowest" if self.mode == "min" else "highest"
        job = safe_text(self.fine_tuning_job_id)
        count = f"{self.checkpoints} checkpoint{'s' * (self.checkpoints != 1)}"
        said = f"Step {self.step} of job {job} has a {self.metric} of {_shown(self.value)}"
        if self.best_step != self.step:
            return [f"{said}; the {best} of its {count} is at step {self.best_step}."]
        return [f"{said}, the {best} of its {count}."]

    def _validation(self) -> list[str]:
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
    described = Explanation(
        fine_tuning_job_id=checkpoint.fine_tuning_job_id,
        step=checkpoint.step_number,
        metric=criterion.metric,
        value=value,
        mode=criterion.mode,
        best_step=job.metrics[criterion.metric].best_step,
        checkpoints=job.checkpoints,
        last_step=job.last_step,
    )
    if validation is None:
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
