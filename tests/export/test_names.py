import ntpath
import sys
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncckpt.export.names import file_name


@pytest.mark.parametrize("file_id", ["file-abc123", "file-A_b-c", "ftresult-9"])
def test_an_ordinary_id_is_the_name(file_id: str) -> None:
    assert file_name(file_id, ".csv", ()) == f"{file_id}.csv"


def is_reserved_on_windows(name: str) -> bool:
    if sys.version_info >= (3, 13):
        return ntpath.isreserved(name)
    return PureWindowsPath(name).is_reserved()


@given(st.text(st.characters(), max_size=300))
def test_any_id_gives_the_name_of_one_file(file_id: str) -> None:
    name = file_name(file_id, ".csv", ())
    assert name.isascii()
    assert name.isprintable()
    assert len(name) <= 120
    assert not name.startswith(".")
    assert PurePosixPath(name).name == PureWindowsPath(name).name == name
    assert not is_reserved_on_windows(name)


@given(st.text(), st.text())
def test_different_ids_give_different_names(one: str, other: str) -> None:
    if one != other:
        first = file_name(one, ".csv", ())
        second = file_name(other, ".csv", {first.lower()})
        assert first.lower() != second.lower()


def test_ids_that_differ_in_upper_and_lower_case() -> None:
    name = file_name("file-ABC", ".csv", {"file-abc.csv"})
    assert name.startswith("file-ABC-")
    assert name.endswith(".csv")
