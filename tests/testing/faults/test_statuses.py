"""Faults of the status line and the headers."""

import aiohttp
import pytest

from asyncckpt import APIError
from asyncckpt.testing import Sandbox, faults

from support.browser import KEY, Browser, checkpoints_path


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_a_body_keeps_the_connection_usable(status: int) -> None:
    async with Sandbox(jobs=1) as box, box.client(max_retries=0) as client:
        box.inject(faults.Status(status))
        with pytest.raises(APIError):
            await client.fine_tuning.jobs.list()
        await client.fine_tuning.jobs.list()
    assert box.stats.connections == 1


async def test_a_status_with_any_body_and_headers(box: Sandbox, browser: Browser) -> None:
    path = checkpoints_path(box)
    box.inject(faults.Status(503))
    box.inject(faults.Status(418, "short and stout", {"x-pot": "tea", "Content-Type": "text/x"}))
    usual = await browser.get(path)
    assert (usual.status, usual.error["code"]) == (503, "server_overloaded")
    odd = await browser.get(path)
    assert (odd.status, odd.body, odd.headers["x-pot"]) == (418, b"short and stout", "tea")
    assert odd.headers["content-type"] == "text/x"
    assert (await browser.get(path)).status == 200
    assert box.stats.responses == {503: 1, 418: 1, 200: 1}
    assert box.stats.faults == 2


async def test_429_with_and_without_hints(box: Sandbox, browser: Browser) -> None:
    path = checkpoints_path(box)
    box.inject(faults.RateLimited())
    box.inject(faults.RateLimited(retry_after=2, retry_after_ms=1500))
    bare, told = await browser.get(path), await browser.get(path)
    assert (bare.status, bare.error["code"]) == (429, "rate_limit_exceeded")
    assert "retry-after" not in bare.headers
    assert (told.headers["retry-after"], told.headers["retry-after-ms"]) == ("2", "1500")


async def test_redirects(box: Sandbox, browser: Browser) -> None:
    path = checkpoints_path(box)
    box.inject(faults.Redirect())
    box.inject(faults.Redirect("other", status=302))
    box.inject(faults.Redirect(location="https://example.com/"))
    same = await browser.get(path, limit=3)
    assert (same.status, same.headers["location"]) == (307, f"{box.origin}{path}?limit=3")
    other = await browser.get(path)
    assert other.status == 302
    assert other.headers["location"] == f"{box.origin}{path}".replace("127.0.0.1", "localhost")
    assert (await browser.get(path)).headers["location"] == "https://example.com/"
    box.inject(faults.Redirect(), times=None)
    with pytest.raises(aiohttp.TooManyRedirects):
        await browser.session.get(box.origin + path, headers=KEY)
