"""Finds out where and how to reach Azure OpenAI: the URL, the API version and the credentials.

The API has two forms. The v1 API is below ``/openai/v1`` and needs no version. The dated API is
below ``/openai``, and each of its requests names a version such as ``2024-10-21``. Both exist for a
resource, and for a project of Microsoft Foundry. See *Azure OpenAI API version lifecycle* and
*Data plane - authoring* in Microsoft's documentation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from asyncckpt.errors import OpenAIError
from asyncckpt.protocol.headers import API_KEY, carries_credentials
from asyncckpt.protocol.request import check_api_key, parse_base_url
from asyncckpt.transport.credentials import APIKeySource, Credentials, TokenProvider

__all__ = ["azure_credentials", "azure_url", "check_azure_options"]

_EXAMPLES: Final = (
    "https://my-resource.openai.azure.com, or of a project: "
    "https://my-resource.services.ai.azure.com/api/projects/my-project"
)
_RESOURCE_HOST: Final = re.compile(
    r"\.(openai\.azure|services\.ai\.azure|cognitiveservices\.azure|api\.cognitive\.microsoft)"
    r"\.(com|us|cn)"
)
_PORTAL_HOST: Final = re.compile(r"((ai|oai|portal)\.azure|learn\.microsoft)\.(com|us|cn)")
_DATED: Final = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?")
_UNDATED: Final = ("v1", "preview", "latest")
_VERSION_VARIABLE: Final = "OPENAI_API_VERSION"
_KEY_VARIABLE: Final = "AZURE_OPENAI_API_KEY"
_TOKEN_VARIABLE: Final = "AZURE_OPENAI_AD_TOKEN"
_OFFICIAL_NAMES: Final = {
    "base_url": "endpoint",
    "azure_endpoint": "endpoint",
    "azure_ad_token": "token_provider",
    "azure_ad_token_provider": "token_provider",
}


def check_azure_options(options: Mapping[str, object]) -> None:
    """Raise TypeError for an argument of the official SDK that has another name here."""
    for name, ours in _OFFICIAL_NAMES.items():
        if name in options:
            raise TypeError(
                f"for_azure() got an unexpected keyword argument {name!r}; did you mean {ours!r}?"
            )


def azure_url(
    endpoint: str | None, api_version: str | None, environ: Mapping[str, str]
) -> tuple[str, dict[str, str]]:
    """Return the base URL of the API at an endpoint, and the query of each request.

    Args:
        endpoint: The URL of a resource, a project or a gateway, or one below it, such as that of a
            model; default: ``AZURE_OPENAI_ENDPOINT``.
        api_version: The version. Default: that in the query of the endpoint, then
            ``OPENAI_API_VERSION``, then the v1 API.
        environ: The environment variables.

    Raises:
        TypeError: An argument is not a string.
        ValueError: There is no endpoint, or it is not the URL of an API, or the version is
            malformed, or dated for an endpoint of the v1 API.
    """
    name = "endpoint"
    if endpoint is None:
        name = "AZURE_OPENAI_ENDPOINT"
        endpoint = environ.get(name) or None
    if endpoint is None:
        raise ValueError(f"pass endpoint=..., or set {name}: {_EXAMPLES}")
    url, query = parse_base_url(endpoint, name, _EXAMPLES)
    parts = urlsplit(url)
    prefix, is_v1 = _split_path(name, parts.hostname or "", parts.path)
    version = _version(api_version, query.pop("api-version", None), is_v1, environ)
    # Of a URL that was copied from a request.
    query.pop("limit", None)
    is_dated = version is not None and _DATED.fullmatch(version) is not None
    path = "/".join(["", *prefix, "openai"] if is_dated else ["", *prefix, "openai", "v1"])
    if version is not None:
        query["api-version"] = version
    return parts._replace(path=path).geturl(), query


def _split_path(name: str, host: str, path: str) -> tuple[list[str], bool]:
    """Return the path in front of ``/openai``, and whether it is followed by ``/v1``."""
    if _PORTAL_HOST.fullmatch(host):
        raise ValueError(f"{name} is the URL of a web page; pass that of the API: {_EXAMPLES}")
    segments = [segment for segment in path.split("/") if segment]
    # A project may be named "openai".
    start = 3 if segments[:2] == ["api", "projects"] else 0
    if len(segments) < start:
        raise ValueError(f"{name} lacks the name of the project: {_EXAMPLES}")
    if "openai" in segments[start:]:
        end = segments.index("openai", start)
        is_v1 = segments[end + 1 : end + 2] == ["v1"]
    else:
        end, is_v1 = start or len(segments), False
    prefix = segments[:end]
    if prefix != segments[:start] and _RESOURCE_HOST.search(host):
        raise ValueError(f"{name} has a path that is not one of Azure OpenAI; pass {_EXAMPLES}")
    return prefix, is_v1


def _version(
    argument: str | None, in_url: str | None, is_v1: bool, environ: Mapping[str, str]
) -> str | None:
    """Return the API version to send; None for none."""
    sources = {
        "api_version": argument,
        "the api-version of the endpoint": in_url or None,
        _VERSION_VARIABLE: environ.get(_VERSION_VARIABLE) or None,
    }
    name, version = next(
        ((name, version) for name, version in sources.items() if version is not None), ("", None)
    )
    if version is None:
        return None
    _check_version(name, version)
    if is_v1 and _DATED.fullmatch(version):
        if argument is None:
            # It is for other calls, and the v1 API would reject it.
            return None
        raise ValueError(
            f"api_version {version} and an endpoint with /openai/v1 cannot be combined: leave out "
            "api_version, or pass an endpoint without /openai/v1 to use the dated API"
        )
    # It is the default, and some projects reject it with the v1 API.
    return None if version == "v1" else version


def _check_version(name: str, version: object) -> None:
    if not isinstance(version, str):
        raise TypeError(f"{name} must be a string, not {type(version).__name__}")
    if version not in _UNDATED and not _DATED.fullmatch(version):
        raise ValueError(
            f"{name} must be a version such as '2024-10-21' or '2025-04-01-preview', or one of "
            f"{', '.join(map(repr, _UNDATED))}, not {version!r}"
        )


def azure_credentials(
    api_key: str | APIKeySource | None,
    token_provider: TokenProvider | None,
    headers: Mapping[str, str],
    environ: Mapping[str, str],
    *,
    is_key_needed: bool,
) -> Credentials:
    """Return the credentials for Azure.

    A key is sent in the header ``api-key``, a Microsoft Entra ID token in ``Authorization``.

    Args:
        api_key: The key, or an async callable that returns it.
        token_provider: A callable, async or not, that returns a token.
        headers: The headers of the client.
        environ: The environment variables.
        is_key_needed: Whether to look for credentials in the environment if there are no others.

    Raises:
        OpenAIError: There are no credentials, or more than one kind of them.
        TypeError: `token_provider` is not callable, or the key is not a string.
        ValueError: The key or token cannot be sent in a header.
    """
    in_headers = carries_credentials(headers)
    if (api_key is not None) + (token_provider is not None) + in_headers > 1:
        raise OpenAIError(
            "pass only one of api_key, token_provider and a header with credentials, which is "
            "'Authorization' or 'api-key'"
        )
    if token_provider is not None and not callable(token_provider):
        raise TypeError(
            f"token_provider must be callable, not {type(token_provider).__name__}; for a "
            "credential of azure-identity, pass get_bearer_token_provider(credential, "
            "'https://cognitiveservices.azure.com/.default'), or for a project, "
            "'https://ai.azure.com/.default'"
        )
    token: str | TokenProvider | None = token_provider
    if api_key is None and token is None and not in_headers and is_key_needed:
        if token := environ.get(_TOKEN_VARIABLE) or None:
            check_api_key(token, _TOKEN_VARIABLE)
        elif api_key := environ.get(_KEY_VARIABLE) or None:
            check_api_key(api_key, _KEY_VARIABLE)
        else:
            raise OpenAIError(
                "no credentials for Azure: pass api_key=... or token_provider=..., set "
                f"{_KEY_VARIABLE} or {_TOKEN_VARIABLE}, or pass credential_headers"
            )
    return Credentials(api_key, token=token, key_header=API_KEY)
