import json

import attrs
import pytest

from asyncckpt import Request, Response
from asyncckpt.export.raw import raw_records, with_job_id


@attrs.frozen
class Record:
    id: str


@attrs.frozen
class Page:
    data: list[Record]
    response: Response


def page_of(body: str, *ids: str) -> Page:
    return Page([*map(Record, ids)], Response(200, {}, body.encode(), Request("GET", "http://a")))


@pytest.mark.parametrize(
    "record",
    [
        '{"id":"a","step":100,"loss":1.0}',
        '{"b":1e5,"a":-0.0,"big":123456789012345678901234567890}',
        '{"text":"\\u0041\\/ \\n é","empty":{},"none":null}',
        '{"a": 1,  "a": 2}',
        '{"id":null}',
    ],
)
def test_the_text_is_kept(record: str) -> None:
    for body in (f'{{"data": [{record}, {record}]}}', f" [{record} ,{record}]"):
        assert raw_records(page_of(body, "a", "b")) == [record.encode()] * 2


def test_a_record_is_on_one_line() -> None:
    indented = json.dumps({"id": "a", "metrics": {"step": 1e5, "text": "a\nb"}}, indent=2)
    for body in (indented, indented.replace("\n", "\r\n")):
        (line,) = raw_records(page_of(f'{{"data": [{body}], "has_more": false}}', "a"))
        assert line == b'{"id":"a","metrics":{"step":100000.0,"text":"a\\nb"}}'


def test_records_that_the_page_before_had_are_left_out() -> None:
    body = '{"data": [{"id":"a","n":1}, {"id":"b","n":2}, {"id":"c","n":3}]}'
    assert raw_records(page_of(body, "b", "c")) == [b'{"id":"b","n":2}', b'{"id":"c","n":3}']
    assert raw_records(page_of(body)) == []


def test_an_event_gets_the_id_of_its_job() -> None:
    assert with_job_id('a"b', b' {"id":"e", "n":1e5}') == (
        b'{"fine_tuning_job_id":"a\\"b","id":"e", "n":1e5}'
    )


@pytest.mark.parametrize(
    "event", [b'{"id":"e","fine_tuning_job_id":"a"}', b'{"fine_tuning_job_id":null}']
)
def test_an_event_with_the_id_of_its_job_stays_as_it_is(event: bytes) -> None:
    assert with_job_id("b", event) == event
