"""Where Azure's API is, and how to authenticate to it."""

from typing import Any

import pytest

from asyncckpt import OpenAIError
from asyncckpt.azure import azure_credentials, azure_url

RESOURCE = "https://my-resource.openai.azure.com"
FOUNDRY = "https://my-resource.services.ai.azure.com"
PROJECT = f"{FOUNDRY}/api/projects/my-project"
DATED = "2024-10-21"


def url_of(
    endpoint: str | None, api_version: str | None = None, **environ: str
) -> tuple[str, dict[str, str]]:
    return azure_url(endpoint, api_version, environ)


class TestURL:
    @pytest.mark.parametrize(
        ("endpoint", "base"),
        [
            (RESOURCE, RESOURCE),
            (f"{RESOURCE}/", RESOURCE),
            (f"{RESOURCE}//", RESOURCE),
            (f"{RESOURCE}/openai", RESOURCE),
            (f"{RESOURCE}/openai/", RESOURCE),
            (f"{RESOURCE}/openai/v1", RESOURCE),
            (f"{RESOURCE}/openai/v1/", RESOURCE),
            (f"{RESOURCE}/openai/v1/chat/completions", RESOURCE),
            (f"{RESOURCE}/openai/v1/fine_tuning/jobs?limit=5", RESOURCE),
            (f"{RESOURCE}/openai/deployments/gpt-4o/chat/completions", RESOURCE),
            (f"{RESOURCE}/openai/v1?api-version=v1", RESOURCE),
            # The portal copies one of the dated API with it.
            (f"{RESOURCE}/openai/v1/responses?api-version=2025-04-01-preview", RESOURCE),
            (FOUNDRY, FOUNDRY),
            (f"{FOUNDRY}/openai/v1/", FOUNDRY),
            (PROJECT, PROJECT),
            (f"{PROJECT}/", PROJECT),
            (f"{PROJECT}/openai/v1/", PROJECT),
            (f"{PROJECT}/agents/asst_1", PROJECT),
            (f"{FOUNDRY}/api/projects/openai", f"{FOUNDRY}/api/projects/openai"),
            (f"{FOUNDRY}/api/projects/openai/openai/v1", f"{FOUNDRY}/api/projects/openai"),
            ("https://my-resource.cognitiveservices.azure.com/", None),
            ("https://swedencentral.api.cognitive.microsoft.com/", None),
            ("https://my-resource.openai.azure.us", None),
            ("https://apim.azure-api.net/team-a", None),
            ("https://apim.azure-api.net/team-a/openai", "https://apim.azure-api.net/team-a"),
            ("http://127.0.0.1:8080", None),
        ],
    )
    def test_without_a_version_it_is_the_v1_api(self, endpoint: str, base: str | None) -> None:
        assert url_of(endpoint) == (f"{base or endpoint.rstrip('/')}/openai/v1", {})

    @pytest.mark.parametrize(
        ("endpoint", "base"),
        [
            (RESOURCE, RESOURCE),
            (f"{RESOURCE}/openai/", RESOURCE),
            (f"{RESOURCE}/openai/deployments/gpt-4o/chat/completions", RESOURCE),
            (PROJECT, PROJECT),
            (f"{PROJECT}/openai", PROJECT),
        ],
    )
    def test_with_a_date_it_is_the_dated_api(self, endpoint: str, base: str) -> None:
        dated = f"{base}/openai", {"api-version": DATED}
        assert url_of(endpoint, DATED) == dated
        assert url_of(endpoint, OPENAI_API_VERSION=DATED) == dated
        assert url_of(f"{endpoint}?api-version={DATED}") == dated
        assert url_of(endpoint, f"{DATED}-preview")[1] == {"api-version": f"{DATED}-preview"}

    @pytest.mark.parametrize("version", ["preview", "latest"])
    def test_versions_of_the_v1_api(self, version: str) -> None:
        v1 = f"{RESOURCE}/openai/v1", {"api-version": version}
        assert url_of(RESOURCE, version) == v1
        assert url_of(f"{RESOURCE}/openai/v1", version) == v1
        assert url_of(f"{RESOURCE}/openai/v1", OPENAI_API_VERSION=version) == v1

    def test_the_argument_comes_before_the_url_and_the_url_before_the_environment(self) -> None:
        endpoint = f"{RESOURCE}?api-version=2024-06-01"
        assert url_of(endpoint, DATED, OPENAI_API_VERSION="2023-05-15")[1]["api-version"] == DATED
        assert url_of(endpoint, OPENAI_API_VERSION=DATED)[1]["api-version"] == "2024-06-01"
        assert url_of(f"{RESOURCE}?api-version=", OPENAI_API_VERSION="") == (
            f"{RESOURCE}/openai/v1",
            {},
        )

    def test_the_version_of_the_environment_is_not_for_an_endpoint_of_the_v1_api(self) -> None:
        v1 = f"{RESOURCE}/openai/v1"
        assert url_of(v1, OPENAI_API_VERSION=DATED) == (v1, {})
        with pytest.raises(ValueError, match="^api_version 2024-10-21 and an endpoint with /open"):
            url_of(v1, DATED)

    def test_the_endpoint_of_the_environment(self) -> None:
        assert url_of(None, AZURE_OPENAI_ENDPOINT=RESOURCE)[0] == f"{RESOURCE}/openai/v1"
        assert url_of(FOUNDRY, AZURE_OPENAI_ENDPOINT=RESOURCE)[0] == f"{FOUNDRY}/openai/v1"
        for nothing in ({}, {"AZURE_OPENAI_ENDPOINT": ""}):
            with pytest.raises(ValueError, match=r"^pass endpoint=\.\.\., or set AZURE_OPENAI_END"):
                url_of(None, **nothing)

    def test_other_query_parameters_are_kept(self) -> None:
        assert url_of(f"{RESOURCE}?code=a%2Fb")[1] == {"code": "a/b"}

    @pytest.mark.parametrize(
        ("endpoint", "problem"),
        [
            ("", "endpoint is empty"),
            (" https://my-resource.openai.azure.com", "contains a space"),
            ("my-resource", "endpoint must be an http.* https://my-resource.openai.azure.com"),
            ("my-resource.openai.azure.com", "endpoint must be an http"),
            ("https://ai.azure.com/foundryProject/overview?wsid=1", "the URL of a web page"),
            ("https://oai.azure.com", "the URL of a web page"),
            ("https://portal.azure.com/", "the URL of a web page"),
            (f"{FOUNDRY}/api/projects", "lacks the name of the project"),
            (f"{FOUNDRY}/models/chat/completions", "a path that is not one of Azure OpenAI"),
            (f"{PROJECT}/applications/a/protocols/openai/responses", "a path that is not one of"),
            (f"{RESOURCE}/v1", "a path that is not one of Azure OpenAI"),
            (f"{RESOURCE}/openai/v1/fine_tuning/jobs?after=ftjob-1", "endpoint must not have 'aft"),
            ("https://user:password@my-resource.openai.azure.com", "must not contain credentials"),
        ],
    )
    def test_endpoints_that_are_none(self, endpoint: str, problem: str) -> None:
        with pytest.raises(ValueError, match=problem) as caught:
            url_of(endpoint)
        assert "password" not in str(caught.value)
        if endpoint:
            with pytest.raises(
                ValueError, match=problem.replace("endpoint", "AZURE_OPENAI_ENDPOINT")
            ):
                url_of(None, AZURE_OPENAI_ENDPOINT=endpoint)

    @pytest.mark.parametrize("version", ["", "2024", "2024-10-21 ", "v2", "2024-10-21-beta"])
    def test_versions_that_are_none(self, version: str) -> None:
        with pytest.raises(ValueError, match="^api_version must be a version such as '2024-10-21'"):
            url_of(RESOURCE, version)
        if version:
            with pytest.raises(ValueError, match="^OPENAI_API_VERSION must be a version"):
                url_of(RESOURCE, OPENAI_API_VERSION=version)

    def test_what_is_not_a_string(self) -> None:
        wrong: Any = 5
        with pytest.raises(TypeError, match="^endpoint must be a string, not int"):
            url_of(wrong)
        with pytest.raises(TypeError, match="^api_version must be a string, not int"):
            url_of(RESOURCE, wrong)


