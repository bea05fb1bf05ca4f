"""Knows what an archive has of each job, and where its records are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias, TypeVar

import attrs
import msgspec

__all__ = [
    "PARTS",
    "Chunk",
    "IndexRow",
    "Part",
    "PartName",
    "PartRow",
    "ResultFile",
    "StoredJob",
    "digest_of",
    "read_index",
    "read_result_files",
]

PartName: TypeAlias = Literal["checkpoints", "events"]

_RowT = TypeVar("_RowT")

PARTS: Final[tuple[PartName, ...]] = ("checkpoints", "events")


class Chunk(NamedTuple):
    """Records in the journal, as one page of the server contained them.

    Attributes:
        attempt: The requests that they belong to.
        start: Their position.
        size: Their size in bytes.
    """

    attempt: int
    start: int
    size: int


@attrs.define
class Part:
    """The checkpoints or the events of a job.

    Attributes:
        start: Where those in the archive are.
        size: Their size in bytes.
        count: Their number.
        settled: Whether they do not have to be fetched again.
        chunks: Those in the journal.
    """

    start: int = 0
    size: int = 0
    count: int = 0
    settled: bool = False
    chunks: tuple[Chunk, ...] = ()

    @property
    def was_fetched(self) -> bool:
        """Whether there are any."""
        return bool(self.count or self.chunks)


@attrs.define
class StoredJob:
    """What is saved of one job.

    Attributes:
        id: Its id.
        created_at: When it was created, in Unix seconds.
        digest: The digest of its record.
        start: Where its record is: in `jobs.jsonl`, or, if it is new, in the journal.
        size: The size of its record in bytes.
        is_new: Whether its record is in the journal.
        checkpoints: Its checkpoints.
        events: Its events.
        failure: Why it could not be fetched completely; None if it could.
    """

    id: str
    created_at: int
    digest: str
    start: int
    size: int
    is_new: bool
    checkpoints: Part = attrs.field(factory=Part)
    events: Part = attrs.field(factory=Part)
    failure: str | None = None

    def part(self, name: PartName) -> Part:
        """Return its checkpoints or its events."""
        return self.checkpoints if name == "checkpoints" else self.events


class PartRow(msgspec.Struct, frozen=True, gc=False):
    """What the index says about the checkpoints or events of a job; see `Part`."""

    size: int
    count: int
    settled: bool


class IndexRow(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What the index says about a job, in the order of the files; see `StoredJob`."""

    id: str
    created_at: int
    digest: str
    size: int
    checkpoints: PartRow
    events: PartRow
    failure: str | None = None


class ResultFile(msgspec.Struct, frozen=True, gc=False):
    """A line of `files.jsonl`.

    Attributes:
        id: The id of the result file.
        fine_tuning_job_id: The job that it was found at.
        path: Where it is; None if the server no longer had it.
        bytes: Its size.
        sha256: Its SHA-256 digest, in hexadecimal.
    """

    id: str
    fine_tuning_job_id: str
    path: str | None = None
    bytes: int = 0
    sha256: str = ""


def digest_of(line: bytes) -> str:
    """Return a short digest of a record, to find out whether it has changed."""
    return hashlib.blake2b(line, digest_size=8).hexdigest()


def read_index(path: Path) -> dict[str, StoredJob]:
    """Read the index, which has been compared with the manifest.

    Raises:
        OSError: Reading failed.
    """
    jobs: dict[str, StoredJob] = {}
    line = checkpoints = events = 0
    for row in _rows(path, IndexRow):
        jobs[row.id] = StoredJob(
            row.id,
            row.created_at,
            row.digest,
            line,
            row.size,
            is_new=False,
            checkpoints=_part(row.checkpoints, checkpoints),
            events=_part(row.events, events),
            failure=row.failure,
        )
        line += row.size
        checkpoints += row.checkpoints.size
        events += row.events.size
    return jobs


def _part(row: PartRow, start: int) -> Part:
    return Part(start, row.size, row.count, row.settled)


def read_result_files(path: Path) -> dict[str, ResultFile]:
    """Read `files.jsonl`, which has been compared with the manifest.

    Raises:
        OSError: Reading failed.
    """
    return {row.id: row for row in _rows(path, ResultFile)}


def _rows(path: Path, row_type: type[_RowT]) -> Iterator[_RowT]:
    decoder = msgspec.json.Decoder(row_type)
    with path.open("rb") as file:
        for line in file:
            yield decoder.decode(line)
