"""What hooks received, and the rules that every sequence of events follows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TypeVar

from asyncckpt import hooks

EventT = TypeVar("EventT")

ENDS = hooks.ResponseReceived | hooks.RequestFailed | hooks.RequestCancelled


class Recorder(list[hooks.Event]):
    """A hook that keeps all events."""

    def __call__(self, event: hooks.Event) -> None:
        self.append(event)

    def of(self, kind: type[EventT]) -> list[EventT]:
        return [event for event in self if isinstance(event, kind)]

    def one(self, kind: type[EventT]) -> EventT:
        (found,) = self.of(kind)
        return found

    @property
    def names(self) -> list[str]:
        return [type(event).__name__ for event in self]


def check_rules(events: Iterable[hooks.Event]) -> None:
    """Check that everything that started has ended once, and that the numbers agree."""
    requests: dict[int, hooks.RequestStarted] = {}
    sent: Counter[int] = Counter()
    streams: dict[int, hooks.StreamStarted] = {}
    pages: Counter[int] = Counter()
    records: Counter[int] = Counter()
    for event in events:
        if isinstance(event, hooks.CallEvent) and event.stream_id is not None:
            assert event.stream_id in streams, event
        if isinstance(event, hooks.RequestStarted):
            assert event.call_id not in requests
            assert event.resend_count == sent[event.call_id]
            sent[event.call_id] += 1
            requests[event.call_id] = event
        elif isinstance(event, ENDS):
            started = requests.pop(event.call_id)
            assert (event.url, event.attempt) == (started.url, started.attempt)
            assert event.duration >= 0
        elif isinstance(event, hooks.StreamStarted):
            assert event.stream_id not in streams
            streams[event.stream_id] = event
        elif isinstance(event, hooks.PageDelivered):
            pages[event.stream_id] += 1
            records[event.stream_id] += event.records
            assert event.number == pages[event.stream_id]
        elif isinstance(event, hooks.StreamEnded):
            started_stream = streams.pop(event.stream_id)
            assert event.operation == started_stream.operation
            assert event.pages == pages[event.stream_id]
            assert event.pages == 0 or event.records == records[event.stream_id]
            assert (event.error is not None) == (event.outcome == "failed")
    assert requests == {}
    assert streams == {}
