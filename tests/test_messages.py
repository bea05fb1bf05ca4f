"""Requests and responses as records: what they show and keep."""

import pickle

import pytest
from multidict import CIMultiDict

from asyncckpt import (
    RateLimitError,
    Request,
    Response,
)

REQUEST = Request("GET", "https://api.openai.com/v1/fine_tuning/jobs")
RESPONSE = Response(
    429,
    CIMultiDict({"X-Request-ID": "req_1", "Retry-After": "1"}),
    b'{"error": {"message": "no"}}',
    REQUEST,
)


def test_a_pickled_response_still_ignores_the_case_of_headers() -> None:
    error = RateLimitError("no", response=RESPONSE, body=None)
    again = pickle.loads(pickle.dumps(error))
    assert again.response.headers["RETRY-after"] == "1"
    assert again.response == RESPONSE


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h/v1", "https://h/v1"),
        ("https://h:8000/a/b?after=c&limit=3", "https://h:8000/a/b?after=c&limit=3"),
        ("https://h?api-version=2024-10-21", "https://h?api-version=2024-10-21"),
        ("https://h?metadata[team]=a%20b", "https://h?metadata[team]=a+b"),
        ("https://h?api-key=sk-hidden&after=c", "https://h?api-key=***&after=c"),
        ("https://h?token=sk-hidden&token=sk-hidden", "https://h?token=***&token=***"),
        ("https://h?After=sk-hidden", "https://h?After=***"),
        ("https://h?sig=sk-hid%26den%3Dx", "https://h?sig=***"),
        ("https://h/v1#sk-hidden", "https://h/v1"),
    ],
)
def test_urls_are_shown_without_secrets(url: str, shown: str) -> None:
    request = Request("GET", url)
    assert request.url == shown
    assert repr(request) == f"Request(method='GET', url={shown!r})"
    assert pickle.loads(pickle.dumps(request)).url == shown
    assert b"hidden" not in pickle.dumps(request)


@pytest.mark.parametrize(
    ("headers", "request_id"),
    [
        ({"X-Request-Id": "req_1"}, "req_1"),
        ({"apim-request-id": "azure_1"}, "azure_1"),
        ({"apim-request-id": "azure_1", "x-request-id": "req_1"}, "req_1"),
        ({"x-request-id": ""}, None),
        ({}, None),
    ],
)
def test_request_ids(headers: dict[str, str], request_id: str | None) -> None:
    assert (Response(200, CIMultiDict(headers), b"", REQUEST).request_id or None) == request_id


def test_the_body_of_a_response_as_json() -> None:
    assert RESPONSE.json() == {"error": {"message": "no"}}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_body_that_is_not_json(content: bytes) -> None:
    with pytest.raises(ValueError, match="."):
        Response(200, CIMultiDict(), content, REQUEST).json()


def test_text_of_a_response_that_is_not_utf_8() -> None:
    assert Response(200, {}, b"caf\xe9", REQUEST).text == "caf\ufffd"
