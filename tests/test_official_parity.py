"""What the official SDK's tests show of these calls and of the client, shown of this package.

Where the two differ, a row of the table in ``docs/migrating.md`` says so, and the test names it.
"""

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

import asyncckpt
from asyncckpt import (
    NOT_GIVEN,
    APIResponseValidationError,
    APIStatusError,
    AsyncClient,
    BadRequestError,
    FineTuningJob,
    FineTuningJobCheckpoint,
    FineTuningJobEvent,
    NotGiven,
    Omit,
    Page,
    Timeout,
    omit,
)
from asyncckpt.testing import Sandbox, faults

TABLE = (Path(__file__).parent.parent / "docs" / "migrating.md").read_text("utf-8")


def differs(*words: str) -> None:
    """Check that one row of the table has all the words."""
    rows = [line for line in TABLE.splitlines() if line.startswith("|")]
    assert any(all(word in row for word in words) for row in rows), words


def local(**options: Any) -> AsyncClient:
    return AsyncClient(**{"api_key": "My API Key", "base_url": "http://127.0.0.1:4010", **options})


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)


class TestCheckpoints:
    async def test_list(self, sandbox: Sandbox, client: AsyncClient) -> None:
        page = await client.fine_tuning.jobs.checkpoints.list(fine_tuning_job_id=sandbox.job_ids[0])
        assert isinstance(page, Page)
        assert all(isinstance(record, FineTuningJobCheckpoint) for record in page.data)

    async def test_list_with_all_parameters(self, sandbox: Sandbox, client: AsyncClient) -> None:
        job = sandbox.job_ids[0]
        after = sandbox.checkpoints_of(job)[3]["id"]
        await client.fine_tuning.jobs.checkpoints.list(
            fine_tuning_job_id=job,
            after=after,
            limit=2,
            extra_headers={"X-One": "1"},
            extra_query={"my-param": True},
            timeout=5,
        )
        (request,) = sandbox.requests
        assert request.query == {"after": after, "limit": "2", "my-param": "true"}
        assert request.headers["x-one"] == "1"

    async def test_an_empty_id(self, client: AsyncClient) -> None:
        with pytest.raises(ValueError, match="fine_tuning_job_id"):
            await client.fine_tuning.jobs.checkpoints.list(fine_tuning_job_id="")
        with pytest.raises(ValueError, match="fine_tuning_job_id"):
            await client.fine_tuning.jobs.retrieve("")

    async def test_the_raw_response(self, sandbox: Sandbox, client: AsyncClient) -> None:
        differs("with_raw_response", "with_streaming_response", "page.response")
        page = await client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0])
        assert page.response.status_code == 200
        assert page.response.request_id == page.response.headers["x-request-id"]
        body = page.response.json()
        assert isinstance(body, dict)
        assert body["data"][0]["id"] == page.data[0].id

    async def test_a_limit_of_zero(self, client: AsyncClient) -> None:
        differs("limit=0", "ValueError")
        with pytest.raises(ValueError, match="limit"):
            client.fine_tuning.jobs.checkpoints.list("ftjob-1", limit=0)

    async def test_page_by_page(self, sandbox: Sandbox, client: AsyncClient) -> None:
        page = await client.fine_tuning.jobs.checkpoints.list(sandbox.job_ids[0], limit=20)
        info = page.next_page_info()
        assert info is not None
        assert info.params == {"after": page.data[-1].id}
        assert page.has_next_page()
        last = await page.get_next_page()
        assert not last.has_next_page()
        assert [record.id async for record in page] == [
            *(record.id for record in page.data),
            *(record.id for record in last.data),
        ]


