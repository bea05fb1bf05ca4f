"""Makes new files of an archive out of the old ones and the journal.

Jobs are in the order of `created_at` and id; the records of a job follow those of the job before.
The checkpoints of a job are in the order of `created_at` and `step_number`, its events in that of
`created_at`. Events of the same second are in the order of the server, turned so that it is oldest
first. So the same records give the same files, whatever the order in which they were fetched.

Records that the server no longer has stay. Of a record that was fetched twice, the later one stays.

Only the records of one job are in memory at a time.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, BinaryIO, Final

import attrs
import msgspec

from asyncckpt.export.index import (
    PARTS,
    IndexRow,
    Part,
    PartName,
    PartRow,
    ResultFile,
    StoredJob,
)
from asyncckpt.export.layout import INDEX, RECORDS, RESULT_FILES
from asyncckpt.export.manifest import Counts, DescribedFile, FailedJob, StoppedError, damaged
from asyncckpt.export.store import Store
from asyncckpt.records.checkpoints import FineTuningJobCheckpoint
from asyncckpt.records.codec import Decoder
from asyncckpt.records.events import FineTuningJobEvent

__all__ = ["assemble"]

_PIECE: Final = 2**20
_encode: Final = msgspec.json.Encoder().encode


@attrs.frozen
class Assembled:
    """What new files consist of.

    Attributes:
        counts: What the archive contains.
        failures: The jobs that could not be fetched completely.
        files: The new files.
    """

    counts: Counts
    failures: list[FailedJob]
    files: dict[str, DescribedFile]


class _Output:
    """A new file, which is described while it is written."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self._file = stack.enter_context(path.open("wb"))
        self._digest = hashlib.sha256()
        self._size = 0
        self.records = 0

    def write(self, data: bytes, records: int) -> None:
        self._file.write(data)
        self._digest.update(data)
        self._size += len(data)
        self.records += records

    def finish(self) -> DescribedFile:
        self._file.flush()
        return DescribedFile(self._size, self._digest.hexdigest(), self.records)


def assemble(store: Store, stop: threading.Event) -> Assembled:
    """Write the new files of an archive to the directory `next`.

    Args:
        store: The archive.
        stop: Set to stop writing.

    Returns:
        What they consist of.

    Raises:
        StoppedError: `stop` was set.
        OSError: Reading or writing failed.
    """
    jobs = sorted(store.jobs.values(), key=attrgetter("created_at", "id"))
    rows = {row.id: row for row in (*store.damaged_files, *store.files.values())}
    result_files = sorted(rows.values(), key=attrgetter("id"))
    store.layout.next.mkdir()
    with ExitStack() as stack:
        outputs = {
            name: _Output(store.layout.next / name, stack)
            for name in (*RECORDS, RESULT_FILES, INDEX)
        }
        sources = _Sources(store, stack)
        for job in jobs:
            if stop.is_set():
                raise StoppedError
            parts: dict[PartName, PartRow] = {}
            outputs["jobs.jsonl"].write(line := sources.line_of(job), 1)
            for name in PARTS:
                output = outputs[f"{name}.jsonl"]
                parts[name] = _copy(output, sources, name, job.part(name))
            row = IndexRow(
                job.id, job.created_at, job.digest, len(line), **parts, failure=job.failure
            )
            outputs[INDEX].write(_encode(row) + b"\n", 1)
        for file in result_files:
            outputs[RESULT_FILES].write(_encode(file) + b"\n", 1)
        files = {name: output.finish() for name, output in outputs.items()}
    failures = [FailedJob(job.id, job.failure) for job in jobs if job.failure is not None]
    return Assembled(_counts(outputs, result_files, failures), failures, files)


def _counts(
    outputs: dict[str, _Output], result_files: list[ResultFile], failures: list[FailedJob]
) -> Counts:
    jobs, checkpoints, events = (outputs[name].records for name in RECORDS)
    missing = sum(file.path is None for file in result_files)
    return Counts(
        jobs, checkpoints, events, len(result_files) - missing, missing, failed_jobs=len(failures)
    )


