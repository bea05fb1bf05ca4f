"""Which server the command uses, and how it authenticates."""

import pytest

from asyncckpt.testing import Sandbox

from support.programs import Run, ids_of


def test_the_key_can_be_in_another_variable(
    served: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("OTHER_KEY", served.api_key)
    job = served.job_ids[0]
    assert run("list", job, "--api-key-env", "OTHER_KEY").ids == ids_of(served, job)


def test_a_missing_key_is_2(served: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    ran = run("list", served.job_ids[0])
    assert ran.code == 2
    assert "OPENAI_API_KEY" in ran.err
    assert "--sandbox" in ran.err


@pytest.fixture
def azure(served: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A sandbox that the environment names as Azure's, and nothing else."""
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", f"{served.origin}/")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", served.api_key)
    return served


def test_azure_is_used_if_the_environment_has_nothing_else(azure: Sandbox, run: Run) -> None:
    job = azure.job_ids[0]
    assert run("list", job).ids == ids_of(azure, job)
    assert run("jobs").ids == azure.job_ids
    for request in azure.requests:
        assert request.path.startswith("/openai/v1/fine_tuning/jobs")
        assert "api-key" in request.headers
        assert "authorization" not in request.headers


def test_azure_is_configured_as_in_the_library(
    azure: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "not-used")
    monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", azure.api_key)
    job = azure.job_ids[0]
    assert run("list", job).ids == ids_of(azure, job)
    for request in azure.requests:
        assert request.path.startswith("/openai/fine_tuning/jobs")
        assert request.query["api-version"] == "2024-10-21"
        assert "authorization" in request.headers


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "OPENAI_BASE_URL"])
def test_azure_is_used_on_request_if_the_environment_has_more(
    name: str, azure: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:1")
    job = azure.job_ids[0]
    assert run("list", job, "--azure").ids == ids_of(azure, job)
    assert run("list", job, "--max-retries", "0").code != 0


def test_the_endpoint_and_the_variable_of_the_key_can_be_arguments(
    azure: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("OTHER_KEY", azure.api_key)
    job, endpoint = azure.job_ids[0], f"{azure.origin}/openai/v1"
    ran = run("list", job, "--azure", "--base-url", endpoint, "--api-key-env", "OTHER_KEY")
    assert ran.ids == ids_of(azure, job)


@pytest.mark.parametrize(
    ("unset", "says"),
    [
        ("AZURE_OPENAI_ENDPOINT", "set AZURE_OPENAI_ENDPOINT or pass --base-url"),
        ("AZURE_OPENAI_API_KEY", "set AZURE_OPENAI_API_KEY to your key, or AZURE_OPENAI_AD_TOKEN"),
    ],
)
def test_what_azure_lacks_is_2(
    unset: str, says: str, azure: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(unset)
    ran = run("list", azure.job_ids[0], "--azure")
    assert ran.code == 2
    assert says in ran.err


def test_an_endpoint_that_is_none_is_2(
    azure: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://ai.azure.com/")
    ran = run("list", azure.job_ids[0])
    assert ran.code == 2
    assert "AZURE_OPENAI_ENDPOINT is the URL of a web page" in ran.err


GATEWAY = "x-portkey-api-key=PORTKEY_API_KEY"


def test_a_gateway_has_a_header_of_its_own(
    served: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTKEY_API_KEY", "pk-of-the-gateway")
    monkeypatch.setenv("PROVIDER_KEY", served.api_key)
    ran = run("jobs", "--header-env", GATEWAY, "--api-key-env", "PROVIDER_KEY")
    assert ran.ids == served.job_ids
    assert {"x-portkey-api-key", "authorization"} <= served.requests[0].headers.keys()


def test_the_key_of_the_environment_is_not_sent_to_a_gateway(
    served: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTKEY_API_KEY", "pk-of-the-gateway")
    second = ["--header-env", "cf-aig-authorization=PORTKEY_API_KEY"]
    assert run("jobs", "--header-env", GATEWAY, *second).code == 1
    (request,) = served.requests
    assert {"x-portkey-api-key", "cf-aig-authorization"} <= request.headers.keys()
    assert "authorization" not in request.headers


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("x-portkey-api-key=pk-the-secret-itself", "the variable is not set"),
        ("x-portkey-api-key: pk-the-secret-itself", "takes HEADER=VARIABLE"),
        ("pk-the-secret-itself", "takes HEADER=VARIABLE"),
        ("=PORTKEY_API_KEY", "takes HEADER=VARIABLE"),
        ("no header=PORTKEY_API_KEY", "'no header' is not a valid header name"),
    ],
)
def test_a_wrong_credential_header_is_2_and_shows_no_secret(
    argument: str, says: str, served: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTKEY_API_KEY", "pk-of-the-gateway")
    ran = run("jobs", "--header-env", argument)
    assert ran.code == 2
    assert says in ran.err
    assert "pk-" not in ran.err


@pytest.mark.parametrize(
    "option", [["--base-url", "http://a.test"], ["--azure"], ["--header-env", GATEWAY]]
)
def test_a_sandbox_needs_none_of_it(option: list[str], run: Run) -> None:
    ran = run("list", "--sandbox", *option)
    assert ran.code == 2
    assert f"--sandbox and {option[0]} cannot be combined" in ran.err
