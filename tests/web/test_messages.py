"""Updates as server-sent events."""

import json

import pytest

from asyncckpt import (
    CaughtUp,
    CheckpointCreated,
    EventLogged,
    FineTuningJob,
    FineTuningJobEvent,
    Finished,
    StatusChanged,
)
from asyncckpt.web import ServerSentEvent
from asyncckpt.web.messages import HEARTBEAT, message_of

from support.records import checkpoint

JOB = FineTuningJob("ftjob-1", 1, "m", "running", "file-1")
EVENT = FineTuningJobEvent("ftevent-1", 5, "info", "two\nlines")
ID = {"fine_tuning_job_id": "ftjob-1"}


@pytest.mark.parametrize(
    ("update", "name", "record_id"),
    [
        (CheckpointCreated(checkpoint(), **ID), "checkpoint", checkpoint().id),
        (EventLogged(EVENT, **ID), "event", EVENT.id),
        (StatusChanged(JOB, "queued", **ID), "status", JOB.id),
        (CaughtUp(JOB, **ID), "caught_up", JOB.id),
        (Finished(JOB, **ID), "finished", JOB.id),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_message_has_the_record_as_json(update, name, record_id) -> None:  # type: ignore[no-untyped-def]
    message = message_of(update, "7")
    assert (message.event, message.id) == (name, "7")
    assert json.loads(message.data)["id"] == record_id
    event, data, id_line, *rest = message.encode().decode().split("\n")
    assert (event, id_line, rest) == (f"event: {name}", "id: 7", ["", ""])
    assert data == f"data: {message.data}"


def test_a_message_without_an_id_leaves_the_last_one() -> None:
    assert b"id:" not in ServerSentEvent("event", "{}").encode()


def test_a_heartbeat_is_a_comment() -> None:
    assert HEARTBEAT.encode() == b":\n\n"
