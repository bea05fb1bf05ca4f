"""Shows watched jobs as rows of a table, in the columns that fit on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

import attrs

from asyncckpt.cli.live import Line
from asyncckpt.cli.sparklines import ASCII, BLOCKS, Series, sparkline
from asyncckpt.cli.terminal import printable
from asyncckpt.records.checkpoints import newer_of, step_of
from asyncckpt.records.codec import MismatchError
from asyncckpt.records.steps import to_step
from asyncckpt.streams.criteria import Criterion, number_of
from asyncckpt.streams.updates import (
    CaughtUp,
    CheckpointCreated,
    EventLogged,
    Finished,
    StatusChanged,
    Update,
)

if TYPE_CHECKING:
    from rich.console import Console

    from asyncckpt import (
        FineTuningJob,
        FineTuningJobCheckpoint,
        FineTuningJobEvent,
        Metrics,
        StepMetrics,
    )

__all__ = ["JobRow", "RowLayout"]

_STYLES: Final = {
    "running": "cyan",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "yellow",
}
_LARGEST: Final = 1e100
"""Larger values are not drawn; sums of them could overflow."""


@attrs.define
class JobRow:
    """What is shown of a watched job.

    Attributes:
        job_id: The id of the job.
        criterion: The metric to show.
        status: The status of the job; None until it is known.
        step: The last step that was measured.
        total_steps: The number of planned steps, if the server says.
        value: The last value of the metric.
        series: Its course.
        checkpoint: The last checkpoint.
        created_at: The creation time of the job, in Unix seconds.
        first_at: The time of the first thing known of it.
        latest_at: The time of the last thing known of it.
        error: Why the job has failed.
    """

    job_id: str
    criterion: Criterion
    status: str | None = None
    step: int | None = None
    total_steps: int | None = None
    value: float | None = None
    series: Series = attrs.field(factory=Series)
    checkpoint: FineTuningJobCheckpoint | None = None
    created_at: int | None = None
    first_at: int | None = None
    latest_at: int | None = None
    error: str | None = None
    _measured_step: int = -1

    def take(self, update: Update) -> None:
        """Take an update of the job into account."""
        match update:
            case CheckpointCreated(checkpoint):
                self._take_checkpoint(checkpoint)
            case EventLogged(event):
                self._take_event(event)
            case StatusChanged(job) | CaughtUp(job) | Finished(job):
                self._take_job(job)

    def _take_checkpoint(self, checkpoint: FineTuningJobCheckpoint) -> None:
        self._note_time(checkpoint.created_at)
        known = self.checkpoint
        self.checkpoint = checkpoint if known is None else newer_of(known, checkpoint)
        step = step_of(checkpoint)
        if step is not None:
            # For servers whose events have no metrics.
            self._measure(step, checkpoint.metrics)

    def _take_event(self, event: FineTuningJobEvent) -> None:
        self._note_time(event.created_at)
        if event.type != "metrics" or event.data is None:
            return
        try:
            measured = to_step(event.data)
        except MismatchError:
            # The row is for people; the event itself may still be written.
            return
        total = number_of(event.data.get("total_steps"))
        self.total_steps = self.total_steps if total is None else int(total)
        self._measure(measured.step, measured)

    def _take_job(self, job: FineTuningJob) -> None:
        self.status = job.status
        self.created_at = job.created_at
        self._note_time(job.finished_at or job.created_at)
        if job.error is not None and job.error.message:
            self.error = job.error.message

    def _note_time(self, time: int) -> None:
        self.first_at = time if self.first_at is None else min(self.first_at, time)
        self.latest_at = time if self.latest_at is None else max(self.latest_at, time)

    def _measure(self, step: int, metrics: Metrics | StepMetrics) -> None:
        self.step = step if self.step is None else max(self.step, step)
        value = self.criterion.value_of(metrics)
        if value is None or step <= self._measured_step:
            return
        self._measured_step = step
        self.value = value
        if abs(value) < _LARGEST:
            self.series.add(value)


@attrs.frozen
class _Cell:
    """A column of the table.

    Attributes:
        title: Its title.
        width: The number of columns of the terminal that it takes.
        text: Returns what it shows of a job.
        right: Whether that is aligned to the right.
        style: Returns its style.
    """

    title: str
    width: int
    text: Callable[[JobRow], str]
    right: bool = False
    style: Callable[[JobRow], str] | None = None


class RowLayout:
    """Turns jobs into lines of a terminal.

    Args:
        console: The terminal.
        metric: The name of the metric that is shown.
    """

    def __init__(self, console: Console, metric: str) -> None:
        self._console = console
        self._metric = metric
        has_blocks = _can_encode(console.encoding, BLOCKS)
        self._levels = BLOCKS if has_blocks else ASCII
        self._ellipsis = "…" if has_blocks else "~"

    def head(self) -> Line:
        """Return the titles of the columns."""
        return self._line((cell, cell.title, "dim") for cell in self._cells())

    def row(self, job: JobRow) -> Line:
        """Return the line of a job."""
        return self._line(
            (cell, printable(cell.text(job)), cell.style(job) if cell.style else "")
            for cell in self._cells()
        )

    def text(self, text: str, style: str = "") -> Line:
        """Return any text as a line, cut at the width of the terminal."""
        from rich.cells import cell_len, chop_cells

        chopped = chop_cells(printable(text), self._room()) or [""]
        return Line(self._styled(chopped[0], style), cell_len(chopped[0]))

    def _room(self) -> int:
        # Some terminals wrap a line whose last column is used.
        return max(1, self._console.width - 1)

    def _line(self, cells: Iterable[tuple[_Cell, str, str]]) -> Line:
        from rich.cells import cell_len, set_cell_size

        parts: list[str] = []
        columns = 0
        for cell, text, style in cells:
            padding = " " * (cell.width - cell_len(text)) if cell.right else ""
            fitted = set_cell_size(padding + text, cell.width)
            parts.append(self._styled(fitted, style))
            columns += cell.width + 2
        return Line("  ".join(parts), columns - 2)

    def _styled(self, text: str, style: str) -> str:
        from rich.color import ColorSystem
        from rich.style import Style

        if not style or self._console.no_color or self._console.color_system is None:
            return text
        return Style.parse(style).render(text, color_system=ColorSystem.STANDARD)

    def _cells(self) -> Sequence[_Cell]:
        room = self._room()
        id_width = 30 if room >= 110 else 15 if room >= 60 else 9
        before = [
            _Cell("JOB", id_width, lambda job: self._shortened(job.job_id, id_width)),
            _Cell(
                "STATUS",
                16 if room >= 110 else 10 if room >= 60 else 9,
                lambda job: job.status or "-",
                style=lambda job: _STYLES.get(job.status or "", ""),
            ),
            _Cell("STEP", 9, _steps, right=True),
        ]
        after: list[_Cell] = []
        if room >= 70:
            after = [
                _Cell("CKPT", 6, _checkpoint_step, right=True),
                _Cell("TIME", 6, _time, right=True),
            ]
        if room >= 180:
            after.append(_Cell("MODEL OF THE LAST CHECKPOINT", 64, _model))
        rest = room - sum(cell.width + 2 for cell in (*before, *after))
        if rest < 4:
            return before
        return [*before, self._curve(min(rest, 64)), *after]

    def _shortened(self, job_id: str, width: int) -> str:
        if len(job_id) <= width:
            return job_id
        # The ends of ids differ more often than their beginnings.
        head = max(0, width - 9)
        return f"{job_id[:head]}{self._ellipsis}{job_id[head + 1 - width :]}"

    def _curve(self, width: int) -> _Cell:
        value_width = 8 if width >= 16 else 0

        def text(job: JobRow) -> str:
            value = "-" if job.value is None else f"{job.value:.4g}"
            line = sparkline(job.series.means(width - value_width), self._levels)
            return f"{value[:7]:8}{line}" if value_width else line

        return _Cell(self._metric, width, text)


def _can_encode(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeError, LookupError):
        return False
    return True


def _steps(job: JobRow) -> str:
    if job.step is None:
        return "-"
    return str(job.step) if job.total_steps is None else f"{job.step}/{job.total_steps}"


def _checkpoint_step(job: JobRow) -> str:
    step = None if job.checkpoint is None else step_of(job.checkpoint)
    return "-" if step is None else str(step)


def _model(job: JobRow) -> str:
    return "-" if job.checkpoint is None else job.checkpoint.fine_tuned_model_checkpoint


def _time(job: JobRow) -> str:
    start = job.first_at if job.created_at is None else job.created_at
    if start is None or job.latest_at is None:
        return "-"
    seconds = max(0, job.latest_at - start)
    if seconds < 60:
        return f"{seconds}s"
    for unit, length, smaller, part in (("d", 86_400, "h", 3_600), ("h", 3_600, "m", 60)):
        if seconds >= length:
            return f"{seconds // length}{unit}{seconds % length // part:02}{smaller}"
    return f"{seconds // 60}m{seconds % 60:02}s"