class _Sources:
    """The old files and the journal.

    Args:
        store: The archive.
        stack: Closes the files.
    """

    def __init__(self, store: Store, stack: ExitStack) -> None:
        self._journal = store.journal
        self._old: dict[str, BinaryIO] = {}
        if store.manifest is not None:
            for name in RECORDS:
                self._old[name] = stack.enter_context(store.layout.place_of(name).open("rb"))

    def line_of(self, job: StoredJob) -> bytes:
        """Return the record of a job, with its line break."""
        if job.is_new:
            return self._journal.read(job.start, job.size) + b"\n"
        return b"".join(self._pieces("jobs.jsonl", job.start, job.size))

    def old(self, name: PartName, part: Part) -> Iterator[bytes]:
        """Yield the records of a job that are in the archive, in pieces."""
        return self._pieces(f"{name}.jsonl", part.start, part.size)

    def fetched(self, part: Part) -> Iterator[list[bytes]]:
        """Yield the records of a job that are in the journal, those of each attempt together."""
        for _, chunks in itertools.groupby(
            sorted(part.chunks, key=itemgetter(0)), key=itemgetter(0)
        ):
            yield [
                line
                for chunk in chunks
                for line in self._journal.read(chunk.start, chunk.size).splitlines()
            ]

    def _pieces(self, name: str, start: int, size: int) -> Iterator[bytes]:
        if not size:
            return
        file = self._old[name]
        file.seek(start)
        while size:
            piece = file.read(min(size, _PIECE))
            if not piece:
                raise damaged(Path(file.name), "it has become shorter")
            size -= len(piece)
            yield piece


def _copy(output: _Output, sources: _Sources, name: PartName, part: Part) -> PartRow:
    """Write the checkpoints or events of a job."""
    if not part.chunks:
        for piece in sources.old(name, part):
            output.write(piece, 0)
        output.records += part.count
        return PartRow(part.size, part.count, part.settled)
    lines = b"".join(sources.old(name, part)).splitlines()
    for fetched in sources.fetched(part):
        lines = _merged(lines, _oldest_first(name, fetched))
    lines.sort(key=functools.partial(_place_of, name))
    data = b"".join(line + b"\n" for line in lines)
    output.write(data, len(lines))
    return PartRow(len(data), len(lines), part.settled)


# Servers send times and steps in several forms.
_decoders: Final[dict[PartName, Decoder[Any]]] = {
    "checkpoints": Decoder(FineTuningJobCheckpoint),
    "events": Decoder(FineTuningJobEvent),
}


def _place_of(name: PartName, line: bytes) -> tuple[float, float]:
    """Return what the records of a job are sorted by: their time, and the step of a checkpoint."""
    record = _decoders[name].parse(line)
    step = record.step_number if name == "checkpoints" else 0
    return record.created_at or 0, step or 0


def _oldest_first(name: PartName, fetched: list[bytes]) -> list[bytes]:
    """Return records in the order of the server, turned so that the oldest comes first."""
    if not fetched or _place_of(name, fetched[0]) < _place_of(name, fetched[-1]):
        return fetched
    return fetched[::-1]


def _merged(kept: list[bytes], fetched: list[bytes]) -> list[bytes]:
    """Return records without duplicates: those fetched, and those kept that were not fetched again.

    Args:
        kept: Records in the order of the archive. What was not fetched again stays behind the
            record that it follows here.
        fetched: Records, oldest first.
    """
    unique = {_key(line): line for line in fetched}
    before: object = None
    followers: defaultdict[object, list[bytes]] = defaultdict(list)
    for line in kept:
        if (key := _key(line)) in unique:
            before = key
        else:
            followers[before].append(line)
    merged = followers[None]
    for key, line in unique.items():
        merged.append(line)
        merged += followers.get(key, ())
    return merged


class _HasId(msgspec.Struct, gc=False):
    id: object = None


_decode_id: Final = msgspec.json.Decoder(_HasId).decode


def _key(line: bytes) -> object:
    identifier = _decode_id(line).id
    return identifier if isinstance(identifier, str) and identifier else line
