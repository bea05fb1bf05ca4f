"""Writes the records of an archive as Parquet."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from asyncckpt.export.batches import in_thread
from asyncckpt.export.columns import ColumnError
from asyncckpt.export.extras import check_extra
from asyncckpt.export.files import write
from asyncckpt.export.layout import RECORDS, table_of
from asyncckpt.export.manifest import DescribedFile, described
from asyncckpt.records.base import Record
from asyncckpt.records.checkpoints import FineTuningJobCheckpoint
from asyncckpt.records.codec import Decoder
from asyncckpt.records.events import JobEvent
from asyncckpt.records.jobs import FineTuningJob

__all__ = ["has_parquet", "write_tables"]

_log: Final = logging.getLogger("asyncckpt")

_CLASSES: Final[tuple[type[Record], ...]] = (
    FineTuningJob,
    FineTuningJobCheckpoint,
    JobEvent,
)


def has_parquet(wanted: bool | None) -> bool:
    """Return whether to write Parquet.

    Args:
        wanted: Whether the caller wants it; None if it depends on what is installed.

    Raises:
        ImportError: It is wanted, and pyarrow is not installed.
    """
    if wanted is False:
        return False
    try:
        check_extra("arrow", "pyarrow")
    except ImportError:
        if wanted:
            raise
        return False
    return True


async def write_tables(directory: Path, stop: threading.Event) -> dict[str, DescribedFile]:
    """Write a Parquet file next to each file of records.

    A file whose records do not fit into its columns is not written, and a warning is logged. A
    server can send such values; they are in the JSON.

    Args:
        directory: Where the files of records are.
        stop: Set if the caller is cancelled.

    Returns:
        The files that were written.

    Raises:
        OSError: Reading or writing failed.
    """
    files: dict[str, DescribedFile] = {}
    for name, record_type in zip(RECORDS, _CLASSES, strict=True):
        table = table_of(name)
        path = directory / table
        try:
            records = _records(directory / name, record_type)
            count = await write(records, path, record_type=record_type)
        except ColumnError as error:
            _log.warning("%s is not written: a value does not fit column %r", table, error.column)
            continue
        found = await in_thread(functools.partial(described, path, stop), stop)
        files[table] = DescribedFile(found.bytes, found.sha256, count)
    return files


def _records(path: Path, record_type: type[Record]) -> Iterator[Record]:
    decoder = Decoder(record_type)
    with path.open("rb") as file:
        for line in file:
            yield decoder.decode(line)
