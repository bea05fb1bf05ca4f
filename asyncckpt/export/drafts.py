"""Writes a file next to its target and renames it, so that the target is complete or unchanged."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from io import BufferedWriter
from pathlib import Path

__all__ = ["Draft"]


class Draft:
    """A file that replaces its target once it is complete.

    If the process is killed, a file ``.asyncckpt-*.tmp`` is left in the directory of the target.

    Args:
        path: The target. A symbolic link is followed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._target = Path(path).resolve()
        self._path = self._target.with_name(f".asyncckpt-{secrets.token_hex(8)}.tmp")
        self._file: BufferedWriter | None = None

    @property
    def file(self) -> BufferedWriter:
        """The file, which is open for writing.

        Raises:
            RuntimeError: It was not opened.
        """
        if self._file is None:
            raise RuntimeError("the file was not opened")
        return self._file

    def open(self) -> None:
        """Create the file.

        Raises:
            OSError: The directory does not exist or is not writable, or the target is a directory.
        """
        if self._target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(self._target))
        try:
            self._file = self._path.open("xb")
        except OSError as error:
            # The caller does not know the temporary file.
            raise OSError(error.errno, error.strerror, str(self._target)) from None

    def commit(self) -> None:
        """Write everything to the disk, and replace the target.

        A target that exists keeps its permissions.

        Raises:
            OSError: Writing failed; the target is unchanged.
        """
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        with contextlib.suppress(FileNotFoundError):
            self._path.chmod(stat.S_IMODE(self._target.stat().st_mode))
        self._path.replace(self._target)
        _sync_directory(self._target.parent)

    def discard(self) -> None:
        """Remove the file, unless it has replaced the target."""
        if self._file is not None:
            # Closing writes what is buffered, which fails again if the disk is full.
            with contextlib.suppress(OSError):
                self._file.close()
            self._path.unlink(missing_ok=True)


def _sync_directory(directory: Path) -> None:
    # Not every system can open a directory, and not every file system can sync one.
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
