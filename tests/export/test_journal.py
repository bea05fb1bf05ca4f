import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncckpt import ArchiveError
from asyncckpt.export.journal import Entry, Journal

ENTRIES = st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=200)), max_size=8)
_names = itertools.count()


def replayed(path: Path) -> list[tuple[str, bytes]]:
    journal, found = Journal(path), list[tuple[Entry, int]]()
    journal.replay(lambda entry, start: found.append((entry, start)))
    read = [(entry.key, journal.read(start, entry.size)) for entry, start in found]
    journal.close()
    return read


def write(path: Path, entries: list[tuple[str, bytes]]) -> list[int]:
    """Write entries; return the size of the file after each."""
    journal = Journal(path)
    journal.replay(lambda *_: None)
    sizes = [path.stat().st_size]
    for key, payload in entries:
        start = journal.append(Entry("events", key, size=len(payload)), payload)
        assert journal.read(start, len(payload)) == payload
        sizes.append(path.stat().st_size)
    journal.close()
    return sizes


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("journals")


@given(entries=ENTRIES, data=st.data())
def test_entries_before_a_cut_are_kept(
    directory: Path, entries: list[tuple[str, bytes]], data: st.DataObject
) -> None:
    path = directory / str(next(_names))
    sizes = write(path, entries)
    cut = data.draw(st.integers(0, sizes[-1]))
    with path.open("r+b") as file:
        file.truncate(cut)
    kept = entries[: max(0, sum(size <= cut for size in sizes) - 1)]
    assert replayed(path) == kept
    more = [("more", b"\n\x00")]
    write(path, more)
    assert replayed(path) == kept + more


@given(entries=ENTRIES.filter(bool), data=st.data())
def test_entries_behind_a_changed_byte_do_not_count(
    directory: Path, entries: list[tuple[str, bytes]], data: st.DataObject
) -> None:
    path = directory / str(next(_names))
    sizes = write(path, entries)
    position = data.draw(st.integers(sizes[0], sizes[-1] - 1))
    content = bytearray(path.read_bytes())
    content[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    assert replayed(path) == entries[: sum(size <= position for size in sizes) - 1]


def test_the_entry_of_a_failed_write_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path, [("one", b"1")])
    size = path.stat().st_size
    journal = Journal(path)
    journal.replay(lambda *_: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.write", fail_after_some_bytes())
        with pytest.raises(OSError, match="full"):
            journal.append(Entry("events", "two", size=5), b"22222")
    assert path.stat().st_size == size
    journal.append(Entry("events", "three", size=1), b"3")
    journal.close()
    assert replayed(path) == [("one", b"1"), ("three", b"3")]


def fail_after_some_bytes():  # type: ignore[no-untyped-def]
    import os

    write, calls = os.write, itertools.count()

    def fail(descriptor: int, data: bytes) -> int:
        if next(calls):
            raise OSError(28, "full")
        return write(descriptor, data[:9])

    return fail


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b"something else, of more than one line\n")
    journal = Journal(path)
    with pytest.raises(ArchiveError, match="another version"):
        journal.replay(lambda *_: None)
    journal.close()
    assert path.read_bytes() == b"something else, of more than one line\n"
