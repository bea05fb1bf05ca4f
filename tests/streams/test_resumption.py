"""Tokens: what they hold, and what is not one."""

import json

import pytest

from asyncckpt.streams import resumption
from asyncckpt.streams.reading import ReadingCursor
from asyncckpt.streams.resumption import JobState, decode_token, encode_token
from asyncckpt.streams.seen import digest_of

SEEN = {"seen": [None]}


def states() -> dict[str, JobState]:
    running, finished = JobState("running"), JobState("running")
    running.checkpoints.seen.add(digest_of("ftckpt-1"), 5)
    running.events.cursor = ReadingCursor("ftevent-0", digest_of("ftevent-1"))
    finished.events.cursor = running.events.cursor
    running.events.seen.add(digest_of("ftevent-1"), 6)
    finished.events.seen.add(digest_of("ftevent-2"), 7)
    finished.finish()
    return {"ftjob-a": running, "ftjob-b": finished, "ftjob-ü": JobState()}


def test_a_token_holds_the_state_of_each_job() -> None:
    token = encode_token("updates", states())
    assert token.isascii()
    assert json.loads(token)["version"] == 1
    decoded = decode_token("updates", token)
    assert encode_token("updates", decoded) == token
    assert decoded["ftjob-a"].status == "running"
    assert decoded["ftjob-a"].checkpoints.seen.has(digest_of("ftckpt-1"), 5)
    assert decoded["ftjob-a"].events.seen.has(digest_of("ftevent-1"), 6)
    assert not decoded["ftjob-a"].events.seen.has(digest_of("ftevent-2"), 6)
    assert decoded["ftjob-a"].events.cursor == ReadingCursor("ftevent-0", digest_of("ftevent-1"))
    assert decoded["ftjob-b"].finished


def test_a_cursor_of_any_length_is_left_out() -> None:
    state = JobState()
    state.events.cursor = ReadingCursor("x" * 201, "")
    decoded = decode_token("updates", encode_token("updates", {"a": state}))
    assert decoded["a"].events.cursor is None


def test_a_token_that_is_no_string_is_an_error() -> None:
    with pytest.raises(TypeError, match="must be the resume_token of a watch, not dict"):
        decode_token("updates", {"version": 1})


@pytest.mark.parametrize(
    "token",
    [
        "",
        "ftjob-abc123",
        "[" * 100_000,
        "[]",
        "{}",
        '{"version":1,"kind":"updates"}',
        '{"version":1,"kind":"updates","jobs":{"a":{"checkpoints":{"seen":[null],"cursor":["",""]}}}}',
        '{"version":1,"kind":"updates","jobs":{"a":{"checkpoints":{"seen":[null],"cursor":5}}}}',
        '{"version":1,"kind":5,"jobs":{}}',
        '{"version":1,"kind":"updates","jobs":[]}',
        '{"version":1,"kind":"updates","jobs":{"a":{}}}',
        '{"version":1,"kind":"updates","jobs":{"a":{"finished":1}}}',
        '{"version":1,"kind":"updates","jobs":{"a":{"status":5,"checkpoints":{"seen":[null]},"events":{"seen":[null]}}}}',
        '{"version":1,"kind":"updates","jobs":{"a":{"status":"b","checkpoints":{"seen":[]},"events":{"seen":[null]}}}}',
        json.dumps(
            {
                "version": 1,
                "kind": "updates",
                "jobs": {"a": {"status": "x" * 1001, "checkpoints": SEEN, "events": SEEN}},
            }
        ),
    ],
    ids=range(15),
)
def test_a_malformed_token_is_an_error(token: str) -> None:
    with pytest.raises(ValueError, match=r"^resume is not the resume_token of a watch: "):
        decode_token("updates", token)


def test_a_token_of_another_version_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"has version 2; this version of asyncckpt reads 1"):
        decode_token("updates", '{"version":2,"anything":"else"}')


def test_a_token_of_another_kind_is_an_error() -> None:
    token = encode_token("updates", states())
    with pytest.raises(ValueError, match="another kind of watch"):
        decode_token("checkpoints", token)


def test_the_length_of_a_token_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumption, "MAX_TOKEN", 100)
    with pytest.raises(ValueError, match="more than 100 characters"):
        decode_token("updates", "x" * 101)
