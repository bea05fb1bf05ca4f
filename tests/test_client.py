"""The settings of a client: arguments, the environment, copies with other options."""

import copy
import pickle
import traceback
from typing import Any

import pytest

from asyncckpt import (
    APIError,
    APITimeoutError,
    AsyncClient,
    AuthenticationError,
    NotFoundError,
    OpenAIError,
    Timeout,
)
from asyncckpt.testing import Sandbox, faults

from support import clock
from support.listing import list_ids, served_ids
from support.secrets import KEY
from support.turns import until


async def test_all_settings_can_come_from_the_environment(
    sandbox: Sandbox, leaks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", sandbox.api_key)
    monkeypatch.setenv("OPENAI_BASE_URL", sandbox.base_url)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    async with AsyncClient() as client:
        assert await list_ids(client, sandbox.job_ids[0]) == served_ids(sandbox, sandbox.job_ids[0])
    for request in sandbox.requests:
        assert request.headers["openai-organization"] == "org-1"
        assert request.headers["openai-project"] == "proj-1"


async def test_arguments_override_the_environment(
    sandbox: Sandbox, leaks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "http://wrong.invalid")
    async with AsyncClient(
        api_key=sandbox.api_key, base_url=sandbox.base_url, organization="org-2", project="proj-2"
    ) as client:
        await client.fine_tuning.jobs.list()
    (request,) = sandbox.requests
    assert request.headers["openai-organization"] == "org-2"
    assert request.headers["openai-project"] == "proj-2"


@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_key_raises_when_the_client_is_created(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is not None:
        monkeypatch.setenv("OPENAI_API_KEY", value)
    with pytest.raises(OpenAIError, match="OPENAI_API_KEY.*Sandbox"):
        AsyncClient()


def test_an_invalid_key_in_the_environment_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    with pytest.raises(ValueError, match="OPENAI_API_KEY") as caught:
        AsyncClient()
    assert KEY not in "".join(traceback.format_exception(caught.value))


EMPTY_PAGE = {"object": "list", "data": [], "has_more": False}


@pytest.mark.parametrize(
    ("base_url", "asked"),
    [
        (None, "https://api.openai.com/v1/fine_tuning/jobs?"),
        ("https://example.test", "https://example.test/fine_tuning/jobs?"),
        ("https://example.test/", "https://example.test/fine_tuning/jobs?"),
        ("https://example.test/a/b/", "https://example.test/a/b/fine_tuning/jobs?"),
        ("http://example.test:8080/v1", "http://example.test:8080/v1/fine_tuning/jobs?"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1/fine_tuning/jobs?"),
        (
            "https://example.test/v1?a=1&b=2",
            "https://example.test/v1/fine_tuning/jobs?a=1&b=2&",
        ),
    ],
)
async def test_base_urls(base_url: str | None, asked: str, mocked: Any) -> None:
    mocked.get(f"{asked}limit=5", payload=EMPTY_PAGE)
    async with AsyncClient(api_key="sk-1", base_url=base_url) as client:
        page = await client.fine_tuning.jobs.list(limit=5)
    assert page.data == []
    ((_, url),) = mocked.requests
    assert str(url) == f"{asked}limit=5"


async def test_a_mocked_error_response_raises(mocked: Any) -> None:
    mocked.get(
        "https://api.openai.com/v1/fine_tuning/jobs/ftjob-x",
        status=404,
        payload={"error": {"message": "No such job.", "code": "gone"}},
    )
    async with AsyncClient(api_key="sk-1") as client:
        with pytest.raises(NotFoundError, match="No such job") as caught:
            await client.fine_tuning.jobs.retrieve("ftjob-x")
    assert caught.value.code == "gone"


async def test_with_options_shares_the_connections(sandbox: Sandbox, leaks: None) -> None:
    job = sandbox.job_ids[0]
    async with sandbox.client() as client:
        other = client.with_options(
            organization="org-3", default_headers={"X-Tag": "t"}, default_query={"q": "1"}
        )
        await client.fine_tuning.jobs.checkpoints.list(job)
        await other.fine_tuning.jobs.checkpoints.list(job)
        await client.fine_tuning.jobs.checkpoints.list(job)
    assert sandbox.stats.connections == 1
    plain, changed, again = sandbox.requests
    assert changed.headers["openai-organization"] == "org-3"
    assert changed.headers["x-tag"] == "t"
    assert changed.query == {"q": "1"}
    assert plain.headers == again.headers
    assert plain.query == again.query == {}
    assert not {"openai-organization", "x-tag"} & plain.headers.keys()


@pytest.mark.parametrize("scope", ["organization", "project"])
async def test_with_options_can_remove_an_organization_or_project(
    scope: str, sandbox: Sandbox, leaks: None
) -> None:
    options: dict[str, Any] = {scope: "ours"}
    header = f"openai-{scope}"
    async with sandbox.client(**options, default_headers={"X-Tag": "t"}) as client:
        await client.fine_tuning.jobs.list()
        await client.with_options(**{scope: ""}).fine_tuning.jobs.list()
        await client.with_options().fine_tuning.jobs.list()
    with_it, without, again = sandbox.requests
    assert with_it.headers[header] == again.headers[header] == "ours"
    assert header not in without.headers
    assert without.headers["x-tag"] == "t"


async def test_with_options_changes_the_key_and_the_base_url(sandbox: Sandbox, leaks: None) -> None:
    job = sandbox.job_ids[0]
    async with sandbox.client(api_key="sk-wrong") as client:
        with pytest.raises(AuthenticationError):
            await list_ids(client, job)
        right = client.with_options(api_key=sandbox.api_key)
        assert await list_ids(right, job) == served_ids(sandbox, job)
        elsewhere = right.with_options(base_url=f"{sandbox.origin}/elsewhere")
        with pytest.raises(NotFoundError):
            await list_ids(elsewhere, job)
        assert elsewhere.base_url == f"{sandbox.origin}/elsewhere"
        assert client.base_url == right.base_url == sandbox.base_url


async def test_with_options_changes_retries_and_limits(sandbox: Sandbox, leaks: None) -> None:
    job = sandbox.job_ids[0]
    order = sandbox.inject(faults.Status(500), times=None)
    async with sandbox.client(max_retries=0) as client:
        with pytest.raises(APIError):
            await list_ids(client, job)
        assert order.hits == 1
        with pytest.raises(APIError):
            await list_ids(client.with_options(max_retries=1), job)
        assert order.hits == 3
        order.stop()
        small = client.with_options(max_body_bytes=100)
        with pytest.raises(APIError, match="max_body_bytes, 100 bytes"):
            await list_ids(small, job)
        assert await list_ids(client, job) == served_ids(sandbox, job)


@pytest.mark.parametrize(
    ("timeout", "message"),
    [
        (Timeout(total=0.1, read=None), "No complete response within 0.1 s"),
        (Timeout(total=None, read=0.1), "The server was silent for 0.1 s"),
        (0.1, "0.1 s"),
    ],
)
@pytest.mark.parametrize("place", ["client", "call", "with_options"])
async def test_timeouts_of_client_and_call(
    timeout: Any, message: str, place: str, sandbox: Sandbox, leaks: None
) -> None:
    sandbox.inject(faults.Hang(), times=None)
    given = {"timeout": timeout}
    async with sandbox.client(max_retries=0, **(given if place == "client" else {})) as client:
        asking = client.with_options(**given) if place == "with_options" else client
        with pytest.raises(APITimeoutError, match=message):
            await list_ids(asking, sandbox.job_ids[0], **(given if place == "call" else {}))


async def test_a_call_can_have_a_longer_timeout_than_its_client(
    sandbox: Sandbox, leaks: None
) -> None:
    job = sandbox.job_ids[0]
    sandbox.latency = 0.1
    async with sandbox.client(timeout=0.02, max_retries=0) as client:
        with pytest.raises(APITimeoutError):
            await list_ids(client, job)
        assert len(await list_ids(client, job, timeout=None, max_records=10)) == 10


def test_a_slow_body_is_within_the_read_timeout() -> None:
    async def main() -> None:
        async with Sandbox() as sandbox:
            job = sandbox.job_ids[0]
            sandbox.inject(faults.SlowBody(30, pieces=30))
            async with sandbox.client(timeout=Timeout(read=25), max_retries=0) as client:
                assert await list_ids(client, job) == served_ids(sandbox, job)

    clock.run(main())


async def test_a_client_and_its_pages_cannot_be_pickled(
    sandbox: Sandbox, client: AsyncClient
) -> None:
    page = await client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0])
    for subject in (client, AsyncClient(api_key=KEY)):
        for duplicate in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="with_options"):
                duplicate(subject)
    with pytest.raises(TypeError, match="pickle .data"):
        pickle.dumps(page)
    assert pickle.loads(pickle.dumps(page.data)) == page.data


