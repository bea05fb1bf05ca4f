"""Returns the records of a page as the server sent them.

Records are decoded to types: metrics become floats, and a number such as ``1e5`` is not kept as it
is spelled. An archive keeps the text instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from asyncckpt.messages import Response
from asyncckpt.records.base import HasId

__all__ = ["raw_records", "with_job_id"]


class _Page(Protocol):
    """What this module reads of a page of any records."""

    @property
    def data(self) -> Sequence[HasId]: ...

    @property
    def response(self) -> Response: ...


class _Body(msgspec.Struct):
    data: list[msgspec.Raw]


class _HasId(msgspec.Struct):
    id: object = None


class _HasJobId(msgspec.Struct):
    fine_tuning_job_id: object = msgspec.UNSET


_decode_job_id: Final = msgspec.json.Decoder(_HasJobId).decode
_decode_body: Final = msgspec.json.Decoder(_Body | list[msgspec.Raw]).decode
_decode_id: Final = msgspec.json.Decoder(_HasId).decode


def raw_records(page: _Page) -> list[bytes]:
    """Return the records of a page as JSON, each on one line.

    Args:
        page: A page as it was fetched.

    Returns:
        The JSON in the order of `Page.data`: names, their order, numbers and escapes as the server
        sent them; only line breaks between values are removed. A record that cannot be found in
        the body, because it has no id, is encoded anew.
    """
    body: _Body | list[msgspec.Raw] = _decode_body(page.response.content)
    sent = body if isinstance(body, list) else body.data
    raw = [_on_one_line(bytes(record)) for record in sent]
    if len(raw) == len(page.data):
        return raw
    # Records that the page before had too are not in `data`.
    by_id = {_decode_id(record).id: record for record in raw}
    return [by_id.get(record.id) or _encoded(record) for record in page.data]


def with_job_id(job_id: str, event: bytes) -> bytes:
    """Return an event with the id of its job as the first field, unless the server sent it.

    The API leaves it out, so that the events of many jobs would not say whose they are.

    Args:
        job_id: The id of the job.
        event: The event as JSON.
    """
    if _decode_job_id(event).fine_tuning_job_id is not msgspec.UNSET:
        return event
    return b'{"fine_tuning_job_id":%b,%b' % (msgspec.json.encode(job_id), event.lstrip()[1:])


def _encoded(record: HasId) -> bytes:
    from asyncckpt.records.conversion import converter

    return converter.dumps(record)


def _on_one_line(json: bytes) -> bytes:
    # Within strings JSON escapes line breaks (RFC 8259, section 7).
    if b"\n" in json or b"\r" in json:
        return msgspec.json.format(json, indent=-1)
    return json
