"""What a response may be if it does not come from the API."""

import json
from typing import Any

import pytest

from asyncckpt.protocol.strangers import describe_instead_of_json, describe_instead_of_page

JOB = {"object": "fine_tuning.job", "id": "ftjob-1", "status": "running"}


@pytest.mark.parametrize(
    "body", [b"<!DOCTYPE html><p>Sign in", b"  \r\n<html></html>", b"<?xml version='1.0'?>"]
)
def test_html(body: bytes) -> None:
    assert "base URL" in (describe_instead_of_json(body, "application/json") or "")
    assert describe_instead_of_page(body) is None


def test_text() -> None:
    said = describe_instead_of_json(b"upstream connect error <html>", "text/plain; charset=utf-8")
    assert "gateway" in (said or "")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{}", "text/plain"),
        (b" [", "text/plain"),
        (b"", "none"),
        (b'"<html>"', "application/json"),
        (b"upstream connect error", "application/json"),
    ],
)
def test_what_may_be_json(body: bytes, content_type: str) -> None:
    assert describe_instead_of_json(body, content_type) is None


@pytest.mark.parametrize("job", [JOB, {"id": "1", "status": "queued", "training_file": "file-1"}])
def test_a_job(job: dict[str, Any]) -> None:
    said = describe_instead_of_page(json.dumps(job).encode()) or ""
    assert said.startswith("Expected a page of a list, got a fine-tuning job")


@pytest.mark.parametrize(
    "message",
    [
        {"message": "no Route matched with those values"},
        {"detail": "no Route matched with those values"},
        {"error": "no Route matched with those values", "status": 404},
        {"error": {"message": "no Route matched with those values", "code": 5}},
        {"code": 7, "msg": "no Route matched with those values", "message": ""},
    ],
)
def test_a_message(message: dict[str, Any]) -> None:
    said = describe_instead_of_page(json.dumps(message).encode()) or ""
    assert "gateway" in said
    assert "'no Route matched with those values'" in said


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        None,
        {"data": 5, "message": "x"},
        {"message": 5},
        {"error": {"message": None}},
        {"error": {}},
        {"object": "list"},
    ],
)
def test_anything_else(body: Any) -> None:
    assert describe_instead_of_page(json.dumps(body).encode()) is None


def test_malformed_json() -> None:
    assert describe_instead_of_page(b'{"message": "x"') is None
    assert describe_instead_of_page(b"\xff") is None
    assert describe_instead_of_page(b"[" * 100_000) is None
