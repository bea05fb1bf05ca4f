"""A client for Azure: what it sends, and that it behaves like the official one."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import aiohttp
import azure.identity
import azure.identity.aio
import openai
import pytest

from asyncckpt import AsyncClient, AuthenticationError, OpenAIError, omit
from asyncckpt.testing import Sandbox, faults
from asyncckpt.transport import credentials

from support.credentials import AsyncCredential, Credential
from support.listing import list_ids, served_ids
from support.secrets import KEY, Keys, all_that_shows
from support.servers import keep_heads, serving

AUTHENTICATING = ("api-key", "authorization")
SCOPE = "https://cognitiveservices.azure.com/.default"


def azure_client(sandbox: Sandbox, **options: Any) -> AsyncClient:
    return AsyncClient.for_azure(**{"endpoint": sandbox.azure_url, **options})


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("", None),
        ("/", None),
        ("/openai", None),
        ("/openai/v1/", None),
        ("/openai/v1/fine_tuning/jobs", None),
        ("/api/projects/my-project", None),
        ("/api/projects/my-project", "2024-10-21"),
        ("", "2024-10-21"),
        ("/openai/", "2024-10-21"),
        ("/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21", None),
    ],
)
async def test_every_form_of_the_endpoint_lists(
    path: str, version: str | None, sandbox: Sandbox, leaks: None
) -> None:
    job = sandbox.job_ids[0]
    async with azure_client(
        sandbox, endpoint=sandbox.origin + path, api_key=sandbox.api_key, api_version=version
    ) as client:
        assert await list_ids(client, job) == served_ids(sandbox, job)
        page = await client.fine_tuning.jobs.checkpoints.list(job)
    assert (page.first_id, page.last_id, page.has_more) == (None, None, True)
    dated = version is not None or "deployments" in path
    for request in sandbox.requests:
        assert ("/openai/fine_tuning/" if dated else "/openai/v1/fine_tuning/") in request.path
        assert request.path.startswith("/api/projects/") is ("projects" in path)
        assert request.query.get("api-version") == ("2024-10-21" if dated else None)
        assert "api-key" in request.headers
        assert "authorization" not in request.headers


@pytest.mark.parametrize("version", [None, "2024-10-21"])
@pytest.mark.parametrize("path", ["", "/api/projects/my-project"])
async def test_every_call_works(path: str, version: str | None) -> None:
    async with (
        Sandbox(profile="azure") as sandbox,
        AsyncClient.for_azure(
            endpoint=f"{sandbox.origin}{path}", api_key=sandbox.api_key, api_version=version
        ) as client,
    ):
        jobs, job = client.fine_tuning.jobs, sandbox.job_ids[0]
        assert [record.id async for record in jobs.list()] == sandbox.job_ids
        assert (await jobs.retrieve(job)).id == job
        assert (await jobs.list_events(job)).data
        steps = [step.step async for step in jobs.step_metrics(job)]
        assert steps == sorted(set(steps))
        assert steps
        best = await jobs.checkpoints.best(job)
        listed = {record.id async for record in jobs.checkpoints.list_many(jobs.list())}
        assert {best.checkpoint.id, *served_ids(sandbox, job)} <= listed
        assert sandbox.stats.answers.keys() == {200}


async def test_it_is_configured_by_the_environment(
    sandbox: Sandbox, leaks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/not-for-azure")
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", sandbox.origin)
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", sandbox.api_key)
    monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
    async with AsyncClient.for_azure() as client:
        assert client.base_url == f"{sandbox.origin}/openai"
        assert client.default_query == {"api-version": "2024-10-21"}
        assert (await client.fine_tuning.jobs.list()).data


async def test_the_other_options_are_those_of_any_client(sandbox: Sandbox, leaks: None) -> None:
    async with azure_client(
        sandbox,
        api_key=sandbox.api_key,
        api_version="2024-10-21",
        timeout=5,
        max_retries=1,
        default_headers={"X-Team": "search"},
        default_query={"api-version": "2023-05-15", "code": "1"},
    ) as client:
        assert (client.timeout.total, client.max_retries) == (5, 1)
        await client.fine_tuning.jobs.list()
    (request,) = sandbox.requests
    assert request.headers["x-team"] == "search"
    assert request.query == {"api-version": "2024-10-21", "code": "1"}


async def test_a_copy_sends_its_key_in_the_same_header(sandbox: Sandbox, leaks: None) -> None:
    async with azure_client(
        sandbox, token_provider=lambda: KEY, api_version="2024-10-21"
    ) as client:
        changed = client.with_options(api_key=sandbox.api_key)
        assert changed.api_key == sandbox.api_key
        await changed.fine_tuning.jobs.list()
        await changed.with_options(api_key=Keys(sandbox.api_key)).fine_tuning.jobs.list()
        await client.with_options(
            default_headers={"Authorization": f"Bearer {sandbox.api_key}"}
        ).fine_tuning.jobs.list()
        with pytest.raises(AuthenticationError):
            await changed.fine_tuning.jobs.list(extra_headers={"API-Key": omit})
    sent = [{"authorization", "api-key"} & request.headers.keys() for request in sandbox.requests]
    assert sent == [{"api-key"}, {"api-key"}, {"authorization"}, set()]


async def test_a_gateway_in_front_of_azure_has_a_header_of_its_own(
    sandbox: Sandbox, leaks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    gateway = {"Ocp-Apim-Subscription-Key": "of-the-gateway"}
    async with azure_client(sandbox, credential_headers=gateway) as client:
        with pytest.raises(AuthenticationError):
            await client.fine_tuning.jobs.list()
    async with azure_client(
        sandbox, credential_headers=gateway, token_provider=lambda: sandbox.api_key
    ) as client:
        await client.fine_tuning.jobs.list()
    first, second = (request.headers.keys() for request in sandbox.requests)
    assert "ocp-apim-subscription-key" in first & second
    assert not {"api-key", "authorization"} & first
    assert "authorization" in second


@pytest.mark.filterwarnings(r"ignore:.*\bdeprecated\b:DeprecationWarning")
async def test_a_lent_session_may_authenticate_in_the_header_that_a_key_leaves_free(
    sandbox: Sandbox, leaks: None
) -> None:
    async with aiohttp.ClientSession(auth=aiohttp.BasicAuth("us", "pass")) as session:
        client = azure_client(sandbox, api_key=sandbox.api_key, session=session)
        assert (await client.fine_tuning.jobs.list()).data
        with pytest.raises(ValueError, match="session has auth="):
            azure_client(sandbox, token_provider=lambda: KEY, session=session)


async def test_the_key_does_not_follow_a_redirect_to_another_origin(
    sandbox: Sandbox, leaks: None
) -> None:
    heads: list[str] = []
    async with serving(keep_heads(heads)) as elsewhere:
        sandbox.inject(faults.Redirect(location=f"{elsewhere.url}/openai/v1/fine_tuning/jobs"))
        async with azure_client(sandbox, api_key=sandbox.api_key) as client:
            await client.fine_tuning.jobs.list()
    assert "api-key" in sandbox.requests[0].headers
    assert "api-key" not in heads[0].lower()


class TestTokens:
    @pytest.mark.parametrize("is_async", [False, True])
    async def test_a_provider_is_called_once_for_many_requests(
        self, is_async: bool, sandbox: Sandbox, leaks: None
    ) -> None:
        threads: list[int] = []

        def provider() -> str:
            threads.append(threading.get_ident())
            return sandbox.api_key

        async def async_provider() -> str:
            return provider()

        async with azure_client(
            sandbox, token_provider=async_provider if is_async else provider
        ) as client:
            await asyncio.gather(*(list_ids(client, job) for job in sandbox.job_ids))
            assert client.api_key == sandbox.api_key
        assert sandbox.stats.answers.keys() == {200}
        assert len(threads) == 1
        # One that is not async may block, so it is kept out of the event loop.
        assert (threads[0] == threading.get_ident()) is is_async

    async def test_fifty_rejections_at_once_ask_for_one_new_token(
        self, sandbox: Sandbox, leaks: None
    ) -> None:
        tokens = iter(["ey.old-token", "ey.new-token"])
        sandbox.api_key = "ey.old-token"
        sandbox.latency = 0.01
        async with azure_client(
            sandbox, token_provider=lambda: next(tokens), max_retries=0
        ) as client:
            job = sandbox.job_ids[0]
            await list_ids(client, job)
            sandbox.api_key = "ey.new-token"
            lists = await asyncio.gather(*(list_ids(client, job) for _ in range(50)))
        assert lists == [served_ids(sandbox, job)] * 50
        assert sandbox.stats.answers[401] > 1

    async def test_a_token_that_is_due_is_replaced_without_a_rejection(
        self, sandbox: Sandbox, leaks: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys = Keys("ey.first-token", "ey.second-token")
        sandbox.api_key = "ey.first-token"
        async with azure_client(sandbox, token_provider=keys) as client:
            with monkeypatch.context() as patch:
                patch.setattr(credentials, "_ASK_AGAIN_AFTER", 0.0)
                await client.fine_tuning.jobs.list()
            sandbox.api_key = "ey.second-token"
            await asyncio.gather(*(list_ids(client, job) for job in sandbox.job_ids))
        assert sandbox.stats.answers.keys() == {200}
        assert keys.asked == 2

    async def test_a_provider_that_fails(self, sandbox: Sandbox, leaks: None) -> None:
        def provider() -> str:
            raise LookupError("no identity is assigned to this machine")

        async with azure_client(sandbox, token_provider=provider) as client:
            with pytest.raises(LookupError, match="no identity"):
                await client.fine_tuning.jobs.list()
        assert sandbox.requests == []

    @pytest.mark.parametrize("wrong", [None, 5, "", f"{KEY}\n"])
    async def test_a_provider_that_returns_no_token(
        self, wrong: Any, sandbox: Sandbox, leaks: None
    ) -> None:
        async with azure_client(sandbox, token_provider=lambda: wrong) as client:
            with pytest.raises((TypeError, ValueError), match="^the token provider ") as caught:
                await client.fine_tuning.jobs.list()
        assert not [text for text in all_that_shows(caught.value) if KEY in text]


class TestAzureIdentity:
    @pytest.mark.parametrize("is_async", [False, True])
    async def test_its_providers_work_unchanged(
        self, is_async: bool, sandbox: Sandbox, leaks: None
    ) -> None:
        made: Any = (AsyncCredential if is_async else Credential)(sandbox.api_key)
        module: Any = azure.identity.aio if is_async else azure.identity
        provider = module.get_bearer_token_provider(made, SCOPE)
        async with azure_client(sandbox, token_provider=provider) as client:
            await asyncio.gather(*(list_ids(client, job) for job in sandbox.job_ids))
        assert made.asked == [(SCOPE,)]
        assert sandbox.stats.answers.keys() == {200}

    @pytest.mark.parametrize("is_async", [False, True])
    async def test_a_method_of_a_credential_works_too(
        self, is_async: bool, sandbox: Sandbox, leaks: None
    ) -> None:
        made: Any = (AsyncCredential if is_async else Credential)(sandbox.api_key)
        async with azure_client(sandbox, token_provider=lambda: made.get_token(SCOPE)) as client:
            assert (await client.fine_tuning.jobs.list()).data

    def test_a_credential_is_not_a_provider(self) -> None:
        wrong: Any = Credential(KEY)
        with pytest.raises(TypeError, match="callable, not Credential; .* get_bearer_token_provid"):
            AsyncClient.for_azure(endpoint="https://a.test", token_provider=wrong)


def essence_of(head: str) -> tuple[str, set[str]]:
    """Return the first line of a request, and what of its headers authenticates."""
    first, *lines = head.strip().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return first, {
        f"{name}: {headers[name]}" for name in ("api-key", "authorization") if name in headers
    }


async def token() -> str:
    return "ey.given"


OFFICIAL_NAMES = {
    "endpoint": "azure_endpoint",
    "token_provider": "azure_ad_token_provider",
    "api_key": "api_key",
    "api_version": "api_version",
    "default_headers": "default_headers",
    "default_query": "default_query",
}
VERSION = {"OPENAI_API_VERSION": "2024-10-21"}
BOTH = {"AZURE_OPENAI_API_KEY": "of-azure", "AZURE_OPENAI_AD_TOKEN": "ey.of-the-environment"}


class TestLikeTheOfficialClient:
    @pytest.mark.parametrize(
        ("given", "environ"),
        [
            ({"api_key": "given", "api_version": "2024-10-21"}, {}),
            ({"api_key": "given", "api_version": "2024-06-01"}, VERSION),
            ({"token_provider": token}, VERSION),
            ({"token_provider": lambda: "ey.given"}, {**VERSION, **BOTH}),
            ({"api_key": token}, {**VERSION, **BOTH}),
            ({"api_key": "given"}, {**VERSION, **BOTH}),
            ({}, {**VERSION, **BOTH}),
            ({}, {**VERSION, "AZURE_OPENAI_API_KEY": "of-azure", "OPENAI_API_KEY": "of-openai"}),
            ({}, {**VERSION, **BOTH, "OPENAI_BASE_URL": "http://127.0.0.1:1"}),
            ({"api_key": "given", "default_query": {"a": "1", "api-version": "x"}}, VERSION),
        ],
    )
    async def test_it_sends_the_same(
        self, given: dict[str, Any], environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        heads: list[str] = []
        async with serving(keep_heads(heads)) as server:
            monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", server.url)
            official_arguments = {OFFICIAL_NAMES[name]: value for name, value in given.items()}
            async with openai.AsyncAzureOpenAI(**official_arguments) as official:
                await official.fine_tuning.jobs.checkpoints.list("ftjob-1")
            async with AsyncClient.for_azure(**given) as ours:
                await ours.fine_tuning.jobs.checkpoints.list("ftjob-1")
                assert f"{ours.base_url}/" == str(official.base_url)
        theirs, mine = map(essence_of, heads)
        assert mine == theirs
        assert len(mine[1]) == 1

    @pytest.mark.parametrize(
        ("given", "environ"),
        [
            ({"endpoint": "https://a.test"}, VERSION),
            ({"endpoint": "https://a.test", "api_key": "a", "token_provider": token}, VERSION),
            ({"api_key": "a"}, VERSION),
        ],
    )
    def test_it_rejects_the_same(
        self, given: dict[str, Any], environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        official_arguments = {OFFICIAL_NAMES[name]: value for name, value in given.items()}
        with pytest.raises((openai.OpenAIError, ValueError)) as theirs:
            openai.AsyncAzureOpenAI(**official_arguments)
        with pytest.raises((OpenAIError, ValueError)) as ours:
            AsyncClient.for_azure(**given)
        assert isinstance(theirs.value, openai.OpenAIError) is isinstance(ours.value, OpenAIError)

    @pytest.mark.parametrize(
        ("official", "ours"),
        [
            ("base_url", "endpoint"),
            ("azure_endpoint", "endpoint"),
            ("azure_ad_token", "token_provider"),
            ("azure_ad_token_provider", "token_provider"),
        ],
    )
    def test_an_argument_with_another_name_is_pointed_out(self, official: str, ours: str) -> None:
        create: Callable[..., AsyncClient] = AsyncClient.for_azure
        with pytest.raises(TypeError, match=f"unexpected .* '{official}'; did you mean '{ours}'"):
            create(endpoint="https://a.test", api_key="a", **{official: None})
        with pytest.raises(TypeError, match="unexpected keyword argument 'azure_deployment'"):
            create(endpoint="https://a.test", api_key="a", azure_deployment="gpt-4o")
