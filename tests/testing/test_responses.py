"""The bytes of a response, without a server."""

import gzip
import itertools
import json

import pytest

from asyncckpt.testing.responses import Pace, ServerResponse, error_response, script


def sent(response: ServerResponse, **headers: str) -> tuple[list[str], bytes]:
    """Return the lines of the head, and the bytes after it."""
    data = b"".join(step for step in script(response, headers) if isinstance(step, bytes))
    head, _, body = data.partition(b"\r\n\r\n")
    return head.decode().split("\r\n"), body


def test_a_json_object_is_encoded_with_its_length() -> None:
    head, body = sent(ServerResponse(body={"a": 1}))
    assert head[0] == "HTTP/1.1 200 OK"
    assert "content-length: 7" in head
    assert body == b'{"a":1}'


def test_headers_replace_the_default_ones_whatever_their_case() -> None:
    response = ServerResponse(
        headers=(("X-Own", "new"), ("Content-Type", "text/x"), ("date", None))
    )
    head, _ = sent(response, **{"x-own": "old"})
    assert [line for line in head if "own" in line.lower()] == ["X-Own: new"]
    assert [line for line in head if "content-type" in line.lower()] == ["Content-Type: text/x"]
    assert not any(line.lower().startswith("date") for line in head)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_a_share_of_the_body_is_sent_and_all_of_it_announced(share: float) -> None:
    head, body = sent(ServerResponse(body=b"x" * 100, share=share))
    assert "content-length: 100" in head
    assert len(body) == 100 * share


@pytest.mark.parametrize("content", [b"", b"x", b"0123456789"])
def test_chunks_carry_the_whole_body(content: bytes) -> None:
    head, body = sent(ServerResponse(body=content, chunked=True))
    assert "transfer-encoding: chunked" in head
    assert not any(line.startswith("content-length") for line in head)
    decoded, rest = b"", body
    while True:
        size, _, rest = rest.partition(b"\r\n")
        if size == b"0":
            break
        decoded += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    assert (decoded, rest) == (content, b"\r\n")


def test_a_compressed_body_has_a_content_encoding() -> None:
    head, body = sent(ServerResponse(body=b"x" * 1000, gzip=True))
    assert "content-encoding: gzip" in head
    assert f"content-length: {len(body)}" in head
    assert gzip.decompress(body) == b"x" * 1000


def test_a_slow_response_alternates_pauses_and_pieces() -> None:
    slow = ServerResponse(body=b"0123456789", wait=3.0, body_pace=Pace(1.0, pieces=5))
    wait, head, *steps = script(slow, {})
    assert wait == 3.0
    assert isinstance(head, bytes)
    assert steps == [0.2, b"01", 0.2, b"23", 0.2, b"45", 0.2, b"67", 0.2, b"89"]


def test_without_a_head_nothing_is_sent() -> None:
    assert list(script(ServerResponse(body=b"x", wait=1.0, head=False), {})) == [1.0]


def test_an_endless_response_never_ends() -> None:
    steps = list(itertools.islice(script(ServerResponse(body=b"x", endless=True), {}), 50))
    assert len(steps) == 50
    assert all(isinstance(step, bytes) and step for step in steps)


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503, 599])
def test_an_error_has_the_body_of_the_api(status: int) -> None:
    response = error_response(status)
    error = json.loads(response.content())["error"]
    assert response.status == status
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["message"]