class TestJobs:
    async def test_retrieve(self, sandbox: Sandbox, client: AsyncClient) -> None:
        job = await client.fine_tuning.jobs.retrieve(sandbox.job_ids[0])
        assert isinstance(job, FineTuningJob)
        assert job._request_id

    async def test_list_with_all_parameters(self, sandbox: Sandbox, client: AsyncClient) -> None:
        await client.fine_tuning.jobs.list(after=NOT_GIVEN, limit=3, metadata={"foo": "string"})
        (request,) = sandbox.requests
        assert request.query["metadata[foo]"] == "string"
        assert request.query["limit"] == "3"

    async def test_list_events(self, sandbox: Sandbox, client: AsyncClient) -> None:
        job = sandbox.job_ids[0]
        after = sandbox.events_of(job)[2]["id"]
        page = await client.fine_tuning.jobs.list_events(
            fine_tuning_job_id=job, after=after, limit=4
        )
        assert isinstance(page, Page)
        assert all(isinstance(event, FineTuningJobEvent) for event in page.data)
        expected = sandbox.events_of(job)[3:7]
        assert [event.id for event in page.data] == [event["id"] for event in expected]
        (request,) = sandbox.requests
        assert request.query == {"after": after, "limit": "4"}

    @pytest.mark.parametrize("metadata", [None, {}, omit, NOT_GIVEN])
    async def test_no_metadata_is_no_filter(
        self, metadata: Any, sandbox: Sandbox, client: AsyncClient
    ) -> None:
        await client.fine_tuning.jobs.list(metadata=metadata)
        (request,) = sandbox.requests
        assert request.query == {}

    def test_calls_that_are_not_here(self, sandbox: Sandbox, client: AsyncClient) -> None:
        differs("the whole API")
        for name in ("create", "cancel", "pause", "resume", "with_raw_response"):
            assert not hasattr(client.fine_tuning.jobs, name)


class TestCopies:
    def test_a_copy_is_another_client(self) -> None:
        client = local()
        copied = client.copy()
        assert copied is not client
        copied = client.copy(api_key="another-key")
        assert copied.api_key == "another-key"

    @pytest.mark.parametrize("key", ["sk-1\n", " sk-1"])
    def test_keys_with_spaces(self, key: str) -> None:
        assert local().api_key == "My API Key"
        differs("API key with a line break", "ValueError")
        with pytest.raises(ValueError, match="space"):
            AsyncClient(api_key=key)

    def test_options_with_a_default(self) -> None:
        client = local()
        copied = client.copy(max_retries=7)
        assert (copied.max_retries, client.max_retries) == (7, 6)
        assert (copied.copy(max_retries=6).max_retries, copied.max_retries) == (6, 7)
        differs("client.timeout", "asyncckpt.Timeout")
        assert client.copy(timeout=None).timeout == Timeout(total=None, connect=None, read=None)
        assert client.timeout == Timeout()

    def test_default_headers(self) -> None:
        client = local(default_headers={"X-Foo": "bar"})
        assert client.default_headers["X-Foo"] == "bar"
        assert client.copy().default_headers["X-Foo"] == "bar"
        copied = client.copy(default_headers={"X-Bar": "openai"})
        assert (copied.default_headers["X-Foo"], copied.default_headers["X-Bar"]) == (
            "bar",
            "openai",
        )
        assert client.copy(default_headers={"X-Foo": "new"}).default_headers["X-Foo"] == "new"
        client.default_headers["X-Foo"] = "changed"
        assert client.default_headers["X-Foo"] == "bar"

    def test_default_query(self) -> None:
        client = local(default_query={"foo": "bar"})
        assert client.copy().default_query == {"foo": "bar"}
        assert client.copy(default_query={"bar": 1}).default_query == {"foo": "bar", "bar": 1}
        assert client.copy(default_query={"foo": "new"}).default_query == {"foo": "new"}

    @pytest.mark.parametrize("name", ["set_default_headers", "set_default_query", "http_client"])
    def test_options_that_are_not_accepted(self, name: str) -> None:
        differs(name)
        with pytest.raises(TypeError, match=name):
            local().copy(**{name: {}})  # type: ignore[arg-type]

    async def test_a_dropped_copy_closes_nothing(self) -> None:
        client = local()
        copied = client.copy()
        del copied
        gc.collect()
        await asyncio.sleep(0)
        assert not client.is_closed()
        await client.close()
        assert client.is_closed()

    def test_the_key_of_a_copy(self) -> None:
        async def key() -> str:
            return "sk-1"

        assert local().copy(api_key=key).api_key == ""


