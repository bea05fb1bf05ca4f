"""Defines `AsyncClient`: the configuration of a client, and its resources.

The file is long because `__init__`, `for_azure` and `with_options` document every option.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, NoReturn, Self, Unpack, cast

import attrs

from asyncckpt.configuration import (
    ORGANIZATION,
    PROJECT,
    SharedOptions,
    check_credential_headers,
    check_one_key,
    checked_hooks,
    credentials_from,
    scope_headers,
    session_manager,
)
from asyncckpt.options import (
    DEFAULT_TIMEOUT,
    NOT_GIVEN,
    NotGiven,
    Omit,
    RequestOptions,
    Timeout,
    check_count,
    check_number,
    given,
)
from asyncckpt.protocol.headers import (
    AUTHORIZATION,
    PUBLIC_HEADERS,
    carries_credentials,
    check_headers,
    merge_headers,
    names_of,
    without_credentials,
    without_headers,
)
from asyncckpt.protocol.request import QueryValue, check_query, parse_base_url
from asyncckpt.resources.endpoint import Endpoint, PageSize
from asyncckpt.resources.files import AsyncFiles
from asyncckpt.resources.jobs import AsyncFineTuning
from asyncckpt.tracebacks import without_frames
from asyncckpt.transport.account import Account
from asyncckpt.transport.credentials import APIKeySource, Credentials, TokenProvider
from asyncckpt.transport.gate import Gate
from asyncckpt.transport.pacer import Pacer
from asyncckpt.transport.retry_budget import RetryBudget

if TYPE_CHECKING:
    import ssl as tls

    import aiohttp

    from asyncckpt.hooks import Hook

__all__ = ["AsyncClient"]

DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"
DEFAULT_MAX_RETRIES: Final = 6
DEFAULT_MAX_WAIT: Final = 120.0
DEFAULT_MAX_BODY_BYTES: Final = 64 * 2**20
DEFAULT_RETRY_BUDGET: Final = 500


class IsClosed(int):
    """A boolean that can also be called, like the official SDK's ``client.is_closed()``."""

    def __call__(self) -> bool:
        """Return the value as a bool."""
        return bool(self)

    def __repr__(self) -> str:
        return repr(bool(self))


