"""Reads and checks what a client is configured with: credentials, headers and its session."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypedDict

from asyncckpt.errors import OpenAIError
from asyncckpt.options import NotGiven, Omit, Timeout, check_count
from asyncckpt.protocol.headers import carries_credentials, check_headers
from asyncckpt.protocol.request import QueryValue, check_api_key
from asyncckpt.transport.credentials import APIKeySource, Credentials

if TYPE_CHECKING:
    import ssl as tls

    import aiohttp

    from asyncckpt.hooks import Hook, Hooks
    from asyncckpt.transport.session import SessionManager

__all__ = [
    "ORGANIZATION",
    "PROJECT",
    "SharedOptions",
    "check_credential_headers",
    "check_one_key",
    "checked_hooks",
    "credentials_from",
    "scope_headers",
    "session_manager",
]

DEFAULT_CONNECTION_LIMIT: Final = 256

ORGANIZATION: Final = "OpenAI-Organization"
PROJECT: Final = "OpenAI-Project"


class SharedOptions(TypedDict, total=False):
    """The arguments that `AsyncClient` and `AsyncClient.for_azure` have in common."""

    organization: str | None
    project: str | None
    timeout: float | Timeout | NotGiven | Omit | None
    max_retries: int
    max_wait: float
    max_requests_per_second: float | None
    retry_budget: int | None
    prefetch: int
    max_body_bytes: int
    default_headers: Mapping[str, str] | None
    credential_headers: Mapping[str, str] | None
    default_query: Mapping[str, QueryValue] | None
    session: aiohttp.ClientSession | None
    connection_limit: int | None
    ssl: tls.SSLContext | bool
    trust_env: bool
    trace_configs: Sequence[aiohttp.TraceConfig]
    hooks: Hook | Sequence[Hook] | None


def credentials_from(
    api_key: str | APIKeySource | Credentials | None,
    headers: Mapping[str, str],
    *,
    is_key_needed: bool,
) -> Credentials:
    """Return the credentials of a client.

    Args:
        api_key: The key, or an async callable that returns it; or credentials, which are returned
            as they are.
        headers: The headers of the client.
        is_key_needed: Whether to look for a key in the environment if there are no credentials.

    Raises:
        OpenAIError: There is no API key.
        TypeError: The key is neither a string nor callable.
        ValueError: The key cannot be sent in a header, or the headers authenticate too.
    """
    if isinstance(api_key, Credentials):
        return api_key
    check_one_key(api_key, headers)
    if api_key is not None:
        return Credentials(api_key)
    # OPENAI_API_KEY must not be sent to another provider, which these headers may be for.
    if not is_key_needed or carries_credentials(headers):
        return Credentials(None)
    from_environment = os.environ.get("OPENAI_API_KEY")
    if not from_environment:
        raise OpenAIError(
            "no API key: pass api_key=... or credential_headers=..., or set OPENAI_API_KEY (to try "
            "the client without a key, use asyncckpt.testing.Sandbox)"
        )
    return Credentials(check_api_key(from_environment, "OPENAI_API_KEY"))


def check_one_key(api_key: object, headers: Mapping[str, str]) -> None:
    """Raise ValueError if both a key and the headers authenticate."""
    if api_key is not None and carries_credentials(headers):
        raise ValueError(
            "pass either api_key, or 'Authorization' or 'api-key' in default_headers or "
            "credential_headers, but not both"
        )


def check_credential_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Check headers with credentials, and return a copy.

    Raises:
        TypeError: A name or value is not a string, as if an environment variable is not set.
        ValueError: A name or value is invalid, or a value is empty.
    """
    checked = check_headers("credential_headers", headers)
    empty = next((name for name, value in checked.items() if not value.strip()), None)
    if empty is not None:
        raise ValueError(f"credential_headers: the value of {empty} is empty")
    return checked


def scope_headers(
    organization: str | None,
    project: str | None,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Return the headers that name the organization and the project."""
    scope = {
        ORGANIZATION: environ.get("OPENAI_ORG_ID") if organization is None else organization,
        PROJECT: environ.get("OPENAI_PROJECT_ID") if project is None else project,
    }
    return check_headers(
        "organization and project", {header: value for header, value in scope.items() if value}
    )


def checked_hooks(hooks: Hook | Sequence[Hook] | None) -> Hooks | None:
    """Return the hooks of a client; None if it has none.

    Raises:
        TypeError: One of them cannot be called, or is async.
    """
    if hooks is None:
        return None
    # Most programs have no hooks.
    from asyncckpt.hooks import hooks_from

    return hooks_from(hooks)


def session_manager(
    session: aiohttp.ClientSession | None,
    connection_limit: int | None,
    ssl: tls.SSLContext | bool,
    trust_env: bool,
    trace_configs: Sequence[aiohttp.TraceConfig],
    *,
    sends_authorization: bool,
) -> SessionManager:
    """Check the arguments for the session of a client, and return its manager.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: `session` is combined with options for the client's own session, or has `auth`
            for the header that the client sends its key in.
    """
    if connection_limit is not None:
        check_count("connection_limit", connection_limit, least=1)
    if session is not None and (
        connection_limit is not None or ssl is not True or trust_env or trace_configs
    ):
        raise ValueError(
            "connection_limit, ssl, trust_env and trace_configs cannot be combined with session: "
            "set them on the aiohttp.ClientSession itself"
        )
    # Importing aiohttp is slow, and programs that only use the records do not need it.
    from asyncckpt.transport.session import SessionManager, check_session

    check_session(session, ssl, trace_configs, sends_authorization=sends_authorization)
    return SessionManager(
        session=session,
        connection_limit=connection_limit or DEFAULT_CONNECTION_LIMIT,
        ssl=ssl,
        trust_env=trust_env,
        trace_configs=trace_configs,
    )
