"""Records in files."""

import asyncio
import csv
import errno
import gc
import io
import json
import os
import sys
import tempfile
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from pyarrow import csv as arrow_csv
from pyarrow import ipc, parquet

from asyncckpt import AsyncClient, FineTuningJob, FineTuningJobCheckpoint, converter, export
from asyncckpt.export.arrow import arrow_schema
from asyncckpt.export.columns import schema_of
from asyncckpt.testing import Sandbox

from support.checkpoints import checkpoint, stream_of
from support.rows import Row, lists_of_rows, parsed, same_rows
from support.strategies import thorough

SUFFIXES = [".parquet", ".csv", ".jsonl", ".arrow"]
THREE = [checkpoint(step=step, train_loss=0.5) for step in range(3)]

Case = tuple[type, list[tuple[Any, Row]]]
Read = Callable[[Path, type], list[Row]]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def written(case: Case, name: str, folder: Path) -> Path:
    kind, pairs = case
    path = folder / name
    records = [record for record, _ in pairs]
    assert asyncio.run(export.write(records, path, record_type=kind, size=2)) == len(pairs)
    return path


def _from_csv(path: Path, kind: type) -> pa.Table:
    schema = arrow_schema(schema_of(kind))
    return arrow_csv.read_csv(
        path,
        parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            column_types=schema,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


READERS: dict[str, tuple[str, Read]] = {
    "pyarrow reads Parquet": (".parquet", lambda path, _: parquet.read_table(path).to_pylist()),
    "polars reads Parquet": (".parquet", lambda path, _: pl.read_parquet(path).to_dicts()),
    "DuckDB reads Parquet": (
        ".parquet",
        lambda path, _: duckdb.read_parquet(str(path)).to_arrow_table().to_pylist(),
    ),
    "pandas reads Parquet": (
        ".parquet",
        lambda path, _: pa.Table.from_pandas(
            pd.read_parquet(path, dtype_backend="pyarrow")
        ).to_pylist(),
    ),
    "pyarrow reads Arrow": (".arrow", lambda path, _: ipc.open_file(path).read_all().to_pylist()),
    "polars reads Arrow": (
        ".arrow",
        lambda path, _: pl.read_ipc(path).to_dicts(),
    ),
    "pyarrow reads CSV": (".csv", lambda path, kind: _from_csv(path, kind).to_pylist()),
}


@pytest.mark.parametrize("reader", READERS)
def test_files_have_the_values_of_the_records(reader: str) -> None:
    suffix, read = READERS[reader]

    @settings(thorough, max_examples=50)
    @given(lists_of_rows)
    def check(case: Case) -> None:
        kind, pairs = case
        with tempfile.TemporaryDirectory() as folder:
            path = written(case, f"records{suffix}", Path(folder))
            rows = [parsed(kind, row) for row in read(path, kind)]
        assert same_rows(rows, [row for _, row in pairs])

    check()


@thorough
@given(lists_of_rows)
def test_json_lines_are_the_objects_of_the_api(case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(case, "records.jsonl", Path(folder))
        lines = path.read_text("utf-8").split("\n")[:-1]
    objects = [converter.unstructure(record) for record, _ in case[1]]
    assert repr([json.loads(line) for line in lines]) == repr(
        [json.loads(json.dumps(one)) for one in objects]
    )


def _csv_rows(path: Path) -> Iterator[dict[str, str]]:
    return csv.DictReader(io.StringIO(path.read_text("utf-8"), newline=""))


async def test_csv_of_the_sandbox_is_read_by_guessing(
    sandbox: Sandbox, client: AsyncClient, tmp_path: Path
) -> None:
    jobs, path = client.fine_tuning.jobs, tmp_path / "checkpoints.csv"
    await export.write(jobs.checkpoints.list_many(jobs.list()), path)
    table = await export.to_arrow(jobs.checkpoints.list_many(jobs.list(), ordered=True))
    names = ("id", "step_number", "created_at", "train_loss")
    wanted = sorted(tuple(row[name] for name in names) for row in table.to_pylist())
    guessed = duckdb.read_csv(str(path)).project(", ".join(names)).to_arrow_table().to_pylist()
    assert sorted(tuple(row.values()) for row in guessed) == wanted
    frame = pl.read_csv(path, try_parse_dates=True).select(names)
    assert sorted(frame.iter_rows()) == wanted
    pandas = pd.read_csv(path, parse_dates=["created_at"])[list(names)]
    assert sorted(pandas.itertuples(index=False, name=None)) == wanted


@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_no_record_gives_a_valid_file(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"none{suffix}"
    assert await export.write([], path, record_type=FineTuningJob) == 0
    if suffix == ".parquet":
        assert parquet.read_schema(path).names[0] == "id"
    elif suffix == ".arrow":
        assert ipc.open_file(path).schema.names[0] == "id"
    elif suffix == ".csv":
        assert [*_csv_rows(path)] == []
        assert path.read_text("utf-8").startswith("id,status,")
    else:
        assert path.read_bytes() == b""


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".arrow"])
async def test_no_record_of_an_unknown_class_gives_an_error(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pass the class of the records as record_type"):
        await export.write([], tmp_path / f"none{suffix}")
    assert names_in(tmp_path) == []


async def test_json_lines_of_nothing_need_no_class(tmp_path: Path) -> None:
    assert await export.write([], tmp_path / "none.jsonl") == 0
    assert names_in(tmp_path) == ["none.jsonl"]


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".CSV"])
async def test_only_the_chosen_fields_are_written(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"some{suffix}"
    await export.write(stream_of(THREE), str(path), fields=["train_loss", "created_at", "id"])
    created = datetime.fromtimestamp(0, UTC)
    wanted = [{"train_loss": 0.5, "created_at": created, "id": one.id} for one in THREE]
    if suffix == ".parquet":
        assert parquet.read_table(path).to_pylist() == wanted
    elif suffix == ".arrow":
        assert ipc.open_file(path).read_all().to_pylist() == wanted
    elif suffix == ".jsonl":
        lines = path.read_text("utf-8").splitlines()
        assert [json.loads(line) for line in lines] == [{**row, "created_at": 0} for row in wanted]
    else:
        assert path.read_text("utf-8").splitlines() == [
            "train_loss,created_at,id",
            *(f"0.5,1970-01-01T00:00:00Z,{one.id}" for one in THREE),
        ]


@pytest.mark.parametrize("name", ["records", "records.txt", "records.parquet.gz", ".csv"])
async def test_the_suffix_must_be_a_format(name: str, tmp_path: Path) -> None:
    message = r"the suffix of a file is its format: \.parquet, \.csv, \.jsonl, \.arrow; got '.*'"
    with pytest.raises(ValueError, match=message):
        await export.write(THREE, tmp_path / name)


async def test_an_unknown_field_is_an_error_before_anything_is_requested(
    sandbox: Sandbox, client: AsyncClient, tmp_path: Path
) -> None:
    pager = client.fine_tuning.jobs.list()
    with pytest.raises(ValueError, match="there is no field 'loss'; the fields are: id, status,"):
        await export.write(pager, tmp_path / "jobs.csv", fields=["loss"])
    assert sandbox.stats.requests == 0


async def test_a_wrong_directory_is_an_error_before_anything_is_requested(
    sandbox: Sandbox, client: AsyncClient, tmp_path: Path
) -> None:
    pager = client.fine_tuning.jobs.list()
    with pytest.raises(FileNotFoundError):
        await export.write(pager, tmp_path / "nowhere" / "jobs.csv")
    assert sandbox.stats.requests == 0


async def _failing(error: BaseException) -> AsyncIterator[FineTuningJobCheckpoint]:
    for one in THREE:
        yield one
    raise error


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("size", [1, 2, 100])
async def test_a_failure_leaves_what_was_there(
    suffix: str, size: int, tmp_path: Path, nothing_left: None
) -> None:
    path = tmp_path / f"all{suffix}"
    path.write_bytes(b"before")
    with pytest.raises(OSError, match="lost"):
        await export.write(_failing(OSError("lost")), path, size=size)
    assert names_in(tmp_path) == [path.name]
    assert path.read_bytes() == b"before"
    gc.collect()


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".arrow"])
async def test_a_value_that_does_not_fit_leaves_nothing(
    suffix: str, tmp_path: Path, nothing_left: None
) -> None:
    records = [*THREE, checkpoint(step=2**63)]
    with pytest.raises(export.ColumnError, match="step_number of FineTuningJobCheckpoint"):
        await export.write(stream_of(records), tmp_path / f"all{suffix}", size=3)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_a_cancellation_leaves_nothing(
    suffix: str, tmp_path: Path, nothing_left: None
) -> None:
    reached = asyncio.Event()

    async def stuck() -> AsyncIterator[FineTuningJobCheckpoint]:
        for one in THREE:
            yield one
        reached.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(export.write(stuck(), tmp_path / f"all{suffix}", size=1))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("turns", range(0, 40, 3))
