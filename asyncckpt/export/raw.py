"""Returns the records of a page as the server sent them.

Records are decoded to types: metrics become floats, and a number such as ``1e5`` is not kept as it
is spelled. An archive keeps the text instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from asyncckpt.messages import Response

__all__ = ["raw_records"]


class _Page(Protocol):
    """What this module reads of a page of any records."""

    @property
    def data(self) -> Sequence[object]: ...

    @property
    def response(self) -> Response: ...


class _Body(msgspec.Struct):
    data: list[msgspec.Raw]


def raw_records(page: _Page) -> list[bytes]:
    """Return the records of a page as JSON, each on one line.

    Args:
        page: A page as it was fetched.

    Returns:
        The JSON in the order of `Page.data`: names, their order, numbers and escapes as the server
        sent them; only line breaks between values are removed. A record of a body with another
        layout than the API's is encoded anew.
    """
    try:
        raw = msgspec.json.decode(page.response.content, type=_Body).data
    except msgspec.DecodeError:
        raw = []
    if len(raw) != len(page.data):
        from asyncckpt.records.conversion import converter

        return [converter.dumps(record) for record in page.data]
    return [_on_one_line(bytes(record)) for record in raw]


def _on_one_line(json: bytes) -> bytes:
    # Within strings JSON escapes line breaks (RFC 8259, section 7).
    if b"\n" in json or b"\r" in json:
        return msgspec.json.format(json, indent=-1)
    return json
