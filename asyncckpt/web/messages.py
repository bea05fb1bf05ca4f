"""Turns the updates of a watch into server-sent events."""

from __future__ import annotations

from typing import Final

import attrs

from asyncckpt.records import converter
from asyncckpt.records.base import Record
from asyncckpt.streams.updates import (
    CaughtUp,
    CheckpointCreated,
    EventLogged,
    Finished,
    StatusChanged,
    Update,
)

__all__ = ["HEARTBEAT", "ServerSentEvent", "message_of"]


@attrs.frozen
class ServerSentEvent:
    """A message of an event stream (HTML standard, *Server-sent events*).

    Attributes:
        event: ``"checkpoint"``, ``"event"``, ``"status"``, ``"caught_up"``, ``"finished"``,
            ``"failure"``, or None for a comment that keeps the connection alive.
        data: The JSON of the record: a checkpoint, an event, or a job.
        id: What a reader sends as ``Last-Event-ID`` to continue after this message; None to leave
            the last one.
    """

    event: str | None = None
    data: str = ""
    id: str | None = None

    def encode(self) -> bytes:
        """Return the message as it is sent."""
        if self.event is None:
            return b":\n\n"
        lines = [f"event: {self.event}", f"data: {self.data}"]
        if self.id is not None:
            lines.append(f"id: {self.id}")
        return "\n".join([*lines, "", ""]).encode()


HEARTBEAT: Final = ServerSentEvent()
"""A comment."""


def message_of(update: Update, event_id: str | None) -> ServerSentEvent:
    """Return the message of an update."""
    name, record = _named_record(update)
    return ServerSentEvent(name, converter.dumps(record).decode(), event_id)


def _named_record(update: Update) -> tuple[str, Record]:
    match update:
        case CheckpointCreated(checkpoint):
            return "checkpoint", checkpoint
        case EventLogged(event):
            return "event", event
        case StatusChanged(job):
            return "status", job
        case CaughtUp(job):
            return "caught_up", job
        case Finished(job):
            return "finished", job
