"""How records of several runs become one file; without a server."""

import itertools
import json
import threading
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncckpt.export.archiving import _commit, _manifest
from asyncckpt.export.assembly import assemble
from asyncckpt.export.manifest import StoppedError
from asyncckpt.export.store import Store

_names = itertools.count()


@attrs.frozen
class Fetch:
    """One request for the events of the job: which of them, in pages, in which order."""

    numbers: list[int]
    newest_first: bool
    version: int

    def pages(self, times: list[int]) -> list[list[bytes]]:
        ordered = sorted(self.numbers, key=lambda number: (times[number], number))
        if self.newest_first:
            ordered.reverse()
        lines = [event(number, times[number], self.version) for number in ordered]
        return [lines[start : start + 2] for start in range(0, len(lines), 2)]


def event(number: int, time: int, version: int) -> bytes:
    return json.dumps(
        {
            "id": f"e{number}",
            "created_at": time,
            "level": "info",
            "message": f"{version}",
            "object": "fine_tuning.job.event",
        }
    ).encode()


TIMES = st.lists(st.integers(0, 3), min_size=6, max_size=6).map(sorted)
NUMBERS = st.lists(st.integers(0, 5), unique=True)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("archives")


def save(store: Store, fetch: Fetch, times: list[int]) -> None:
    attempt = store.new_attempt()
    for page in fetch.pages(times):
        store.note_records("job", "events", attempt, page)
    store.note_complete("job", "events", settled=False)


def events_in(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "events.jsonl").read_bytes().splitlines()]


@given(
    times=TIMES,
    fetches=st.lists(st.tuples(NUMBERS, st.booleans(), st.booleans()), min_size=1, max_size=4),
)
def test_no_record_is_lost_or_doubled_and_the_latest_one_stays(
    directory: Path, times: list[int], fetches: list[tuple[list[int], bool, bool]]
) -> None:
    path = directory / str(next(_names))
    latest: dict[int, int] = {}
    for version, (numbers, newest_first, ends_here) in enumerate(fetches):
        store = Store(path)
        store.load(threading.Event())
        store.note_job("job", 1, b'{"id":"job"}')
        save(store, Fetch(numbers, newest_first, version), times)
        latest |= dict.fromkeys(numbers, version)
        if ends_here or version == len(fetches) - 1:
            assembled = assemble(store, threading.Event())
            _commit(store, _manifest(assembled, "http://localhost", "2026-01-01T00:00:00Z"))
        store.close()
    saved = events_in(path)
    assert {int(one["id"][1:]): int(one["message"]) for one in saved} == latest
    assert len(saved) == len(latest)
    assert [one["created_at"] for one in saved] == sorted(one["created_at"] for one in saved)


@given(times=TIMES, newest_first=st.booleans())
def test_events_of_the_same_second_stay_in_their_order(
    directory: Path, times: list[int], newest_first: bool
) -> None:
    path = directory / str(next(_names))
    # With one time only, the order of the server cannot be recognized.
    newest_first = newest_first or times[0] == times[-1]
    store = Store(path)
    store.load(threading.Event())
    store.note_job("job", 1, b'{"id":"job"}')
    save(store, Fetch([*range(6)], newest_first, 0), times)
    _commit(store, _manifest(assemble(store, threading.Event()), "http://localhost", ""))
    store.close()
    assert [one["id"] for one in events_in(path)] == [f"e{number}" for number in range(6)]


def test_it_stops_when_it_is_told(tmp_path: Path) -> None:
    store, stop = Store(tmp_path), threading.Event()
    store.load(stop)
    store.note_job("job", 1, b'{"id":"job"}')
    stop.set()
    with pytest.raises(StoppedError):
        assemble(store, stop)
    store.close()
