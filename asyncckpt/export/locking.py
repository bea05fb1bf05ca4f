"""Locks the directory of an archive, so that only one run changes it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO

from asyncckpt.errors import ArchiveError

__all__ = ["lock"]


def lock(path: Path) -> BinaryIO:
    """Lock a file until it is closed, or the process ends in any way.

    Args:
        path: The file; it is created if it does not exist.

    Returns:
        The file.

    Raises:
        ArchiveError: Another process, or another run of this one, has locked it.
        OSError: The file cannot be opened.
    """
    file = path.open("a+b", buffering=0)
    try:
        _lock(file)
    except OSError:
        file.seek(0)
        process = file.read(20).decode("ascii", "replace").strip()
        file.close()
        raise ArchiveError(
            f"another run (process {process or 'unknown'}) is writing to {path.parent.parent}: "
            "wait until it has ended"
        ) from None
    file.truncate(0)
    file.write(b"%d\n" % os.getpid())
    return file


if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO) -> None:
        # Another process cannot read what is locked, so that is a byte behind the process's id.
        file.seek(100)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
