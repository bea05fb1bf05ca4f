"""Where and how records are written: --output, --fields, --sort and --max-items."""

import csv
import io
import json
import signal
import sys
from pathlib import Path

import pytest
from pyarrow import ipc, parquet

from asyncckpt import Metrics
from asyncckpt.cli.destination import Order
from asyncckpt.cli.layouts import CHECKPOINTS
from asyncckpt.export import extras
from asyncckpt.export.columns import CHECKPOINTS as SCHEMA
from asyncckpt.testing import Sandbox, faults

from support.programs import COMMAND, Run, end, environment, start
from support.records import checkpoint
from support.terminals import run_on_a_terminal

COMMANDS = ["list", "jobs", "events"]


def arguments_for(command: str, sandbox: Sandbox) -> list[str]:
    return [command] if command == "jobs" else [command, *sandbox.job_ids[:2]]


def printed(out: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.splitlines()]


class TestOutput:
    @pytest.mark.parametrize("command", COMMANDS)
    @pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".csv", ".jsonl"])
    def test_a_file_has_what_would_be_printed(
        self, served: Sandbox, run: Run, command: str, suffix: str, tmp_path: Path
    ) -> None:
        arguments, path = arguments_for(command, served), tmp_path / f"all{suffix}"
        ran = run(*arguments, "--output", str(path))
        assert (ran.code, ran.out, ran.err) == (0, "", "")
        assert [*tmp_path.iterdir()] == [path]
        if suffix == ".csv":
            assert path.read_text("utf-8") == run(*arguments, "--format", "csv").out
        elif suffix == ".jsonl":
            assert path.read_text("utf-8") == run(*arguments).out
        else:
            table = (
                parquet.read_table(path) if suffix == ".parquet" else ipc.open_file(path).read_all()
            )
            assert table["id"].to_pylist() == [one["id"] for one in printed(run(*arguments).out)]
            assert str(table.schema.field("created_at").type) == "timestamp[us, tz=UTC]"

    @pytest.mark.parametrize("command", COMMANDS)
    def test_an_empty_list_gives_a_valid_file(
        self, served: Sandbox, run: Run, command: str, tmp_path: Path
    ) -> None:
        path = tmp_path / "none.parquet"
        job = served.add_job(checkpoints=0, status="queued")
        arguments = {
            "list": ["list", job],
            "jobs": ["jobs", "--status", "paused"],
            "events": ["events", job, "--type", "metrics"],
        }
        assert run(*arguments[command], "-o", str(path)).code == 0
        assert parquet.read_table(path).num_rows == 0

    def test_a_failure_leaves_the_file_as_it_was(
        self, served: Sandbox, run: Run, tmp_path: Path
    ) -> None:
        path = tmp_path / "all.csv"
        path.write_text("before")
        served.inject(faults.Status(400), page=2, times=None)
        ran = run("list", served.job_ids[0], "--limit", "5", "-o", str(path))
        assert (ran.code, ran.err.count("\n")) == (1, 1)
        assert path.read_text() == "before"
        assert [*tmp_path.iterdir()] == [path]

    def test_a_failed_job_is_left_out_and_said(
        self, served: Sandbox, run: Run, tmp_path: Path
    ) -> None:
        path = tmp_path / "all.jsonl"
        ran = run("list", "ftjob-unknown", served.job_ids[0], "-o", str(path))
        assert ran.code == 1
        assert ran.err.startswith("asyncckpt: 404: ")
        assert len(path.read_text("utf-8").splitlines()) == 30

    @pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
    def test_ctrl_c_leaves_nothing(self, served: Sandbox, tmp_path: Path) -> None:
        served.inject(faults.Hang("before"), page=2, times=None)
        path = tmp_path / "all.parquet"
        arguments = ["list", served.job_ids[0], "--limit", "3", "-v", "-o", str(path)]
        with start(*arguments) as process:
            _wait_for_a_file(tmp_path)
            process.send_signal(signal.SIGINT)
            ran = end(process)
        assert ran.code == 130
        assert [*tmp_path.iterdir()] == []

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("all.txt", "the suffix of a file is its format: .parquet, .csv, .jsonl, .arrow; got"),
            ("all", "the suffix of a file is its format: .parquet, .csv, .jsonl, .arrow; got"),
        ],
    )
    def test_a_wrong_suffix_is_wrong_usage(
        self, served: Sandbox, run: Run, name: str, message: str, tmp_path: Path
    ) -> None:
        ran = run("jobs", "--output", str(tmp_path / name))
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith(f"asyncckpt: {message}")
        assert served.stats.requests == 0

    def test_a_directory_that_is_missing_is_said(
        self, served: Sandbox, run: Run, tmp_path: Path
    ) -> None:
        path = tmp_path / "nowhere" / "all.csv"
        ran = run("jobs", "--output", str(path))
        message = f"asyncckpt: cannot write {path}: No such file or directory\n"
        assert (ran.code, ran.err) == (1, message)
        assert served.stats.requests == 0

    def test_a_format_that_needs_an_extra_is_said(
        self, served: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(extras, "find_spec", lambda name: None)
        ran = run("jobs", "--output", str(tmp_path / "all.parquet"))
        assert ran.code == 2
        assert ran.err.endswith("pip install 'asyncckpt[arrow]'\n")
        assert run("jobs", "--output", str(tmp_path / "all.csv")).code == 0

    def test_a_format_besides_is_wrong_usage(self, served: Sandbox, run: Run) -> None:
        ran = run("jobs", "--output", "all.csv", "--format", "csv")
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith("asyncckpt: --format and --output cannot be combined: ")

    def test_a_value_that_does_not_fit_is_an_error(
        self, served: Sandbox, run: Run, tmp_path: Path
    ) -> None:
        job = served.job_ids[0]
        served.inject(faults.SetField("data.0.created_at", 10**14), times=None)
        ran = run("jobs", "--output", str(tmp_path / "all.csv"))
        assert ran.code == 1
        assert f"created_at of FineTuningJob {job}: expected Unix time in seconds" in ran.err
        assert run("jobs", "--format", "csv").code == 1
        assert run("jobs", "--format", "jsonl").code == 0

    def test_a_terminal_is_told_what_was_written(self, served: Sandbox, tmp_path: Path) -> None:
        path = tmp_path / "all.csv"
        command = [*COMMAND, "jobs", "--output", str(path)]
        code, shown = run_on_a_terminal(command, environment(), columns=200)
        assert (code, shown) == (0, f"asyncckpt: 6 records written to {path}\n")


def _wait_for_a_file(folder: Path) -> None:
    while not any(folder.iterdir()):
        pass


class TestFields:
    @pytest.mark.parametrize(
        ("command", "fields"),
        [
            ("list", "step_number,created_at,train_loss,extra"),
            ("jobs", "status,id,method"),
            ("events", "message,fine_tuning_job_id,data"),
        ],
    )
    def test_only_these_are_written_in_this_order(
        self, served: Sandbox, run: Run, command: str, fields: str, tmp_path: Path
    ) -> None:
        arguments = [*arguments_for(command, served), "--fields", fields]
        names = fields.split(",")
        lines = run(*arguments).out.splitlines()
        assert all([*json.loads(line)] == names for line in lines)
        assert [*json.loads(run(*arguments, "-f", "json").out)[0]] == names
        assert run(*arguments, "-f", "csv").out.splitlines()[0] == fields
        path = tmp_path / "some.parquet"
        assert run(*arguments, "-o", str(path)).code == 0
        assert parquet.read_table(path).column_names == names

    def test_values_in_json_are_those_of_the_api(self, served: Sandbox, run: Run) -> None:
        job = served.job_ids[0]
        lines = printed(run("list", job, "--fields", "created_at,train_loss").out)
        assert lines == [
            {"created_at": one["created_at"], "train_loss": one["metrics"]["train_loss"]}
            for one in served.checkpoints_of(job)
        ]

    def test_a_table_has_these_columns_and_no_heading(self, served: Sandbox, run: Run) -> None:
        job, other = served.job_ids[:2]
        fields = "step_number, fine_tuning_job_id, created_at, full_valid_loss, object, extra"
        out = run("list", job, other, "--fields", fields, "-f", "table").out
        head, first, *_ = out.splitlines()
        assert head.split("  ")[0].strip() == ""
        assert head.split() == [
            "STEP",
            "JOB",
            "CREATED",
            "(UTC)",
            "FULL",
            "VALID",
            "OBJECT",
            "EXTRA",
        ]
        newest = served.checkpoints_of(job)[0]
        assert first.split()[:2] == [str(newest["step_number"]), job]
        assert first.split()[-2:] == ["fine_tuning.job.checkpoint", "-"]
        assert len(out.splitlines()) == 61

    def test_a_terminal_gets_all_of_them_however_narrow_it_is(self, served: Sandbox) -> None:
        command = [*COMMAND, "jobs", "--fields", "id,model,finished_at,object"]
        code, shown = run_on_a_terminal(command, environment(), columns=40)
        assert code == 0
        assert shown.splitlines()[0].split() == ["JOB", "MODEL", "FINISHED", "AT", "OBJECT"]

    def test_a_table_can_show_every_field(self, served: Sandbox, run: Run) -> None:
        for command in COMMANDS:
            layout = run(*arguments_for(command, served), "-f", "csv").out.splitlines()[0]
            ran = run(*arguments_for(command, served), "-f", "table", "--fields", layout)
            assert (ran.code, ran.err) == (0, "")
            assert len({len(line.split("  ")) > 1 for line in ran.out.splitlines()}) == 1

    @pytest.mark.parametrize("option", ["--fields", "--sort"])
    @pytest.mark.parametrize("command", COMMANDS)
    def test_a_wrong_name_is_wrong_usage_that_lists_the_right_ones(
        self, served: Sandbox, run: Run, command: str, option: str
    ) -> None:
        ran = run(*arguments_for(command, served), option, "loss")
        assert (ran.code, ran.out) == (2, "")
        names = run(*arguments_for(command, served), "-f", "csv").out.splitlines()[0]
        expected = f"there is no field 'loss'; the fields are: {names.replace(',', ', ')}\n"
        assert ran.err == f"asyncckpt: {expected}"

    @pytest.mark.parametrize("fields", ["", ",", "id,", "id,id"])
    def test_a_malformed_list_is_wrong_usage(self, served: Sandbox, run: Run, fields: str) -> None:
        ran = run("jobs", "--fields", fields)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)


