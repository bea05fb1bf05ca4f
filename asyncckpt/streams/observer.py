"""Tells the hooks of a client what becomes of its streams."""

from __future__ import annotations

import asyncio
import itertools
from contextvars import Context, copy_context
from time import monotonic
from typing import TYPE_CHECKING, Final, TypedDict, TypeVar

import attrs

from asyncckpt.hooks import (
    Hooks,
    Outcome,
    PageDelivered,
    StreamEnded,
    StreamStarted,
    current_stream,
)
from asyncckpt.records.base import HasId

if TYPE_CHECKING:
    from asyncckpt.streams.page import Page

__all__ = ["StreamHooks", "StreamObserver"]

RecordT = TypeVar("RecordT", bound=HasId)

_stream_ids: Final = itertools.count(1)


@attrs.frozen
class StreamHooks:
    """The hooks of a client, with what they are told about a stream.

    Attributes:
        hooks: The hooks.
        operation: The method that returned the stream, such as
            ``fine_tuning.jobs.checkpoints.list``.
        fine_tuning_job_id: The job; None if the stream is not of one job.
    """

    hooks: Hooks
    operation: str
    fine_tuning_job_id: str | None = None


class _OfStream(TypedDict):
    stream_id: int
    operation: str


class StreamObserver:
    """Tells the hooks what becomes of one iteration of a stream.

    Args:
        stream: The hooks, and what they are told.
    """

    def __init__(self, stream: StreamHooks) -> None:
        self._hooks = stream.hooks
        self._job_id = stream.fine_tuning_job_id
        self._facts = _OfStream(stream_id=next(_stream_ids), operation=stream.operation)
        self._context: Context | None = None
        self._started = 0.0
        self._pages = 0
        self._records = 0
        self._outcome: Outcome = "closed"
        self._error: BaseException | None = None

    def task_context(self) -> Context:
        """Return the context for a task of the iteration; the first call reports its start.

        Each task has a copy of its own, for hooks that set a context variable for one request.
        """
        if self._context is None:
            self._context = copy_context()
            self._started = monotonic()
            self._context.run(self._start)
        return self._context.copy()

    def _start(self) -> None:
        current_stream.set(self._facts["stream_id"])
        self._hooks.emit(StreamStarted(**self._facts, fine_tuning_job_id=self._job_id))

    def page_delivered(self, page: Page[RecordT]) -> None:
        """Report a page that is handed to the consumer."""
        self._pages += 1
        self.records_delivered(page.record_count)
        job_id = self._job_id
        if job_id is None and page.fine_tuning_job_id is not None:
            # It may come from a list of jobs, in which the server may send anything.
            job_id = page.mask(page.fine_tuning_job_id)
        self._hooks.emit(
            PageDelivered(
                **self._facts,
                fine_tuning_job_id=job_id,
                number=self._pages,
                records=page.record_count,
            )
        )

    def records_delivered(self, number: int) -> None:
        """Count records that are handed to the consumer."""
        self._records += number

    def note_outcome(self, error: BaseException | None, *, was_closed: bool) -> None:
        """Note how the iteration ends, before it is closed.

        Args:
            error: What ends it; None at the end of the stream.
            was_closed: Whether it was closed already, by another task.
        """
        if error is None:
            self._outcome = "exhausted"
        elif isinstance(error, asyncio.CancelledError):
            self._outcome = "cancelled"
        elif not was_closed and not isinstance(error, GeneratorExit):
            self._outcome, self._error = "failed", error

    def ended(self) -> None:
        """Report the end of the iteration, if it was started; the first call counts."""
        if self._context is None:
            return
        error, self._error, self._context = self._error, None, None
        self._hooks.emit(
            StreamEnded(
                **self._facts,
                fine_tuning_job_id=self._job_id,
                outcome=self._outcome,
                error=error,
                pages=self._pages,
                records=self._records,
                duration=monotonic() - self._started,
            )
        )