class TestClient:
    async def test_the_context_manager(self) -> None:
        client = local()
        async with client as entered:
            assert entered is client
            assert not client.is_closed()
            assert not client.is_closed
        assert client.is_closed()
        assert client.is_closed
        assert client.is_closed == True  # noqa: E712  (for those who compare)
        assert repr(client.is_closed) == "True"

    def test_the_base_url(self, monkeypatch: pytest.MonkeyPatch) -> None:
        differs("`base_url` is a URL object")
        monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:5000/from/env")
        assert AsyncClient(api_key="sk-1").base_url == "http://localhost:5000/from/env"
        assert local(base_url="http://localhost:5000/x/").base_url == "http://localhost:5000/x"
        for left_out in (None, NOT_GIVEN, omit):
            made = AsyncClient(api_key="sk-1", base_url=left_out)
            assert made.base_url == "http://localhost:5000/from/env"
        differs("can be assigned", "read-only")
        with pytest.raises(AttributeError):
            made.base_url = "http://localhost"  # type: ignore[misc]

    def test_what_it_was_created_with(self) -> None:
        client = local(organization="org-1", project="proj-1", timeout=3, max_retries=1)
        assert (client.organization, client.project) == ("org-1", "proj-1")
        assert (client.timeout.total, client.max_retries) == (3, 1)
        assert client.copy(organization="", project="").organization is None
        assert local().project is None

    @pytest.mark.parametrize("timeout", [NOT_GIVEN, omit, NotGiven(), Omit()])
    async def test_a_timeout_that_is_left_out(
        self, timeout: Any, sandbox: Sandbox, client: AsyncClient
    ) -> None:
        assert local(timeout=timeout).timeout == Timeout()
        assert local(timeout=3).copy(timeout=timeout).timeout.total == 3
        assert (await client.fine_tuning.jobs.list(timeout=timeout)).data

    def test_max_retries_cannot_be_none(self) -> None:
        with pytest.raises(TypeError, match="max_retries"):
            local(max_retries=None)

    @pytest.mark.parametrize(
        "name",
        [
            "admin_api_key",
            "webhook_secret",
            "workload_identity",
            "provider",
            "data_residency",
            "websocket_base_url",
            "http_client",
            "_strict_response_validation",
            "_enforce_credentials",
        ],
    )
    def test_options_that_are_not_accepted(self, name: str) -> None:
        differs(name)
        with pytest.raises(TypeError, match=name):
            local(**{name: None})

    async def test_queries_of_the_client_and_of_the_call(self, sandbox: Sandbox) -> None:
        async with sandbox.client(default_query={"a": "1", "b": "2"}) as client:
            await client.fine_tuning.jobs.list(extra_query={"b": "3", "c": "4"})
        (request,) = sandbox.requests
        assert request.query == {"a": "1", "b": "3", "c": "4"}

    async def test_headers_of_the_client_and_of_the_call(self, sandbox: Sandbox) -> None:
        async with sandbox.client(default_headers={"X-Foo": "1", "X-Bar": "1"}) as client:
            await client.fine_tuning.jobs.list(extra_headers={"X-Bar": "2"})
        (request,) = sandbox.requests
        assert (request.headers["x-foo"], request.headers["x-bar"]) == ("1", "2")
        differs("X-Stainless")
        assert not [name for name in request.headers if name.startswith("x-stainless")]

    async def test_text_in_place_of_json(self, sandbox: Sandbox) -> None:
        differs("_strict_response_validation", "APIResponseValidationError")
        sandbox.inject(faults.Status(200, body="my-custom-format"))
        async with sandbox.client(max_retries=0) as client:
            with pytest.raises(APIResponseValidationError):
                await client.fine_tuning.jobs.list()

    async def test_a_retry_after_beyond_two_minutes_is_not_waited_for(
        self, sandbox: Sandbox, client: AsyncClient
    ) -> None:
        sandbox.inject(faults.RateLimited(retry_after=121))
        with pytest.raises(APIStatusError):
            await client.fine_tuning.jobs.list()
        assert len(sandbox.requests) == 1

    async def test_a_nonsensical_retry_after_does_not_hide_the_error(
        self, sandbox: Sandbox, client: AsyncClient
    ) -> None:
        headers = {"retry-after": "Fri, 29 Sep 100000 16:26:57 GMT"}
        sandbox.inject(faults.Status(400, body={"error": {"param": "x"}}, headers=headers))
        with pytest.raises(BadRequestError) as caught:
            await client.fine_tuning.jobs.list()
        assert len(sandbox.requests) == 1
        assert caught.value.response.json() == {"error": {"param": "x"}}

    async def test_a_callable_key(self, sandbox: Sandbox) -> None:
        differs("`api_key` callable", "before every attempt")

        async def key() -> str:
            return sandbox.api_key

        async with sandbox.client(api_key=key) as client:
            assert client.api_key == ""
            await client.fine_tuning.jobs.list()
            assert client.api_key == sandbox.api_key

    def test_proxies_of_the_environment(self) -> None:
        differs("proxies of the environment", "trust_env=True", "netrc")

    def test_names_that_are_exported(self) -> None:
        for name in ("NOT_GIVEN", "NotGiven", "Omit", "omit", "Timeout"):
            assert name in asyncckpt.__all__
        assert not NOT_GIVEN
        assert not omit

    async def test_extra_body(self, client: AsyncClient) -> None:
        differs("`extra_body`", "TypeError")
        with pytest.raises(TypeError, match="extra_body"):
            client.fine_tuning.jobs.list(extra_body={})  # type: ignore[call-arg]


