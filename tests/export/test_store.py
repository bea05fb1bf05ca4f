"""What is on the disk: checked, and never overwritten when it cannot be replaced."""

import errno
import functools
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from asyncckpt import ArchiveError, AsyncClient, export
from asyncckpt.testing import Sandbox, faults

from support.archives import contents, files_below, paths, records, small_sandbox
from support.leftovers import at_rest

archive = functools.partial(export.archive, parquet=False)


@pytest.fixture
async def ended() -> AsyncIterator[Sandbox]:
    """A sandbox of six small jobs that have ended, three with a result file."""
    async with small_sandbox() as running:
        yield running


@pytest.fixture
async def account(ended: Sandbox) -> AsyncIterator[AsyncClient]:
    async with ended.client() as running:
        yield running


@pytest.mark.parametrize(
    "name",
    ["jobs.jsonl", "checkpoints.jsonl", "events.jsonl", "files.jsonl", ".asyncckpt/index.jsonl"],
)
@pytest.mark.parametrize("damage", ["changed", "missing"])
async def test_a_damaged_file_is_an_error_and_stays_as_it_is(
    account: AsyncClient, tmp_path: Path, name: str, damage: str
) -> None:
    await archive(account, tmp_path)
    path = tmp_path / name
    if damage == "changed":
        path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))
    else:
        path.unlink()
    before = files_below(tmp_path)
    with pytest.raises(ArchiveError, match=rf"{path.name} is damaged .*restore it from a copy"):
        await archive(account, tmp_path)
    after = files_below(tmp_path)
    for file in {*before, *after} - {".asyncckpt/lock", ".asyncckpt/journal"}:
        assert after[file] == before[file]


@pytest.mark.parametrize("damage", [b"", b"step,train_loss\n1,0.6\n", None])
async def test_a_damaged_result_file_is_fetched_again(
    ended: Sandbox, account: AsyncClient, tmp_path: Path, damage: bytes | None
) -> None:
    await archive(account, tmp_path)
    before, requested = contents(tmp_path), len(paths(ended))
    file = records(tmp_path / "files.jsonl")[1]
    if damage is None:
        (tmp_path / file["path"]).unlink()
    else:
        (tmp_path / file["path"]).write_bytes(damage)
    result = await archive(account, tmp_path)
    assert paths(ended)[requested:] == [f"files/{file['id']}/content"]
    assert result.failures == ()
    assert contents(tmp_path) == before


async def test_a_damaged_result_file_of_a_job_that_is_gone(
    ended: Sandbox, account: AsyncClient, tmp_path: Path
) -> None:
    await archive(account, tmp_path)
    before = contents(tmp_path)
    (file, *_) = (one for one in ended.jobs if one["result_files"])
    name = f"files/{file['result_files'][0]}.csv"
    (tmp_path / name).write_bytes(b"damaged")
    position = ended.job_ids.index(file["id"])
    ended.inject(faults.DropField(f"data.{position}"), times=1)
    ended.inject(faults.Status(404), path="/files/", times=1)
    (failure,) = (await archive(account, tmp_path)).failures
    assert "in the archive is damaged, and the server no longer has it" in str(failure.error)
    assert (tmp_path / name).read_bytes() == b"damaged"
    result = await archive(account, tmp_path)
    assert result.failures == ()
    assert contents(tmp_path) == before


