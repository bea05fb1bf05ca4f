import asyncio
from contextlib import aclosing

import pytest

from asyncckpt import APIConnectionError, AsyncClient, NotFoundError
from asyncckpt.testing import Sandbox, faults

from support.leftovers import at_rest


def file_of(sandbox: Sandbox) -> str:
    return next(file for job in sandbox.jobs for file in job["result_files"])


async def content_of(client: AsyncClient, file_id: str) -> bytes:
    return b"".join([piece async for piece in client.files.content(file_id)])


async def test_a_file_is_read_in_pieces(sandbox: Sandbox, client: AsyncClient) -> None:
    content = await content_of(client, file_of(sandbox))
    assert content.startswith(b"step,train_loss,")
    (request,) = sandbox.requests
    assert request.path == f"/v1/files/{file_of(sandbox)}/content"
    assert request.headers["accept"] == "*/*"


async def test_a_broken_connection_repeats_nothing(sandbox: Sandbox, client: AsyncClient) -> None:
    whole = await content_of(client, file_of(sandbox))
    sandbox.inject(faults.CutBody(), times=2)
    assert await content_of(client, file_of(sandbox)) == whole


async def test_a_file_that_stays_truncated_is_an_error(sandbox: Sandbox) -> None:
    async with sandbox.client(max_retries=0) as client:
        sandbox.inject(faults.CutBody())
        with pytest.raises(APIConnectionError):
            await content_of(client, file_of(sandbox))


async def test_no_such_file(client: AsyncClient) -> None:
    with pytest.raises(NotFoundError, match="No such File object: file-none"):
        await content_of(client, "file-none")


async def test_nothing_is_sent_before_it_is_read(sandbox: Sandbox, client: AsyncClient) -> None:
    client.files.content(file_of(sandbox))
    await asyncio.sleep(0)
    assert sandbox.stats.requests == 0


@pytest.mark.parametrize("file_id", ["", "a/b", ".."])
async def test_an_id_that_makes_another_path(client: AsyncClient, file_id: str) -> None:
    with pytest.raises(ValueError, match="file_id"):
        client.files.content(file_id)


async def test_an_unknown_option(client: AsyncClient) -> None:
    with pytest.raises(TypeError, match="did you mean 'timeout'"):
        client.files.content("file-abc", timeouts=3)  # type: ignore[call-arg]


async def test_leaving_early_leaves_nothing(sandbox: Sandbox) -> None:
    async with sandbox.client() as client:
        sandbox.inject(faults.Hang("body"))
        async with aclosing(client.files.content(file_of(sandbox))) as pieces:
            async for _ in pieces:
                break
    await at_rest(sandbox)


async def test_a_copy_of_a_client_has_its_own_files(sandbox: Sandbox, client: AsyncClient) -> None:
    before = client.files
    copy = client.with_options(default_headers={"x-one": "1"})
    assert copy.files is not before
    await content_of(copy, file_of(sandbox))
    assert sandbox.requests[0].headers["x-one"] == "1"
