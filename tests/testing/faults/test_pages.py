"""Faults of pages and cursors."""

import pytest

from asyncckpt.testing import Sandbox, faults

from support.browser import Browser


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
