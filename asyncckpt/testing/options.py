"""Defines the arguments of `Sandbox.client`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncckpt.configuration import SharedOptions

if TYPE_CHECKING:
    from asyncckpt.transport.credentials import APIKeySource


class ClientOptions(SharedOptions, total=False):
    """The arguments of `AsyncClient`."""

    api_key: str | APIKeySource | None
    base_url: str | None
