"""Generates one job: what it is, what it has done, and how it goes on."""

from __future__ import annotations

import attrs

from asyncckpt.testing.checkpoints import Checkpoints
from asyncckpt.testing.digests import digest_of, name_from
from asyncckpt.testing.events import OPENING, Events
from asyncckpt.testing.shapes import FINISHED, CheckpointObject, JobObject, Status


@attrs.define
class Job:
    """A generated job.

    Args:
        object: Its JSON object.
        checkpoints: Its checkpoints.
        queued_at: Unix time in seconds at which the validation of its files ended, or will end.
        opening: How many of the opening events it has.
    """

    object: JobObject
    checkpoints: Checkpoints
    queued_at: int
    opening: int = OPENING["validating_files"]

    @property
    def events(self) -> Events:
        """Its events as they are now."""
        return Events(self.object, self.checkpoints, self.queued_at, self.opening)

    @property
    def result_file(self) -> str:
        """The id of its result file, which exists once the job has succeeded."""
        return f"file-{name_from(digest_of('model', self.object['id'])[8:], 22)}"

    def start(self, status: Status) -> None:
        """Put the job into one of the statuses before its end."""
        self.object["status"] = status
        self.opening = OPENING[status]

    def finish(self, status: Status) -> None:
        """End the job, a minute after its last step.

        Args:
            status: `succeeded`, `failed` or `cancelled`.

        Raises:
            ValueError: The job has already finished, or `status` is a different one.
        """
        self.end(status, self.checkpoints.training.schedule.time_of(self.checkpoints.steps) + 60)

    def add_checkpoint(self) -> CheckpointObject:
        """Add the next checkpoint to a running or waiting job, and return it.

        Raises:
            ValueError: The job has finished.
        """
        self._refuse_if_finished()
        self.start("running")
        every = self.checkpoints.training.schedule.every
        self.checkpoints.steps = every * (self.checkpoints.made + 1)
        return self.checkpoints[0]

    def end(self, status: Status, at: int) -> None:
        """End the job at a time.

        Args:
            status: `succeeded`, `failed` or `cancelled`.
            at: The Unix time in seconds.

        Raises:
            ValueError: The job has already finished, or `status` is a different one.
        """
        if status not in FINISHED:
            message = f"a job ends as one of {sorted(FINISHED)}, not as {status!r}"
            raise ValueError(message)
        self._refuse_if_finished()
        record = self.object
        record["status"] = status
        record["estimated_finish"] = None
        record["finished_at"] = at
        if status == "succeeded":
            record["fine_tuned_model"] = self.checkpoints.final_model
            record["trained_tokens"] = 4_096 * max(1, self.checkpoints.made)
            record["result_files"] = [self.result_file]
        if status == "failed":
            text = f"The job failed after checkpoint {self.checkpoints.made}."
            record["error"] = {"code": "server_error", "message": text, "param": None}

    def _refuse_if_finished(self) -> None:
        if self.object["status"] in FINISHED:
            message = (
                f"job {self.object['id']} has finished ({self.object['status']}); "
                'make a running one with add_job(status="running")'
            )
            raise ValueError(message)
