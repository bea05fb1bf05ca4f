"""The file with the resume token of a watch."""

import os
from pathlib import Path

import pytest

from asyncckpt.cli.resumption import SAVE_SECONDS, ResumeFile
from asyncckpt.cli.terminal import UsageError

from support.timers import Time


class Token:
    """A token that changes."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self) -> str:
        return f"token {self.number}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "watch.json"


def test_there_is_no_token_before_the_first_watch(path: Path) -> None:
    assert ResumeFile(path, Time().call_later).read() is None


def test_the_token_is_written_at_the_start_and_some_seconds_after_a_change(path: Path) -> None:
    time, token = Time(), Token()
    file = ResumeFile(path, time.call_later)
    file.start(token)
    assert path.read_text() == "token 0"
    token.number = 1
    file.changed()
    time.advance(SAVE_SECONDS / 2)
    token.number = 2
    file.changed()
    assert path.read_text() == "token 0"
    time.advance(SAVE_SECONDS / 2)
    assert ResumeFile(path, time.call_later).read() == "token 2"
    assert time.calls == []


def test_the_last_save_is_at_once(path: Path) -> None:
    time, token = Time(), Token()
    file = ResumeFile(path, time.call_later)
    file.start(token)
    file.changed()
    token.number = 1
    file.save()
    assert path.read_text() == "token 1"
    assert time.calls == []
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208 - the names are compared


def test_after_a_cancel_nothing_is_written(path: Path) -> None:
    time, token = Time(), Token()
    file = ResumeFile(path, time.call_later)
    file.start(token)
    file.changed()
    token.number = 1
    file.cancel()
    time.advance(100)
    assert path.read_text() == "token 0"


def test_a_file_that_cannot_be_used_is_wrong_usage(tmp_path: Path) -> None:
    time = Time()
    with pytest.raises(UsageError, match="cannot read .*: Is a directory"):
        ResumeFile(tmp_path, time.call_later).read()
    with pytest.raises(UsageError, match="cannot write .*: No such file or directory"):
        ResumeFile(tmp_path / "missing" / "a", time.call_later).start(Token())
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="cannot read .*binary: it is not UTF-8"):
        ResumeFile(binary, time.call_later).read()


def test_a_save_that_fails_is_repeated_and_the_last_one_says_why(path: Path) -> None:
    time = Time()
    file = ResumeFile(path, time.call_later)
    file.start(Token())
    path.with_name(f"{path.name}.tmp").mkdir()
    file.changed()
    time.advance(SAVE_SECONDS)
    with pytest.raises(IsADirectoryError):
        file.save()
