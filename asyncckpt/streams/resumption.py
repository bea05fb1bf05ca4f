"""Encodes what a watch has handed out, so that another watch can continue from there.

A token is a JSON object::

    {"version": 1, "kind": "updates", "jobs": {"ftjob-abc123": {...}}}

The state of a job has its last `status`, and what was handed out of its `checkpoints` and `events`;
see `Seen.to_json`. A finished job is `{"finished": true}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, cast

import attrs

from asyncckpt.streams.seen import Seen

__all__ = ["MAX_TOKEN", "JobState", "Kind", "decode_token", "encode_token"]

MAX_TOKEN: Final = 256 * 2**20
"""The highest number of characters in a token."""

Kind: TypeAlias = Literal["updates", "checkpoints"]

_VERSION: Final = 1
_MAX_STATUS: Final = 1_000


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
    checkpoints: Seen = attrs.field(factory=Seen)
    events: Seen = attrs.field(factory=Seen)

    def finish(self) -> None:
        """Record that the end of the job is handed out, and forget the rest."""
        self.finished = True
        self.checkpoints, self.events = Seen(), Seen()

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
        match state:
            case {"finished": True}:
                return cls(finished=True)
            case {"status": None | str() as status, "checkpoints": checkpoints, "events": events}:
                if status is not None and len(status) > _MAX_STATUS:
                    raise ValueError("a status is too long")
                return cls(
                    status,
                    checkpoints=Seen.from_json(checkpoints),
                    events=Seen.from_json(events),
                )
            case _:
                raise ValueError("a job has no valid state")


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
        raise _malformed("it is not JSON") from None
    match decoded:
        case {"version": 1, "kind": str() as made_by, "jobs": dict() as jobs}:
            pass
        case {"version": int() as version} if version != _VERSION:
            raise ValueError(
                f"resume has version {version}, and this version of asyncckpt reads {_VERSION}"
            )
        case _:
            raise _malformed("it has no version, kind and jobs")
    if made_by != kind:
        raise ValueError(
            "resume is the token of another kind of watch: tokens of jobs.watch and of "
            "checkpoints.watch cannot be exchanged"
        )
    states = cast("dict[str, object]", jobs)
    try:
        return {job_id: JobState.from_json(state) for job_id, state in states.items()}
    except ValueError as error:
        raise _malformed(str(error)) from None


def _malformed(problem: str) -> ValueError:
    return ValueError(f"resume is not the resume_token of a watch: {problem}")