class TestAzure:
    """What differs; `test_client_azure.py` compares the requests of both clients."""

    async def test_the_names_of_the_arguments(self) -> None:
        differs("AsyncAzureOpenAI", "azure_endpoint", "for_azure(endpoint=")
        differs("azure_ad_token_provider", "token_provider")
        async with AsyncClient.for_azure(endpoint="https://a.test", api_key="given") as client:
            assert client.api_key == "given"
            assert client.copy(api_key="another").api_key == "another"

    def test_a_fixed_token(self, monkeypatch: pytest.MonkeyPatch) -> None:
        differs("`azure_ad_token`", "AZURE_OPENAI_AD_TOKEN")
        monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", "ey.token")
        assert AsyncClient.for_azure(endpoint="https://a.test").api_key == "ey.token"

    def test_a_deployment(self) -> None:
        differs("azure_deployment", "not accepted")
        create: Any = AsyncClient.for_azure
        with pytest.raises(TypeError, match="azure_deployment"):
            create(endpoint="https://a.test", api_key="a", azure_deployment="gpt-4o")

    @pytest.mark.parametrize(
        ("version", "base_url", "query"),
        [
            ("2024-10-21", "https://a.test/openai", {"api-version": "2024-10-21"}),
            ("preview", "https://a.test/openai/v1", {"api-version": "preview"}),
            (None, "https://a.test/openai/v1", {}),
        ],
    )
    def test_the_version(self, version: str | None, base_url: str, query: dict[str, str]) -> None:
        differs("`api_version` is required", "v1 API")
        differs('api_version="preview"', "/openai/v1")
        client = AsyncClient.for_azure(endpoint="https://a.test", api_key="a", api_version=version)
        assert (client.base_url, client.default_query) == (base_url, query)

    def test_the_endpoint(self) -> None:
        differs("`azure_endpoint` of a resource", "/openai")
        project = "https://a.services.ai.azure.com/api/projects/b"
        client = AsyncClient.for_azure(endpoint=f"{project}/openai/v1/", api_key="a")
        assert client.base_url == f"{project}/openai/v1"

    def test_when_a_token_provider_is_called(self) -> None:
        differs("azure_ad_token_provider", "before every request", "before the token expires")
        differs("azure_ad_token_provider", "not async", "in a thread")


def test_what_pages_and_records_do_differently_is_documented() -> None:
    differs("model_dump()", "to_dict()", "unstructure")
    differs("model_dump_json()", "dumps", "bytes")
    differs("grader", "dict")
    differs("page._request_id", "page.response.request_id")
    differs("has_next_page()", "PaginationError")
    differs("a job record instead of an id", "TypeError")
    differs("job id is percent-encoded", "spaces")
    differs("metadata=None", '"null"')