class TestSort:
    def test_records_are_sorted_by_a_field(self, served: Sandbox, run: Run) -> None:
        arguments = ["list", *served.job_ids[:2], "--sort"]
        losses = [
            one["train_loss"]
            for one in map(_metrics, run(*arguments, "train_loss").out.splitlines())
        ]
        assert losses == sorted(losses)
        assert len(losses) == 60
        falling = [
            one["train_loss"]
            for one in map(_metrics, run(*arguments, "-train_loss").out.splitlines())
        ]
        assert falling == losses[::-1]

    def test_missing_values_come_last_and_equal_ones_keep_their_order(self) -> None:
        nan = float("nan")
        values = [None, 2.0, nan, 1.0, 2.0]
        records = [
            checkpoint(id=str(index), metrics=Metrics(train_loss=value))
            for index, value in enumerate(values)
        ]
        column = SCHEMA.column("train_loss")
        assert [one.id for one in Order(column, False).sort(records)] == ["3", "1", "4", "0", "2"]
        assert [one.id for one in Order(column, True).sort(records)] == ["1", "4", "3", "0", "2"]

    def test_a_file_is_sorted_too(self, served: Sandbox, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "all.csv"
        assert run("jobs", "--sort", "created_at", "-o", str(path)).code == 0
        rows = csv.DictReader(io.StringIO(path.read_text("utf-8")))
        assert [row["id"] for row in rows] == served.job_ids[::-1]

    def test_a_table_shows_the_field_and_the_job(self, served: Sandbox, run: Run) -> None:
        out = run("list", *served.job_ids[:3], "--sort", "-full_valid_loss", "-f", "table").out
        head, *rows = out.splitlines()
        assert head.split()[:4] == ["CHECKPOINT", "FULL", "VALID", "JOB"]
        assert len(rows) == 90
        assert {row.split()[2] for row in rows} == {*served.job_ids[:3]}

    def test_a_table_of_one_job_keeps_its_heading(self, served: Sandbox, run: Run) -> None:
        job = served.job_ids[0]
        title, head, *_ = run("list", job, "--sort", "valid_loss", "-f", "table").out.splitlines()
        assert title == job
        assert head.split()[:3] == ["CHECKPOINT", "VALID", "LOSS"]

    def test_nothing_is_written_if_not_everything_arrived(self, served: Sandbox, run: Run) -> None:
        served.inject(faults.Status(400), page=2, times=None)
        for format_ in ("jsonl", "json", "csv", "table"):
            ran = run("list", served.job_ids[0], "--limit", "5", "--sort", "id", "-f", format_)
            assert (ran.code, ran.out) == (1, "")

    def test_the_columns_of_a_selection_stay_as_they_are(self) -> None:
        layout = CHECKPOINTS.select(["id", "train_loss"])
        assert layout.in_order([checkpoint()], "step_number") is layout


def _metrics(line: str) -> dict[str, float]:
    metrics: dict[str, float] = json.loads(line)["metrics"]
    return metrics


@pytest.mark.parametrize("command", COMMANDS)
def test_max_items_is_max_records(served: Sandbox, run: Run, command: str) -> None:
    arguments = arguments_for(command, served)
    assert run(*arguments, "--max-items", "2").out == run(*arguments, "--max-records", "2").out
