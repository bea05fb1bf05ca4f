"""Streams the training curve of a job: what was measured at each step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol, TypeAlias

from asyncckpt.records.steps import Source, StepMetrics
from asyncckpt.streams.stream import Reader, Stream

if TYPE_CHECKING:
    from asyncckpt.streams.observer import StreamHooks, StreamObserver

__all__ = ["Curve", "OpenSteps", "Steps"]


class Steps(Protocol):
    """Where the steps of a curve come from, opened for one iteration."""

    @property
    def source(self) -> Source:
        """Where that is."""
        ...

    async def read(self) -> list[StepMetrics] | None:
        """Return the next steps, in ascending order; None at the end."""
        ...

    def close(self) -> None:
        """Give up what is held for reading; it may be repeated."""
        ...


OpenSteps: TypeAlias = Callable[[], Awaitable[Steps]]
"""Finds out where the steps of a curve come from, and opens it."""


class Curve(Stream):
    """The training curve of a job, not requested yet: iterate over it, or await it.

    Nothing is sent until it is used, and each use starts again::

        async for step in curve:
            ...  # one after the other, from the first
        steps = await curve  # all of them, as a list

    An iteration may be left at any moment, by break, exception, cancellation or timeout: the
    request under way is cancelled and its connection closed. ``async with`` makes sure of it at the
    end of a block.
    """

    record_type = StepMetrics

    def __init__(self, open_steps: OpenSteps, hooks: StreamHooks | None = None) -> None:
        """Made by `AsyncJobs.step_metrics`.

        Args:
            open_steps: Finds out where the steps come from, and opens it.
            hooks: The hooks of the client; default: no hooks.
        """
        super().__init__(hooks)
        self._open_steps = open_steps
        self._source: Source | None = None

    @property
    def source(self) -> Source | None:
        """The source of the steps in the latest use, ``"result_file"`` or ``"events"``.

        None until the first step has arrived, or the end. Each step says it too.
        """
        return self._source

    def __aiter__(self) -> AsyncGenerator[StepMetrics, None]:
        """Iterate over all steps.

        Yields:
            The steps in ascending order, each once.

        Raises:
            APIError: A request failed; the steps before that have been yielded.
            APIResponseValidationError: The result file is not a CSV with a column ``step``.
            PaginationError: The server's list of events leads nowhere.
            RuntimeError: The client is closed, or this iteration was.
            Exception: What an `api_key` callable raises.
        """
        return self._iterate(self._track(_StepReader(self._open_steps, self._new_observer())))

    def __await__(self) -> Generator[object, None, list[StepMetrics]]:
        """Fetch all steps.

        Returns:
            The steps in ascending order, each once.

        Raises:
            Exception: What an iteration raises.
        """
        return self._all().__await__()

    async def _all(self) -> list[StepMetrics]:
        async with aclosing(self.__aiter__()) as steps:
            return [step async for step in steps]

    async def _iterate(self, reader: _StepReader) -> AsyncGenerator[StepMetrics, None]:
        self._source = None
        async with reader:
            while (steps := await reader.next_steps()) is not None:
                self._source = reader.source
                for step in steps:
                    yield step
                    if reader.is_closed:
                        reader.check_open()
            self._source = reader.source


class _StepReader(Reader):
    """Reads the steps of one iteration, in tasks of its own so that it can be closed at any time.

    Args:
        open_steps: See `Curve`.
        observer: Reports the iteration to the hooks of the client.
    """

    def __init__(self, open_steps: OpenSteps, observer: StreamObserver | None) -> None:
        super().__init__(observer)
        self._open_steps = open_steps
        self._steps: Steps | None = None
        self._read_steps: list[StepMetrics] | None = None
        self.source: Source | None = None

    async def next_steps(self) -> list[StepMetrics] | None:
        """Return the next steps; None at the end.

        Raises:
            RuntimeError: The reader is closed, before or while it reads.
            BaseException: Whatever kept the steps from coming.
        """
        self.check_open()
        task = self._start(self._read(), "asyncckpt-curve")
        await asyncio.wait([task])
        self._tasks.discard(task)
        self.check_open()
        # If somebody else cancelled the task, this raises CancelledError.
        await task
        self._raise_failure()
        steps, self._read_steps = self._read_steps, None
        self.count_delivered(len(steps or ()))
        return steps

    async def _close(self) -> None:
        try:
            await super()._close()
        finally:
            if self._steps is not None:
                self._steps.close()
            self._read_steps = None

    async def _read(self) -> None:
        try:
            if self._steps is None:
                self._steps = await self._open_steps()
                self.source = self._steps.source
            self._read_steps = await self._steps.read()
        except asyncio.CancelledError:
            raise
        except BaseException as failure:
            # Also one that would end the event loop if it left this task: it is the consumer's.
            self._failure = failure
