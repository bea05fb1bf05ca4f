"""Records as Arrow, pandas and polars tables."""

import asyncio
import math
from typing import Any

import attrs
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given

from asyncckpt import AsyncClient, FineTuningJob, Metrics, StepMetrics, export
from asyncckpt.testing import Sandbox

from support.checkpoints import checkpoint, stream_of
from support.rows import lists_of_rows, parsed, same_rows
from support.strategies import thorough

STEPS = [
    StepMetrics(2**53 + 1, train_loss=math.nan),
    StepMetrics(2, train_loss=0.5),
    StepMetrics(3),
]


@thorough
@given(lists_of_rows)
def test_a_table_has_the_values_of_the_records(case: tuple[type, Any]) -> None:
    kind, pairs = case
    records = [record for record, _ in pairs]
    table = asyncio.run(export.to_arrow(records, record_type=kind))
    table.validate(full=True)
    rows = [parsed(kind, row) for row in table.to_pylist()]
    assert same_rows(rows, [row for _, row in pairs])


@thorough
@given(lists_of_rows)
def test_frames_have_the_values_of_the_records(case: tuple[type, Any]) -> None:
    kind, pairs = case
    records, wanted = [record for record, _ in pairs], [row for _, row in pairs]
    frame = asyncio.run(export.to_polars(records, record_type=kind))
    assert same_rows([parsed(kind, row) for row in frame.to_dicts()], wanted)
    other = pa.Table.from_pandas(asyncio.run(export.to_pandas(records, record_type=kind)))
    assert same_rows([parsed(kind, row) for row in other.to_pylist()], wanted)


def test_the_types_of_the_columns() -> None:
    schema = asyncio.run(export.to_arrow([checkpoint()])).schema
    types = {field.name: str(field.type) for field in schema}
    assert types["id"] == types["extra"] == "string"
    assert types["step_number"] == "int64"
    assert types["created_at"] == "timestamp[us, tz=UTC]"
    assert types["train_loss"] == types["step"] == "double"


async def test_a_missing_value_is_not_nan() -> None:
    table = await export.to_arrow(STEPS)
    assert table["train_loss"].null_count == 1
    frame = await export.to_pandas(STEPS)
    assert frame["train_loss"].isna().tolist() == [False, False, True]
    assert frame["step"].tolist() == [2**53 + 1, 2, 3]
    polars = await export.to_polars(STEPS)
    assert polars["train_loss"].null_count() == 1
    assert polars["train_loss"].is_nan().to_list() == [True, False, None]


async def test_other_libraries_read_a_table_through_the_arrow_interface() -> None:
    steps = await export.to_arrow(STEPS)
    assert steps.__arrow_c_stream__() is not None
    assert pl.DataFrame(steps)["step"].to_list() == [2**53 + 1, 2, 3]
    assert duckdb.sql("select max(step) from steps").fetchall() == [(2**53 + 1,)]
    assert isinstance(await export.to_pandas(STEPS), pd.DataFrame)


async def test_batches_come_while_records_arrive(nothing_left: None) -> None:
    taken = 0

    async def counted() -> Any:
        nonlocal taken
        for one in STEPS:
            taken += 1
            yield one

    batches = export.record_batches(counted(), size=2)
    first = await anext(batches)
    assert (first.num_rows, taken) == (2, 2)
    assert first.__arrow_c_array__() is not None
    assert (await anext(batches)).column("step").to_pylist() == [3]
    with pytest.raises(StopAsyncIteration):
        await anext(batches)


async def test_leaving_the_batches_closes_the_stream(sandbox: Sandbox, client: AsyncClient) -> None:
    pager = client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0])
    batches = export.record_batches(pager, size=3)
    assert (await anext(batches)).num_rows == 3
    await batches.aclose()


async def test_no_record_gives_the_columns() -> None:
    table = await export.to_arrow([], record_type=FineTuningJob)
    assert (table.num_rows, table.column_names[:2]) == (0, ["id", "status"])
    assert (await export.to_polars([], record_type=FineTuningJob)).columns[0] == "id"
    assert len(await export.to_pandas([], record_type=FineTuningJob)) == 0
    assert not [batch async for batch in export.record_batches(stream_of([]))]


async def test_a_value_that_does_not_fit_is_an_error(nothing_left: None) -> None:
    records = [checkpoint(), checkpoint(step=2**63)]
    with pytest.raises(export.ColumnError, match=f"step_number of .*_{2**63}: expected an integer"):
        await export.to_arrow(stream_of(records))
    inexact = attrs.evolve(checkpoint(), metrics=Metrics(step=2**53 + 1))
    with pytest.raises(export.ColumnError, match="step of .*: expected a number that a 64-bit"):
        await export.to_polars([checkpoint(), inexact])
