"""The records of events."""

import json
from datetime import UTC, datetime

import pytest

from asyncckpt import FineTuningJobEvent, converter
from asyncckpt.records.codec import Decoder, MismatchError
from asyncckpt.records.events import JobEvent

from support.records import field_names

EVENT = {
    "object": "fine_tuning.job.event",
    "id": "ft-event-ddTJfwuMVpfLXseO0Am0Gqjm",
    "created_at": 1_721_764_800,
    "level": "info",
    "message": "Step 300/300: training loss=0.15",
    "data": {"step": 300, "train_loss": 0.14991648495197296, "total_steps": 300},
    "type": "metrics",
}


def test_what_the_reference_shows_comes_back_as_it_was() -> None:
    event = converter.structure(EVENT, FineTuningJobEvent)
    assert event.data == EVENT["data"]
    assert converter.unstructure(event) == EVENT


def test_created_is_a_datetime_in_utc() -> None:
    event = converter.structure(EVENT, FineTuningJobEvent)
    assert event.created == datetime(2024, 7, 23, 20, 0, tzinfo=UTC)


def test_type_and_data_may_be_missing() -> None:
    sparse = {name: EVENT[name] for name in ("id", "created_at", "level", "message")}
    event = converter.structure(sparse, FineTuningJobEvent)
    assert (event.type, event.data, event.object) == (None, None, "fine_tuning.job.event")


def test_an_event_has_exactly_the_documented_fields() -> None:
    assert set(field_names(FineTuningJobEvent)) == {*EVENT, "extra"}


@pytest.mark.parametrize("data", ["text", [], 7])
def test_data_is_an_object(data: object) -> None:
    content = json.dumps({**EVENT, "data": data}).encode()
    with pytest.raises(MismatchError, match="object"):
        Decoder(FineTuningJobEvent).decode(content)


def test_an_event_with_the_id_of_its_job_has_everything_else_too() -> None:
    event = converter.structure({**EVENT, "unknown": 1}, FineTuningJobEvent)
    with_job = JobEvent.of("ftjob-a", event)
    assert isinstance(with_job, FineTuningJobEvent)
    sent = converter.unstructure(event)
    assert converter.unstructure(with_job) == {**sent, "fine_tuning_job_id": "ftjob-a"}
    assert converter.structure(converter.unstructure(with_job), JobEvent) == with_job
