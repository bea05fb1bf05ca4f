"""The formats of the command's output."""

import csv
import io
import json
import re
from pathlib import Path

import attrs
import pytest

from asyncckpt import FineTuningJobCheckpoint, Metrics
from asyncckpt.cli.layouts import CHECKPOINTS
from asyncckpt.cli.output import Format, writer_for
from asyncckpt.testing import Sandbox

from support.programs import (
    COMMAND,
    Run,
    environment,
)
from support.terminals import run_on_a_terminal

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
NOT_SHOWN = {"step", "object", "result_files", "extra"}
# In tables: `metrics.step` repeats `step_number`, and `object` is a constant.


def written(model: str, format_: Format, encoding: str) -> str:
    """What one checkpoint of that model becomes in an output of that encoding."""
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding)
    writer = writer_for(format_, out, CHECKPOINTS)
    writer.write(FineTuningJobCheckpoint("ckpt", 0, model, "job", Metrics(), 1))
    writer.close()
    return raw.getvalue().decode(encoding)


DISTINCT_METRICS = Metrics(
    **{
        field.name: 0.0001 * number
        for number, field in enumerate(attrs.fields(Metrics), start=1)
        if field.name not in NOT_SHOWN
    }
)
DISTINCT = FineTuningJobCheckpoint(
    id="ftckpt_a",
    created_at=86_400,
    fine_tuned_model_checkpoint="ft:model",
    fine_tuning_job_id="ftjob-b",
    metrics=DISTINCT_METRICS,
    step_number=77,
)


def fields_of_a_checkpoint() -> dict[str, object]:
    """Return the fields that people compare checkpoints by, and their values in `DISTINCT`."""
    fields: dict[str, object] = {}
    for record, prefix in ((DISTINCT, ""), (DISTINCT.metrics, "metrics.")):
        for field in attrs.fields(type(record)):
            if field.name not in NOT_SHOWN and field.name != "metrics":
                fields[prefix + field.name] = getattr(record, field.name)
    return fields


def rows_of(checkpoint: FineTuningJobCheckpoint, format_: Format) -> str:
    out = io.StringIO()
    writer = writer_for(format_, out, CHECKPOINTS)
    writer.write(checkpoint)
    writer.close()
    return out.getvalue()


@pytest.mark.parametrize("name", fields_of_a_checkpoint())
def test_every_field_is_in_the_table_and_in_csv_and_in_the_docs(name: str) -> None:
    """A new field of the records is shown, or named in `NOT_SHOWN`."""
    value = fields_of_a_checkpoint()[name]
    cells = {"created_at": "1970-01-02 00:00"}
    cell = cells.get(name, f"{value:.4f}" if isinstance(value, float) else str(value))
    assert re.search(rf"(^|\s){re.escape(cell)}(\s|$)", rows_of(DISTINCT, "table"))
    row = next(csv.DictReader(io.StringIO(rows_of(DISTINCT, "csv"))))
    in_csv = {"created_at": "1970-01-02T00:00:00Z"}
    assert row[name.removeprefix("metrics.")] == in_csv.get(name, str(value))
    assert re.search(
        rf"^\| `{re.escape(name)}` \| .+ \| `.+ \|$", PAGE.read_text("utf-8"), re.MULTILINE
    )


@pytest.mark.parametrize("name", ["metrics.step", "object", "extra"])
def test_fields_that_a_table_does_not_show_are_named_in_the_docs(name: str) -> None:
    field = name.removeprefix("metrics.")
    assert f"| `{name}` | none | `{field}`" in PAGE.read_text("utf-8")
    assert field in NOT_SHOWN


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", " =", "  -"])
def test_a_csv_cell_never_starts_a_formula(start: str) -> None:
    formula = f"{start}1+1"
    checkpoint = attrs.evolve(
        DISTINCT, id=formula, fine_tuned_model_checkpoint=formula, fine_tuning_job_id=formula
    )
    row = next(csv.DictReader(io.StringIO(rows_of(checkpoint, "csv"))))
    for name in ("id", "fine_tuned_model_checkpoint", "fine_tuning_job_id"):
        assert row[name][0] in "'\\"
        assert row[name].endswith("1+1")


def test_numbers_in_csv_stay_numbers() -> None:
    checkpoint = attrs.evolve(
        DISTINCT, step_number=-5, created_at=-1, metrics=Metrics(train_loss=-0.5)
    )
    row = next(csv.DictReader(io.StringIO(rows_of(checkpoint, "csv"))))
    assert (row["step_number"], row["train_loss"]) == ("-5", "-0.5")


def test_a_pipe_gets_json_lines_as_the_api_sends_them(served: Sandbox, run: Run) -> None:
    job = served.job_ids[0]
    ran = run("list", job)
    assert ran.code == 0
    assert ran.err == ""
    assert [json.loads(line) for line in ran.out.splitlines()] == list(served.checkpoints_of(job))


