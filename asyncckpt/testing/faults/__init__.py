"""Provides the faults to inject into the responses of a sandbox.

A fault is an object with one method: `apply(response, context)` returns the response to send. The
faults here have no state, so they can be tested as plain functions. You can write your own: any
object with this method is a fault.
"""

from asyncckpt.testing.faults.base import (
    Fault,
)
from asyncckpt.testing.faults.bodies import (
    ContentType,
    Gzip,
    GzipBomb,
    Html,
    MalformedJSON,
    NotGzip,
    RawBody,
)
from asyncckpt.testing.faults.connections import (
    Chunked,
    CloseAfter,
    CutBody,
    EndlessBody,
    Hang,
    Latency,
    Reset,
    SlowBody,
    SlowHeaders,
    Where,
)
from asyncckpt.testing.faults.fields import (
    DropField,
    DuplicateField,
    ReverseFields,
    SetField,
)
from asyncckpt.testing.faults.pages import (
    CyclingCursor,
    EmptyPage,
    ExpiredCursor,
    StuckCursor,
)
from asyncckpt.testing.faults.statuses import (
    Header,
    HeaderBomb,
    RateLimited,
    Redirect,
    Status,
)

__all__ = [
    "Chunked",
    "CloseAfter",
    "ContentType",
    "CutBody",
    "CyclingCursor",
    "DropField",
    "DuplicateField",
    "EmptyPage",
    "EndlessBody",
    "ExpiredCursor",
    "Fault",
    "Gzip",
    "GzipBomb",
    "Hang",
    "Header",
    "HeaderBomb",
    "Html",
    "Latency",
    "MalformedJSON",
    "NotGzip",
    "RateLimited",
    "RawBody",
    "Redirect",
    "Reset",
    "ReverseFields",
    "SetField",
    "SlowBody",
    "SlowHeaders",
    "Status",
    "StuckCursor",
    "Where",
]
