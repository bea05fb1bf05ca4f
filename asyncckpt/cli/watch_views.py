"""Shows the updates of a watch: a live table on a terminal, JSON lines elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol, Self, TextIO

from asyncckpt.cli.job_rows import JobRow, RowLayout
from asyncckpt.cli.live import Line, LiveLines
from asyncckpt.cli.output import Writer
from asyncckpt.cli.status import StatusLine, Timer, is_read_by_a_person
from asyncckpt.cli.terminal import printable_json
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

    from asyncckpt.streams.criteria import Criterion

__all__ = ["LiveTable", "RowWriter", "UpdateWriter", "View", "WriterView"]

UPDATE_SECONDS = 0.25
_QUIET_SECONDS: Final = 2.0


class UpdateWriter(Writer[Update]):
    """Writes updates as JSON lines, with a name for their type."""

    _escape = "asyncckpt.json"

    def _put(self, record: Update) -> None:
        from asyncckpt import converter

        name, fields = _fields_of(record)
        line = {
            "type": name,
            "fine_tuning_job_id": record.fine_tuning_job_id,
            **{field: converter.unstructure(value) for field, value in fields.items()},
        }
        self.out.write(printable_json(converter.dumps(line).decode()) + "\n")


def _fields_of(update: Update) -> tuple[str, dict[str, object]]:
    match update:
        case CheckpointCreated(checkpoint):
            return "checkpoint", {"checkpoint": checkpoint}
        case EventLogged(event):
            return "event", {"event": event}
        case StatusChanged(job, previous):
            return "status", {"previous": previous, "job": job}
        case CaughtUp(job):
            return "caught_up", {"job": job}
        case Finished(job):
            return "finished", {"job": job}


class View(Protocol):
    """Shows updates between `__enter__` and `__exit__`. It also makes way for other lines."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Show what is left to show, and leave the terminal in order."""
        ...

    def show(self, update: Update) -> None:
        """Show an update."""
        ...

    def fail(self, job_id: str) -> None:
        """Show that a job cannot be watched any longer."""
        ...

    def note(self, message: str) -> None:
        """Show a log message."""
        ...

    def clear(self) -> None:
        """Make way for another line on the terminal."""
        ...


