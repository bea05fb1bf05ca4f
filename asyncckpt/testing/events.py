"""Generates the events of a job, each when it is read.

They are numbered in the order in which they happen: the opening ones, then one for each step and
for each checkpoint, then those of the end. Messages are those of the API.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, overload

from asyncckpt.testing.checkpoints import Checkpoints
from asyncckpt.testing.digests import digest_of
from asyncckpt.testing.ids import Ids
from asyncckpt.testing.shapes import EventObject, JobObject, Status

Level = Literal["info", "error"]

OPENING: dict[Status, int] = {"validating_files": 2, "queued": 3, "running": 4}
"""How many of the opening events there are in a status."""

_LOSSES = {
    "training loss": "train_loss",
    "validation loss": "valid_loss",
    "full validation loss": "full_valid_loss",
}


class Events(Sequence[EventObject]):
    """The events of one job as they are now, newest first, each computed when it is read.

    Args:
        job: The JSON object of the job.
        checkpoints: The checkpoints of the job.
        queued_at: Unix time in seconds of the end of the validation of its files.
        opening: How many of the opening events there are.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self, job: JobObject, checkpoints: Checkpoints, queued_at: int, opening: int
    ) -> None:
        self._checkpoints = checkpoints
        self._training = training = checkpoints.training
        self._every = training.schedule.every
        self._steps = checkpoints.steps
        self._opening = _opening_of(job, queued_at, training.schedule.started_at)[:opening]
        self._closing = _closing_of(job)
        self._ids = Ids("ftevent-", digest_of(training.seed, training.job_id, "events"))

    def __len__(self) -> int:
        return self._last_step_end + len(self._closing)

    @overload
    def __getitem__(self, index: int) -> EventObject: ...
    @overload
    def __getitem__(self, index: slice) -> list[EventObject]: ...
    def __getitem__(self, index: int | slice) -> EventObject | list[EventObject]:
        newest = len(self) - 1
        if isinstance(index, slice):
            return [self._make(newest - n) for n in range(*index.indices(len(self)))]
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            message = f"there is no event {index}: the job has {len(self)}"
            raise IndexError(message)
        return self._make(newest - position)

    def __iter__(self) -> Iterator[EventObject]:
        return (self._make(number) for number in range(len(self) - 1, -1, -1))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return list(self) == list(other)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]

    def __repr__(self) -> str:
        return f"<Events of {self._training.job_id}: {len(self)}>"

    def position_of(self, event_id: str) -> int | None:
        """Return the position of an id in the list, or None if it is not in it."""
        number = self._ids.number_of(event_id)
        if number is None or not 0 <= number < len(self) or self._id_of(number) != event_id:
            return None
        return len(self) - 1 - number

    @property
    def _last_step_end(self) -> int:
        return len(self._opening) + self._steps + self._steps // self._every

    def _id_of(self, number: int) -> str:
        seed, job_id = self._training.seed, self._training.job_id
        return self._ids.id_of(number, digest_of(seed, job_id, "event", number))

    def _make(self, number: int) -> EventObject:
        if number < len(self._opening):
            return self._message(number, *self._opening[number])
        if number >= self._last_step_end:
            return self._message(number, *self._closing[number - self._last_step_end])
        # The event of a checkpoint follows that of its step.
        block, offset = divmod(number - len(self._opening), self._every + 1)
        if offset < self._every:
            return self._metrics(number, block * self._every + offset + 1)
        return self._checkpoint(number, block)

    def _message(self, number: int, at: int, message: str, level: Level = "info") -> EventObject:
        return {
            "object": "fine_tuning.job.event",
            "id": self._id_of(number),
            "created_at": at,
            "level": level,
            "message": message,
            "data": {},
            "type": "message",
        }

    def _checkpoint(self, number: int, block: int) -> EventObject:
        checkpoint = self._checkpoints.numbered(block)
        name = checkpoint["fine_tuned_model_checkpoint"]
        step = checkpoint["step_number"]
        return self._message(
            number,
            self._training.schedule.time_of(step),
            f"Checkpoint created at step {step} with Snapshot ID: {name}",
        )

    def _metrics(self, number: int, step: int) -> EventObject:
        training = self._training
        total = max(training.total_steps, step)
        metrics = training.metrics(step, training.digest_at(step))
        data: dict[str, object] = {**metrics, **training.rewards(metrics), "total_steps": total}
        losses = [f"{name}={data[field]:.2f}" for name, field in _LOSSES.items() if field in data]
        return {
            **self._message(
                number,
                training.schedule.time_of(step),
                f"Step {step}/{total}: {', '.join(losses)}",
            ),
            "data": data,
            "type": "metrics",
        }


def _opening_of(record: JobObject, queued_at: int, started_at: int) -> list[tuple[int, str]]:
    """Return the times and messages of the events up to the start of training."""
    files = f"training file: {record['training_file']}"
    if record["validation_file"] is not None:
        files += f" and validation file: {record['validation_file']}"
    return [
        (record["created_at"], f"Created fine-tuning job: {record['id']}"),
        (record["created_at"], f"Validating {files}"),
        (queued_at, "Files validated, moving job to queued state"),
        (started_at, "Fine-tuning job started"),
    ]


def _closing_of(record: JobObject) -> list[tuple[int, str, Level]]:
    """Return the times, messages and levels of the events of the end; none before the end."""
    at = record["finished_at"] or 0
    match record["status"]:
        case "succeeded":
            made = f"New fine-tuned model created: {record['fine_tuned_model']}"
            return [(at, made, "info"), (at, "The job has successfully completed", "info")]
        case "failed":
            reason = record["error"]["message"] if record["error"] else ""
            return [(at, reason, "error")]
        case "cancelled":
            return [(at, "The job was cancelled", "info")]
        case _:
            return []
