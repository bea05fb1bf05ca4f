"""The key and other credentials of a client, and how its headers are sent."""

import asyncio
from typing import Any

import pytest

from asyncckpt import (
    APITimeoutError,
    AsyncClient,
    AuthenticationError,
    BadRequestError,
    OpenAIError,
    omit,
)
from asyncckpt.testing import Sandbox, faults

from support.listing import list_ids, served_ids
from support.secrets import KEY, Keys, all_that_shows
from support.servers import keep_heads, serving


async def test_a_callable_is_called_once_for_many_requests(sandbox: Sandbox, leaks: None) -> None:
    keys = Keys(sandbox.api_key)
    async with sandbox.client(api_key=keys) as client:
        await asyncio.gather(*(list_ids(client, job) for job in sandbox.job_ids))
    assert keys.asked == 1
    assert sandbox.stats.answers.keys() == {200}


@pytest.mark.parametrize("when", ["at first", "after a refusal"])
async def test_a_callable_that_never_returns_is_awaited_once(
    when: str, sandbox: Sandbox, leaks: None
) -> None:
    asked = 0

    async def key() -> str:
        nonlocal asked
        asked += 1
        if when == "after a refusal" and asked == 1:
            return "sk-expired"
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    async with sandbox.client(api_key=key, max_wait=0.05) as client:
        with pytest.raises(APITimeoutError, match="returned no key within max_wait"):
            await list_ids(client, sandbox.job_ids[0])
    assert asked == (1 if when == "at first" else 2)


async def test_fifty_401_responses_at_once_request_one_new_key(
    sandbox: Sandbox, leaks: None
) -> None:
    keys = Keys("sk-old-key", "sk-new-key")
    sandbox.api_key = "sk-old-key"
    sandbox.latency = 0.01
    async with sandbox.client(api_key=keys, max_retries=0) as client:
        job = sandbox.job_ids[0]
        await list_ids(client, job)
        sandbox.api_key = "sk-new-key"
        lists = await asyncio.gather(*(list_ids(client, job) for _ in range(50)))
    assert lists == [served_ids(sandbox, job)] * 50
    assert sandbox.stats.answers[401] > 1
    assert keys.asked == 2


@pytest.mark.parametrize("kind", [LookupError, TimeoutError])
async def test_an_exception_of_the_callable_is_raised(
    kind: type[Exception], sandbox: Sandbox, leaks: None
) -> None:
    async def sealed() -> str:
        raise kind("the vault is sealed")

    async with sandbox.client(api_key=sealed) as client:
        with pytest.raises(kind, match="sealed"):
            await list_ids(client, sandbox.job_ids[0])
    assert sandbox.requests == []


async def test_a_callable_that_is_not_async_is_rejected(sandbox: Sandbox, leaks: None) -> None:
    not_async: Any = lambda: KEY  # noqa: E731
    async with sandbox.client(api_key=not_async) as client:
        with pytest.raises(TypeError, match="api_key callable must be async") as caught:
            await list_ids(client, sandbox.job_ids[0])
    assert not [text for text in all_that_shows(caught.value) if KEY in text]


