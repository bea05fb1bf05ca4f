"""Keeps what a run has fetched on the disk. No network.

An archive consists of complete files, which the manifest describes, and of a journal, to which a
run appends what it fetches. At the end of a run, `asyncckpt.export.assembly` makes new files of
both. So a process may be killed at any time: the files are those of the run before, and the next
run continues with the journal.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import attrs
import msgspec

from asyncckpt.errors import ArchiveError
from asyncckpt.export.commit import move_to_places
from asyncckpt.export.index import (
    Chunk,
    PartName,
    ResultFile,
    StoredJob,
    digest_of,
    read_index,
    read_result_files,
)
from asyncckpt.export.journal import Entry, Journal, write_all
from asyncckpt.export.layout import INDEX, RECORDS, RESULT_FILES, TABLES, Layout
from asyncckpt.export.locking import lock
from asyncckpt.export.manifest import Manifest, damaged, described, read_manifest
from asyncckpt.export.names import file_name

__all__ = ["PartialFile", "Store"]


_KEPT_OF_A_FILE: Final = 4_000


class Digest(Protocol):
    """A digest of `hashlib`."""

    def update(self, data: bytes, /) -> None:
        """Add data."""
        ...

    def hexdigest(self) -> str:
        """Return the digest of all data, in hexadecimal."""
        ...


@attrs.define
class PartialFile:
    """A result file that is being downloaded.

    Args:
        path: Where it is until it is complete.
        file: The file, opened for writing.

    Attributes:
        size: The number of bytes written.
        beginning: The first of them.
    """

    path: Path
    _file: BinaryIO
    size: int = attrs.field(init=False, default=0)
    beginning: bytes = attrs.field(init=False, default=b"")
    _digest: Digest = attrs.field(init=False, factory=hashlib.sha256)

    def write(self, piece: bytes) -> None:
        """Append a piece.

        Raises:
            OSError: Writing failed.
        """
        write_all(self._file, piece, self.path)
        self._digest.update(piece)
        self.size += len(piece)
        self.beginning += piece[: max(0, _KEPT_OF_A_FILE - len(self.beginning))]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def sha256(self) -> str:
        """The digest of what was written, in hexadecimal."""
        return self._digest.hexdigest()


class Store:
    """The directory of an archive, locked for one run.

    Args:
        path: The directory; it is created if it does not exist.

    Attributes:
        layout: The paths of the archive.
        manifest: The manifest of the run before; None if there is none.
        jobs: What is saved of each job.
        files: The result files, by their ids.
        damaged_files: The result files that are not as the manifest describes them. They are not in
            `files`.
        has_changed: Whether the journal has something that the files do not have.

    Raises:
        ArchiveError: The directory is in use, or is not an archive.
        OSError: Reading or writing failed.
    """

    def __init__(self, path: Path) -> None:
        self.layout = layout = Layout(path)
        self.manifest: Manifest | None = None
        self.jobs: dict[str, StoredJob] = {}
        self.files: dict[str, ResultFile] = {}
        self.damaged_files: list[ResultFile] = []
        self.has_changed = False
        self._last_attempt = 0
        self._partial_names = itertools.count(1)
        self._file_names: set[str] = set()
        _check_is_archive(layout)
        layout.hidden.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            stack.callback(lock(layout.lock).close)
            move_to_places(layout)
            self.journal = Journal(layout.journal)
            stack.callback(self.journal.close)
            self._open_files = stack.pop_all()

    def load(self, stop: threading.Event) -> None:
        """Check the files of the archive, and read what it contains.

        Args:
            stop: Set to stop.

        Raises:
            ArchiveError: A file is damaged or of another version.
            StoppedError: `stop` was set.
            OSError: Reading or writing failed.
        """
        layout = self.layout
        for leftover in (layout.next, layout.partial):
            shutil.rmtree(leftover, ignore_errors=True)
        layout.partial.mkdir()
        layout.files.mkdir(exist_ok=True)
        self.manifest = read_manifest(layout)
        if self.manifest is not None:
            self._check_files(self.manifest, stop)
            self.jobs = read_index(layout.place_of(INDEX))
            self.files = read_result_files(layout.place_of(RESULT_FILES))
        elif layout.place_of(INDEX).exists():
            # Without it, what is no longer on the server would be replaced.
            raise damaged(layout.manifest, "it is missing")
        self.journal.replay(self._apply)
        self._check_result_files(stop)
        self._file_names = {
            Path(row.path).name.lower() for row in self.files.values() if row.path is not None
        }

    def close(self) -> None:
        """Close the files, and release the lock."""
        self._open_files.close()

    # What a run notes.

    def note_job(self, job_id: str, created_at: int, line: bytes) -> None:
        """Save the record of a job, unless it is saved already.

        Args:
            job_id: The id of the job.
            created_at: When it was created, in Unix seconds.
            line: The record as JSON on one line.

        Raises:
            OSError: Writing failed.
        """
        stored, digest = self.jobs.get(job_id), digest_of(line)
        if stored is None or stored.digest != digest:
            self._append(Entry("job", job_id, created_at=created_at, digest=digest), line)

    def new_attempt(self) -> int:
        """Return a number for the requests for the records of a job."""
        self._last_attempt += 1
        return self._last_attempt

    def note_records(
        self, job_id: str, part: PartName, attempt: int, lines: Sequence[bytes]
    ) -> None:
        """Save a page of checkpoints or events.

        Args:
            job_id: The id of the job.
            part: What they are.
            attempt: The number of the request; see `new_attempt`.
            lines: The records as JSON, each on one line.

        Raises:
            OSError: Writing failed.
        """
        if lines:
            self._append(Entry(part, job_id, attempt=attempt), b"\n".join(lines) + b"\n")

    def note_complete(self, job_id: str, part: PartName, *, settled: bool) -> None:
        """Save that all pages of the checkpoints or events of a job have been saved.

        Args:
            job_id: The id of the job.
            part: What they are.
            settled: Whether they will not change any more.

        Raises:
            OSError: Writing failed.
        """
        self._append(Entry("done", job_id, part=part, settled=settled))

    def note_end(self, job_id: str, failure: str | None) -> None:
        """Save whether a job was fetched completely.

        Args:
            job_id: The id of the job.
            failure: Why it was not; None if it was.

        Raises:
            OSError: Writing failed.
        """
        if self.jobs[job_id].failure != failure:
            self._append(Entry("end", job_id, failure=failure))

    @contextlib.contextmanager
    def new_file(self) -> Generator[PartialFile, None, None]:
        """Open a file for a result file; it is deleted at the end unless it was kept.

        Yields:
            The file, for `keep_file`.

        Raises:
            OSError: Writing failed.
        """
        path = self.layout.partial / str(next(self._partial_names))
        try:
            with path.open("wb", buffering=0) as file:
                yield PartialFile(path, file)
        finally:
            path.unlink(missing_ok=True)

    def keep_file(self, file_id: str, job_id: str, suffix: str, partial: PartialFile) -> None:
        """Save a complete result file.

        Args:
            file_id: Its id.
            job_id: The id of its job.
            suffix: The suffix of its name, with the dot.
            partial: Its content.

        Raises:
            OSError: Writing failed.
        """
        name = file_name(file_id, suffix, self._file_names)
        self._file_names.add(name.lower())
        partial.close()
        os.replace(partial.path, self.layout.files / name)  # noqa: PTH105 - replaces a file
        entry = Entry(
            "file", file_id, job=job_id, path=name, bytes=partial.size, digest=partial.sha256
        )
        self._append(entry)

    def note_missing(self, file_id: str, job_id: str) -> None:
        """Save that the server does not have a result file.

        Raises:
            OSError: Writing failed.
        """
        if file_id not in self.files:
            self._append(Entry("missing", file_id, job=job_id))

    # Reading.

    def _append(self, entry: Entry, payload: bytes = b"") -> None:
        entry = msgspec.structs.replace(entry, size=len(payload))
        self._apply(entry, self.journal.append(entry, payload))

    def _apply(self, entry: Entry, start: int) -> None:
        """Take an entry of the journal into account."""
        self.has_changed = True
        if entry.kind in {"file", "missing"}:
            path = f"files/{entry.path}" if entry.kind == "file" else None
            self.files[entry.key] = ResultFile(
                entry.key, entry.job, path, entry.bytes, entry.digest
            )
        elif entry.kind == "job":
            self._apply_job(entry, start)
        elif (job := self.jobs.get(entry.key)) is not None:
            self._apply_to_job(entry, start, job)

    def _apply_to_job(self, entry: Entry, start: int, job: StoredJob) -> None:
        match entry.kind:
            case "checkpoints" | "events" as name:
                self._last_attempt = max(self._last_attempt, entry.attempt)
                part = job.part(name)
                part.chunks = (*part.chunks, Chunk(entry.attempt, start, entry.size))
            case "done":
                name = "events" if entry.part == "events" else "checkpoints"
                job.part(name).settled = entry.settled
            case _:
                job.failure = entry.failure

    def _apply_job(self, entry: Entry, start: int) -> None:
        job = self.jobs.get(entry.key)
        if job is None:
            job = StoredJob(entry.key, entry.created_at, entry.digest, 0, 0, is_new=True)
            self.jobs[entry.key] = job
        job.created_at, job.digest = entry.created_at, entry.digest
        job.start, job.size, job.is_new = start, entry.size, True

    def _check_files(self, manifest: Manifest, stop: threading.Event) -> None:
        for name in (*RECORDS, RESULT_FILES, INDEX):
            path = self.layout.place_of(name)
            if not path.exists():
                raise damaged(path, "it is missing")
            if name not in manifest.files or not self._is_as_described(name, manifest, stop):
                raise damaged(path, f"its content is not what {self.layout.manifest} says")
        # These can be made again.
        for name in TABLES:
            if name in manifest.files and not self._is_as_described(name, manifest, stop):
                self.has_changed = True

    def _is_as_described(self, name: str, manifest: Manifest, stop: threading.Event) -> bool:
        expected = manifest.files[name]
        try:
            found = described(self.layout.place_of(name), stop)
        except FileNotFoundError:
            return False
        return (found.bytes, found.sha256) == (expected.bytes, expected.sha256)

    def _check_result_files(self, stop: threading.Event) -> None:
        self.damaged_files = [row for row in self.files.values() if not self._is_intact(row, stop)]
        for row in self.damaged_files:
            del self.files[row.id]

    def _is_intact(self, file: ResultFile, stop: threading.Event) -> bool:
        if file.path is None:
            return True
        try:
            found = described(self.layout.root / file.path, stop)
        except FileNotFoundError:
            return False
        return (found.bytes, found.sha256) == (file.bytes, file.sha256)


def _check_is_archive(layout: Layout) -> None:
    """Raise ArchiveError if a directory contains something else."""
    if layout.hidden.is_dir():
        return
    if layout.manifest.exists():
        raise damaged(layout.hidden, "it is missing")
    if layout.root.is_dir() and any(layout.root.iterdir()):
        raise ArchiveError(
            f"{layout.root} is not empty, and is not an archive: pass an empty or a new directory"
        )
