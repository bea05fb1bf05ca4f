"""Generates the checkpoints of a job, each when it is read.

Every record is a function of the seed, the job and the step. A job with a million checkpoints needs
no memory, and the same seed always gives the same data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

from asyncckpt.testing.digests import digest_of, name_from
from asyncckpt.testing.ids import Ids
from asyncckpt.testing.profiles import PROFILES, Profile
from asyncckpt.testing.shapes import CheckpointObject
from asyncckpt.testing.training import Training


class Checkpoints(Sequence[CheckpointObject]):
    """The checkpoints of one job, newest first, each computed when it is read.

    Args:
        training: The steps of the job.
        model: What the names of the job's models have in common.
        steps: The number of steps so far.
        keep: How many checkpoints to keep, the newest; None for all.
        profile: The kind of server, which names checkpoints and models.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        training: Training,
        *,
        model: str,
        steps: int,
        keep: int | None = None,
        profile: Profile = PROFILES["openai"],
    ) -> None:
        self.training = training
        self.model = model
        self.steps = steps
        self._keep = keep
        self._names = profile.names
        self._ids = Ids(profile.checkpoint_ids, digest_of(training.seed, training.job_id)[40:])

    @property
    def final_model(self) -> str:
        """The name of the job's model, which it has once it has succeeded."""
        digest = digest_of("model", self.training.job_id)
        return self._names.final.format(stem=self.model, code=name_from(digest, 8))

    @property
    def made(self) -> int:
        """The number of checkpoints so far, with those that were not kept."""
        return self.steps // self.training.schedule.every

    def __len__(self) -> int:
        return self.made if self._keep is None else min(self._keep, self.made)

    @overload
    def __getitem__(self, index: int) -> CheckpointObject: ...
    @overload
    def __getitem__(self, index: slice) -> list[CheckpointObject]: ...
    def __getitem__(self, index: int | slice) -> CheckpointObject | list[CheckpointObject]:
        if isinstance(index, slice):
            return [self._make(self.made - 1 - n) for n in range(*index.indices(len(self)))]
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            message = f"there is no checkpoint {index}: the job has {len(self)}"
            raise IndexError(message)
        return self._make(self.made - 1 - position)

    def __iter__(self) -> Iterator[CheckpointObject]:
        newest = self.made - 1
        return (self._make(number) for number in range(newest, newest - len(self), -1))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return list(self) == list(other)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]

    def __repr__(self) -> str:
        return f"<Checkpoints of {self.training.job_id}: {len(self)}>"

    def numbered(self, number: int) -> CheckpointObject:
        """Return a checkpoint by its number, also if it was not kept; the oldest one has 0."""
        return self._make(number)

    def position_of(self, checkpoint_id: str) -> int | None:
        """Return the position of an id in the list, or None if it is not in it."""
        number = self._ids.number_of(checkpoint_id)
        if number is None or not self.made - len(self) <= number < self.made:
            return None
        is_right = self._id_of(number, self._digest_of(number)) == checkpoint_id
        return self.made - 1 - number if is_right else None

    def _digest_of(self, number: int) -> bytes:
        return self.training.digest_at(self._step_of(number))

    def _step_of(self, number: int) -> int:
        return self.training.schedule.every * (number + 1)

    def _id_of(self, number: int, digest: bytes) -> str:
        return self._ids.id_of(number, digest)

    def _make(self, number: int) -> CheckpointObject:
        digest, step = self._digest_of(number), self._step_of(number)
        schedule = self.training.schedule
        earlier = digest[60] % schedule.spacing // 2 if schedule.jitter else 0
        return {
            "object": "fine_tuning.job.checkpoint",
            "id": self._id_of(number, digest),
            "created_at": schedule.time_of(step) - int(earlier),
            "fine_tuned_model_checkpoint": self._names.checkpoint.format(
                stem=self.model, code=name_from(digest[24:], 8), step=step
            ),
            "fine_tuning_job_id": self.training.job_id,
            "metrics": self.training.metrics(step, digest),
            "step_number": step,
        }
