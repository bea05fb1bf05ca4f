"""Checks that a response belongs to the requested job.

If a server or proxy confuses connections, the response of another request can arrive. Each record
has the id of its job, so the client can detect this. But a server may also use a second id for the
same job. So if a response has another job id, the request is repeated on a new connection. The
second response is accepted if it has the requested id, or the same id as the first one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol, TypeVar, cast

import attrs

from asyncckpt.messages import Response
from asyncckpt.records.codec import MismatchError
from asyncckpt.streams.page import OnWire
from asyncckpt.transport.attempt import Call
from asyncckpt.transport.sender import send

if TYPE_CHECKING:
    from asyncckpt.transport.session import SessionManager

__all__ = ["foreign_jobs", "send_for_job"]

_T = TypeVar("_T")

_NONE: Final = frozenset[str]()
_SHOWN_OF_AN_ID: Final = 100


class _HasJobId(Protocol):
    @property
    def fine_tuning_job_id(self) -> str: ...


def foreign_jobs(job_id: str | None, body: Sequence[object]) -> frozenset[str]:
    """Return the ids of other jobs that checkpoints belong to; ignore empty ids.

    Args:
        job_id: The requested job; None to return no ids.
        body: The checkpoints, as records or as parsed by `ListDecoder.parse`.
    """
    if job_id is None:
        return _NONE
    records = cast("Sequence[_HasJobId]", body)
    for record in records:
        if record.fine_tuning_job_id != job_id:
            return frozenset([record.fine_tuning_job_id for record in records]) - {job_id, ""}
    return _NONE


async def send_for_job(
    session: SessionManager,
    call: Call,
    job_id: str | None,
    decode: Callable[[Response], tuple[_T, frozenset[str]]],
    on_wire: OnWire,
) -> _T:
    """Send a call for one job, and repeat it if the response has the id of another job.

    Args:
        session: The session to send with.
        call: The call.
        job_id: The requested job; None if the call is not for a single job.
        decode: Returns the result, and the ids of other jobs in the response.
        on_wire: See `OnWire`.

    Raises:
        APIResponseValidationError: The two responses have the ids of different other jobs.
        Exception: Any exception of `send`.
    """
    result, foreign = await send(session, call, decode, on_wire)
    if not foreign:
        return result

    def decode_again(response: Response) -> tuple[_T, frozenset[str]]:
        result, named = decode(response)
        if named and named != foreign:
            raise MismatchError(f"Expected job {_shown(job_id)}, got {_shown(min(named))}", "$")
        return result, named

    result, _ = await send(session, attrs.evolve(call, fresh=True), decode_again, on_wire)
    return result


def _shown(job_id: str | None) -> str:
    job_id = job_id or ""
    return ascii(job_id if len(job_id) <= _SHOWN_OF_AN_ID else f"{job_id[:_SHOWN_OF_AN_ID]}…")
