"""One run at a time writes to an archive."""

import os
from pathlib import Path

import pytest

from asyncckpt import ArchiveError
from asyncckpt.export.locking import lock


@pytest.fixture
def place(tmp_path: Path) -> Path:
    hidden = tmp_path / "archive" / ".asyncckpt"
    hidden.mkdir(parents=True)
    return hidden / "lock"


def test_a_second_run_is_told_which_process_writes_and_where(place: Path) -> None:
    says = f"another run (process {os.getpid()}) is writing to {place.parent.parent}: wait"
    with lock(place):
        for _ in range(2):
            with pytest.raises(ArchiveError) as caught:
                lock(place)
            assert str(caught.value).startswith(says)


def test_the_end_of_a_run_unlocks(place: Path) -> None:
    lock(place).close()
    lock(place).close()
    assert place.read_text() == f"{os.getpid()}\n"


def test_what_a_run_before_has_left_is_overwritten(place: Path) -> None:
    place.write_text("12345678901234567890\n")
    with lock(place):
        pass
    assert place.read_text() == f"{os.getpid()}\n"


def test_a_process_that_has_not_written_its_id_is_unknown(place: Path) -> None:
    with lock(place) as file:
        file.truncate(0)
        with pytest.raises(ArchiveError, match=r"\(process unknown\)"):
            lock(place)
