"""What the formats show of checkpoints, jobs and events."""

import pytest

from asyncckpt import Metrics
from asyncckpt.cli.layouts import CHECKPOINTS, EVENTS, JOBS

from support.records import checkpoint

ONE, TWO = checkpoint(), checkpoint(fine_tuning_job_id="ftjob-2")


def test_checkpoints_and_events_are_under_their_job_and_jobs_are_in_one_table() -> None:
    assert CHECKPOINTS.heading == EVENTS.heading == "fine_tuning_job_id"
    assert CHECKPOINTS.heading_of is not None
    assert CHECKPOINTS.heading_of(TWO) == "ftjob-2"
    assert JOBS.heading_of is None


def test_json_is_as_the_api_sends_it_unless_fields_are_chosen() -> None:
    assert CHECKPOINTS.schema_of_json is None
    chosen = CHECKPOINTS.select(["step_number", "id"])
    assert chosen.schema_of_json is not None
    assert list(chosen.schema_of_json.names) == ["step_number", "id"]


def test_chosen_fields_are_the_columns_of_one_table() -> None:
    chosen = CHECKPOINTS.select(["train_loss", "fine_tuning_job_id", "extra"])
    assert [column.title for column in chosen.columns.values()] == ["TRAIN LOSS", "JOB", "EXTRA"]
    assert chosen.heading is None


@pytest.mark.parametrize("names", [["loss"], ["id", "id"]])
def test_a_wrong_field_is_refused(names: list[str]) -> None:
    with pytest.raises(ValueError, match=names[0]):
        CHECKPOINTS.select(names)


def test_a_sorted_table_has_the_field_next_to_the_first_column() -> None:
    ordered = CHECKPOINTS.in_order([ONE, ONE], "valid_loss")
    assert [*ordered.columns][:3] == ["id", "valid_loss", "step_number"]
    assert ordered.heading == "fine_tuning_job_id"
    assert len(ordered.columns) == len(CHECKPOINTS.columns)


def test_sorted_records_of_several_jobs_are_in_one_table() -> None:
    ordered = CHECKPOINTS.in_order([ONE, TWO], "valid_loss")
    assert [*ordered.columns][:3] == ["id", "valid_loss", "fine_tuning_job_id"]
    assert ordered.heading is None


def test_sorting_does_not_change_chosen_fields() -> None:
    chosen = CHECKPOINTS.select(["id"])
    assert chosen.in_order([ONE, TWO], "valid_loss") is chosen


def test_a_missing_value_is_a_dash_and_a_number_has_four_digits() -> None:
    columns = CHECKPOINTS.select(["full_valid_mean_token_accuracy", "train_loss"]).columns
    record = checkpoint(metrics=Metrics(train_loss=0.123456))
    assert [column.cell(record) for column in columns.values()] == ["-", "0.1235"]
