"""Fetches what an archive does not have: first the list of jobs, then the records of each job."""

from __future__ import annotations

import asyncio
import functools
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, TypeVar

import attrs

from asyncckpt.errors import (
    APIConnectionError,
    APIError,
    AuthenticationError,
    NotFoundError,
)
from asyncckpt.export.index import PARTS, PartName, StoredJob
from asyncckpt.export.progress import ArchiveProgress, Estimate, Phase
from asyncckpt.export.raw import raw_records, with_job_id
from asyncckpt.export.store import PartialFile, Store
from asyncckpt.records.result_files import is_encoded
from asyncckpt.streams.failures import JobFailure
from asyncckpt.streams.schedule import seconds_until

if TYPE_CHECKING:
    from asyncckpt.client import AsyncClient
    from asyncckpt.records.checkpoints import FineTuningJobCheckpoint
    from asyncckpt.records.events import FineTuningJobEvent
    from asyncckpt.records.jobs import FineTuningJob
    from asyncckpt.streams.page import Page

__all__ = ["Fetching", "Plan"]

_T = TypeVar("_T")

ENDED: Final = frozenset({"succeeded", "failed", "cancelled"})

SETTLED_AFTER: Final = 3600
"""Seconds after the end of a job for which the server may still add events and files."""

LOST_JOBS: Final = 100
"""How many jobs in a row may fail because of the connection."""

_SHOWN_OF_AN_ID: Final = 100

_HTML: Final = re.compile(
    rb"\s*<(?:!doctype\b|!--|\?xml\b|(?:html|head|title|meta|script|body|h1|p)[\s/>])",
    re.IGNORECASE,
)
"""The beginning of a page; a file may also begin with another ``<``."""


@attrs.frozen
class Plan:
    """What to fetch.

    Attributes:
        events: Whether to fetch events.
        files: Whether to fetch result files.
        max_file_bytes: The maximum size of a result file.
    """

    events: bool
    files: bool
    max_file_bytes: int


@attrs.frozen
class _Task:
    """What to fetch of a job.

    Attributes:
        job_id: The id of the job.
        parts: Its checkpoints, its events, or both.
        files: Its result files.
        is_settled: Whether the job will not change any more.
        is_listed: Whether the server has listed the job.
    """

    job_id: str
    parts: tuple[PartName, ...]
    files: tuple[str, ...]
    is_settled: bool
    is_listed: bool = True


