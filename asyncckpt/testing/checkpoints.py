"""The generated checkpoints of a job, each computed when it is read.

Every record is a function of the seed, the job and the step. A job with a million checkpoints needs
no memory, and the same seed always gives the same data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import overload

import attrs

from asyncckpt.testing.digests import ALPHABET, digest_of, fraction_of, name_from
from asyncckpt.testing.shapes import CheckpointObject, Method, MetricsObject

_DIGITS = {character: value for value, character in enumerate(ALPHABET)}
_CODE_LENGTH = 6
_CODES = 62**_CODE_LENGTH


@attrs.frozen
class Curve:
    """The losses of a job over its planned checkpoints.

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


class Checkpoints(Sequence[CheckpointObject]):
    """The checkpoints of one job, newest first, each computed when it is read.

    Args:
        seed: The sandbox's seed.
        job_id: The id of the job.
        method: The method of the job; reinforcement has no token accuracies.
        started_at: Unix time in seconds of the job's start.
        model: The name of the fine-tuned model without its last part.
        made: The number of checkpoints so far.
        planned: The number of checkpoints at the end of the job: the scale of the curves.
        validated: Whether the job has a validation file.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        *,
        seed: int,
        job_id: str,
        method: Method,
        started_at: int,
        model: str,
        made: int,
        planned: int,
        validated: bool,
    ) -> None:
        digest = digest_of(seed, job_id)
        self.made = made
        self.planned = max(1, planned)
        self._seed = seed
        self._job_id = job_id
        self._started_at = started_at
        self.model = model
        self._validated = validated
        self._curve = Curve.of(digest, method)
        self._every = (10, 25, 50, 100)[digest[38] % 4]
        self._full_every = max(1, self.planned // (3 + digest[39] % 3))
        self._spacing = max(2, min(90, 259_200 // self.planned))
        # It is coprime to 62, so that all ids have different codes.
        self._factor = 62 * int.from_bytes(digest[40:44]) + 1 + 2 * (digest[44] % 15)
        self._offset = int.from_bytes(digest[45:50])
        self._inverse: int = pow(self._factor, -1, _CODES)

    def __len__(self) -> int:
        return self.made

    @overload
    def __getitem__(self, index: int) -> CheckpointObject: ...
    @overload
    def __getitem__(self, index: slice) -> list[CheckpointObject]: ...
    def __getitem__(self, index: int | slice) -> CheckpointObject | list[CheckpointObject]:
        if isinstance(index, slice):
            return [self._make(self.made - 1 - n) for n in range(*index.indices(self.made))]
        position = index + self.made if index < 0 else index
        if not 0 <= position < self.made:
            message = f"there is no checkpoint {index}: the job has {self.made}"
            raise IndexError(message)
        return self._make(self.made - 1 - position)

    def __iter__(self) -> Iterator[CheckpointObject]:
        return (self._make(number) for number in range(self.made - 1, -1, -1))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return list(self) == list(other)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]

    def __repr__(self) -> str:
        return f"<Checkpoints of {self._job_id}: {self.made}>"

    def position_of(self, checkpoint_id: str) -> int | None:
        """Return the position of an id in the list, or None if it is not in it."""
        number = self._number_of(checkpoint_id)
        if number is None or not 0 <= number < self.made:
            return None
        return self.made - 1 - number if self._id_of(number) == checkpoint_id else None

    def created_at(self, number: int) -> int:
        """Return the Unix time in seconds of a checkpoint; the oldest one has number 0."""
        return self._started_at + self._spacing * (number + 1)

    def _id_of(self, number: int, digest: bytes | None = None) -> str:
        code = (number * self._factor + self._offset) % _CODES
        digits: list[str] = []
        for _ in range(_CODE_LENGTH):
            code, digit = divmod(code, 62)
            digits.append(ALPHABET[digit])
        tail = name_from(digest or self._digest_of(number), 24 - _CODE_LENGTH)
        return f"ftckpt_{''.join(digits)}{tail}"

    def _number_of(self, checkpoint_id: str) -> int | None:
        code = 0
        for character in reversed(checkpoint_id.removeprefix("ftckpt_")[:_CODE_LENGTH]):
            if character not in _DIGITS:
                return None
            code = code * 62 + _DIGITS[character]
        number: int = (code - self._offset) * self._inverse % _CODES
        return number

    def _digest_of(self, number: int) -> bytes:
        return digest_of(self._seed, self._job_id, number)

    def _make(self, number: int) -> CheckpointObject:
        digest = self._digest_of(number)
        step = self._every * (number + 1)
        return {
            "object": "fine_tuning.job.checkpoint",
            "id": self._id_of(number, digest),
            "created_at": self.created_at(number) - digest[60] % self._spacing // 2,
            "fine_tuned_model_checkpoint": (
                f"{self.model}:{name_from(digest[24:], 8)}:ckpt-step-{step}"
            ),
            "fine_tuning_job_id": self._job_id,
            "metrics": self._metrics(number, step, digest),
            "step_number": step,
        }

    def _metrics(self, number: int, step: int, digest: bytes) -> MetricsObject:
        progress = (number + 1) / self.planned
        train = self._curve.train_loss(progress) * (0.96 + 0.08 * fraction_of(digest, 40))
        metrics: MetricsObject = {"step": step, "train_loss": round(train, 5)}
        if self._curve.has_accuracy:
            metrics["train_mean_token_accuracy"] = _accuracy(train)
        if not self._validated:
            return metrics
        expected = self._curve.valid_loss(progress)
        valid = expected * (0.97 + 0.06 * fraction_of(digest, 42))
        metrics["valid_loss"] = round(valid, 5)
        if self._curve.has_accuracy:
            metrics["valid_mean_token_accuracy"] = _accuracy(valid)
        if (number + 1) % self._full_every and number + 1 != self.planned:
            return metrics
        full = expected * (0.99 + 0.02 * fraction_of(digest, 44))
        metrics["full_valid_loss"] = round(full, 6)
        if self._curve.has_accuracy:
            metrics["full_valid_mean_token_accuracy"] = _accuracy(full)
        return metrics


def _accuracy(loss: float) -> float:
    return round(min(1.0, 0.3 + 0.68 * math.exp(-0.5 * loss)), 5)
