"""A worker that follows the jobs of an account, and prints the best checkpoint of each that ends.

Run it with ``python docs/examples/worker.py --port 8000`` and ``OPENAI_API_KEY`` set. It keeps its
place in a file, so after a restart it goes on where it was. ``POST /webhook`` with
``{"data": {"id": "ftjob-…"}}``, the webhook of the API, makes it look at once.
"""

import argparse
import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from asyncckpt import AsyncClient, CheckpointCreated, Finished, JobFailure, NoCheckpointError, Watch

ENDED = {"succeeded", "failed", "cancelled"}


async def jobs_to_follow(client: AsyncClient, token: str | None) -> AsyncIterator[str]:
    if token is not None:
        # A job may have ended while the worker was not running.
        for job_id, state in json.loads(token)["jobs"].items():
            if not state.get("finished"):
                yield job_id
    async for job in client.fine_tuning.jobs.list():
        if job.status not in ENDED:
            yield job.id


async def follow(client: AsyncClient, watch: Watch, place: Path) -> None:
    async for update in watch:
        match update:
            case CheckpointCreated(checkpoint):
                say("checkpoint", job=update.fine_tuning_job_id, step=checkpoint.step_number)
            case Finished(job):
                say("finished", job=job.id, status=job.status, best=await best_of(client, job.id))
            case _:
                pass
        # Only now is the update done with; a worker that is killed before gets it again.
        save(place, watch.resume_token)


async def best_of(client: AsyncClient, job_id: str) -> str | None:
    try:
        ranked = await client.fine_tuning.jobs.checkpoints.best(job_id)
    except NoCheckpointError:
        return None
    return ranked.checkpoint.fine_tuned_model_checkpoint


def say(what: str, **details: object) -> None:
    print(json.dumps({"what": what, **details}), flush=True)


def say_failed(failure: JobFailure) -> None:
    say("failed", job=failure.fine_tuning_job_id, error=type(failure.error).__name__)


def save(place: Path, token: str) -> None:
    temporary = place.with_suffix(".new")
    temporary.write_text(token)
    temporary.replace(place)


def web_app(watch: Watch) -> web.Application:
    async def wake(request: web.Request) -> web.Response:
        with contextlib.suppress(ValueError):  # of another job
            watch.wake((await request.json())["data"]["id"])
        return web.Response(status=204)

    async def health(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    app = web.Application()
    app.add_routes([web.post("/webhook", wake), web.get("/health", health)])
    return app


async def main(port: int, place: Path) -> None:
    token = place.read_text() if place.exists() else None
    async with AsyncClient() as client:
        jobs = jobs_to_follow(client, token)
        watch = client.fine_tuning.jobs.watch(jobs, resume=token, on_error=say_failed)
        async with watch:
            runner = web.AppRunner(web_app(watch))
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", port).start()
                await follow(client, watch, place)
            finally:
                await runner.cleanup()


async def until_stopped(port: int, place: Path) -> None:
    work = asyncio.create_task(main(port, place))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--place", type=Path, default=Path("worker.json"))
    arguments = parser.parse_args()
    asyncio.run(until_stopped(arguments.port, arguments.place))
