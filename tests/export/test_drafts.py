"""Files that are complete or absent."""

import os
import stat
import sys
from pathlib import Path

import pytest

from asyncckpt.export.drafts import Draft


def written(path: Path, content: bytes) -> None:
    draft = Draft(path)
    draft.open()
    draft.file.write(content)
    draft.commit()


def test_a_draft_replaces_its_target_at_once(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    draft = Draft(target)
    draft.open()
    draft.file.write(b"new")
    assert target.read_bytes() == b"old"
    draft.commit()
    assert target.read_bytes() == b"new"
    assert [*tmp_path.iterdir()] == [target]


def test_a_discarded_draft_leaves_nothing(tmp_path: Path) -> None:
    draft = Draft(tmp_path / "file")
    draft.discard()
    draft.open()
    draft.file.write(b"new")
    draft.discard()
    draft.discard()
    assert not [*tmp_path.iterdir()]


def test_discarding_after_the_commit_changes_nothing(tmp_path: Path) -> None:
    draft = Draft(tmp_path / "file")
    draft.open()
    draft.commit()
    draft.discard()
    assert (tmp_path / "file").exists()


def test_two_drafts_of_one_target_do_not_meet(tmp_path: Path) -> None:
    first, second = Draft(tmp_path / "file"), Draft(tmp_path / "file")
    first.open()
    second.open()
    first.file.write(b"first")
    second.commit()
    first.commit()
    assert (tmp_path / "file").read_bytes() == b"first"


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")
def test_a_target_keeps_its_permissions(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.touch()
    target.chmod(0o640)
    written(target, b"new")
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")
def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    written(tmp_path / "file", b"new")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.skipif(sys.platform == "win32", reason="needs symbolic links")
def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target = tmp_path / "there" / "file"
    link = tmp_path / "link"
    link.symlink_to(target)
    written(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_directory_is_an_error_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        Draft(tmp_path).open()


def test_a_directory_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Draft(tmp_path / "nowhere" / "file").open()


def test_a_draft_is_written_only_after_it_is_opened(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="the file was not opened"):
        Draft(tmp_path / "file").commit()


def test_a_draft_stays_where_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draft = Draft("file")
    os.chdir(os.sep)
    draft.open()
    draft.commit()
    assert (tmp_path / "file").exists()
