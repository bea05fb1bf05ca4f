"""Defines the records of events; `asyncckpt.records` says what all records share.

They are imported on first use, as jobs are.
"""

from __future__ import annotations

import builtins
from datetime import datetime

import attrs

from asyncckpt.records.base import Extra, Record, extra_field
from asyncckpt.records.forms import TEXT_TIME, datetime_of

__all__ = ["FineTuningJobEvent", "JobEvent"]


@attrs.frozen
class FineTuningJobEvent(Record):
    """Something that happened to a fine-tuning job.

    Attributes:
        id: The event's identifier; also the cursor that continues a list after it.
        created_at: When it happened: Unix time in seconds. `created` is the same as a datetime.
        level: ``"info"``, ``"warn"`` or ``"error"``.
        message: What happened, for people.
        type: ``"message"``, or ``"metrics"`` if `data` holds the metrics of a step; None if the
            server does not say.
        data: What belongs to the event: for ``"metrics"`` the step and what was measured; None if
            there is nothing.
        object: Always ``"fine_tuning.job.event"``.
        extra: Fields of the API that this record does not name.
    """

    id: str
    created_at: int = attrs.field(metadata=TEXT_TIME)
    level: str
    message: str
    type: str | None = None
    data: dict[str, builtins.object] | None = attrs.field(default=None, hash=False)
    object: str = "fine_tuning.job.event"
    extra: Extra = extra_field()

    @property
    def created(self) -> datetime:
        """`created_at` as an aware datetime in UTC."""
        return datetime_of(self, "created_at")


@attrs.frozen
class JobEvent(FineTuningJobEvent):
    """An event with the id of its job, which the API leaves out; for the events of many jobs.

    Attributes:
        fine_tuning_job_id: The id of the job.
    """

    fine_tuning_job_id: str = attrs.field(kw_only=True)

    @classmethod
    def of(cls, job_id: str, event: FineTuningJobEvent) -> JobEvent:
        """Return an event with the id of its job.

        Args:
            job_id: The id of the job.
            event: The event.
        """
        return cls(**attrs.asdict(event, recurse=False), fine_tuning_job_id=job_id)


@attrs.frozen
class ListFineTuningJobEventsResponse(Record):
    """The body of a page of events.

    Attributes:
        data: The events.
        has_more: Whether there are more; None if the server does not say.
        first_id: The id of the first event; not documented, but often sent.
        last_id: The id of the last event; not documented, but often sent.
        object: Always ``"list"``.
        extra: Fields of the API that this record does not name.
    """

    data: list[FineTuningJobEvent]
    has_more: bool | None = None
    first_id: str | None = None
    last_id: str | None = None
    object: str = "list"
    extra: Extra = extra_field()