class Fetching:
    """The part of a run that sends requests.

    Args:
        client: The client of the account.
        store: Where to save what is fetched.
        plan: What to fetch.
        on_progress: Called with the progress.

    Attributes:
        done: The number of jobs that were fetched or failed.
        failures: The jobs that failed.
    """

    def __init__(
        self,
        client: AsyncClient,
        store: Store,
        plan: Plan,
        on_progress: Callable[[ArchiveProgress], None] | None,
    ) -> None:
        self._client = client
        self._jobs = client.fine_tuning.jobs
        self._store = store
        self._plan = plan
        self._on_progress = on_progress
        self._estimate = Estimate(time.monotonic)
        self._began = time.monotonic()
        self._tasks: dict[str, _Task] = {}
        self._listed: set[str] = set()
        self._planned_files: set[str] = set()
        self._lost = 0
        self._records = 0
        self._bytes = 0
        self.done = 0
        self.failures: list[JobFailure] = []

    def report(self, phase: Phase) -> None:
        """Call `on_progress`."""
        if self._on_progress is None:
            return
        wanted = len(self._tasks) if phase in ("fetching", "writing") else 0
        progress = ArchiveProgress(
            phase=phase,
            jobs_listed=len(self._listed),
            jobs_wanted=wanted,
            jobs_done=self.done - len(self.failures),
            jobs_failed=len(self.failures),
            records=self._records,
            bytes=self._bytes,
            elapsed=time.monotonic() - self._began,
            remaining=self._estimate.remaining(self.done, wanted) if phase == "fetching" else None,
        )
        self._on_progress(progress)

    async def list_jobs(self) -> None:
        """List all jobs, save their records, and find out what to fetch of each.

        Raises:
            APIError: The jobs cannot be listed.
            OSError: Writing failed.
        """
        async with aclosing(self._jobs.list(on_expired_cursor="restart").pages()) as pages:
            async for page in pages:
                for job, line in zip(page.data, raw_records(page), strict=True):
                    self._listed.add(job.id)
                    self._store.note_job(job.id, job.created_at, line)
                    self._add(self._task_for(job))
                self.report("listing")
        self._add_unlisted()

    def _task_for(self, job: FineTuningJob) -> _Task:
        stored, settled = self._store.jobs[job.id], _has_settled(job)
        saved = self._store.files
        files = tuple(
            file_id
            for file_id in dict.fromkeys(job.result_files if self._plan.files else ())
            if file_id not in self._planned_files
            and (file_id not in saved or (saved[file_id].path is None and not settled))
        )
        self._planned_files.update(files)
        return _Task(job.id, self._missing_parts(stored), files, settled)

    def _add_unlisted(self) -> None:
        """Add jobs that the server has not listed, but that failed before or lost a file."""
        for file in self._store.damaged_files:
            if file.fine_tuning_job_id not in self._listed:
                task = _Task(file.fine_tuning_job_id, (), (file.id,), True, is_listed=False)
                self._add(task)
        for job in self._store.jobs.values():
            if job.failure is not None and job.id not in self._listed:
                self._add(_Task(job.id, self._missing_parts(job), (), False, is_listed=False))

    def _add(self, task: _Task) -> None:
        job = self._store.jobs.get(task.job_id)
        if task.parts or task.files or (job is not None and job.failure is not None):
            before = self._tasks.get(task.job_id)
            if before is not None:
                task = attrs.evolve(task, files=(*before.files, *task.files))
            self._tasks[task.job_id] = task

    def _missing_parts(self, job: StoredJob) -> tuple[PartName, ...]:
        wanted = PARTS if self._plan.events else PARTS[:1]
        return tuple(name for name in wanted if not job.part(name).settled)

    async def fetch(self, concurrency: int) -> None:
        """Fetch all that was found to be missing.

        First of the jobs that failed before, then of new jobs, then of those that had not ended. So
        a run that is interrupted again and again makes progress with new jobs.

        Args:
            concurrency: The number of jobs to fetch at the same time.

        Raises:
            APIError: The key was rejected, or the connection is lost.
            OSError: Writing failed.
        """
        ordered = sorted(self._tasks.values(), key=self._place_of)
        self.report("fetching")
        tasks = iter(ordered)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(concurrency, len(ordered))):
                    group.create_task(self._work(tasks), name="asyncckpt-archive")
        except BaseExceptionGroup as errors:
            # The others have the same cause, such as a full disk.
            raise errors.exceptions[0] from None

    def _place_of(self, task: _Task) -> int:
        job = self._store.jobs[task.job_id]
        if job.failure is not None:
            return 0
        return 2 if job.checkpoints.was_fetched else 1

    async def _work(self, tasks: Iterator[_Task]) -> None:
        for task in tasks:
            failure = await self._failure_of(task)
            self._store.note_end(task.job_id, None if failure is None else str(failure))
            self.done += 1
            if failure is not None:
                self.failures.append(JobFailure(task.job_id, failure))
            self._check_connection(failure)
            self.report("fetching")

    async def _failure_of(self, task: _Task) -> APIError | None:
        """Fetch all that can be fetched of a job; return why something cannot be, if so."""
        steps = [
            *(functools.partial(self._fetch_part, task, part) for part in task.parts),
            *(functools.partial(self._fetch_file, task, file_id) for file_id in task.files),
        ]
        failure: APIError | None = None
        for step in steps:
            try:
                await step()
            except AuthenticationError:
                # The server would reject the other requests too.
                raise
            except APIError as error:
                failure = failure or error.with_traceback(None)
                if isinstance(error, APIConnectionError):
                    # The other requests would wait as long for nothing.
                    break
        if failure is None:
            return None
        if isinstance(failure, NotFoundError) and not task.is_listed and not task.files:
            return None
        failure.fine_tuning_job_id = task.job_id
        return failure

    def _check_connection(self, failure: APIError | None) -> None:
        self._lost = self._lost + 1 if isinstance(failure, APIConnectionError) else 0
        if self._lost >= LOST_JOBS and failure is not None:
            failure.add_note(
                f"{LOST_JOBS} jobs in a row failed like this. The archive is as complete as it "
                "could be made; run it again to continue."
            )
            raise failure

    async def _fetch_part(self, task: _Task, part: PartName) -> None:
        attempt = self._store.new_attempt()
        async with aclosing(self._pages(task.job_id, part)) as pages:
            async for page in pages:
                lines = raw_records(page)
                if part == "events":
                    lines = [with_job_id(task.job_id, line) for line in lines]
                self._store.note_records(task.job_id, part, attempt, lines)
                self._records += len(lines)
        self._store.note_complete(task.job_id, part, settled=task.is_settled)

    def _pages(
        self, job_id: str, part: PartName
    ) -> AsyncGenerator[Page[FineTuningJobCheckpoint] | Page[FineTuningJobEvent], None]:
        jobs = self._jobs
        if part == "checkpoints":
            checkpoints = jobs.checkpoints
            return _checked(
                job_id, lambda: checkpoints.list(job_id, on_expired_cursor="restart").pages()
            )
        return _checked(
            job_id, lambda: jobs.list_events(job_id, on_expired_cursor="restart").pages()
        )

    async def _fetch_file(self, task: _Task, file_id: str) -> None:
        store, most = self._store, self._plan.max_file_bytes
        pieces = _checked(file_id, lambda: self._client.files.content(file_id))
        try:
            with store.new_file() as partial:
                async with aclosing(pieces):
                    async for piece in pieces:
                        if partial.size + len(piece) > most:
                            raise APIError(
                                f"The result file {_shown(file_id)} is larger than {most} bytes"
                            )
                        partial.write(piece)
                if _HTML.match(partial.beginning):
                    # Proxies and captive portals send pages with status 200.
                    raise APIError(f"The result file {_shown(file_id)} is an HTML page")
                store.keep_file(file_id, task.job_id, _suffix(partial), partial)
                self._bytes += partial.size
        except NotFoundError:
            if any(file.id == file_id for file in store.damaged_files):
                raise APIError(
                    f"The result file {_shown(file_id)} in the archive is damaged, and the server "
                    "no longer has it"
                ) from None
            store.note_missing(file_id, task.job_id)


def _has_settled(job: FineTuningJob) -> bool:
    if job.finished_at is None:
        return job.status in ENDED
    return seconds_until(job.finished_at, time.time()) <= -SETTLED_AFTER


def _suffix(partial: PartialFile) -> str:
    return ".csv.base64" if is_encoded(partial.beginning) else ".csv"


def _checked(identifier: str, build: Callable[[], _T]) -> _T:
    """Build a request with an id of the server, which may be malformed."""
    try:
        return build()
    except ValueError:
        shown = _shown(identifier)
    raise APIError(f"The server sent an invalid id: {shown}")


def _shown(identifier: str) -> str:
    return ascii(identifier[:_SHOWN_OF_AN_ID])
