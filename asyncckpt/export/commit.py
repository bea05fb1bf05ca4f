"""Replaces the files of an archive, all of them or none.

New files are written to a directory of their own. When all of them are complete, that directory is
renamed, which decides that they are valid. Then they are moved to their places, the manifest last.
A run that finds the renamed directory first moves what is left in it.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from asyncckpt.export.layout import MANIFEST, TABLES, Layout
from asyncckpt.export.manifest import read_manifest

__all__ = ["commit", "flush", "move_to_places"]


def commit(layout: Layout) -> None:
    """Put the new files in the place of the old ones, and delete the journal.

    Args:
        layout: The paths of the archive; its directory `next` contains the new files.

    Raises:
        OSError: The files cannot be flushed or moved; the next run does it.
    """
    for path in layout.next.iterdir():
        flush(path)
    if hasattr(os, "sync"):
        # The result files: one call, not one for each of them.
        os.sync()
    layout.next.rename(layout.commit)
    move_to_places(layout)


def move_to_places(layout: Layout) -> None:
    """Move complete new files to their places, if there are any.

    Args:
        layout: The paths of the archive.

    Raises:
        OSError: They cannot be moved.
    """
    if not layout.commit.is_dir():
        return
    flush(layout.hidden)
    for path in sorted(layout.commit.iterdir(), key=lambda path: path.name == MANIFEST):
        path.replace(layout.place_of(path.name))
    _delete_old_tables(layout)
    flush(layout.root)
    layout.journal.unlink(missing_ok=True)
    shutil.rmtree(layout.commit)


def _delete_old_tables(layout: Layout) -> None:
    """Delete Parquet files that were not written again, so that none contradicts the JSON."""
    manifest = read_manifest(layout)
    for name in TABLES:
        if manifest is not None and name not in manifest.files:
            layout.place_of(name).unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Wait until a file, or the names in a directory, are on the disk."""
    if path.is_dir() and os.name == "nt":
        # Windows cannot open a directory.
        return
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