def test_json_is_one_array(served: Sandbox, run: Run) -> None:
    job = served.job_ids[0]
    assert json.loads(run("list", job, "--format", "json").out) == list(served.checkpoints_of(job))


def test_json_of_nothing_is_an_empty_array(served: Sandbox, run: Run) -> None:
    empty = served.add_job(checkpoints=0, status="succeeded")
    assert json.loads(run("list", empty, "--format", "json").out) == []


def test_csv_has_a_header_and_a_row_per_checkpoint(served: Sandbox, run: Run) -> None:
    job = served.job_ids[0]
    rows = list(csv.DictReader(io.StringIO(run("list", job, "-f", "csv").out)))
    for row, sent in zip(rows, served.checkpoints_of(job), strict=True):
        assert row["id"] == sent["id"]
        assert int(row["step_number"]) == sent["step_number"]
        for name in ("train_loss", "full_valid_loss"):
            assert row[name] == str(sent["metrics"].get(name, ""))


def test_csv_of_nothing_is_the_header(served: Sandbox, run: Run) -> None:
    empty = served.add_job(checkpoints=0, status="succeeded")
    assert run("list", empty, "--format", "csv").out.startswith("id,fine_tuning_job_id,")


def test_a_table_in_a_pipe_has_all_columns(served: Sandbox, run: Run) -> None:
    job = served.job_ids[0]
    title, head, *rows = run("list", job, "--format", "table").out.splitlines()
    assert title == job
    assert head.split()[:2] == ["CHECKPOINT", "STEP"]
    assert head.endswith("MODEL")
    newest = served.checkpoints_of(job)[0]
    assert rows[0].split()[:2] == [newest["id"], str(newest["step_number"])]
    assert rows[0].endswith(newest["fine_tuned_model_checkpoint"])
    assert len(rows) == 30


def test_each_job_has_a_table_of_its_own(served: Sandbox, run: Run) -> None:
    first, second = served.job_ids[:2]
    out = run("list", first, second, "--format", "table").out
    tables = out.split("\n\n")
    assert [table.splitlines()[0] for table in tables] == [first, second]


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_a_terminal_gets_the_columns_that_fit(served: Sandbox, columns: int) -> None:
    command = [*COMMAND, "list", served.job_ids[0]]
    code, shown = run_on_a_terminal(command, environment(), columns=columns)
    assert code == 0
    _, head, *rows = shown.splitlines()
    assert head.startswith("CHECKPOINT")
    assert len(rows) == 30
    assert max(map(len, [head, *rows])) <= columns
    assert ("CREATED" in head) == (columns == 120)


def test_control_characters_are_escaped_in_a_table() -> None:
    out = io.StringIO()
    writer = writer_for("table", out, CHECKPOINTS)
    evil = "ft\x1b[2Jckpt\n"
    writer.write(FineTuningJobCheckpoint(evil, 0, evil, evil, Metrics(), 1))
    writer.close()
    assert "\x1b" not in out.getvalue()
    assert len(out.getvalue().splitlines()) == 3


@pytest.mark.parametrize("created_at", [1_735_752_000_000, -(10**17), 10**18])
def test_a_time_that_is_not_a_date_is_shown_as_a_number(created_at: int) -> None:
    out = io.StringIO()
    writer = writer_for("table", out, CHECKPOINTS)
    writer.write(FineTuningJobCheckpoint("ckpt", created_at, "ft", "job", Metrics(), 1))
    writer.close()
    assert f" {created_at} " in out.getvalue()


@pytest.mark.parametrize(
    ("format_", "encoding", "shown"),
    [
        ("table", "ascii", r"caf\xe9-\U0001f680"),
        ("table", "latin-1", r"café-\U0001f680"),
        ("csv", "ascii", r"caf\xe9-\U0001f680"),
        ("csv", "utf-8", "café-🚀"),
        ("jsonl", "utf-8", "café-🚀"),
    ],
)
def test_characters_that_the_output_cannot_encode_are_escaped(
    format_: Format, encoding: str, shown: str
) -> None:
    assert f"ft:{shown}" in written("ft:café-🚀", format_, encoding)


@pytest.mark.parametrize("format_", ["jsonl", "json"])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_escaped_json_is_still_json(format_: Format, encoding: str) -> None:
    read = json.loads(written("ft:café-🚀", format_, encoding))
    checkpoint = read[0] if format_ == "json" else read
    assert checkpoint["fine_tuned_model_checkpoint"] == "ft:café-🚀"


def test_a_job_id_is_shown_as_it_is_in_a_table() -> None:
    job = "[bold]:smile: http://localhost 3.5 'text'"
    checkpoint = attrs.evolve(DISTINCT, fine_tuning_job_id=job)
    assert rows_of(checkpoint, "table").splitlines()[0] == job


def test_the_escapes_are_only_for_writing() -> None:
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("ascii", errors="asyncckpt.json")
