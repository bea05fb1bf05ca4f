"""Makes sure that a response belongs to the job that was requested.

A response can be that of another request: a connection may carry one too many, a proxy may mix them
up. Records name their job, so it shows. A server may also know the job under two ids, so one such
response proves nothing. The request is repeated over a new connection, and the server must say the
same again.
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


class _OfJob(Protocol):
    @property
    def fine_tuning_job_id(self) -> str: ...


def foreign_jobs(job_id: str | None, body: Sequence[object]) -> frozenset[str]:
    """Return the ids of other jobs than `job_id` that checkpoints name; an empty id names none.

    Args:
        job_id: The job that was requested; None if records do not belong to one.
        body: The checkpoints, or what they will be made of.
    """
    if job_id is None:
        return _NONE
    records = cast("Sequence[_OfJob]", body)
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
    """Send a call that concerns one job; repeat it if the response names others.

    Args:
        session: Owns the connections.
        call: What to request.
        job_id: The job; None if it concerns none.
        decode: Turns a response into the result, and the ids of other jobs that it names.
        on_wire: See `Fetch`.

    Raises:
        APIResponseValidationError: Two responses name different jobs, neither of them this one.
        Exception: Whatever `send` raises.
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
