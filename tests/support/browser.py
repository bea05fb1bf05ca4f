"""Requests to a sandbox over plain aiohttp."""

import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import attrs

from asyncckpt.testing import Sandbox

KEY = {"authorization": "Bearer sk-sandbox"}


@attrs.frozen
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        return self.json["error"]


class Browser:
    """Sends requests to one sandbox over a session.

    Args:
        sandbox: The sandbox.
        session: The session; it is not closed here.
    """

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.session = session

    async def get(
        self, path: str, headers: Mapping[str, str] = KEY, method: str = "GET", **query: object
    ) -> Reply:
        params = {name: str(value) for name, value in query.items()}
        async with self.session.request(
            method,
            self.sandbox.origin + path,
            headers=headers,
            params=params,
            allow_redirects=False,
        ) as response:
            return Reply(response.status, response.headers, await response.read())

    async def page(self, job: str | None = None, **query: object) -> Any:
        job = job or self.sandbox.job_ids[0]
        reply = await self.get(f"/v1/fine_tuning/jobs/{job}/checkpoints", **query)
        assert reply.status == 200, reply.body
        return reply.json


def checkpoints_path(box: Sandbox) -> str:
    return f"/v1/fine_tuning/jobs/{box.job_ids[0]}/checkpoints"
