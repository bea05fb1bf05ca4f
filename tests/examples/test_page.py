"""The page of the example web apps, in a headless browser."""

import pytest

from asyncckpt.testing import Clock, Sandbox

from support.apps import WEB_APPS, free_port, running_app
from support.chromium import PROGRAM, chromium

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium on this machine")

ROWS = "document.querySelectorAll('#checkpoints tr').length"
TITLE = "document.querySelector('#title').textContent"
STATUS = "document.querySelector('#status').textContent"
CONNECTION = "document.querySelector('#connection').textContent"
LINKS = "document.querySelectorAll('#jobs a').length"


@pytest.mark.parametrize("name", WEB_APPS)
async def test_the_page_follows_a_job_through_a_restart_of_the_app(name: str) -> None:
    clock, port = Clock(speed=0), free_port()
    async with Sandbox(jobs=2, clock=clock) as sandbox, chromium() as page:
        job = sandbox.add_live_job(epochs=6, steps_per_epoch=10, validating=5, queued=5)
        async with running_app(name, sandbox, port=port) as app:
            await page.open(app.url)
            await page.until(f"{TITLE} === '{job}' && {CONNECTION} === 'Live'")
            await page.until(f"{STATUS} === 'validating_files'")
            clock.advance(45)
            await page.until(f"{ROWS} > 0 && {STATUS} === 'running'")
            await page.until("document.querySelectorAll('#chart .best-label').length === 1")
            assert await page.run(ROWS) == len(sandbox.checkpoints_of(job)) < 6
            await app.stop()
        await page.until(f"{CONNECTION} === 'Reconnecting'")
        clock.advance(1_000)
        async with running_app(name, sandbox, port=port):
            await page.until(f"{STATUS} === 'succeeded' && {CONNECTION} === 'Ended'")
            await page.until(f"{ROWS} === 6")
        assert await page.run("document.querySelectorAll('#checkpoints tr.is-best').length") == 1


async def test_the_page_works_by_keyboard_and_on_a_phone(sandbox: Sandbox) -> None:
    async with running_app("aiohttp_app.py", sandbox) as app, chromium() as page:
        await page.resize(390, 844)
        await page.open(app.url)
        await page.until(f"{LINKS} === 12 && {ROWS} === 30")
        assert await page.run("document.documentElement.scrollWidth <= innerWidth")
        await page.press("Tab")
        await page.press("Tab")
        second = await page.run("document.activeElement.dataset.job")
        assert second == sandbox.job_ids[1]
        await page.press("Enter")
        await page.until(f"{TITLE} === '{second}' && document.activeElement.id === 'title'")
        assert await page.run("document.querySelector('[aria-current]').dataset.job") == second
        label = "document.querySelector('#chart').ariaLabel"
        await page.until(f"{ROWS} === {len(sandbox.checkpoints_of(second))}")
        assert f"{len(sandbox.checkpoints_of(second))} checkpoints" in await page.run(label)