class WriterView:
    """Writes each update, with a status line on standard error.

    Args:
        writer: Writes the updates.
        line: The status line.
    """

    def __init__(self, writer: Writer[Update], line: StatusLine) -> None:
        self._writer = writer
        self._line = line
        self._gives_way = is_read_by_a_person(writer.out)

    def __enter__(self) -> Self:
        """Show the status line."""
        self._line.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the status line, and complete the output."""
        self._line.__exit__(kind, error, traceback)
        self._writer.close()

    def show(self, update: Update) -> None:
        """Write an update."""
        if self._gives_way:
            self._line.give_way()
        self._writer.write(update)
        self._line.arrived()

    def fail(self, job_id: str) -> None:
        """Do nothing; the error is on standard error."""

    def note(self, message: str) -> None:
        """Show a log message in the status line."""
        self._line.note(message)

    def clear(self) -> None:
        """Remove the status line until its next update."""
        self._line.clear()


class RowWriter(Writer[Update]):
    """Writes a row of a table for each change of status and each checkpoint.

    Args:
        out: The output, not a terminal on which lines can be rewritten.
        console: The same, for its width.
        criterion: The metric to show.
    """

    def __init__(self, out: TextIO, console: Console, criterion: Criterion) -> None:
        super().__init__(out)
        self._layout = RowLayout(console, criterion.metric)
        self._criterion = criterion
        self._rows: dict[str, JobRow] = {}
        self.out.write(self._layout.head().text.rstrip() + "\n")

    def _put(self, record: Update) -> None:
        job_id = record.fine_tuning_job_id
        row = self._rows.get(job_id)
        if row is None:
            row = self._rows[job_id] = JobRow(job_id, self._criterion)
        row.take(record)
        if not isinstance(record, EventLogged):
            self.out.write(self._layout.row(row).text.rstrip() + "\n")


class LiveTable:
    """A table with a row for each job, drawn again and again at the bottom of a terminal.

    The row of a job that has ended moves up and stays, so the table scrolls as jobs end.

    Args:
        out: The terminal.
        console: The same, for its size and its colours.
        job_ids: The jobs.
        criterion: The metric to show.
        clock: Returns the time in seconds.
        call_later: Schedules a call after a number of seconds.
    """

    def __init__(
        self,
        out: TextIO,
        console: Console,
        job_ids: Sequence[str],
        criterion: Criterion,
        *,
        clock: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], Timer],
    ) -> None:
        self._console = console
        self._lines = LiveLines(out, lambda: console.width)
        self._layout = RowLayout(console, criterion.metric)
        self._rows = {job_id: JobRow(job_id, criterion) for job_id in job_ids}
        self._total = len(self._rows)
        self._ended: list[JobRow] = []
        self._results: Counter[str] = Counter()
        self._clock = clock
        self._call_later = call_later
        self._since = clock()
        self._message = ""
        self._timer: Timer | None = None

    def __enter__(self) -> Self:
        """Write the titles, and draw the table from now on."""
        self._since = self._clock()
        self._lines.draw(self._live_lines(), above=[self._layout.head()])
        self._schedule()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Write all rows and the numbers of jobs, which stay."""
        if self._timer is not None:
            self._timer.cancel()
        above = self._take_ended()
        above += [self._layout.row(row) for row in self._rows.values()]
        self._lines.draw((), above=[*above, self._layout.text(self._summary(), "bold")])

    def show(self, update: Update) -> None:
        """Take an update into account; it is shown when the table is drawn again."""
        self._since = self._clock()
        self._message = ""
        row = self._rows.get(update.fine_tuning_job_id)
        if row is None:
            return
        row.take(update)
        if isinstance(update, Finished):
            self._end(row)

    def fail(self, job_id: str) -> None:
        """Show that a job cannot be watched any longer."""
        row = self._rows.get(job_id)
        if row is not None:
            row.status = "unknown"
            self._end(row)

    def note(self, message: str) -> None:
        """Show a log message below the table until the next update."""
        self._message = message

    def clear(self) -> None:
        """Remove the table until it is drawn again."""
        self._lines.clear()

    def _end(self, row: JobRow) -> None:
        del self._rows[row.job_id]
        self._ended.append(row)
        self._results[row.status or "-"] += 1

    def _schedule(self) -> None:
        self._timer = self._call_later(UPDATE_SECONDS, self._update)

    def _update(self) -> None:
        self._schedule()
        self._lines.draw(self._live_lines(), above=self._take_ended())

    def _take_ended(self) -> list[Line]:
        lines: list[Line] = []
        for row in self._ended:
            lines.append(self._layout.row(row))
            if row.error is not None:
                lines.append(self._layout.text(f"  {row.error}", "red"))
        self._ended.clear()
        return lines

    def _live_lines(self) -> list[Line]:
        footer = [
            self._layout.text(self._state(), "dim"),
            self._layout.text(
                f"Ctrl-C stops watching, not the job{'s' * (self._total != 1)}", "dim"
            ),
        ]
        # What runs is more interesting than what waits.
        rows = sorted(self._rows.values(), key=lambda row: row.status != "running")
        # The cursor is on the line below.
        room = self._console.height - len(footer) - 1
        if len(rows) <= room:
            return [*(self._layout.row(row) for row in rows), *footer]
        # The titles have scrolled away, and a line tells how many jobs do not fit.
        room = max(1, room - 2)
        lines = [self._layout.head(), *(self._layout.row(row) for row in rows[:room])]
        hidden = self._layout.text(f"and {_counted(rows[room:])}", "dim")
        return [*lines, hidden, *footer]

    def _state(self) -> str:
        ended = sum(self._results.values())
        state = f"{ended} of {self._total} ended"
        quiet = self._clock() - self._since
        if self._message:
            return f"{state}; {self._message}"
        return f"{state}; no update for {quiet:.0f} s" if quiet >= _QUIET_SECONDS else state

    def _summary(self) -> str:
        results = [f"{count} {status}" for status, count in sorted(self._results.items())]
        if self._rows:
            results.append(f"{len(self._rows)} not ended")
        return f"{self._total} job{'s' * (self._total != 1)}: {', '.join(results)}"


def _counted(rows: Sequence[JobRow]) -> str:
    counts = Counter(row.status or "unread" for row in rows)
    return ", ".join(f"{count:,} {status}" for status, count in counts.most_common())
