"""Encodes what a watch has handed out, so that another watch can continue from there.

A token is a JSON object::

    {"version": 1, "kind": "updates", "jobs": {"ftjob-abc123": {...}}}

The state of a job has its last `status`, and what was handed out of its `checkpoints` and `events`:
`seen`, see `Seen.to_json`, and, for a list that is oldest first, the `cursor` to continue after. A
finished job is `{"finished": true}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, cast

import attrs

from asyncckpt.streams.reading import ReadingCursor
from asyncckpt.streams.seen import Seen

__all__ = ["MAX_TOKEN", "JobState", "Kind", "ListState", "decode_token", "encode_token"]

MAX_TOKEN: Final = 256 * 2**20
"""The highest number of characters in a token."""

Kind: TypeAlias = Literal["updates", "checkpoints"]

_VERSION: Final = 1
_MAX_STATUS: Final = 1_000
_MAX_CURSOR: Final = 200


@attrs.define
class ListState:
    """What has been handed out of one list.

    Attributes:
        seen: The items.
        cursor: Where to continue, if the list is oldest first; all items before it have been handed
            out.
    """

    seen: Seen = attrs.field(factory=Seen)
    cursor: ReadingCursor | None = None

    def to_json(self) -> dict[str, object]:
        """Return the state as JSON."""
        state: dict[str, object] = {"seen": self.seen.to_json()}
        # Without a cursor, the list is read from its beginning.
        if self.cursor is not None and len(self.cursor.after) <= _MAX_CURSOR:
            state["cursor"] = [self.cursor.after, self.cursor.expected]
        return state

    @classmethod
    def from_json(cls, state: object) -> ListState:
        """Restore the state that `to_json` returned.

        Raises:
            ValueError: It is malformed.
        """
        fields = _object(state, "a list")
        seen = Seen.from_json(fields.get("seen"))
        match fields.get("cursor", ()):
            case ():
                return cls(seen)
            case [str() as after, str() as expected] if after:
                return cls(seen, ReadingCursor(after, expected))
            case _:
                raise ValueError("a list has no valid cursor")


@attrs.define
class JobState:
    """What has been handed out of one job.

    Attributes:
        status: The status; None before the first one.
        finished: Whether the end of the job has been handed out.
        checkpoints: The checkpoints.
        events: The events.
    """

    status: str | None = None
    finished: bool = False
    checkpoints: ListState = attrs.field(factory=ListState)
    events: ListState = attrs.field(factory=ListState)

    def finish(self) -> None:
        """Record that the end of the job is handed out, and forget the rest."""
        self.finished = True
        self.checkpoints, self.events = ListState(), ListState()

    def to_json(self) -> dict[str, object]:
        """Return the state as JSON."""
        if self.finished:
            return {"finished": True}
        return {
            "status": self.status,
            "checkpoints": self.checkpoints.to_json(),
            "events": self.events.to_json(),
        }

    @classmethod
    def from_json(cls, state: object) -> JobState:
        """Restore the state that `to_json` returned.

        Raises:
            ValueError: It is malformed.
        """
        fields = _object(state, "a job")
        if fields.get("finished") is True:
            return cls(finished=True)
        status = fields.get("status")
        if status is not None and not (isinstance(status, str) and len(status) <= _MAX_STATUS):
            raise ValueError("a job has no valid status")
        return cls(
            status,
            checkpoints=ListState.from_json(fields.get("checkpoints")),
            events=ListState.from_json(fields.get("events")),
        )


def encode_token(kind: Kind, jobs: Mapping[str, JobState]) -> str:
    """Return the token of a watch."""
    states = {job_id: state.to_json() for job_id, state in jobs.items()}
    token = {"version": _VERSION, "kind": kind, "jobs": states}
    return json.dumps(token, separators=(",", ":"))


def decode_token(kind: Kind, token: object) -> dict[str, JobState]:
    """Return the states of the jobs in a token.

    Args:
        kind: The kind of the watch.
        token: The token.

    Raises:
        TypeError: It is not a string.
        ValueError: It is malformed, of another version or of another kind.
    """
    if not isinstance(token, str):
        raise TypeError(f"resume must be the resume_token of a watch, not {type(token).__name__}")
    if len(token) > MAX_TOKEN:
        raise ValueError(f"resume has more than {MAX_TOKEN:,} characters")
    try:
        decoded = cast("object", json.loads(token))
    except (ValueError, RecursionError):
        raise ValueError("resume is not the resume_token of a watch: it is not JSON") from None
    try:
        fields = _object(decoded, "it")
        _check_origin(fields, kind)
        jobs = _object(fields.get("jobs"), "the list of jobs")
        return {job_id: JobState.from_json(state) for job_id, state in jobs.items()}
    except ValueError as error:
        raise ValueError(f"resume is not the resume_token of a watch: {error}") from None


def _object(value: object, what: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not an object")
    return cast("dict[str, object]", value)


def _check_origin(fields: Mapping[str, object], kind: Kind) -> None:
    version, made_by = fields.get("version"), fields.get("kind")
    if not isinstance(version, int):
        raise ValueError("it has no version")
    if version != _VERSION:
        raise ValueError(f"it has version {version}; this version of asyncckpt reads {_VERSION}")
    if made_by != kind:
        raise ValueError(
            "it is of another kind of watch: tokens of jobs.watch and of checkpoints.watch cannot "
            "be exchanged"
        )
