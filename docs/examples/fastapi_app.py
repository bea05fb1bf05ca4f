"""A web app with FastAPI that shows the checkpoints of fine-tuning jobs while they appear.

Run it with ``python docs/examples/fastapi_app.py --port 8000`` and ``OPENAI_API_KEY`` set.
"""

import argparse
import socket
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Final

import uvicorn
from fastapi import Depends, FastAPI, Header, Query, Request, Response
from fastapi.responses import FileResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from asyncckpt import (
    APIError,
    AsyncClient,
    FineTuningJob,
    FineTuningJobCheckpoint,
    NoCheckpointError,
)
from asyncckpt.web import (
    EventReader,
    SharedWatches,
    error_json,
    ranked_json,
    started,
    status_of,
    while_connected,
)

PAGE: Final = Path(__file__).with_name("page")


@asynccontextmanager
async def services(app: FastAPI) -> AsyncGenerator[None]:
    async with AsyncClient() as client, SharedWatches(client) as watches:
        app.state.client, app.state.watches = client, watches
        yield


app = FastAPI(title="Fine-tuning jobs", lifespan=services)


@app.exception_handler(APIError)
@app.exception_handler(NoCheckpointError)
async def pass_on(_: Request, error: Exception) -> Response:
    return Response(error_json(error), status_of(error), media_type="application/json")


def client_of(request: Request) -> AsyncClient:
    client: AsyncClient = request.app.state.client
    return client


Client = Annotated[AsyncClient, Depends(client_of)]


# A dependency runs before the response starts, so its errors still get a status of their own. Until
# then nothing cancels it when the reader leaves: `while_connected` does.


async def job_list(request: Request, client: Client) -> AsyncIterator[AsyncIterable[FineTuningJob]]:
    async with client.fine_tuning.jobs.list(max_records=200) as stream:
        yield await while_connected(request.receive, started(stream))


async def checkpoint_lists(
    request: Request, client: Client, job: Annotated[list[str], Query(min_length=1)]
) -> AsyncIterator[AsyncIterable[FineTuningJobCheckpoint]]:
    async with client.fine_tuning.jobs.checkpoints.list_many(job) as stream:
        yield await while_connected(request.receive, started(stream))


async def reader_of(
    request: Request, job: str, last_event_id: Annotated[str | None, Header()] = None
) -> AsyncIterator[EventReader]:
    watches: SharedWatches = request.app.state.watches
    # FastAPI sends comments of its own to keep the connection alive.
    reading = watches.read(job, last_event_id, heartbeat=None)
    async with await while_connected(request.receive, reading) as reader:
        yield reader


@app.get("/jobs")
async def jobs(
    stream: Annotated[AsyncIterable[FineTuningJob], Depends(job_list)],
) -> AsyncIterable[FineTuningJob]:
    async for record in stream:
        yield record


@app.get("/checkpoints")
async def checkpoints(
    stream: Annotated[AsyncIterable[FineTuningJobCheckpoint], Depends(checkpoint_lists)],
) -> AsyncIterable[FineTuningJobCheckpoint]:
    async for checkpoint in stream:
        yield checkpoint


@app.get("/jobs/{job}/watch", response_class=EventSourceResponse)
async def watch(
    reader: Annotated[EventReader, Depends(reader_of)],
) -> AsyncIterable[ServerSentEvent]:
    async for message in reader:
        yield ServerSentEvent(event=message.event, raw_data=message.data, id=message.id)


@app.get("/jobs/{job}/best")
async def best(request: Request, client: Client, job: str) -> Response:
    ranking = client.fine_tuning.jobs.checkpoints.best(job)
    ranked = await while_connected(request.receive, ranking)
    return Response(ranked_json(ranked), media_type="application/json")


@app.get("/")
async def index() -> FileResponse:
    return FileResponse(PAGE / "index.html")


@app.get("/page.js")
async def script() -> FileResponse:
    return FileResponse(PAGE / "page.js")


@app.exception_handler(ConnectionResetError)
async def ignore(_: Request, error: Exception) -> Response:
    return Response(status_code=499)  # The reader has left.


class Server(uvicorn.Server):
    """Ends the readers of running jobs first; otherwise they would hold up the shutdown."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: D102
        await app.state.watches.aclose()
        await super().shutdown(sockets)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8000)
    port = parser.parse_args().port
    Server(uvicorn.Config(app, port=port, timeout_graceful_shutdown=1)).run()
