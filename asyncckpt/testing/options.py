"""Defines the arguments of `Sandbox.client`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import ssl as tls
    from collections.abc import Mapping, Sequence

    import aiohttp

    from asyncckpt.options import Timeout
    from asyncckpt.transport.credentials import APIKeySource


class ClientOptions(TypedDict, total=False):
    """The arguments of `AsyncClient`."""

    api_key: str | APIKeySource | None
    organization: str | None
    project: str | None
    base_url: str | None
    timeout: float | Timeout | None
    max_retries: int
    max_wait: float
    max_requests_per_second: float | None
    retry_budget: int | None
    prefetch: int
    max_body_bytes: int
    connection_limit: int | None
    default_headers: Mapping[str, str] | None
    default_query: Mapping[str, str] | None
    session: aiohttp.ClientSession | None
    trace_configs: Sequence[aiohttp.TraceConfig]
    ssl: tls.SSLContext | bool
    trust_env: bool