async def test_azure_needs_only_a_base_url_and_a_header(
    sandbox: Sandbox, leaks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    async with AsyncClient(
        base_url=f"{sandbox.azure_url}?api-version=2024-10-21",
        default_headers={"api-key": sandbox.api_key},
    ) as client:
        job = sandbox.job_ids[0]
        assert await list_ids(client, job) == served_ids(sandbox, job)
        page = await client.fine_tuning.jobs.checkpoints.list(job)
    assert (page.first_id, page.last_id, page.has_more) == (None, None, True)
    for request in sandbox.requests:
        assert request.query["api-version"] == "2024-10-21"
        assert "authorization" not in request.headers


@pytest.mark.parametrize("header", ["api-key", "API-Key", "Authorization", "authorization"])
@pytest.mark.parametrize("place", ["client", "with_options", "call"])
async def test_the_key_of_the_environment_is_not_sent_with_other_credentials(
    header: str, place: str, sandbox: Sandbox, leaks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads: list[str] = []

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    credentials = {header: "of-another-provider"}
    async with (
        serving(keep_heads(heads)) as server,
        AsyncClient(
            base_url=f"http://127.0.0.1:{server.port}",
            default_headers=credentials if place == "client" else None,
        ) as client,
    ):
        asking = client.with_options(default_headers=credentials if place == "with_options" else {})
        await asking.fine_tuning.jobs.list(extra_headers=credentials if place == "call" else None)
    (head,) = heads
    assert KEY not in head
    assert head.count("of-another-provider") == 1


@pytest.mark.parametrize("place", ["with_options", "call"])
async def test_credentials_in_headers_replace_others(
    place: str, sandbox: Sandbox, client: AsyncClient
) -> None:
    first = client.with_options(default_headers={"Authorization": "Bearer of-one-provider"})
    azure = {"api-key": "of-another-provider"}
    asking = first.with_options(default_headers=azure if place == "with_options" else {})
    with pytest.raises(AuthenticationError):
        await asking.fine_tuning.jobs.list(extra_headers=azure if place == "call" else None)
    (request,) = sandbox.requests
    assert "authorization" not in request.headers
    assert "api-key" in request.headers


PORTKEY = {"x-portkey-api-key": "pk-of-the-gateway"}


async def test_a_named_credential_header_takes_the_place_of_the_key(
    sandbox: Sandbox, leaks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    heads: list[str] = []
    async with (
        serving(keep_heads(heads)) as server,
        AsyncClient(base_url=server.url, credential_headers=PORTKEY) as client,
    ):
        await client.fine_tuning.jobs.list()
        assert client.api_key == ""
        assert "x-portkey-api-key" not in client.default_headers
    (head,) = heads
    assert "x-portkey-api-key: pk-of-the-gateway\r\n" in head
    assert "uthorization" not in head
    assert KEY not in head


def test_a_named_credential_header_needs_no_key_in_the_environment() -> None:
    with pytest.raises(OpenAIError, match="credential_headers"):
        AsyncClient(default_headers=PORTKEY)
    AsyncClient(credential_headers=PORTKEY)


async def test_a_gateway_may_take_its_own_header_and_the_key_of_the_server(
    sandbox: Sandbox, leaks: None
) -> None:
    # The sandbox takes the key; the header is for what is in front of it.
    async with sandbox.client(credential_headers=PORTKEY) as client:
        await client.fine_tuning.jobs.list()
    (request,) = sandbox.requests
    assert {"authorization", "x-portkey-api-key"} <= request.headers.keys()


async def test_the_key_itself_may_be_in_a_named_credential_header(
    sandbox: Sandbox, leaks: None
) -> None:
    bearer = {"Authorization": f"Bearer {sandbox.api_key}"}
    async with sandbox.client(credential_headers=bearer) as client:
        assert (await client.fine_tuning.jobs.list()).data
        assert "Authorization" not in client.default_headers


async def test_a_named_credential_header_does_not_follow_a_redirect_to_another_origin(
    sandbox: Sandbox, leaks: None
) -> None:
    heads: list[str] = []
    async with serving(keep_heads(heads)) as elsewhere:
        sandbox.inject(faults.Redirect(location=f"{sandbox.base_url}/fine_tuning/jobs"))
        sandbox.inject(faults.Redirect(location=f"{elsewhere.url}/fine_tuning/jobs"))
        async with sandbox.client(credential_headers=PORTKEY) as client:
            await client.fine_tuning.jobs.list()
    assert ["x-portkey-api-key" in request.headers for request in sandbox.requests] == [True] * 2
    assert "portkey" not in heads[0]


@pytest.mark.parametrize(
    "new",
    [
        {"api_key": "sk-2"},
        {"credential_headers": {"cf-aig-authorization": "Bearer of-another-gateway"}},
        {"default_headers": {"Authorization": "Bearer of-another-provider"}},
    ],
)
async def test_new_credentials_replace_all_old_ones(new: dict[str, Any]) -> None:
    heads: list[str] = []
    async with (
        serving(keep_heads(heads)) as server,
        AsyncClient(base_url=server.url, api_key=KEY, credential_headers=PORTKEY) as client,
    ):
        changed = client.with_options(**new)
        await changed.fine_tuning.jobs.list()
        assert changed._endpoint.account is not client._endpoint.account
        assert "cf-aig-authorization" not in changed.default_headers
    (head,) = heads
    assert "pk-of-the-gateway" not in head
    assert KEY not in head


async def test_a_named_credential_header_stays_secret_when_its_value_changes(
    sandbox: Sandbox, leaks: None
) -> None:
    sandbox.inject(faults.Status(400, body="not known: pk-of-another-gateway"))
    async with sandbox.client(credential_headers=PORTKEY) as client:
        other = {"X-Portkey-API-Key": "pk-of-another-gateway"}
        changed = client.with_options(default_headers=other)
        assert "X-Portkey-API-Key" not in changed.default_headers
        with pytest.raises(BadRequestError, match=r"not known: \*\*\* "):
            await changed.fine_tuning.jobs.list()


async def test_a_call_can_leave_a_named_credential_header_out(
    sandbox: Sandbox, leaks: None
) -> None:
    async with sandbox.client(credential_headers=PORTKEY) as client:
        await client.fine_tuning.jobs.list(extra_headers={"X-Portkey-Api-Key": omit})
    (request,) = sandbox.requests
    assert "x-portkey-api-key" not in request.headers
    assert "authorization" in request.headers


@pytest.mark.parametrize(
    ("headers", "kind", "problem"),
    [
        ({"x-key": ""}, ValueError, "^credential_headers: the value of x-key is empty$"),
        ({"x-key": None}, TypeError, "^credential_headers: names and values must be strings"),
        ({"x key": "a"}, ValueError, "^credential_headers: .* is not a valid header name"),
        ([("x-key", "a")], TypeError, "^credential_headers must be a mapping of strings"),
    ],
)
def test_wrong_credential_headers(headers: Any, kind: type[Exception], problem: str) -> None:
    with pytest.raises(kind, match=problem):
        AsyncClient(credential_headers=headers)


async def test_headers_are_sent_once_each(sandbox: Sandbox, leaks: None) -> None:
    heads: list[str] = []

    async with (
        serving(keep_heads(heads)) as server,
        AsyncClient(
            api_key="sk-1",
            base_url=f"http://127.0.0.1:{server.port}",
            default_headers={
                "user-agent": "ours",
                "ACCEPT": "application/problem+json",
                "accept-encoding": "identity",
                "host": "virtual.example",
                "X-Umlaut": "ä",
            },
        ) as client,
    ):
        await client.fine_tuning.jobs.list(extra_headers={"User-AGENT": "this call's"})
    names = [line.partition(":")[0].lower() for line in heads[0].strip().split("\r\n")[1:]]
    assert sorted(names) == sorted(set(names))
    assert "this call's" in heads[0]
    assert "problem+json" in heads[0]
    assert "identity" in heads[0]
    assert "virtual.example" in heads[0]
    assert "ä" in heads[0]