async def test_a_file_is_complete_or_absent_whenever_it_is_cancelled(
    suffix: str, turns: int, tmp_path: Path, nothing_left: None
) -> None:
    path = tmp_path / f"all{suffix}"
    task = asyncio.create_task(export.write(stream_of(THREE), path, size=1))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert set(names_in(tmp_path)) <= {path.name}
    if path.exists():
        whole = tmp_path / f"whole{suffix}"
        await export.write(THREE, whole, size=1)
        assert path.read_bytes() == whole.read_bytes()
    else:
        assert task.cancelled()


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX resource limits")
@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_a_full_disk_leaves_nothing(suffix: str, tmp_path: Path, nothing_left: None) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    records = [checkpoint(id=os.urandom(500).hex()) for _ in range(100)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as raised:
            await export.write(records, tmp_path / f"all{suffix}", size=10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.errno == errno.EFBIG
    assert names_in(tmp_path) == []
    gc.collect()


async def test_a_failure_closes_the_requests_of_the_stream(
    sandbox: Sandbox, client: AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = client.fine_tuning.jobs
    stream = jobs.checkpoints.list_many(jobs.list(), concurrency=4)
    monkeypatch.setattr(os, "fsync", _disk_full)
    with pytest.raises(OSError, match="full"):
        await export.write(stream, tmp_path / "all.csv", size=5)
    assert names_in(tmp_path) == []


def _disk_full(_: int) -> None:
    raise OSError(errno.ENOSPC, "full")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_memory_does_not_grow_with_the_number_of_records(suffix: str, tmp_path: Path) -> None:
    async def many(count: int) -> AsyncIterator[FineTuningJobCheckpoint]:
        for step in range(count):
            yield checkpoint(step=step, train_loss=step / 7)

    def peak(count: int) -> int:
        gc.collect()
        tracemalloc.start()
        try:
            allocated = pa.total_allocated_bytes()
            asyncio.run(export.write(many(count), tmp_path / f"all{suffix}", size=100))
            assert pa.total_allocated_bytes() <= allocated + 2**16
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)
    assert peak(4_000) < 2 * peak(400)
