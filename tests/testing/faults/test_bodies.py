"""Faults of the body's bytes."""

import gzip
import json

import aiohttp
import pytest

from asyncckpt.testing import Sandbox, faults

from support.browser import KEY, Browser, checkpoints_path


async def test_bodies_that_are_not_json(box: Sandbox, browser: Browser) -> None:
    path = checkpoints_path(box)
    for fault in (faults.Html(), faults.MalformedJSON(), faults.RawBody(b"\xff\x00")):
        box.inject(fault)
        reply = await browser.get(path)
        assert reply.status == 200
        with pytest.raises(ValueError):  # noqa: PT011 - either of JSON's or of UTF-8's
            _ = reply.json
    box.inject(faults.ContentType(None))
    assert "json" not in (await browser.get(path)).headers.get("content-type", "")


async def test_a_gzip_bomb_decompresses_to_its_size(box: Sandbox, browser: Browser) -> None:
    box.inject(faults.GzipBomb(8 << 20))
    url = box.origin + checkpoints_path(box)
    async with aiohttp.ClientSession(auto_decompress=False, headers=KEY) as session:
        packed = await (await session.get(url)).read()
    assert len(packed) < 100_000
    assert len(gzip.decompress(packed)) > 8 << 20
    assert len(json.loads(gzip.decompress(packed))["data"]) == 10


async def test_a_content_type_replaces_that_of_another_fault(
    box: Sandbox, browser: Browser
) -> None:
    box.inject(faults.Html(), faults.ContentType("application/json"))
    async with browser.session.get(box.origin + checkpoints_path(box), headers=KEY) as response:
        assert response.headers.getall("content-type") == ["application/json"]
