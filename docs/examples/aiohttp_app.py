"""A web app with aiohttp that shows the checkpoints of fine-tuning jobs while they appear.

Run it with ``python docs/examples/aiohttp_app.py --port 8000`` and ``OPENAI_API_KEY`` set.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from asyncckpt import APIError, AsyncClient, NoCheckpointError
from asyncckpt.web import SharedWatches, error_json, json_lines, ranked_json, status_of

PAGE: Final = Path(__file__).with_name("page")
CLIENT: Final = web.AppKey("client", AsyncClient)
WATCHES: Final = web.AppKey("watches", SharedWatches)

routes = web.RouteTableDef()


@routes.get("/jobs")
async def jobs(request: web.Request) -> web.StreamResponse:
    return await send_lines(request, request.app[CLIENT].fine_tuning.jobs.list(max_records=200))


@routes.get("/checkpoints")
async def checkpoints(request: web.Request) -> web.StreamResponse:
    ids = request.query.getall("job", [])
    if not ids:
        raise web.HTTPUnprocessableEntity(text="Name at least one job: /checkpoints?job=ftjob-…")
    async with request.app[CLIENT].fine_tuning.jobs.checkpoints.list_many(ids) as stream:
        return await send_lines(request, stream)


@routes.get("/jobs/{job}/watch")
async def watch(request: web.Request) -> web.StreamResponse:
    returning = request.headers.get("Last-Event-ID")
    async with await request.app[WATCHES].read(request.match_info["job"], returning) as reader:
        response = web.StreamResponse()
        response.content_type = "text/event-stream"
        response.headers["Cache-Control"] = "no-cache"
        await response.prepare(request)
        async for message in reader:
            await response.write(message.encode())
        return response


@routes.get("/jobs/{job}/best")
async def best(request: web.Request) -> web.Response:
    ranked = await request.app[CLIENT].fine_tuning.jobs.checkpoints.best(request.match_info["job"])
    return web.json_response(text=ranked_json(ranked))


@routes.get("/")
async def index(_: web.Request) -> web.FileResponse:
    return web.FileResponse(PAGE / "index.html")


@routes.get("/page.js")
async def script(_: web.Request) -> web.FileResponse:
    return web.FileResponse(PAGE / "page.js")


async def send_lines(request: web.Request, records: AsyncIterable[object]) -> web.StreamResponse:
    """Send records as JSON lines. Each waits until the reader has taken those before it."""
    async with aclosing(json_lines(records)) as lines:
        # An error of the first request still gets a status of its own.
        first = await anext(lines, b"")
        response = web.StreamResponse()
        response.content_type = "application/jsonl"
        await response.prepare(request)
        await response.write(first)
        try:
            async for line in lines:
                await response.write(line)
        except APIError:
            # It is too late for a status, and an end would look like the end of the list.
            if request.transport is not None:
                request.transport.abort()
        return response


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except (APIError, NoCheckpointError) as error:
        return web.json_response(text=error_json(error), status=status_of(error))
    except ConnectionResetError:
        # The reader has left while something was being sent.
        return web.Response(status=499)


async def services(app: web.Application) -> AsyncIterator[None]:
    async with AsyncClient() as client, SharedWatches(client) as watches:
        app[CLIENT], app[WATCHES] = client, watches
        yield


async def end_watches(app: web.Application) -> None:
    await app[WATCHES].aclose()


def create_app() -> web.Application:
    app = web.Application(middlewares=[errors])
    app.add_routes(routes)
    app.cleanup_ctx.append(services)
    app.on_shutdown.append(end_watches)
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8000)
    web.run_app(
        create_app(),
        host="127.0.0.1",
        port=parser.parse_args().port,
        # A reader that leaves cancels its handler at once, also while nothing is being sent.
        handler_cancellation=True,
        shutdown_timeout=1,
    )
