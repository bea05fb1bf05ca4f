"""No secret reaches an error, a repr, a log entry or the variables of a traceback."""

import asyncio
import io
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from asyncckpt import (
    APIError,
    AsyncClient,
)
from asyncckpt.testing import Sandbox, faults

from support.listing import list_ids
from support.secrets import KEY, Keys, all_that_shows
from support.turns import until


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """All that the package logs, down to DEBUG."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(message)s %(args)r %(exc_text)s"))
    logger = logging.getLogger("asyncckpt")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield written
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(handler)


def escaped(text: str) -> bytes:
    return json.dumps({"error": {"message": f"wrong: {text}"}}).replace("/", "\\/").encode()


ECHO = f"the key {KEY} is wrong, Bearer {KEY}"


ECHOES: dict[str, list[Any]] = {
    "401": [
        faults.Status(
            401,
            body={"error": {"message": ECHO, "code": KEY, "param": KEY, "type": KEY}},
            headers={"www-authenticate": f'Bearer realm="{KEY}"', "x-request-id": KEY},
        )
    ],
    "401 escaped": [faults.Status(401, body=escaped(KEY))],
    "400 text": [faults.Status(400, body=ECHO)],
    "400 other JSON": [faults.Status(400, body={"detail": [ECHO]})],
    "429": [faults.Status(429, body={"error": {"message": ECHO}})],
    "500": [faults.Status(500, body=ECHO)],
    "500 in a URL": [faults.Status(500, body="/v1?key=sk-planted%2F9f8e7d6c%2B5b4a%3D")],
    "html": [faults.Html(f"<html>{ECHO}")],
    "types": [faults.SetField("data.0.id", {KEY: KEY}), faults.SetField("object", KEY)],
    "names": [faults.SetField(f"data.0.metrics.{KEY}", 1), faults.SetField("data.1.id", 3)],
    "too long": [faults.RawBody(ECHO.encode() * 1000)],
    "no HTTP": [faults.Header(f"bad header {KEY}", KEY)],
    "header bomb": [faults.Header("x-bomb", KEY * 5000)],
    "cut": [faults.CutBody()],
    "redirect": [faults.Redirect(location=f"ftp://{KEY}/{KEY}")],
    "reset": [faults.Reset("before")],
}


def azure(sandbox: Sandbox, **options: Any) -> AsyncClient:
    return AsyncClient.for_azure(endpoint=sandbox.azure_url, **options)


WAYS: dict[str, Callable[..., AsyncClient]] = {
    "argument": lambda box, **rest: box.client(api_key=KEY, **rest),
    "callable": lambda box, **rest: box.client(api_key=Keys(KEY), **rest),
    "bearer": lambda box, **rest: box.client(
        default_headers={"Authorization": f"Bearer {KEY}"}, **rest
    ),
    "api-key": lambda box, **rest: box.client(default_headers={"api-key": KEY}, **rest),
    "gateway": lambda box, **rest: box.client(
        api_key=None, credential_headers={"x-portkey-api-key": KEY}, **rest
    ),
    "query": lambda box, **rest: box.client(api_key="sk-1", default_query={"code": KEY}, **rest),
    "azure key": lambda box, **rest: azure(box, api_key=KEY, api_version="2024-10-21", **rest),
    "azure token": lambda box, **rest: azure(box, token_provider=lambda: KEY, **rest),
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_secret_is_never_shown(
    way: str, sandbox: Sandbox, leaks: None, logged: io.StringIO, short_backoff: None
) -> None:
    shown: list[str] = []
    for name, echo in ECHOES.items():
        sandbox.clear()
        sandbox.inject(*echo, times=None)
        async with WAYS[way](sandbox, max_retries=1, max_body_bytes=20_000) as client:
            pager = client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0])
            stream = client.fine_tuning.jobs.checkpoints.list_many(
                sandbox.job_ids[:2], on_error="collect"
            )
            with pytest.raises(APIError) as caught:
                await pager
            assert [seen async for seen in stream] == []
            for error in (caught.value, *(failure.error for failure in stream.failures)):
                shown += (f"{name}: {text}" for text in all_that_shows(error))
            public = (
                client,
                client.with_options(api_key=KEY),
                client.fine_tuning,
                client.fine_tuning.jobs,
                client.fine_tuning.jobs.checkpoints,
                pager,
                stream,
                stream.failures,
                stream.progress,
                vars(client),
                vars(pager),
            )
            shown += (f"{name}: {text!r}" for text in public)
    assert "retry 1 of 1" in logged.getvalue()
    shown.append(logged.getvalue())
    planted = (KEY, KEY.replace("/", "\\/"), "sk-planted%2F9f8e7d6c%2B5b4a%3D")
    leaked = [text for text in shown if any(form in text for form in planted)]
    assert leaked == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["list", "list_many"])
async def test_a_timeout_by_the_caller_shows_no_secret(
    kind: str, way: str, sandbox: Sandbox, leaks: None
) -> None:
    sandbox.inject(faults.Hang(), times=None)
    async with WAYS[way](sandbox) as client:
        checkpoints = client.fine_tuning.jobs.checkpoints

        async def read() -> None:
            async with asyncio.timeout(0.05):
                if kind == "list":
                    await checkpoints.list(sandbox.job_ids[0])
                else:
                    async for _ in checkpoints.list_many(sandbox.job_ids):
                        pass

        with pytest.raises(TimeoutError) as caught:
            await read()
    # Early releases of 3.11 name it as the context only.
    refers_to = caught.value.__cause__ or caught.value.__context__
    assert isinstance(refers_to, asyncio.CancelledError)
    assert not [text for text in all_that_shows(caught.value) if KEY in text]


async def test_a_page_shows_no_secret(sandbox: Sandbox, leaks: None) -> None:
    sandbox.api_key = KEY
    async with sandbox.client(default_query={"code": KEY}) as client:
        page = await client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0])
    shown = f"{page!r} {page.response!r} {page.response.request!r} {page.response.request.url}"
    assert KEY not in shown
    assert "code=***" in shown
    assert KEY.encode() not in pickle.dumps(page.response)


async def test_a_key_that_was_replaced_is_still_a_secret(sandbox: Sandbox, leaks: None) -> None:
    # Two requests with the old key: the answer to the first replaces it, the second echoes it.
    first, second = sandbox.job_ids[:2]
    keys = Keys(KEY, sandbox.api_key)
    sandbox.inject(faults.Status(401), job=first)
    sandbox.inject(faults.Status(400, body=ECHO), faults.Latency(0.1), job=second)
    async with sandbox.client(api_key=keys) as client:
        failing = asyncio.create_task(list_ids(client, second))
        await until(lambda: sandbox.stats.in_flight == 1)
        await list_ids(client, first)
        assert keys.asked == 2
        with pytest.raises(APIError) as caught:
            await failing
    assert not [text for text in all_that_shows(caught.value) if KEY in text]


async def test_invalid_arguments_show_no_secret() -> None:
    for make in (
        lambda: AsyncClient(api_key=f"{KEY} "),
        lambda: AsyncClient(api_key=f"{KEY}\r\nx: y"),
        lambda: AsyncClient(base_url=f"https://user:{KEY}@example.test"),
        lambda: AsyncClient(api_key="sk-1", base_url=f"https://example.test:{KEY}/"),
        lambda: AsyncClient(api_key="sk-1", default_headers={"X-Key": f"{KEY}\n"}),
        lambda: AsyncClient(api_key=KEY.encode()),  # type: ignore[arg-type]
        lambda: AsyncClient(credential_headers={"X-Key": f"{KEY}\n"}),
        lambda: AsyncClient.for_azure(endpoint="https://a.test", api_key=f"{KEY}\n"),
        lambda: AsyncClient.for_azure(endpoint=f"https://user:{KEY}@a.test", api_key="sk-1"),
    ):
        with pytest.raises((ValueError, TypeError)) as caught:
            make()
        assert KEY not in "".join(traceback.format_exception(caught.value, chain=True)).replace(
            "KEY}", ""
        )
