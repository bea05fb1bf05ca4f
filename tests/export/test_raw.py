import json
from typing import Any

import attrs
import pytest

from asyncckpt import Request, Response
from asyncckpt.export.raw import raw_records


@attrs.frozen
class Page:
    data: list[Any]
    response: Response


def page_of(body: str) -> Page:
    parsed = json.loads(body)
    records = parsed["data"] if isinstance(parsed, dict) else parsed
    response = Response(200, {}, body.encode(), Request("GET", "http://localhost"))
    return Page(records, response)


@pytest.mark.parametrize(
    "record",
    [
        '{"id":"a","step":100,"loss":1.0}',
        '{"b":1e5,"a":-0.0,"big":123456789012345678901234567890}',
        '{"text":"\\u0041\\/ \\n é","empty":{},"none":null}',
        '{"a": 1,  "a": 2}',
        "[]",
    ],
)
def test_the_text_is_kept(record: str) -> None:
    assert raw_records(page_of(f'{{"data": [{record}, {record}]}}')) == [record.encode()] * 2


def test_a_record_is_on_one_line() -> None:
    indented = json.dumps({"id": "a", "metrics": {"step": 1e5, "text": "a\nb"}}, indent=2)
    for body in (indented, indented.replace("\n", "\r\n")):
        (line,) = raw_records(page_of(f'{{"data": [{body}], "has_more": false}}'))
        assert line == b'{"id":"a","metrics":{"step":100000.0,"text":"a\\nb"}}'


def test_records_of_another_layout_are_encoded_anew() -> None:
    assert raw_records(page_of('[{"id": "a"}]')) == [b'{"id":"a"}']
