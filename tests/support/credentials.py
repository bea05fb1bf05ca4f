"""Credentials in place of those of azure-identity: they need no network."""

import asyncio
import time
from typing import Any, Self

from azure.core.credentials import AccessToken


class Credential:
    """Returns one token after another, each valid for an hour."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.asked: list[tuple[str, ...]] = []

    def get_token(self, *scopes: str, **_: object) -> Any:
        self.asked.append(scopes)
        return AccessToken(self.tokens.pop(0), int(time.time()) + 3600)


class AsyncCredential(Credential):
    """The same, as the credentials of `azure.identity.aio`."""

    async def get_token(self, *scopes: str, **_: object) -> Any:
        await asyncio.sleep(0)
        return super().get_token(*scopes)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass
