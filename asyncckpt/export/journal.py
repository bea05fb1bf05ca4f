"""Keeps what a run has fetched in an append-only file.

Each entry has a checksum. A process that is killed leaves at most one incomplete entry, the last.
It is cut off when the journal is read again, so that everything before it counts.

The journal is not flushed to the disk after each entry: a killed process loses nothing that the
operating system has accepted. After a power failure, the entries that have reached the disk count.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final, Literal, TypeAlias

import msgspec

from asyncckpt.errors import ArchiveError

__all__ = ["Entry", "Journal", "Kind", "write_all"]

Kind: TypeAlias = Literal["job", "checkpoints", "events", "done", "file", "missing", "end"]

_HEAD: Final = b"asyncckpt journal 1\n"
_LONGEST_HEADER: Final = 2**20
_CHECKSUM_SIZE: Final = 9


class Entry(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What an entry is about. Its payload follows it in the file.

    Attributes:
        kind: What it says: a job of the list; checkpoints or events of a job; that these are
            complete; a result file; a result file that does not exist; that a job was worked on.
        key: The id of the job or file.
        size: The size of the payload in bytes.
        attempt: Which of the requests for the records of the job it belongs to.
        created_at: When the job was created.
        part: What is complete, ``"checkpoints"`` or ``"events"``.
        settled: Whether that does not have to be fetched again.
        job: The id of the job of a result file.
        path: The name of a result file.
        bytes: Its size.
        digest: The digest of a result file, or of the record of a job.
        failure: Why the job failed.
    """

    kind: Kind
    key: str
    size: int = 0
    attempt: int = 0
    created_at: int = 0
    part: str = ""
    settled: bool = False
    job: str = ""
    path: str = ""
    bytes: int = 0
    digest: str = ""
    failure: str | None = None


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Entry)


class Journal:
    """The journal of an archive, opened for reading and appending.

    Args:
        path: The file; it is created if it does not exist.

    Raises:
        ArchiveError: The file is something else.
        OSError: The file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO = path.open("a+b", buffering=0)
        self._end = len(_HEAD)

    def replay(self, handle: Callable[[Entry, int], None]) -> None:
        """Read all entries, and cut off an incomplete one at the end.

        Args:
            handle: Called with each entry, and the position of its payload.

        Raises:
            ArchiveError: The file is not a journal of this version.
            OSError: Reading failed.
        """
        with self._path.open("rb") as file:
            head = file.read(len(_HEAD))
            if not _HEAD.startswith(head):
                raise ArchiveError(
                    f"{self._path} was written by another version of asyncckpt: finish the archive "
                    "with that version, or start a new one in another directory"
                )
            if head == _HEAD:
                while (entry := _next_entry(file)) is not None:
                    start = file.tell() - entry.size - 1
                    handle(entry, start)
                    self._end = start + entry.size + 1
                self._cut()
                return
        self._file.truncate(0)
        self._write(_HEAD)

    def append(self, entry: Entry, payload: bytes = b"") -> int:
        """Add an entry.

        Args:
            entry: The entry; `Entry.size` is the size of the payload.
            payload: The payload.

        Returns:
            The position of the payload.

        Raises:
            OSError: Writing failed; the journal is as it was before.
        """
        header = _encoder.encode(entry) + b"\n"
        text = _checksum(header, payload) + header
        try:
            self._write(b"".join((text, payload, b"\n")))
        except OSError:
            self._cut()
            raise
        start = self._end + len(text)
        self._end = start + len(payload) + 1
        return start

    def read(self, position: int, size: int) -> bytes:
        """Return a payload, or a part of one.

        Raises:
            OSError: Reading failed.
        """
        self._file.seek(position)
        data = b""
        while len(data) < size and (piece := self._file.read(size - len(data))):
            data += piece
        return data

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, data: bytes) -> None:
        write_all(self._file, data, self._path)

    def _cut(self) -> None:
        self._file.truncate(self._end)


def write_all(file: BinaryIO, data: bytes, path: Path) -> None:
    """Write data to a file that has no buffer.

    Raises:
        OSError: Writing failed; the error names the file.
    """
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(file.fileno(), view) :]
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def _next_entry(file: BinaryIO) -> Entry | None:
    """Read one entry and its payload; return None at the end, or if it is not complete."""
    line = file.readline(_LONGEST_HEADER)
    checksum, header = line[:_CHECKSUM_SIZE], line[_CHECKSUM_SIZE:]
    try:
        entry = _decoder.decode(header)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    payload = file.read(entry.size)
    if file.read(1) != b"\n" or _checksum(header, payload) != checksum:
        return None
    return entry


def _checksum(header: bytes, payload: bytes) -> bytes:
    return b"%08x " % zlib.crc32(payload, zlib.crc32(header))
