"""Builds the errors of lists whose cursors do not lead on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asyncckpt.errors import PaginationError
from asyncckpt.messages import Request
from asyncckpt.streams.text import safe_text

if TYPE_CHECKING:
    from asyncckpt.streams.page import Page

__all__ = ["MAX_EMPTY_PAGES", "no_cursor", "repeated_cursor", "too_many_empty_pages"]

MAX_EMPTY_PAGES: Final = 100
"""The highest number of consecutive pages without records.

A server that filters records after reading a page can send empty pages. With 100 records per page,
100 empty pages mean 10,000 filtered records. More empty pages are treated as a fault of the server.
"""


def no_cursor(page: Page[Any]) -> PaginationError:
    """Return the error for a page with `has_more`, but without a cursor."""
    return _pagination_error(
        page,
        None,
        "The server sent has_more, but no id to continue after; the list may be incomplete",
    )


def repeated_cursor(cursor: str, page: Page[Any]) -> PaginationError:
    """Return the error for a page that leads to a cursor that was used before."""
    return _pagination_error(
        page,
        cursor,
        "The server's pages repeat: it sent cursor {} again, with has_more; the list may be "
        "incomplete",
    )


def too_many_empty_pages(cursor: str, page: Page[Any]) -> PaginationError:
    """Return the error for pages without records that do not end."""
    return _pagination_error(
        page,
        cursor,
        f"The server sent {MAX_EMPTY_PAGES} consecutive pages without records, but with has_more; "
        "the last cursor is {}; the list may be incomplete",
    )


def _pagination_error(page: Page[Any], cursor: str | None, message: str) -> PaginationError:
    # The server may send anything as a cursor, also the key of the request.
    cursor = None if cursor is None else page.mask(cursor)
    request = page.response.request
    return PaginationError(
        message.format(safe_text(cursor, repr)),
        cursor=cursor,
        request=Request(request.method, page.mask(request.url)),
    )
