"""What a client is configured with: its credentials, scope, hooks and session."""

from typing import Any

import aiohttp
import pytest

from asyncckpt import OpenAIError
from asyncckpt.configuration import (
    DEFAULT_CONNECTION_LIMIT,
    checked_hooks,
    credentials_from,
    scope_headers,
    session_manager,
)
from asyncckpt.transport.credentials import Credentials


class TestCredentials:
    @pytest.fixture(autouse=True)
    def key_in_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-environment")

    def test_an_argument_comes_before_the_environment(self) -> None:
        assert credentials_from("sk-1", {}, is_key_needed=True).key == "sk-1"
        assert credentials_from(None, {}, is_key_needed=True).key == "sk-environment"

    @pytest.mark.parametrize("header", ["Authorization", "API-Key"])
    def test_headers_that_authenticate_keep_the_key_of_the_environment_out(
        self, header: str
    ) -> None:
        assert credentials_from(None, {header: "x"}, is_key_needed=True).header is None
        assert credentials_from(None, {"x-other": "x"}, is_key_needed=True).header is not None

    def test_a_client_that_needs_no_key_takes_none_from_the_environment(self) -> None:
        assert credentials_from(None, {}, is_key_needed=False).header is None

    def test_credentials_are_returned_as_they_are(self) -> None:
        given = Credentials("sk-1")
        assert credentials_from(given, {"Authorization": "x"}, is_key_needed=True) is given

    @pytest.mark.parametrize("value", [None, ""])
    def test_a_missing_key_is_an_error_that_says_what_to_do(
        self, value: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("OPENAI_API_KEY")
        if value is not None:
            monkeypatch.setenv("OPENAI_API_KEY", value)
        with pytest.raises(OpenAIError, match=r"^no API key: pass api_key=.*Sandbox\)$"):
            credentials_from(None, {}, is_key_needed=True)

    def test_an_invalid_key_of_the_environment_is_named_after_its_variable(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-1\n")
        with pytest.raises(ValueError, match="^OPENAI_API_KEY "):
            credentials_from(None, {}, is_key_needed=True)


ENVIRONMENT = {"OPENAI_ORG_ID": "org-e", "OPENAI_PROJECT_ID": "proj-e"}


@pytest.mark.parametrize(
    ("organization", "project", "environ", "headers"),
    [
        (None, None, {}, {}),
        ("org-1", "proj-1", {}, {"OpenAI-Organization": "org-1", "OpenAI-Project": "proj-1"}),
        (None, None, ENVIRONMENT, {"OpenAI-Organization": "org-e", "OpenAI-Project": "proj-e"}),
        ("org-1", None, ENVIRONMENT, {"OpenAI-Organization": "org-1", "OpenAI-Project": "proj-e"}),
        # An empty string takes back what is in the environment.
        ("", "proj-1", ENVIRONMENT, {"OpenAI-Project": "proj-1"}),
        ("", "", ENVIRONMENT, {}),
    ],
)
def test_organization_and_project(
    organization: str | None,
    project: str | None,
    environ: dict[str, str],
    headers: dict[str, str],
) -> None:
    assert scope_headers(organization, project, environ) == headers


def test_an_organization_must_fit_in_a_header() -> None:
    with pytest.raises(ValueError, match="^organization and project: "):
        scope_headers("org\n", None, {})


def test_a_client_without_hooks_has_none() -> None:
    assert checked_hooks(None) is None
    assert checked_hooks([lambda event: None]) is not None
    with pytest.raises(TypeError, match="hooks"):
        checked_hooks(5)  # type: ignore[arg-type]


class TestSession:
    def manager(self, session: aiohttp.ClientSession | None = None, **changes: Any) -> Any:
        options: dict[str, Any] = {
            "connection_limit": None,
            "ssl": True,
            "trust_env": False,
            "trace_configs": (),
            **changes,
        }
        return session_manager(session, **options, sends_authorization=True)

    @pytest.mark.parametrize("limit", [None, 3])
    def test_the_connection_limit(self, limit: int | None) -> None:
        manager = self.manager(connection_limit=limit)
        assert manager.connection_limit == (limit or DEFAULT_CONNECTION_LIMIT)

    @pytest.mark.parametrize("limit", [0, -1])
    def test_a_limit_below_one(self, limit: int) -> None:
        with pytest.raises(ValueError, match=f"^connection_limit must be at least 1, not {limit}$"):
            self.manager(connection_limit=limit)

    async def test_a_lent_session_has_its_own_settings(self) -> None:
        async with aiohttp.ClientSession() as session:
            assert self.manager(session).connection_limit == 100
            with pytest.raises(ValueError, match="cannot be combined with session"):
                self.manager(session, connection_limit=3)
