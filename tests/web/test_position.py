"""How far a reader has got, as an event id."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncckpt import CheckpointCreated, EventLogged, FineTuningJob, FineTuningJobEvent, Finished
from asyncckpt.web.position import Position

from support.records import checkpoint

JOB = "ftjob-1"


def event(number: int, time: int) -> EventLogged:
    return EventLogged(
        FineTuningJobEvent(f"ftevent-{number}", time, "info", "text"), fine_tuning_job_id=JOB
    )


@given(st.lists(st.integers(0, 30), max_size=60), st.data())
def test_a_reader_that_returns_gets_exactly_the_rest(times: list[int], data: st.DataObject) -> None:
    updates = [event(number, time) for number, time in enumerate(sorted(times))]
    received = data.draw(st.integers(0, len(updates)))
    position = Position()
    for update in updates[:received]:
        position.add(update)
    event_id = position.id(JOB)
    assert event_id is not None
    assert not set("\r\n\0") & set(event_id)
    returning = Position.from_id(event_id, JOB)
    assert returning is not None
    rest = [update for update in updates if not returning.includes(update)]
    assert rest == updates[received:]


def test_an_id_stays_short() -> None:
    position = Position()
    for number in range(5_000):
        position.add(event(number, number))
    event_id = position.id(JOB)
    assert event_id is not None
    assert len(event_id) < 500


def test_an_item_that_appears_late_is_not_lost() -> None:
    position = Position()
    for number in range(20):
        position.add(event(number, number * 10))
    event_id = position.id(JOB)
    assert event_id is not None
    returning = Position.from_id(event_id, JOB)
    assert returning is not None
    assert not returning.includes(event(99, 185))


def test_there_is_no_id_if_too_many_items_share_a_second() -> None:
    position = Position()
    for number in range(1_000):
        position.add(event(number, 5))
    assert position.id(JOB) is None


def test_checkpoints_and_events_are_told_apart() -> None:
    position = Position()
    created = CheckpointCreated(checkpoint(), fine_tuning_job_id=JOB)
    position.add(event(1, 2_000_000_000))
    assert not position.includes(created)
    position.add(created)
    assert position.includes(created)


def test_all_items_of_a_finished_job_were_received() -> None:
    position = Position()
    job = FineTuningJob(JOB, 1, "m", "succeeded", "file-1")
    finished = Finished(job, fine_tuning_job_id=JOB)
    position.add(finished)
    event_id = position.id(JOB)
    assert event_id is not None
    returning = Position.from_id(event_id, JOB)
    assert returning is not None
    assert returning.includes(event(1, 10**10))
    assert not returning.includes(finished)


@pytest.mark.parametrize(
    "event_id", ["", "7", "{}", '{"version":1,"kind":"updates","jobs":{}}', "é"]
)
def test_an_id_from_elsewhere_is_none(event_id: str) -> None:
    assert Position.from_id(event_id, JOB) is None
