"""Creates the client for a server that the arguments and the environment describe."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import attrs

from asyncckpt.cli.terminal import UsageError

if TYPE_CHECKING:
    from asyncckpt import AsyncClient
    from asyncckpt.configuration import SharedOptions

__all__ = ["Access", "created"]

_ENDPOINT: Final = "AZURE_OPENAI_ENDPOINT"
_AZURE_KEY: Final = "AZURE_OPENAI_API_KEY"
_AZURE_TOKEN: Final = "AZURE_OPENAI_AD_TOKEN"  # the name of a variable


@attrs.frozen(kw_only=True)
class Access:
    """How to reach a server, and how to authenticate. See `Connection` for the attributes."""

    base_url: str | None
    api_key_env: str | None
    azure: bool
    header_env: Sequence[str]

    def client(self, options: SharedOptions) -> AsyncClient:
        """Create the client.

        Args:
            options: Its other options.

        Raises:
            UsageError: An argument or an environment variable is invalid or not set.
        """
        from asyncckpt.client import AsyncClient

        headers = _headers_from(self.header_env)
        options = {**options, "credential_headers": headers}
        if self._is_for_azure():
            key = self._azure_key(has_headers=bool(headers))
            return created(
                lambda: AsyncClient.for_azure(endpoint=self.base_url, api_key=key, **options)
            )
        variable = self.api_key_env
        if variable is None and not headers:
            variable = "OPENAI_API_KEY"
        key = None if variable is None else _key_from(variable)
        return created(lambda: AsyncClient(base_url=self.base_url, api_key=key, **options))

    def _is_for_azure(self) -> bool:
        """Return whether to use Azure: if asked to, or if the environment has nothing else."""
        if self.azure:
            return True
        others = self.base_url or self.api_key_env or _variable("OPENAI_API_KEY", "OPENAI_BASE_URL")
        return not others and bool(_variable(_ENDPOINT))

    def _azure_key(self, *, has_headers: bool) -> str | None:
        """Return the key for Azure; None if `AsyncClient.for_azure` finds the credentials."""
        if self.base_url is None and not _variable(_ENDPOINT):
            raise UsageError(
                f"set {_ENDPOINT} or pass --base-url, such as https://my-resource.openai.azure.com"
            )
        if self.api_key_env is not None:
            return _key_from(self.api_key_env)
        if not has_headers and not _variable(_AZURE_KEY, _AZURE_TOKEN):
            raise UsageError(f"set {_AZURE_KEY} to your key, or {_AZURE_TOKEN} to a token")
        return None


def created(create: Callable[[], AsyncClient]) -> AsyncClient:
    """Return what a function creates; an exception for an invalid argument becomes a UsageError."""
    try:
        return create()
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from None


def _variable(*names: str) -> str | None:
    """Return the first of these environment variables that is not empty."""
    return next((value for name in names if (value := os.environ.get(name))), None)


def _key_from(variable: str) -> str:
    if not variable:
        raise UsageError("--api-key-env needs the name of the variable with your API key")
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UsageError(f"set {variable} to your API key, or try --sandbox, which needs no key")
    return key


def _headers_from(arguments: Sequence[str]) -> dict[str, str]:
    """Return the headers that arguments such as ``x-portkey-api-key=PORTKEY_API_KEY`` name."""
    headers: dict[str, str] = {}
    for argument in arguments:
        header, _, variable = argument.partition("=")
        if not header or not variable:
            raise UsageError(
                "--header-env takes HEADER=VARIABLE, such as x-portkey-api-key=PORTKEY_API_KEY"
            )
        headers[header] = os.environ.get(variable, "").strip()
        if not headers[header]:
            # The argument is not shown: it may be the secret.
            raise UsageError(
                "--header-env HEADER=VARIABLE: the variable is not set; give the name of a "
                "variable, not its value"
            )
    return headers
