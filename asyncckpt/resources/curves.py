"""Where the steps of a training curve come from: a result file, or events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from asyncckpt.counts import RequestCounts
from asyncckpt.errors import APIError, NotFoundError
from asyncckpt.options import RequestOptions
from asyncckpt.protocol.failures import validation_error
from asyncckpt.protocol.request import path_segment
from asyncckpt.records.codec import ListDecoder, MismatchError
from asyncckpt.records.events import FineTuningJobEvent, ListFineTuningJobEventsResponse
from asyncckpt.records.result_files import ResultFileDecoder
from asyncckpt.records.steps import Source, StepMetrics, to_step
from asyncckpt.resources.files import file_download
from asyncckpt.streams.page import Page
from asyncckpt.transport.attempt import redacted

if TYPE_CHECKING:
    from asyncckpt.resources.endpoint import Endpoint
    from asyncckpt.transport.download import Download

__all__ = ["StepsOfEvents", "StepsOfFile", "event_list", "open_result_file"]

event_list: Final = ListDecoder(ListFineTuningJobEventsResponse, FineTuningJobEvent)
"""Decodes pages of events."""

_SHOWN_OF_AN_ID: Final = 100


async def open_result_file(
    endpoint: Endpoint, files: Sequence[str], options: RequestOptions
) -> StepsOfFile | None:
    """Request the first result file that exists.

    Args:
        endpoint: Where to send.
        files: The ids of the files.
        options: The options of the call.

    Returns:
        Its steps; None if there is no such file.

    Raises:
        Exception: Whatever `Download.open` raises, but not that there is no such file.
    """
    for file_id in files:
        steps = StepsOfFile(file_download(endpoint, _segment(file_id), options))
        try:
            await steps.open()
        except NotFoundError:
            continue
        except BaseException:
            steps.close()
            raise
        return steps
    return None


def _segment(file_id: str) -> str:
    try:
        return path_segment("result_files", file_id)
    except ValueError:
        shown = ascii(file_id[:_SHOWN_OF_AN_ID])
    raise APIError(f"The job's result file has an id that is not one: {shown}")


class StepsOfFile:
    """The steps of a result file.

    Args:
        download: The file.
    """

    source: Source = "result_file"

    def __init__(self, download: Download) -> None:
        self._download = download
        self._decoder: ResultFileDecoder | None = ResultFileDecoder()

    async def open(self) -> None:
        """Request the file; see `Download.open`."""
        await self._download.open()

    async def read(self) -> list[StepMetrics] | None:
        """Return the next steps; None at the end.

        Raises:
            APIResponseValidationError: The file is not what the API describes.
            Exception: Whatever `Download.read` raises.
        """
        while self._decoder is not None:
            piece = await self._download.read()
            steps = self._decode(self._decoder, piece)
            if not piece:
                self._decoder = None
            if steps:
                return steps
        return None

    def _decode(self, decoder: ResultFileDecoder, piece: bytes) -> list[StepMetrics]:
        try:
            return decoder.feed(piece) if piece else decoder.finish()
        except MismatchError as error:
            mismatch = self._download.mismatch(error)
        self.close()
        try:
            raise mismatch
        finally:
            # The traceback refers to this frame; this breaks the cycle.
            del mismatch

    def close(self) -> None:
        """Close the connection, unless the file has been read to its end."""
        self._download.close()


class StepsOfEvents:
    """The steps of a job's ``metrics`` events, all at once.

    The list may be in either order. The latest event of a step counts. Events without a step are
    left out.

    Args:
        endpoint: Where to send.
        path: The path of the events below the base URL, encoded.
        options: The options of the call.
    """

    source: Source = "events"

    def __init__(self, endpoint: Endpoint, path: str, options: RequestOptions) -> None:
        self._endpoint = endpoint
        self._path = path
        self._options = options
        self._has_read = False

    async def read(self) -> list[StepMetrics] | None:
        """Return all steps; None the second time.

        Raises:
            APIResponseValidationError: A metric is not a number.
            Exception: Whatever the list of events raises.
        """
        if self._has_read:
            return None
        self._has_read = True
        times: list[int] = []
        found: list[tuple[int, int, StepMetrics]] = []
        async with aclosing(self._pages()) as pages:
            async for page in pages:
                for index, event in enumerate(page.data):
                    times.append(event.created_at)
                    if event.type == "metrics" and event.data is not None and "step" in event.data:
                        step = await self._step_of(page, index, event.data)
                        found.append((event.created_at, len(times), step))
        # Of two events of the same second, the one nearer to the newest is the later.
        later = 1 if times and times[0] < times[-1] else -1
        found.sort(key=lambda one: (one[0], later * one[1]))
        steps = {step.step: step for _, _, step in found}
        return [steps[number] for number in sorted(steps)]

    def close(self) -> None:
        """Do nothing: the list of events is read within a call."""

    def _pages(self) -> AsyncGenerator[Page[FineTuningJobEvent], None]:
        return self._endpoint.pager(
            self._path,
            {},
            event_list,
            self._options,
            after=None,
            limit=None,
            prefetch=None,
            max_records=None,
            on_expired_cursor="restart",
            hooks=self._endpoint.stream_hooks("fine_tuning.jobs.list_events"),
        ).pages()

    async def _step_of(
        self, page: Page[FineTuningJobEvent], index: int, data: Mapping[str, object]
    ) -> StepMetrics:
        try:
            return to_step(data)
        except MismatchError as error:
            problem, path = str(error), f"$.data[{index}].data.{error.path}"
        call = self._endpoint.call(self._path, "", self._options, RequestCounts())
        async with self._endpoint.session.lease() as exchange:
            shown = redacted(page.response, call, exchange)
        raise validation_error(shown, problem, path)
