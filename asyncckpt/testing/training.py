"""Generates what a job measures at each of its steps, when it is read.

Every number is a function of the seed, the job and the step. A job with a million steps needs no
memory, and the same seed always gives the same data.
"""

from __future__ import annotations

import math

import attrs

from asyncckpt.testing.digests import digest_of, fraction_of
from asyncckpt.testing.shapes import Method, MetricsObject


@attrs.frozen
class Curve:
    """The losses of a job over its planned steps.

    Training loss falls to the end. Validation loss falls at first and then rises: the job
    overfits, so that the best checkpoint is not the last one.
    """

    floor: float
    height: float
    turn: float
    has_accuracy: bool

    @classmethod
    def of(cls, digest: bytes, method: Method) -> Curve:
        """Return the curve of the job with this digest."""
        floor, height = {
            "supervised": (0.25, 1.6),
            "dpo": (0.08, 0.61),
            "reinforcement": (0.4, 0.9),
        }[method]
        return cls(
            floor=floor * (0.8 + 0.4 * fraction_of(digest, 32)),
            height=height * (0.9 + 0.2 * fraction_of(digest, 34)),
            turn=0.4 + 0.2 * fraction_of(digest, 36),
            has_accuracy=method != "reinforcement",
        )

    def train_loss(self, progress: float) -> float:
        """Return the training loss without noise; `progress` is 1.0 at the planned end."""
        return self.floor + self.height * math.exp(-4.0 * progress)

    def valid_loss(self, progress: float) -> float:
        """Return the validation loss without noise."""
        past = min(max(0.0, progress - self.turn), 1.0)
        return self.train_loss(progress) + self.height * (0.04 + 0.9 * past * past)


@attrs.frozen(kw_only=True)
class Schedule:
    """When a job does what.

    Args:
        every: Steps from one checkpoint to the next.
        full_every: Checkpoints from one validation on the whole file to the next.
        started_at: Unix time in seconds of the start of training.
        spacing: Seconds from one checkpoint to the next.
        jitter: Seconds by which checkpoints may be created earlier.
    """

    every: int
    full_every: int
    started_at: int
    spacing: float
    jitter: int = 0

    @classmethod
    def of(cls, digest: bytes, planned: int, started_at: int) -> Schedule:
        """Return the schedule of the job with this digest and this many planned checkpoints."""
        spacing = max(2, min(90, 259_200 // planned))
        return cls(
            every=(10, 25, 50, 100)[digest[38] % 4],
            full_every=max(1, planned // (3 + digest[39] % 3)),
            started_at=started_at,
            spacing=spacing,
            jitter=spacing // 2,
        )

    def time_of(self, step: int) -> int:
        """Return the Unix time in seconds of the end of a step."""
        return int(self._end_of(step))

    def time_after(self, step: int) -> int:
        """Return the first Unix time in seconds at which a step has ended."""
        return math.ceil(self._end_of(step))

    def steps_until(self, time: float) -> int:
        """Return how many steps have ended at a time."""
        steps = max(0, int((time - self.started_at) * self.every / self.spacing))
        # A quotient of floats may be off by a little.
        return steps + 1 if self._end_of(steps + 1) <= time else steps

    def _end_of(self, step: int) -> float:
        return self.started_at + self.spacing * step / self.every


class Training:
    """The steps of one job, counted from 1.

    Args:
        seed: The sandbox's seed.
        job_id: The id of the job.
        method: The method of the job; reinforcement has rewards and no token accuracies.
        planned: The number of checkpoints at the end of the job: the scale of the curves.
        validated: Whether the job has a validation file.
        schedule: When it does what.
    """

    def __init__(
        self,
        *,
        seed: int,
        job_id: str,
        method: Method,
        planned: int,
        validated: bool,
        schedule: Schedule,
    ) -> None:
        self.seed = seed
        self.job_id = job_id
        self.planned = max(1, planned)
        self.schedule = schedule
        self.has_rewards = method == "reinforcement"
        self._validated = validated
        self._curve = Curve.of(digest_of(seed, job_id), method)

    @property
    def total_steps(self) -> int:
        """The number of planned steps."""
        return self.planned * self.schedule.every

    def digest_at(self, step: int) -> bytes:
        """Return the bytes that everything about a step is made of."""
        number, rest = divmod(step, self.schedule.every)
        if rest:
            return digest_of(self.seed, self.job_id, "step", step)
        return digest_of(self.seed, self.job_id, number - 1)

    def metrics(self, step: int, digest: bytes) -> MetricsObject:
        """Return the metrics of a step; a checkpoint of this step has the same.

        Args:
            step: The step, from 1.
            digest: What `digest_at` returns for it.
        """
        progress = step / self.total_steps
        train = self._curve.train_loss(progress) * (0.96 + 0.08 * fraction_of(digest, 40))
        metrics: MetricsObject = {"step": step, "train_loss": round(train, 5)}
        if self._curve.has_accuracy:
            metrics["train_mean_token_accuracy"] = _accuracy(train)
        if not self._validated or not self._is_validated_at(step):
            return metrics
        expected = self._curve.valid_loss(progress)
        valid = expected * (0.97 + 0.06 * fraction_of(digest, 42))
        metrics["valid_loss"] = round(valid, 5)
        if self._curve.has_accuracy:
            metrics["valid_mean_token_accuracy"] = _accuracy(valid)
        if not self._is_fully_validated_at(step):
            return metrics
        full = expected * (0.99 + 0.02 * fraction_of(digest, 44))
        metrics["full_valid_loss"] = round(full, 6)
        if self._curve.has_accuracy:
            metrics["full_valid_mean_token_accuracy"] = _accuracy(full)
        return metrics

    def rewards(self, metrics: MetricsObject) -> dict[str, float]:
        """Return the rewards that go with the metrics of a step; only reinforcement has any."""
        if not self.has_rewards:
            return {}
        rewards = {"train_mean_reward": _reward(metrics["train_loss"])}
        if "full_valid_loss" in metrics:
            rewards["full_validation_mean_reward"] = _reward(metrics["full_valid_loss"])
        return rewards

    def _is_validated_at(self, step: int) -> bool:
        every = self.schedule.every
        return step % max(1, every // 5) == 0 or step % every == 0

    def _is_fully_validated_at(self, step: int) -> bool:
        number, rest = divmod(step, self.schedule.every)
        return not rest and (not number % self.schedule.full_every or number == self.planned)


def _accuracy(loss: float) -> float:
    return round(min(1.0, 0.3 + 0.68 * math.exp(-0.5 * loss)), 5)


def _reward(loss: float) -> float:
    return round(math.exp(-loss), 5)