async def test_a_directory_with_something_else_is_refused(
    account: AsyncClient, tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("all my work")
    with pytest.raises(ArchiveError, match="is not empty, and is not an archive"):
        await archive(account, tmp_path)
    assert files_below(tmp_path) == {"thesis.tex": b"all my work"}


async def test_the_hidden_directory_is_missed(account: AsyncClient, tmp_path: Path) -> None:
    await archive(account, tmp_path / "one")
    (tmp_path / "two").mkdir()
    for name in ("manifest.json", "jobs.jsonl"):
        (tmp_path / "one" / name).rename(tmp_path / "two" / name)
    with pytest.raises(ArchiveError, match=r"\.asyncckpt is damaged \(it is missing\)"):
        await archive(account, tmp_path / "two")


async def test_a_lost_manifest_does_not_lead_to_a_new_archive(
    account: AsyncClient, tmp_path: Path
) -> None:
    await archive(account, tmp_path)
    (tmp_path / "manifest.json").unlink()
    saved = files_below(tmp_path)
    with pytest.raises(ArchiveError, match=r"manifest\.json is damaged \(it is missing\)"):
        await archive(account, tmp_path)
    assert saved.items() <= files_below(tmp_path).items()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"format":2}', "has the format 2, and this version of asyncckpt reads 1"),
        (b"[]", "is damaged"),
        (b'{"format":1}', "is damaged"),
    ],
)
async def test_another_manifest_is_refused(
    account: AsyncClient, tmp_path: Path, content: bytes, says: str
) -> None:
    await archive(account, tmp_path)
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(ArchiveError, match=says):
        await archive(account, tmp_path)


async def test_another_journal_is_refused(account: AsyncClient, tmp_path: Path) -> None:
    await archive(account, tmp_path)
    (tmp_path / ".asyncckpt" / "journal").write_bytes(b"asyncckpt journal 9\nwhatever")
    with pytest.raises(ArchiveError, match="was written by another version"):
        await archive(account, tmp_path)


async def test_the_archive_may_be_moved(
    ended: Sandbox, account: AsyncClient, tmp_path: Path
) -> None:
    await archive(account, tmp_path / "one")
    (tmp_path / "one").rename(tmp_path / "two")
    requested = ended.stats.requests
    await archive(account, str(tmp_path / "two"))
    assert ended.stats.requests == requested + 1


class FullDisk:
    """A disk on which some bytes can still be written, or any number of them."""

    def __init__(self, room: int | None) -> None:
        self.room = room
        self._write = os.write

    def write(self, descriptor: int, data: Any) -> int:
        if self.room is None:
            return self._write(descriptor, data)
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._write(descriptor, data[: self.room])
        self.room -= written
        return written


@pytest.mark.parametrize("room", [0, 5, 1_000, 20_000, 60_000, 100_000])
async def test_a_full_disk_is_one_error_and_the_next_run_continues(
    ended: Sandbox, account: AsyncClient, tmp_path: Path, room: int
) -> None:
    await archive(account, tmp_path / "whole")
    with (
        patch.object(os, "write", FullDisk(room).write),
        pytest.raises(OSError, match="No space left") as caught,
    ):
        await archive(account, tmp_path / "one")
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename.startswith(str(tmp_path / "one"))
    await at_rest(ended, connections=False)
    await archive(account, tmp_path / "one")
    assert contents(tmp_path / "one") == contents(tmp_path / "whole")


async def test_a_full_disk_while_new_files_are_written(
    ended: Sandbox, account: AsyncClient, tmp_path: Path
) -> None:
    await archive(account, tmp_path / "whole")
    full = OSError(errno.ENOSPC, "No space left on device", "x")
    with (
        patch("asyncckpt.export.assembly._copy", side_effect=full),
        pytest.raises(OSError, match="No space left"),
    ):
        await archive(account, tmp_path / "one")
    assert not (tmp_path / "one" / ".asyncckpt" / "next").exists()
    requested = ended.stats.requests
    await archive(account, tmp_path / "one")
    assert ended.stats.requests == requested + 1
    assert contents(tmp_path / "one") == contents(tmp_path / "whole")


async def test_an_archive_of_another_server_is_refused(
    ended: Sandbox, account: AsyncClient, tmp_path: Path
) -> None:
    await archive(account, tmp_path)
    other = account.with_options(base_url=ended.base_url.replace("127.0.0.1", "localhost"))
    requested = ended.stats.requests
    with pytest.raises(ArchiveError, match=r"is an archive of 127\.0\.0\.1, and .* localhost"):
        await archive(other, tmp_path)
    assert ended.stats.requests == requested
