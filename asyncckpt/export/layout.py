"""Names the files of an archive."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs

__all__ = ["INDEX", "MANIFEST", "RECORDS", "RESULT_FILES", "TABLES", "Layout", "table_of"]

MANIFEST: Final = "manifest.json"
RECORDS: Final = ("jobs.jsonl", "checkpoints.jsonl", "events.jsonl")
RESULT_FILES: Final = "files.jsonl"
INDEX: Final = "index.jsonl"
"""Where the records of a job are; in the hidden directory."""


def table_of(records: str) -> str:
    """Return the name of the Parquet file with the records of another file."""
    return records.replace(".jsonl", ".parquet")


TABLES: Final = tuple(map(table_of, RECORDS))


@attrs.frozen
class Layout:
    """The paths of an archive.

    Attributes:
        root: The directory of the archive.
    """

    root: Path

    @property
    def hidden(self) -> Path:
        """The directory of what only this package reads."""
        return self.root / ".asyncckpt"

    @property
    def lock(self) -> Path:
        """The file that a run locks."""
        return self.hidden / "lock"

    @property
    def journal(self) -> Path:
        """What has been fetched since the archive was last written."""
        return self.hidden / "journal"

    @property
    def next(self) -> Path:
        """The directory in which new files are written."""
        return self.hidden / "next"

    @property
    def commit(self) -> Path:
        """The same directory once all of them are complete; they are then moved to their places."""
        return self.hidden / "commit"

    @property
    def partial(self) -> Path:
        """The directory of result files that are being downloaded."""
        return self.hidden / "partial"

    @property
    def files(self) -> Path:
        """The directory of the result files."""
        return self.root / "files"

    @property
    def manifest(self) -> Path:
        """The manifest."""
        return self.root / MANIFEST

    def place_of(self, name: str) -> Path:
        """Return where a file of the archive belongs."""
        return (self.hidden if name == INDEX else self.root) / name
