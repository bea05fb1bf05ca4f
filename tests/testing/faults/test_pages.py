"""Faults of pages and cursors."""

import pytest

from asyncckpt import CursorExpiredError
from asyncckpt.testing import Sandbox, faults

from support.browser import Browser
from support.programs import ids_of


async def test_an_empty_page_with_more(box: Sandbox, browser: Browser) -> None:
    box.inject(faults.EmptyPage(), page=2)
    first = await browser.page()
    page = await browser.page(after=first["last_id"])
    assert (page["data"], page["has_more"], page["last_id"]) == ([], True, None)


async def cursors(browser: Browser, pages: int) -> list[str]:
    seen: list[str] = []
    for _ in range(pages):
        page = await browser.page(**({"after": seen[-1]} if seen else {}))
        assert page["has_more"] is True
        seen.append(page["last_id"])
    return seen


async def test_a_cursor_that_is_stuck(box: Sandbox, browser: Browser) -> None:
    box.inject(faults.StuckCursor(), times=None)
    assert len(set(await cursors(browser, 5))) == 1


@pytest.mark.parametrize("pages", [2, 3])
async def test_a_cursor_that_cycles(box: Sandbox, browser: Browser, pages: int) -> None:
    box.inject(faults.CyclingCursor(pages), times=None)
    seen = await cursors(browser, 2 * pages)
    assert seen[:pages] == seen[pages:]
    assert len(set(seen)) == pages


@pytest.mark.parametrize("status", [400, 404])
async def test_a_cursor_that_has_expired(box: Sandbox, browser: Browser, status: int) -> None:
    first = await browser.page()
    box.inject(faults.ExpiredCursor(status), times=None)
    assert await browser.page() == first
    job, after = box.job_ids[0], first["last_id"]
    reply = await browser.get(f"/v1/fine_tuning/jobs/{job}/checkpoints", after=after)
    assert (reply.status, reply.error["param"]) == (status, "after")
    assert after in reply.error["message"]


async def test_a_list_restarts_after_an_expired_cursor(sandbox: Sandbox) -> None:
    job = sandbox.job_ids[0]
    async with sandbox.client() as client:
        checkpoints = client.fine_tuning.jobs.checkpoints
        sandbox.inject(faults.ExpiredCursor(), page=2)
        with pytest.raises(CursorExpiredError):
            [one async for one in checkpoints.list(job, limit=10)]
        sandbox.inject(faults.ExpiredCursor(), page=3)
        pager = checkpoints.list(job, limit=10, on_expired_cursor="restart")
        assert [one.id async for one in pager] == ids_of(sandbox, job)