async def test_with_options_returns_the_same_class() -> None:
    class Ours(AsyncClient):
        """A client with something of its own."""

    ours = Ours(api_key="sk-1")
    ours.note = "kept"  # type: ignore[attr-defined]
    copied = ours.with_options(timeout=3)
    assert type(copied) is Ours
    assert vars(copied)["note"] == "kept"


async def test_a_copy_of_a_page_uses_the_same_client(sandbox: Sandbox, client: AsyncClient) -> None:
    pager = client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0], limit=10)
    page = await pager
    for copied in (copy.copy(page), copy.deepcopy(page), copy.deepcopy(await pager)):
        assert copied.data == page.data
        assert (await copied.get_next_page()).data == (await page.get_next_page()).data


@pytest.mark.parametrize(
    "options",
    [
        {"api_key": f"{KEY}\n"},
        {"api_key": KEY.encode()},
        {"api_key": KEY, "timeout": -1},
        {"default_headers": {"Authorization": f"Bearer {KEY}\n"}},
        {"api_key": "sk-1", "default_query": {"key": f"{KEY}\ud800"}},
        {"api_key": "sk-1", "base_url": f"http://user:{KEY}@localhost"},
        {},
    ],
)
def test_no_frame_shows_the_key_of_a_client_that_cannot_be_created(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    client = AsyncClient(api_key="sk-1")
    for create in (AsyncClient, client.with_options) if options else (AsyncClient,):
        with pytest.raises((TypeError, ValueError)) as caught:
            create(**options)
        assert caught.value.__context__ is None
        _, *frames = traceback.walk_tb(caught.value.__traceback__)
        assert frames
        assert KEY not in repr([frame.f_locals for frame, _ in frames])


@pytest.mark.parametrize("header", ["Authorization", "api-key"])
async def test_two_keys_are_rejected(header: str) -> None:
    headers = {header: "other"}
    with pytest.raises(ValueError, match="^pass either api_key, or .* but not both$"):
        AsyncClient(api_key="sk-1", default_headers=headers)
    async with AsyncClient(api_key="sk-1") as client:
        with pytest.raises(ValueError, match="^pass either api_key, or .* but not both$"):
            client.with_options(api_key="sk-2", default_headers=headers)
        with pytest.raises(ValueError, match="^pass either api_key, or .* but not both$"):
            client.with_options(api_key="sk-2", credential_headers=headers)


async def test_with_options_changes_how_far_ahead_pages_are_fetched(
    sandbox: Sandbox, leaks: None
) -> None:
    async with sandbox.client(prefetch=0) as client:
        with pytest.raises(ValueError, match="^prefetch must be at least 0, not -1$"):
            client.with_options(prefetch=-1)
        ahead = client.with_options(prefetch=1)
        for changed, requests in ((client, 1), (ahead, 2)):
            before = sandbox.stats.requests
            async with changed.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0]) as pager:
                async for _ in pager:
                    break
                await until(lambda: sandbox.stats.requests - before >= requests)  # noqa: B023
            assert sandbox.stats.requests - before == requests


def test_a_client_whose_creation_failed_can_be_shown() -> None:
    # As error reports do with the variables of frames.
    assert repr(AsyncClient.__new__(AsyncClient)) == "<AsyncClient that was not created>"
