"""Saves what an account has of fine-tuning: jobs, checkpoints, events and result files.

A run has four phases. It checks the existing files, lists all jobs, fetches what is new, and writes
new files. `asyncckpt.export.store` describes what is on the disk meanwhile.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import attrs

from asyncckpt.errors import ArchiveError
from asyncckpt.export.assembly import Assembled, assemble
from asyncckpt.export.batches import in_thread
from asyncckpt.export.commit import commit
from asyncckpt.export.fetching import Fetching, Plan
from asyncckpt.export.layout import MANIFEST, TABLES
from asyncckpt.export.manifest import FORMAT, Manifest
from asyncckpt.export.progress import ArchiveProgress
from asyncckpt.export.store import Store
from asyncckpt.export.tables import has_parquet, write_tables
from asyncckpt.options import check_count

if TYPE_CHECKING:
    from asyncckpt.client import AsyncClient
    from asyncckpt.streams.failures import JobFailure

__all__ = ["ArchiveResult", "archive"]


@attrs.frozen
class ArchiveResult:
    """What a run has done, and what the archive contains now.

    Attributes:
        path: The directory of the archive.
        jobs: The number of jobs in the archive.
        checkpoints: The number of checkpoints in the archive.
        events: The number of events in the archive.
        files: The number of result files in the archive.
        missing_files: The number of result files that the server no longer had.
        fetched_jobs: The number of jobs that this run has fetched.
        failures: The jobs that this run could not fetch completely. The next run fetches them
            first.
        duration: How long the run took, in seconds.
    """

    path: Path
    jobs: int
    checkpoints: int
    events: int
    files: int
    missing_files: int
    fetched_jobs: int
    failures: tuple[JobFailure, ...]
    duration: float


async def archive(
    client: AsyncClient,
    directory: str | os.PathLike[str],
    *,
    events: bool = True,
    files: bool = True,
    parquet: bool | None = None,
    concurrency: int = 50,
    max_file_bytes: int = 2**30,
    on_progress: Callable[[ArchiveProgress], None] | None = None,
) -> ArchiveResult:
    """Save the fine-tuning jobs of an account, with their checkpoints, events and result files.

    The directory gets the files ``jobs.jsonl``, ``checkpoints.jsonl``, ``events.jsonl``,
    ``files.jsonl`` and ``manifest.json``, and the result files in ``files/``. The records are the
    JSON that the server sent. With the extra ``arrow``, the records are in ``jobs.parquet``,
    ``checkpoints.parquet`` and ``events.parquet`` too.

    If the directory is an archive already, only jobs that are new, or had not ended an hour before
    they were fetched, are fetched. Records that the server no longer has stay. If a run is
    interrupted in any way, the next run continues where it was.

    Args:
        client: The client of the account.
        directory: The directory; it is created if it does not exist.
        events: Whether to save the events of the jobs.
        files: Whether to save the result files of the jobs.
        parquet: Whether to write the records as Parquet too, which needs the extra ``arrow``;
            default: if that is installed.
        concurrency: The number of jobs to fetch at the same time; default 50.
        max_file_bytes: The maximum size of a result file; default 1 GiB. A job with a larger one
            fails.
        on_progress: Called with an `ArchiveProgress` whenever a job has been fetched or a page of
            jobs listed.

    Returns:
        What was done, with the jobs that failed.

    Raises:
        ArchiveError: The directory is in use, is not an archive, or is one of another server; or a
            file in it is damaged.
        APIError: The jobs cannot be listed, the key was rejected, or the connection is lost: 100
            jobs in a row failed because of it.
        OSError: Reading or writing failed, for example because the disk is full.
        ImportError: `parquet` is true, and pyarrow is not installed.
        RuntimeError: The client is closed.
        TypeError: An argument has the wrong type.
        ValueError: `concurrency` or `max_file_bytes` is less than 1.
        Exception: Any exception of `on_progress` or an `api_key` callable.
    """
    check_count("concurrency", concurrency, least=1)
    check_count("max_file_bytes", max_file_bytes, least=1)
    with_tables = has_parquet(parquet)
    started, began = _now(), monotonic()
    store, stop = Store(Path(directory)), threading.Event()
    try:
        fetching = Fetching(
            client,
            store,
            Plan(events=events, files=files, max_file_bytes=max_file_bytes),
            on_progress,
        )
        fetching.report("checking")
        await in_thread(lambda: store.load(stop), stop)
        _check_server(store, client.base_url)
        await fetching.list_jobs()
        await fetching.fetch(concurrency)
        fetching.report("writing")
        assembled = await _assembled(store, stop, with_tables=with_tables)
        manifest = _manifest(assembled, client.base_url, started)
        await in_thread(lambda: _commit(store, manifest))
    finally:
        store.close()
    return ArchiveResult(
        path=store.layout.root,
        jobs=manifest.counts.jobs,
        checkpoints=manifest.counts.checkpoints,
        events=manifest.counts.events,
        files=manifest.counts.files,
        missing_files=manifest.counts.missing_files,
        fetched_jobs=fetching.done - len(fetching.failures),
        failures=tuple(fetching.failures),
        duration=monotonic() - began,
    )


def _check_server(store: Store, base_url: str) -> None:
    """Raise ArchiveError if an archive is of another server."""
    if store.manifest is None:
        return
    ours, theirs = urlsplit(base_url).hostname, urlsplit(store.manifest.base_url).hostname
    if ours != theirs:
        raise ArchiveError(
            f"{store.layout.root} is an archive of {theirs}, and the client is for {ours}: use one "
            "directory for each account"
        )


async def _assembled(store: Store, stop: threading.Event, *, with_tables: bool) -> Assembled:
    """Write the new files to the directory `next`, unless nothing has changed."""
    old, directory = store.manifest, store.layout.next
    if old is not None and not store.has_changed:
        has_tables = old.files.keys() >= set(TABLES)
        if has_tables or not with_tables:
            directory.mkdir()
            return Assembled(old.counts, old.failures, old.files)
    try:
        assembled = await in_thread(lambda: assemble(store, stop), stop)
        if with_tables:
            assembled.files.update(await write_tables(directory, stop))
    except BaseException:
        # On a full disk, they would take the space that the next run needs.
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return assembled


def _manifest(assembled: Assembled, base_url: str, started_at: str) -> Manifest:
    from asyncckpt import __version__

    return Manifest(
        format=FORMAT,
        asyncckpt=__version__,
        base_url=base_url,
        started_at=started_at,
        finished_at=_now(),
        counts=assembled.counts,
        failures=assembled.failures,
        files=assembled.files,
    )


def _commit(store: Store, manifest: Manifest) -> None:
    (store.layout.next / MANIFEST).write_bytes(manifest.to_json())
    # Windows does not delete an open file.
    store.journal.close()
    commit(store.layout)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
