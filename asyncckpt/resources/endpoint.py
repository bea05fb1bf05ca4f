"""Builds calls from options, and fetches the pages of a list."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, Generic, NoReturn, TypeVar, cast

import attrs

from asyncckpt.counts import RequestCounts
from asyncckpt.errors import APIStatusError, BadRequestError, UnprocessableEntityError
from asyncckpt.messages import Response
from asyncckpt.options import (
    NOT_GIVEN,
    CallOptions,
    NotGiven,
    Omit,
    RequestOptions,
    check_call_options,
    check_count,
    given,
)
from asyncckpt.protocol.headers import (
    AUTHORIZATION,
    check_headers,
    merge_headers,
    names_of,
    without_headers,
)
from asyncckpt.protocol.request import QueryValue, check_query, encode_query, with_after
from asyncckpt.protocol.secrets import mask_text
from asyncckpt.protocol.strangers import describe_instead_of_page
from asyncckpt.records.base import HasId
from asyncckpt.records.codec import ListDecoder, MismatchError
from asyncckpt.resources.ownership import foreign_jobs, send_for_job
from asyncckpt.streams.page import LazyRecords, OnWire, Page, ignore
from asyncckpt.streams.pager import Pager
from asyncckpt.streams.restarts import OnExpiredCursor
from asyncckpt.transport.account import Account
from asyncckpt.transport.attempt import Call, secrets_of

if TYPE_CHECKING:
    from asyncckpt.streams.observer import StreamHooks
    from asyncckpt.transport.session import SessionManager

__all__ = ["PAGE_SIZE", "Endpoint", "ListFetch", "ListQuery", "PageSize", "SizedFetch"]

RecordT = TypeVar("RecordT", bound=HasId)

PAGE_SIZE: Final = 100
"""The page size to request when iterating without a `limit`."""


_ABOUT_PAGE_SIZE: Final = re.compile(r"limit|page.?size|per.?page|\b100\b", re.IGNORECASE)
"""Matches error messages about the page size, for servers that do not set `param`."""


@attrs.define
class PageSize:
    """Remembers whether the server accepts `PAGE_SIZE`.

    Attributes:
        is_accepted: Whether the server accepts `PAGE_SIZE`; None while nothing is known.
    """

    is_accepted: bool | None = None


@attrs.frozen
class ListQuery:
    """The encoded query of a list, without and with a default page size.

    Attributes:
        plain: The query as the caller specified it.
        sized: The same query with a page size; equal to `plain` if the caller specified a size.
    """

    plain: str = attrs.field(repr=False)
    sized: str = attrs.field(repr=False)


@attrs.frozen
class Endpoint:
    """The configuration that the resources of a client share.

    Attributes:
        session: The session to send with.
        account: The credentials, rate limiter and retry budget.
        base_url: The URL of the API, without a trailing slash.
        url_query: The query parameters of `base_url`.
        defaults: The client's options.
        prefetch: The client's number of pages to fetch ahead.
        page_size: Whether the server accepts `PAGE_SIZE`.
    """

    session: SessionManager
    account: Account
    base_url: str
    url_query: Mapping[str, str] = attrs.field(repr=False)
    defaults: RequestOptions
    prefetch: int
    page_size: PageSize = attrs.field(factory=PageSize)

    def options(self, method: Callable[..., object], options: CallOptions) -> RequestOptions:
        """Return the client's options, changed by the options of one call.

        Args:
            method: The method that is called, for the message about an unknown option.
            options: The options of the call.

        Raises:
            TypeError: An option is unknown or has the wrong type.
            ValueError: An option has an invalid value.
        """
        check_call_options(method, options)
        changed = self.defaults.changed(
            timeout=options.get("timeout", NOT_GIVEN),
            max_retries=options.get("max_retries"),
            max_wait=options.get("max_wait"),
        )
        if headers := options.get("extra_headers"):
            changed = _with_headers(changed, headers, self.account.credentials.header)
        if query := options.get("extra_query"):
            extra = {name: given(value) for name, value in query.items()}
            changed = attrs.evolve(changed, extra_query=check_query("extra_query", extra))
        return changed

    def query(self, options: RequestOptions, parameters: Mapping[str, QueryValue]) -> str:
        """Encode the query of a call with these parameters and those of the options."""
        return encode_query(self._merged(options, parameters))

    def list_query(
        self,
        options: RequestOptions,
        parameters: Mapping[str, QueryValue],
        limit: int | NotGiven | Omit | None,
        max_records: int | None,
    ) -> ListQuery:
        """Encode the query of a list.

        Args:
            options: The options of the call.
            parameters: The parameters of the call.
            limit: The number of records per page, if the caller specified it.
            max_records: The total number of records to fetch; None for no limit.

        Raises:
            TypeError: `limit` is not an integer.
            ValueError: `limit` is less than 1.
        """
        limit = given(limit)
        if limit is not None:
            check_count("limit", limit, least=1)
            parameters = {**parameters, "limit": limit}
        merged = self._merged(options, parameters)
        plain = encode_query(merged)
        if "limit" in merged:
            return ListQuery(plain, plain)
        size = PAGE_SIZE if max_records is None else min(PAGE_SIZE, max_records)
        return ListQuery(plain, encode_query({**merged, "limit": size}))

    def call(self, path: str, query: str, options: RequestOptions, counts: RequestCounts) -> Call:
        """Build a call from an encoded path and query."""
        return Call(f"{self.base_url}{path}{query}", self.account, options, counts)

    def list_fetch(
        self,
        path: str,
        query: ListQuery,
        decoder: ListDecoder[RecordT],
        options: RequestOptions,
        counts: RequestCounts,
        *,
        job_id: str | None = None,
    ) -> SizedFetch[RecordT]:
        """Build the page fetcher of one list.

        Args:
            path: The encoded path below the base URL.
            query: The query.
            decoder: Decodes the bodies.
            options: The options of the call.
            counts: Counts the requests.
            job_id: The job that all records belong to; None for a list that is not of one job.
        """

        def fetch(query: str) -> ListFetch[RecordT]:
            return ListFetch(self.session, self.call(path, query, options, counts), decoder, job_id)

        plain = fetch(query.plain)
        sized = plain if query.sized == query.plain else fetch(query.sized)
        return SizedFetch(plain, sized, self.page_size)

    def pager(
        self,
        path: str,
        parameters: Mapping[str, QueryValue],
        decoder: ListDecoder[RecordT],
        options: RequestOptions,
        *,
        after: str | NotGiven | Omit | None,
        limit: int | NotGiven | Omit | None,
        prefetch: int | None,
        max_records: int | None,
        on_expired_cursor: OnExpiredCursor = "raise",
        hooks: StreamHooks | None,
        job_id: str | None = None,
    ) -> Pager[RecordT]:
        """Build the pager of one list; see `list_fetch` and `Pager` for the arguments."""
        if max_records is not None:
            check_count("max_records", max_records, least=1)
        query = self.list_query(options, parameters, limit, max_records)
        fetch = self.list_fetch(path, query, decoder, options, RequestCounts(), job_id=job_id)
        pager = Pager(
            fetch,
            fetch_one=fetch.plain,
            after=given(after),
            prefetch=self.prefetch if prefetch is None else prefetch,
            max_records=max_records,
            on_expired_cursor=on_expired_cursor,
            hooks=hooks,
        )
        pager.record_type = decoder.record_type
        return pager

    def stream_hooks(self, operation: str, jobs: object = None) -> StreamHooks | None:
        """Return the hooks of the client for a stream; None if it has none.

        Args:
            operation: The method that returns the stream, by its path from the client.
            jobs: The id of the job, if the stream is of one job; anything else otherwise.
        """
        if self.account.hooks is None:
            return None
        from asyncckpt.streams.observer import StreamHooks

        job_id = jobs if isinstance(jobs, str) else None
        return StreamHooks(self.account.hooks, operation, job_id)

    def _merged(
        self, options: RequestOptions, parameters: Mapping[str, QueryValue]
    ) -> dict[str, QueryValue]:
        return {**self.url_query, **options.query, **parameters, **options.extra_query}


def _with_headers(
    options: RequestOptions, headers: Mapping[str, str | Omit], key_header: str | None
) -> RequestOptions:
    omitted = [name for name, value in headers.items() if isinstance(value, NotGiven | Omit)]
    extra = {name: value for name, value in headers.items() if name not in omitted}
    checked = check_headers("extra_headers", cast("Mapping[str, str]", extra))
    merged = merge_headers(without_headers(options.headers, omitted), checked)
    omits_key = (key_header or AUTHORIZATION).lower() in names_of(omitted)
    return attrs.evolve(options, headers=merged, omits_key=options.omits_key or omits_key)


class ListFetch(Generic[RecordT]):
    """Fetches the pages of one list; implements `Fetch`.

    Args:
        session: The session to send with.
        call: The call for the first page.
        decoder: Decodes the bodies.
        job_id: The job that all records belong to; None for a list that is not of one job.
    """

    def __init__(
        self, session: SessionManager, call: Call, decoder: ListDecoder[RecordT], job_id: str | None
    ) -> None:
        self._session = session
        self._call = call
        self._decoder = decoder
        self._job_id = job_id

    def __call__(
        self, cursor: str | None, on_wire: OnWire
    ) -> Coroutine[object, object, Page[RecordT]]:
        """Fetch the page after a cursor; see `Fetch`."""
        call = self._call
        if cursor is not None:
            # The URL may contain a key, and error reports show local variables: it is not in one.
            call = Call(with_after(call.url, cursor), call.account, call.options, call.counts)
        if not self._decoder.is_prepared:
            on_wire = partial(self._prepare_after, on_wire)
        return send_for_job(self._session, call, self._job_id, self._to_page, on_wire)

    def _prepare_after(self, on_wire: OnWire) -> None:
        on_wire()
        # While the server is working on the first page.
        self._decoder.prepare()

    def _after(self, cursor: str) -> Coroutine[object, object, Page[RecordT]]:
        return self(cursor, ignore)

    def _to_page(self, response: Response) -> tuple[Page[RecordT], frozenset[str]]:
        try:
            body = self._decoder.parse(response.content)
        except MismatchError as mismatch:
            if mismatch.path != "$":
                raise
            problem = describe_instead_of_page(response.content) or str(mismatch)
            raise MismatchError(problem, "$") from None
        page = Page(
            LazyRecords(body.data, self._decoder.to_records),
            body.has_more,
            body.first_id,
            body.last_id,
            body.object,
            body.extra,
            response=response,
            fetch=self._after,
            mask=self._masked,
            fine_tuning_job_id=self._job_id,
        )
        return page, foreign_jobs(self._job_id, body.data)

    def _masked(self, text: str) -> str:
        return mask_text(text, secrets_of(self._call))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a page cannot be pickled, because it refers to its client: pickle .data")

    def __deepcopy__(self, memo: dict[int, object]) -> ListFetch[RecordT]:
        # A copy of a page fetches the next page with the same client.
        return self


class SizedFetch(Generic[RecordT]):
    """Fetches large pages of a list if the server allows them; implements `Fetch`.

    If the server rejects the page size, the request is repeated without it. If that succeeds, the
    client does not request the size again.

    Args:
        plain: Fetches pages of the size that the caller specified, or else the server's.
        sized: Fetches large pages; the same object as `plain` if the caller specified the size.
        page_size: Whether the server accepts large pages.
    """

    def __init__(
        self, plain: ListFetch[RecordT], sized: ListFetch[RecordT], page_size: PageSize
    ) -> None:
        self.plain = plain
        self._sized = sized
        self._page_size = page_size

    def __call__(
        self, cursor: str | None, on_wire: OnWire
    ) -> Coroutine[object, object, Page[RecordT]]:
        """Fetch the page after a cursor; see `Fetch`."""
        if self._sized is self.plain or self._page_size.is_accepted is False:
            return self.plain(cursor, on_wire)
        return self._fetch_large(cursor, on_wire)

    async def _fetch_large(self, cursor: str | None, on_wire: OnWire) -> Page[RecordT]:
        try:
            page = await self._sized(cursor, on_wire)
        except (BadRequestError, UnprocessableEntityError) as error:
            if not _may_concern_limit(error, self._page_size):
                raise
        else:
            if self._page_size.is_accepted is None:
                self._page_size.is_accepted = True
            return page
        page = await self.plain(cursor, on_wire)
        self._page_size.is_accepted = False
        return page


def _may_concern_limit(error: APIStatusError, page_size: PageSize) -> bool:
    if error.param:
        return "limit" in error.param.lower()
    if page_size.is_accepted is None:
        # Servers say it in any words.
        return True
    text = error.response.text
    return not text.strip() or _ABOUT_PAGE_SIZE.search(text) is not None
