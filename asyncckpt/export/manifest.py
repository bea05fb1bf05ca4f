"""Reads, writes and checks `manifest.json`: what an archive consists of."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Final

import msgspec

from asyncckpt.errors import ArchiveError
from asyncckpt.export.layout import Layout

__all__ = [
    "FORMAT",
    "Counts",
    "DescribedFile",
    "FailedJob",
    "Manifest",
    "StoppedError",
    "damaged",
    "described",
    "read_manifest",
]

FORMAT: Final = 1
_PIECE: Final = 2**20


class StoppedError(Exception):
    """The run was cancelled while a thread worked for it."""


class DescribedFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file of the archive.

    Attributes:
        bytes: Its size.
        sha256: Its SHA-256 digest, in hexadecimal.
        records: The number of its records.
    """

    bytes: int
    sha256: str
    records: int | None = None


class FailedJob(msgspec.Struct, frozen=True):
    """A job that could not be fetched completely.

    Attributes:
        fine_tuning_job_id: Its id.
        error: The error.
    """

    fine_tuning_job_id: str
    error: str


class Counts(msgspec.Struct, frozen=True):
    """What an archive contains.

    Attributes:
        jobs: The number of jobs.
        checkpoints: The number of checkpoints.
        events: The number of events.
        files: The number of result files.
        missing_files: The number of result files that the server no longer had.
        failed_jobs: The number of jobs that could not be fetched completely.
    """

    jobs: int = 0
    checkpoints: int = 0
    events: int = 0
    files: int = 0
    missing_files: int = 0
    failed_jobs: int = 0


class Manifest(msgspec.Struct, frozen=True):
    """The content of `manifest.json`.

    Attributes:
        format: The version of the layout.
        asyncckpt: The version of the package that wrote it.
        base_url: The URL of the API.
        started_at: When the latest run started, in UTC.
        finished_at: When it finished.
        counts: What the archive contains.
        failures: The jobs that could not be fetched completely.
        files: The files, without the result files, which `files.jsonl` describes.
    """

    format: int
    asyncckpt: str
    base_url: str
    started_at: str
    finished_at: str
    counts: Counts
    failures: list[FailedJob]
    files: dict[str, DescribedFile]

    def to_json(self) -> bytes:
        """Return the text of the file."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def read_manifest(layout: Layout) -> Manifest | None:
    """Read the manifest of an archive.

    Returns:
        The manifest; None if there is none yet.

    Raises:
        ArchiveError: It is damaged, or of another version.
        OSError: Reading failed.
    """
    try:
        content = layout.manifest.read_bytes()
    except FileNotFoundError:
        return None
    try:
        version = msgspec.json.decode(content, type=dict[str, object]).get("format")
        if version != FORMAT:
            raise ArchiveError(
                f"{layout.manifest} has the format {version!r}, and this version of asyncckpt "
                f"reads {FORMAT}: update asyncckpt, or archive to another directory"
            )
        return msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise damaged(layout.manifest, str(error)) from None


def described(path: Path, stop: threading.Event) -> DescribedFile:
    """Read a file, and return its size and digest.

    Args:
        path: The file.
        stop: Set to stop reading.

    Raises:
        StoppedError: `stop` was set.
        OSError: Reading failed.
    """
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            if stop.is_set():
                raise StoppedError
            digest.update(piece)
            size += len(piece)
    return DescribedFile(size, digest.hexdigest())


def damaged(path: Path, problem: str) -> ArchiveError:
    """Return the error for a file that cannot be fetched again as it was."""
    return ArchiveError(
        f"{path} is damaged ({problem}): restore it from a copy, or archive to another directory"
    )
