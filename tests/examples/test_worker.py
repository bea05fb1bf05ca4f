"""The example worker: it follows jobs, wakes at a webhook, and continues after a restart."""

import asyncio
import json
from pathlib import Path
from typing import Any

from asyncckpt.testing import Clock, Sandbox

from support.apps import App, running_app


async def next_line(app: App) -> dict[str, Any]:
    assert app.process.stdout is not None
    line: dict[str, Any] = json.loads(await asyncio.wait_for(app.process.stdout.readline(), 60))
    return line


async def lines_until(app: App, what: str) -> list[dict[str, Any]]:
    lines = [await next_line(app)]
    while lines[-1]["what"] != what:
        lines.append(await next_line(app))
    return lines


async def webhook(app: App, job: str) -> int:
    async with app.session.post(f"{app.url}/webhook", json={"data": {"id": job}}) as response:
        return response.status


async def test_the_worker_follows_a_job_through_a_restart(tmp_path: Path) -> None:
    clock, place = Clock(speed=0), str(tmp_path / "place.json")
    async with Sandbox(jobs=3, clock=clock) as sandbox:
        job = sandbox.add_live_job(epochs=4, steps_per_epoch=5, validating=5, queued=5)
        clock.advance(20)
        arguments = ("--place", place)
        async with running_app("worker.py", sandbox, *arguments, ready="/health") as app:
            first = [await next_line(app)]
            assert first[0]["what"] == "checkpoint"
            stopped = await app.stop()
            assert (stopped.code, stopped.err) == (0, "")
            first += map(json.loads, stopped.out.splitlines())
        clock.advance(1_000)
        async with running_app("worker.py", sandbox, *arguments, ready="/health") as app:
            rest: list[dict[str, Any]] = []
            while not any(line["what"] == "finished" and line["job"] == job for line in rest):
                rest.append(await next_line(app))
            assert await webhook(app, "ftjob-of-others") == 204
        steps = [
            line["step"]
            for line in first + rest
            if line["what"] == "checkpoint" and line["job"] == job
        ]
        sent = sandbox.checkpoints_of(job)
        assert sorted(steps) == sorted({one["step_number"] for one in sent})
        best = next(line for line in rest if line["what"] == "finished" and line["job"] == job)
        assert best["best"] in [one["fine_tuned_model_checkpoint"] for one in sent]


async def test_a_webhook_makes_the_worker_look_at_once(tmp_path: Path) -> None:
    clock, place = Clock(speed=0), str(tmp_path / "place.json")
    async with Sandbox(jobs=0, clock=clock) as sandbox:
        job = sandbox.add_live_job(epochs=2, steps_per_epoch=5, validating=5, queued=5)
        async with running_app("worker.py", sandbox, "--place", place, ready="/health") as app:
            clock.advance(15)
            assert await webhook(app, job) == 204
            clock.advance(1_000)
            while True:
                assert await webhook(app, job) == 204
                try:
                    line = await asyncio.wait_for(lines_until(app, "finished"), 0.5)
                except TimeoutError:
                    continue
                break
            assert line[-1]["job"] == job
            assert await asyncio.wait_for(app.process.wait(), 60) == 0
