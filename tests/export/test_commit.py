"""The files of an archive are replaced together, whenever a run is killed."""

from pathlib import Path

import pytest

from asyncckpt.export.commit import commit, move_to_places
from asyncckpt.export.layout import INDEX, MANIFEST, Layout
from asyncckpt.export.manifest import FORMAT, Counts, DescribedFile, Manifest


def manifest(*tables: str) -> str:
    files = dict.fromkeys(tables, DescribedFile(0, ""))
    return Manifest(FORMAT, "1", "", "", "", Counts(), [], files).to_json().decode()


OLD = dict.fromkeys(("jobs.jsonl", "checkpoints.jsonl", INDEX, MANIFEST), "old")
NEW = {**dict.fromkeys(OLD, "new"), MANIFEST: manifest("jobs.parquet")}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An archive with old files in their places, and new ones that are complete."""
    layout = Layout(tmp_path)
    layout.next.mkdir(parents=True)
    for name in OLD:
        layout.place_of(name).write_text(OLD[name])
        (layout.next / name).write_text(NEW[name])
    layout.journal.write_text("fetched")
    return layout


def contents(layout: Layout) -> dict[str, str]:
    return {name: layout.place_of(name).read_text() for name in OLD}


def test_new_files_take_the_places_of_the_old_ones(layout: Layout) -> None:
    commit(layout)
    assert contents(layout) == NEW
    assert sorted(path.name for path in layout.hidden.iterdir()) == [INDEX]


def test_without_new_files_nothing_changes(layout: Layout) -> None:
    move_to_places(layout)
    assert contents(layout) == OLD
    assert layout.journal.exists()


def test_tables_that_were_not_written_again_are_deleted(layout: Layout) -> None:
    for name in ("jobs.parquet", "events.parquet"):
        layout.place_of(name).write_text("old")
    commit(layout)
    assert layout.place_of("jobs.parquet").exists()
    assert not layout.place_of("events.parquet").exists()


@pytest.mark.parametrize("moved", range(len(OLD)))
def test_a_move_that_was_interrupted_is_completed(
    moved: int, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves: list[str] = []
    replace = Path.replace

    def interrupted(path: Path, target: Path) -> Path:
        if len(moves) == moved:
            raise OSError("killed")
        moves.append(path.name)
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", interrupted)
        with pytest.raises(OSError, match="killed"):
            commit(layout)
    # The manifest says that all files are complete, so it is the last.
    assert contents(layout)[MANIFEST] == "old"
    assert layout.journal.exists()
    move_to_places(layout)
    assert contents(layout) == NEW
    assert not layout.journal.exists()
