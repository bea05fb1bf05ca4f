"""Provides faults in pages and cursors."""

from __future__ import annotations

import attrs

from asyncckpt.testing.faults.fields import SetField, altered
from asyncckpt.testing.responses import FaultContext, ServerResponse, error_body


@attrs.frozen
class CyclingCursor:
    """Pages in a cycle: after `pages` pages, the first page follows again.

    Inject it with `times=None`, so that it applies to every page.

    Args:
        pages: The number of pages in the cycle.
    """

    pages: int = 2

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Replace the page after the last one by the first page."""
        page = context.request.page
        if page is None or page < self.pages:
            return response
        again = response if page == self.pages else context.first_page()
        return SetField("has_more", True).apply(attrs.evolve(response, body=again.body), context)


@attrs.frozen
class StuckCursor:
    """The first page for every cursor.

    Inject it with `times=None`, so that it applies to every page.
    """

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Replace the page by the first page."""
        return CyclingCursor(pages=1).apply(response, context)


@attrs.frozen
class EmptyPage:
    """A page without records, but with `has_more`."""

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Remove the records."""

        def change(body: dict[str, object]) -> None:
            if "data" in body:
                body.update(data=[], has_more=True)
                body.update({name: None for name in ("first_id", "last_id") if name in body})

        return altered(response, change)


@attrs.frozen
class ExpiredCursor:
    """A response that rejects the cursor, as if its record had disappeared.

    Inject it with a `page` from 2 on: a request without a cursor is not affected.

    Args:
        status: The status of the response.
    """

    status: int = 400

    def apply(self, response: ServerResponse, context: FaultContext) -> ServerResponse:
        """Replace the page by the error."""
        after = context.request.query.get("after")
        if after is None:
            return response
        body = error_body(f"No record with the id {after} exists.", param="after")
        return ServerResponse(status=self.status, body=body)
