"""Builds a call: URL, query, options; and fetches its pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

import attrs

from asyncckpt.counts import RequestCounts
from asyncckpt.messages import Response
from asyncckpt.options import NotGiven, RequestOptions, Timeout, check_count
from asyncckpt.protocol.headers import check_headers, merge_headers
from asyncckpt.protocol.request import (
    check_query,
    encode_query,
    with_after,
)
from asyncckpt.records.base import HasId
from asyncckpt.records.codec import ListDecoder
from asyncckpt.streams.page import OnWire, Page, Unmade, ignore
from asyncckpt.transport.account import Account
from asyncckpt.transport.attempt import Call
from asyncckpt.transport.sender import send

if TYPE_CHECKING:
    from asyncckpt.transport.session import SessionManager

RecordT = TypeVar("RecordT", bound=HasId)


@attrs.frozen
class Endpoint:
    """What the resources of a client share: where to send, on whose account, how."""

    session: SessionManager
    account: Account
    base_url: str
    url_query: Mapping[str, str] = attrs.field(repr=False)
    defaults: RequestOptions
    prefetch: int

    def options(
        self,
        *,
        extra_headers: Mapping[str, str] | None,
        extra_query: Mapping[str, str] | None,
        timeout: float | Timeout | NotGiven | None,
        max_retries: int | None,
        max_wait: float | None,
    ) -> RequestOptions:
        """The client's options, with what one call changes of them."""
        options = self.defaults
        if extra_headers:
            checked = check_headers("extra_headers", extra_headers)
            options = attrs.evolve(options, headers=merge_headers(options.headers, checked))
        if extra_query:
            checked = check_query("extra_query", extra_query)
            options = attrs.evolve(options, query={**options.query, **checked})
        return options.changed(timeout=timeout, max_retries=max_retries, max_wait=max_wait)

    def query(self, options: RequestOptions, parameters: Mapping[str, str]) -> str:
        """The query of a request, encoded: the URL's own, the options', and `parameters`."""
        return encode_query({**self.url_query, **options.query, **parameters})

    def call(self, path: str, query: str, options: RequestOptions, counts: RequestCounts) -> Call:
        """A call of `path` and `query`, which are encoded already."""
        return Call(f"{self.base_url}{path}{query}", self.account, options, counts)


class ListFetch(Generic[RecordT]):
    """Gets the pages of one list: a `Fetch`.

    Args:
        session: Owns the connections.
        call: The request for the first page.
        decoder: Makes records of the bodies.
    """

    def __init__(self, session: SessionManager, call: Call, decoder: ListDecoder[RecordT]) -> None:
        self._session = session
        self._call = call
        self._decoder = decoder

    async def __call__(self, cursor: str | None, on_wire: OnWire) -> Page[RecordT]:
        """Fetch the page after a cursor; see `Fetch`."""
        first = self._call
        # The URL is in no variable, for error reports like to show those: it may hold a key.
        call = Call(with_after(first.url, cursor), first.account, first.options, first.counts)
        return await send(self._session, call, self._to_page, on_wire)

    async def _after(self, cursor: str) -> Page[RecordT]:
        return await self(cursor, ignore)

    def _to_page(self, response: Response) -> Page[RecordT]:
        body = self._decoder.parse(response.content)
        return Page(
            Unmade(body.data, self._decoder.to_records),
            body.has_more,
            body.first_id,
            body.last_id,
            body.object,
            body.extra,
            response=response,
            fetch=self._after,
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError("a page cannot be pickled, for it belongs to its client: pickle its data")

    def __deepcopy__(self, memo: dict[int, object]) -> ListFetch[RecordT]:
        # A copy of a page still asks the same client for the next.
        return self


def limit_query(limit: int | None) -> dict[str, str]:
    """Check `limit`, and return it as query parameters."""
    if limit is None:
        return {}
    check_count("limit", limit, least=1)
    return {"limit": str(limit)}
