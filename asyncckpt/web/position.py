"""Encodes how far a reader has got, as the id of a server-sent event.

An id is the `resume_token` of a watch of the job, but it tells apart fewer of the newest items: it
is part of each message.
"""

from __future__ import annotations

from typing import Final

from asyncckpt.streams.resumption import JobState, ListState, decode_token, encode_token
from asyncckpt.streams.seen import Seen, digest_of
from asyncckpt.streams.updates import (
    CaughtUp,
    CheckpointCreated,
    EventLogged,
    Finished,
    StatusChanged,
    Update,
)

_ITEMS: Final = 8
"""How many of the newest items an id tells apart at least."""

_MAX_ID: Final = 4_000
"""Characters. Servers accept about 8,000 in a header."""


class Position:
    """What a reader of a job has received.

    Args:
        state: What it has received; default: nothing.
    """

    def __init__(self, state: JobState | None = None) -> None:
        self._state = state or JobState(
            checkpoints=ListState(Seen(_ITEMS)), events=ListState(Seen(_ITEMS))
        )

    @classmethod
    def from_id(cls, event_id: str, job_id: str) -> Position | None:
        """Restore a position from an event id; None if the id is not one of this job."""
        try:
            state = decode_token("updates", event_id).get(job_id)
        except ValueError:
            return None
        return None if state is None else cls(state)

    def id(self, job_id: str) -> str | None:
        """Return the position as an event id; None if it would be too long for a header.

        That is so if very many items share a second. A reader that returns gets them again.
        """
        event_id = encode_token("updates", {job_id: self._state})
        return event_id if len(event_id) <= _MAX_ID else None

    def add(self, update: Update) -> None:
        """Add an update that the reader receives."""
        match update:
            case CheckpointCreated(checkpoint):
                self._state.checkpoints.seen.add(digest_of(checkpoint.id), checkpoint.created_at)
            case EventLogged(event):
                self._state.events.seen.add(digest_of(event.id), event.created_at)
            case StatusChanged(job) | CaughtUp(job):
                self._state.status = job.status
            case Finished():
                self._state.finish()

    def includes(self, update: Update) -> bool:
        """Return whether the reader has received an update.

        Updates about the job itself may come again: they say how it is now.
        """
        state = self._state
        match update:
            case CheckpointCreated(checkpoint):
                seen = state.checkpoints.seen.has(digest_of(checkpoint.id), checkpoint.created_at)
            case EventLogged(event):
                seen = state.events.seen.has(digest_of(event.id), event.created_at)
            case _:
                return False
        return seen or state.finished