class AsyncClient:
    """An asynchronous client for the fine-tuning API. All tasks of a program can share one.

    ::

        async with AsyncClient() as client:
            async for checkpoint in client.fine_tuning.jobs.checkpoints.list("ftjob-abc123"):
                print(checkpoint.id, checkpoint.metrics.full_valid_loss)

    A client can be created outside of an event loop. It can be used in several event loops, one
    after the other, but not in two at the same time.
    """

    @without_frames
    def __init__(
        self,
        *,
        api_key: str | APIKeySource | None = None,
        organization: str | None = None,
        project: str | None = None,
        base_url: str | NotGiven | Omit | None = None,
        timeout: float | Timeout | NotGiven | Omit | None = NOT_GIVEN,
        max_retries: int = DEFAULT_MAX_RETRIES,
        max_wait: float = DEFAULT_MAX_WAIT,
        max_requests_per_second: float | None = None,
        retry_budget: int | None = DEFAULT_RETRY_BUDGET,
        prefetch: int = 1,
        max_body_bytes: int = DEFAULT_MAX_BODY_BYTES,
        default_headers: Mapping[str, str] | None = None,
        credential_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, QueryValue] | None = None,
        session: aiohttp.ClientSession | None = None,
        connection_limit: int | None = None,
        ssl: tls.SSLContext | bool = True,
        trust_env: bool = False,
        trace_configs: Sequence[aiohttp.TraceConfig] = (),
        hooks: Hook | Sequence[Hook] | None = None,
    ) -> None:
        """Configure a client. This sends nothing, and opens no connection.

        `connection_limit`, `ssl`, `trust_env` and `trace_configs` configure the session that the
        client creates. They cannot be combined with `session`.

        Args:
            api_key: The key, or an async callable that returns it. The callable is called before
                the first request, and again after the server rejects the key with 401. Default:
                ``OPENAI_API_KEY``, unless there are `credential_headers`, or `default_headers`
                contain ``Authorization`` or ``api-key``.
            organization: The ``OpenAI-Organization`` header; default: ``OPENAI_ORG_ID``; ``""`` for
                no header.
            project: The ``OpenAI-Project`` header; default: ``OPENAI_PROJECT_ID``; ``""`` for no
                header.
            base_url: The URL of the API, with or without a path, a query or a trailing slash;
                default: ``OPENAI_BASE_URL``, or ``https://api.openai.com/v1`` if it is not set.
            timeout: Total seconds for one attempt, a `Timeout`, or None for no limit; default: 60 s
                in total, and 5 s to connect.
            max_retries: The highest number of retries after failures; default 6. A 429 does not use
                up a retry while the server says when to send again, or accepts other requests of
                this client.
            max_wait: The total seconds that a request may wait for the rate limit and between
                retries; default 120.
            max_requests_per_second: The highest request rate; default: the client adapts to the
                server's rate limit.
            retry_budget: The number of tokens that all requests of the client share for retries;
                default 500; None for no limit. A retry takes 5 tokens, a retry after a timeout 10,
                and successful requests return them. So a server that is down gets few retries.
            prefetch: The number of pages to fetch ahead of the current one; default 1; 0 turns
                prefetching off.
            max_body_bytes: The maximum size of a decompressed response body; default 64 MiB.
            default_headers: Headers to add to every request.
            credential_headers: Headers that authenticate the client in place of `api_key`, or
                besides it, such as that of a gateway: ``{"x-portkey-api-key": key}``.
            default_query: Query parameters to add to every request.
            session: An `aiohttp.ClientSession` to use; the client does not close it. Default: the
                client creates a session, and closes it when the client is closed or the event loop
                ends.
            connection_limit: The highest number of open connections; default 256.
            ssl: A TLS context, or False to accept any certificate; default True, which verifies
                certificates.
            trust_env: Whether to use the proxies in ``HTTPS_PROXY`` and similar variables.
            trace_configs: Tracing hooks for aiohttp.
            hooks: A callable or several, to be called with an event for each request, response,
                retry and page; see `asyncckpt.hooks`. They must not be async, and must not block.
                Copies made by `with_options` have the same hooks.

        Raises:
            OpenAIError: There is no API key.
            TypeError: An argument has the wrong type.
            ValueError: An argument has an invalid value, such as a malformed base URL, a timeout of
                0 or a key with a line break. Or both `api_key` and a header ``Authorization`` or
                ``api-key`` authenticate, or `session` is combined with options for the client's
                own session.
        """
        base_url = given(base_url)
        if base_url is None:
            base_url = os.environ.get("OPENAI_BASE_URL") or DEFAULT_BASE_URL
        bare_url, url_query = parse_base_url(base_url)
        secret_headers = check_credential_headers(credential_headers)
        extra_headers = merge_headers(
            check_headers("default_headers", default_headers), secret_headers
        )
        credentials = credentials_from(api_key, extra_headers, is_key_needed=not secret_headers)
        check_count("prefetch", prefetch, least=0)
        if max_requests_per_second is not None:
            meaning = "requests a second, or None for no limit"
            check_number("max_requests_per_second", max_requests_per_second, meaning, above=0)
        if retry_budget is not None:
            check_count("retry_budget", retry_budget, least=0)
        self._max_requests_per_second = max_requests_per_second
        self._retry_budget = retry_budget
        self._hooks = checked_hooks(hooks)
        self._session = session_manager(
            session,
            connection_limit,
            ssl,
            trust_env,
            trace_configs,
            sends_authorization=credentials.header == AUTHORIZATION
            or AUTHORIZATION.lower() in map(str.lower, extra_headers),
        )
        self._endpoint = Endpoint(
            session=self._session,
            account=self._new_account(credentials),
            base_url=bare_url,
            url_query=url_query,
            defaults=RequestOptions(
                timeout=DEFAULT_TIMEOUT,
                max_retries=max_retries,
                max_wait=max_wait,
                max_body_bytes=max_body_bytes,
                headers=merge_headers(
                    {**PUBLIC_HEADERS, **scope_headers(organization, project)}, extra_headers
                ),
                credential_headers=names_of(secret_headers),
                query=check_query("default_query", default_query),
            ).changed(timeout=timeout),
            prefetch=prefetch,
        )

    @classmethod
    @without_frames
    def for_azure(
        cls,
        *,
        endpoint: str | None = None,
        api_key: str | APIKeySource | None = None,
        token_provider: TokenProvider | None = None,
        api_version: str | None = None,
        **options: Unpack[SharedOptions],
    ) -> Self:
        """Configure a client for Azure OpenAI or Microsoft Foundry.

        Args:
            endpoint: The URL of a resource or of a project, such as
                ``https://my-resource.openai.azure.com`` or
                ``https://my-resource.services.ai.azure.com/api/projects/my-project``, or any URL of
                the API below it; default: ``AZURE_OPENAI_ENDPOINT``.
            api_key: The key, or an async callable that returns it, which is sent in the header
                ``api-key``. Default: ``AZURE_OPENAI_API_KEY``, if there are no other credentials.
            token_provider: A callable, async or not, that returns a Microsoft Entra ID token, such
                as `azure.identity.get_bearer_token_provider` returns. One that is not async is
                called in a thread. It is called before the first request, after the server rejects
                a token, and 5 minutes before a token expires; a token that is a plain string does
                not say when, so then it is called every minute. Default: the token in
                ``AZURE_OPENAI_AD_TOKEN``, if it is set, in preference to the key.
            api_version: A version such as ``2024-10-21`` for the dated API; ``preview`` for the
                preview of the v1 API. Default: the version in the query of `endpoint`, or
                ``OPENAI_API_VERSION``, or the v1 API if there is neither.
            **options: The other arguments of `AsyncClient`.

        Raises:
            OpenAIError: There are no credentials, or both a key and a token provider.
            TypeError: An argument has the wrong type.
            ValueError: An argument has an invalid value, or there is no endpoint.
        """
        from asyncckpt.azure import azure_credentials, azure_url, check_azure_options

        check_azure_options(options)
        base_url, version_query = azure_url(endpoint, api_version, os.environ)
        secret_headers = check_credential_headers(options.get("credential_headers"))
        headers = check_headers("default_headers", options.get("default_headers"))
        credentials = azure_credentials(
            api_key,
            token_provider,
            {**headers, **secret_headers},
            os.environ,
            is_key_needed=not secret_headers,
        )
        query = check_query("default_query", options.get("default_query"))
        options["default_query"] = {**query, **version_query}
        # Not of the type that callers pass, but `credentials_from` returns it as it is.
        return cls(api_key=cast("APIKeySource", credentials), base_url=base_url, **options)

    @functools.cached_property
    def fine_tuning(self) -> AsyncFineTuning:
        """The fine-tuning resources, such as ``client.fine_tuning.jobs.checkpoints``."""
        return AsyncFineTuning(self._endpoint)

    @functools.cached_property
    def files(self) -> AsyncFiles:
        """The calls for files; see `AsyncFiles.content`."""
        return AsyncFiles(self._endpoint)

    @property
    def base_url(self) -> str:
        """The URL of the API, without a trailing slash."""
        return self._endpoint.base_url

    @property
    def api_key(self) -> str:
        """The API key, a secret.

        It is empty if the headers contain the key, and before the first call of an `api_key`
        callable or a token provider.
        """
        return self._endpoint.account.credentials.key

    @property
    def organization(self) -> str | None:
        """The organization that requests are sent for."""
        return self._endpoint.defaults.headers.get(ORGANIZATION)

    @property
    def project(self) -> str | None:
        """The project that requests are sent for."""
        return self._endpoint.defaults.headers.get(PROJECT)

    @property
    def timeout(self) -> Timeout:
        """The time limits of one attempt."""
        return self._endpoint.defaults.timeout

    @property
    def max_retries(self) -> int:
        """The highest number of retries after failures."""
        return self._endpoint.defaults.max_retries

    @property
    def default_headers(self) -> dict[str, str]:
        """The headers of every request, without `api_key` and `credential_headers`."""
        defaults = self._endpoint.defaults
        return without_headers(defaults.headers, defaults.credential_headers)

    @property
    def default_query(self) -> dict[str, QueryValue]:
        """The query parameters of every request."""
        return dict(self._endpoint.defaults.query)

    @property
    def is_closed(self) -> IsClosed:
        """Whether the client is closed; can also be called, as in the official SDK."""
        return IsClosed(self._session.is_closed)

    @without_frames
    def with_options(
        self,
        *,
        api_key: str | APIKeySource | None = None,
        organization: str | None = None,
        project: str | None = None,
        base_url: str | NotGiven | Omit | None = None,
        timeout: float | Timeout | NotGiven | Omit | None = NOT_GIVEN,
        max_retries: int | NotGiven | Omit | None = None,
        max_wait: float | None = None,
        prefetch: int | None = None,
        max_body_bytes: int | None = None,
        default_headers: Mapping[str, str] | None = None,
        credential_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, QueryValue] | None = None,
    ) -> Self:
        """Return a copy of the client with some options changed; `copy` is the same method.

        The two clients share their connections: closing one closes both. They also share the rate
        limiter and the retry budget, unless the credentials, organization, project or base URL
        change. New credentials replace all those of this client, whether keys or headers.

        Args:
            api_key: The key, or an async callable that returns it.
            organization: The ``OpenAI-Organization`` header; ``""`` for no header.
            project: The ``OpenAI-Project`` header; ``""`` for no header.
            base_url: The URL of the API.
            timeout: Total seconds for one attempt, a `Timeout`, or None for no limit.
            max_retries: The highest number of retries after failures.
            max_wait: The total seconds that a request may wait for the rate limit and between
                retries.
            prefetch: The number of pages to fetch ahead of the current one.
            max_body_bytes: The maximum size of a decompressed response body.
            default_headers: Headers to add to those of this client, or to replace them.
            credential_headers: Headers that authenticate the new client.
            default_query: Query parameters to add to those of this client, or to replace them.

        Returns:
            The new client; this one does not change.

        Raises:
            TypeError: An argument has the wrong type.
            ValueError: An argument has an invalid value.
        """
        base_url, max_retries = given(base_url), given(max_retries)
        endpoint = self._endpoint
        secret_headers = check_credential_headers(credential_headers)
        new_headers = merge_headers(
            check_headers("default_headers", default_headers), secret_headers
        )
        check_one_key(api_key, new_headers)
        headers, secret_names = endpoint.defaults.headers, endpoint.defaults.credential_headers
        has_new_credentials = (
            api_key is not None or bool(secret_headers) or carries_credentials(new_headers)
        )
        if has_new_credentials:
            headers = without_headers(without_credentials(headers), secret_names)
            secret_names = names_of(secret_headers)
        scope = {ORGANIZATION: organization, PROJECT: project}
        headers = without_headers(headers, [name for name in scope if scope[name] == ""])
        options = attrs.evolve(
            endpoint.defaults,
            headers=merge_headers(
                headers, {**scope_headers(organization, project, environ={}), **new_headers}
            ),
            credential_headers=secret_names,
            query={
                **endpoint.defaults.query,
                **check_query("default_query", default_query),
            },
        )
        options = options.changed(timeout=timeout, max_retries=max_retries, max_wait=max_wait)
        if max_body_bytes is not None:
            options = attrs.evolve(options, max_body_bytes=max_body_bytes)
        bare_url, url_query = endpoint.base_url, endpoint.url_query
        if base_url is not None:
            bare_url, url_query = parse_base_url(base_url)
        if prefetch is not None:
            check_count("prefetch", prefetch, least=0)
        account = endpoint.account
        if has_new_credentials:
            account = self._new_account(account.credentials.replaced(api_key))
        elif organization is not None or project is not None or base_url is not None:
            account = self._new_account(account.credentials)
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        for resource in ("fine_tuning", "files"):
            other.__dict__.pop(resource, None)
        other._endpoint = attrs.evolve(
            endpoint,
            account=account,
            page_size=endpoint.page_size if account is endpoint.account else PageSize(),
            base_url=bare_url,
            url_query=url_query,
            defaults=options,
            prefetch=endpoint.prefetch if prefetch is None else prefetch,
        )
        return other

    copy = with_options

    async def aclose(self) -> None:
        """Close the client and its connections; `close` is the same method.

        Requests in progress raise RuntimeError. A session passed as `session` stays open. Calling
        this again does nothing.
        """
        await self._session.aclose()

    close = aclose

    async def __aenter__(self) -> Self:
        """Return the client itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the client."""
        await self.aclose()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "an AsyncClient cannot be copied or pickled, because it has a key and connections: "
            "use with_options() to copy it, and create one client in each process"
        )

    def __repr__(self) -> str:
        if "_endpoint" not in self.__dict__:
            return "<AsyncClient that was not created>"
        return f"<AsyncClient {self.base_url}{' closed' if self.is_closed else ''}>"

    def _new_account(self, credentials: Credentials) -> Account:
        pacer = Pacer(
            max_requests_per_second=self._max_requests_per_second,
            max_in_flight=self._session.connection_limit,
        )
        budget = None if self._retry_budget is None else RetryBudget(self._retry_budget)
        return Account(credentials, Gate(pacer, self._hooks), budget, self._hooks)
