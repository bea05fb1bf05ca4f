"""Defines what a watch yields: one class for each kind of update."""

from __future__ import annotations

from typing import TypeAlias

import attrs

from asyncckpt.records import FineTuningJob, FineTuningJobEvent
from asyncckpt.records.checkpoints import FineTuningJobCheckpoint

__all__ = [
    "CaughtUp",
    "CheckpointCreated",
    "EventLogged",
    "Finished",
    "StatusChanged",
    "Update",
]


@attrs.frozen
class CheckpointCreated:
    """A job has a checkpoint that this watch has not yielded before.

    Attributes:
        checkpoint: The checkpoint.
        fine_tuning_job_id: The id of the job, as it was passed to the watch.
    """

    checkpoint: FineTuningJobCheckpoint
    fine_tuning_job_id: str = attrs.field(kw_only=True)


@attrs.frozen
class EventLogged:
    """A job has an event that this watch has not yielded before.

    Attributes:
        event: The event.
        fine_tuning_job_id: The id of the job, as it was passed to the watch.
    """

    event: FineTuningJobEvent
    fine_tuning_job_id: str = attrs.field(kw_only=True)


@attrs.frozen
class StatusChanged:
    """A job has another status than at the last poll, or than when the earlier watch stopped.

    Attributes:
        job: The job, with the new status.
        previous: The previous status.
        fine_tuning_job_id: The id of the job, as it was passed to the watch.
    """

    job: FineTuningJob
    previous: str
    fine_tuning_job_id: str = attrs.field(kw_only=True)


@attrs.frozen
class CaughtUp:
    """All existing checkpoints and events of a job have been yielded; the next ones are live.

    A watch yields one for each job.

    Attributes:
        job: The job as it was when its checkpoints and events were read.
        fine_tuning_job_id: The id of the job, as it was passed to the watch.
    """

    job: FineTuningJob
    fine_tuning_job_id: str = attrs.field(kw_only=True)


@attrs.frozen
class Finished:
    """A job has ended: `job.status` is ``"succeeded"``, ``"failed"`` or ``"cancelled"``.

    It is the last update of the job.

    Attributes:
        job: The job.
        fine_tuning_job_id: The id of the job, as it was passed to the watch.
    """

    job: FineTuningJob
    fine_tuning_job_id: str = attrs.field(kw_only=True)


Update: TypeAlias = CheckpointCreated | EventLogged | StatusChanged | CaughtUp | Finished
"""What a watch yields."""
