"""Defines what a stream over several jobs does if one of them fails."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Literal, TypeAlias

import attrs

from asyncckpt.errors import APIError
from asyncckpt.streams.text import safe_text

__all__ = ["Failures", "JobFailure", "OnError", "check_on_error", "failure_of"]


@attrs.frozen
class JobFailure:
    """A job that could not be read completely.

    Attributes:
        fine_tuning_job_id: The id of the job. If the source yielded an object without a valid id:
            its text, at most 200 characters, with non-printable characters escaped.
        error: The error. Records that arrived before it have been yielded.
    """

    fine_tuning_job_id: str
    error: Exception


OnError: TypeAlias = Literal["raise", "collect"] | Callable[[JobFailure], Awaitable[None] | None]
"""What to do if a job fails; see `AsyncCheckpoints.list_many`."""


def check_on_error(on_error: object) -> None:
    """Raise ValueError unless `on_error` is an `OnError`."""
    if not callable(on_error) and on_error not in ("raise", "collect"):
        raise ValueError(f"on_error must be 'raise', 'collect' or a callable, not {on_error!r}")


def failure_of(job_id: object, error: Exception) -> JobFailure:
    """Return the failure of a job; the error gets the id of the job."""
    shown = safe_text(job_id)
    if isinstance(error, APIError):
        error.fine_tuning_job_id = shown
    # The traceback refers to the stream, and the stream may store the failure.
    error.__traceback__ = None
    return JobFailure(shown, error)


class Failures:
    """The failures of a stream, handled as `on_error` says.

    Args:
        on_error: What to do.

    Attributes:
        count: The number of failures so far.
        collected: The failures so far, with ``on_error="collect"``.

    Raises:
        ValueError: `on_error` is invalid.
    """

    def __init__(self, on_error: OnError) -> None:
        check_on_error(on_error)
        self.count = 0
        self.collected: list[JobFailure] = []
        self._on_error = on_error

    @property
    def end_the_stream(self) -> bool:
        """Whether the first failure ends the stream."""
        return self._on_error == "raise"

    async def handle(self, failure: JobFailure) -> None:
        """Raise, collect or pass on a failure.

        Raises:
            Exception: The error of the job, or any exception of the callable.
        """
        self.count += 1
        if self._on_error == "raise":
            try:
                raise failure.error
            finally:
                # The traceback refers to this frame; this breaks the reference cycle.
                del failure
        if callable(self._on_error):
            returned: object = self._on_error(failure)
            if inspect.isawaitable(returned):
                await returned
        else:
            self.collected.append(failure)