def sent_with(
    api_key: Any = None,
    token_provider: Any = None,
    headers: dict[str, str] | None = None,
    *,
    is_key_needed: bool = True,
    **environ: str,
) -> dict[str, str]:
    """Return the headers that authenticate a request."""
    credentials = azure_credentials(
        api_key, token_provider, headers or {}, environ, is_key_needed=is_key_needed
    )
    return dict(credentials.authorize({}))


class TestCredentials:
    def test_a_key(self) -> None:
        assert sent_with("of-azure") == {"api-key": "of-azure"}
        assert sent_with(AZURE_OPENAI_API_KEY="of-azure") == {"api-key": "of-azure"}

    def test_a_token_of_the_environment_comes_before_a_key(self) -> None:
        environ = {"AZURE_OPENAI_API_KEY": "of-azure", "AZURE_OPENAI_AD_TOKEN": "ey.token"}
        assert sent_with(**environ) == {"Authorization": "Bearer ey.token"}
        environ["AZURE_OPENAI_AD_TOKEN"] = ""
        assert sent_with(**environ) == {"api-key": "of-azure"}

    def test_an_argument_comes_before_the_environment(self) -> None:
        environ = {"AZURE_OPENAI_API_KEY": "of-azure", "AZURE_OPENAI_AD_TOKEN": "ey.token"}
        assert sent_with("given", **environ) == {"api-key": "given"}
        # It has not been called yet.
        assert sent_with(None, lambda: "ey.given", **environ) == {}
        assert sent_with(None, None, {"Authorization": "Bearer x"}, **environ) == {}
        assert sent_with(is_key_needed=False, **environ) == {}

    def test_the_key_of_a_copy_is_sent_in_the_same_header(self) -> None:
        credentials = azure_credentials(None, lambda: "ey.token", {}, {}, is_key_needed=True)
        assert credentials.header == "Authorization"
        assert credentials.replaced("of-azure").authorize({}) == {"api-key": "of-azure"}
        assert credentials.replaced(None).header is None

    @pytest.mark.parametrize(
        "given",
        [
            ("of-azure", lambda: "ey.token"),
            ("of-azure", None, {"Authorization": "Bearer x"}),
            ("of-azure", None, {"API-Key": "x"}),
            (None, lambda: "ey.token", {"api-key": "x"}),
        ],
    )
    def test_two_of_them(self, given: tuple[Any, ...]) -> None:
        with pytest.raises(OpenAIError, match="^pass only one of api_key, token_provider and"):
            sent_with(*given)

    def test_none(self) -> None:
        with pytest.raises(OpenAIError, match="^no credentials for Azure: .* AZURE_OPENAI_API_KEY"):
            sent_with(OPENAI_API_KEY="of-openai")

    @pytest.mark.parametrize("wrong", ["ey.token", object()])
    def test_a_provider_that_cannot_be_called(self, wrong: object) -> None:
        with pytest.raises(TypeError, match="^token_provider must be callable.*get_bearer"):
            sent_with(None, wrong)

    @pytest.mark.parametrize("name", ["AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN"])
    def test_a_key_that_cannot_be_sent(self, name: str) -> None:
        with pytest.raises(ValueError, match=f"^{name} is empty, or contains") as caught:
            sent_with(**{name: "sk-hidden\n"})
        assert "hidden" not in str(caught.value)
