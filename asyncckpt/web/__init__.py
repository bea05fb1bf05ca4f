"""Streams checkpoints, and jobs that run, to the readers of a web app.

`json_lines` sends a list as JSON lines, as fast as the reader takes them. `SharedWatches` lets any
number of readers follow a job with a single `Watch`, as server-sent events. This package imports no
web framework.
"""

from asyncckpt.web.connections import while_connected
from asyncckpt.web.lines import json_lines, started
from asyncckpt.web.messages import ServerSentEvent
from asyncckpt.web.results import error_json, ranked_json, status_of
from asyncckpt.web.watches import EventReader, SharedWatches

__all__ = [
    "EventReader",
    "ServerSentEvent",
    "SharedWatches",
    "error_json",
    "json_lines",
    "ranked_json",
    "started",
    "status_of",
    "while_connected",
]
