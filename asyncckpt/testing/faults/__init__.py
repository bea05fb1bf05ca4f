"""Faults to inject. Each changes a response; several apply one after the other.

A fault has one method, `apply(response, context)`, which returns the response to send. It depends
on its arguments alone and keeps no state, so it can be tested as a plain function. A fault of your
own is any object with this method.
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
