"""How the records of a stream are written."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asyncckpt import FineTuningJobCheckpoint, JobFailure
from asyncckpt.cli.destination import Destination
from asyncckpt.cli.layouts import CHECKPOINTS
from asyncckpt.cli.writing import (
    ToleratedFailures,
    example_of,
    print_next_example,
    status_line,
    write_all,
)
from asyncckpt.testing import Sandbox

from support.records import checkpoint

RECORDS = [checkpoint(id=f"ftckpt_{step}", step_number=step) for step in (2, 3, 1)]


async def arriving(fails: bool) -> AsyncIterator[FineTuningJobCheckpoint]:
    for record in RECORDS:
        yield record
    if fails:
        raise RuntimeError("lost")


def write(fails: bool = False, **options: object) -> None:
    async def main() -> None:
        plan = Destination(**options).plan(CHECKPOINTS)  # type: ignore[arg-type]
        await write_all(arriving(fails), plan, status_line("checkpoint"), verbose=False)

    asyncio.run(main())


def steps(text: str) -> list[int]:
    return [json.loads(line)["step_number"] for line in text.splitlines()]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [(None, [2, 3, 1]), ("step_number", [1, 2, 3]), ("-step_number", [3, 2, 1])],
)
def test_records_are_written_as_they_arrive_or_sorted(
    sort: str | None, expected: list[int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write(sort=sort)
    assert steps(capsys.readouterr().out) == expected
    path = tmp_path / "all.jsonl"
    write(sort=sort, output=path)
    assert steps(path.read_text("utf-8")) == expected
    assert capsys.readouterr() == ("", "")


def test_before_an_error_only_what_need_not_be_sorted_is_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for options in ({}, {"sort": "step_number"}, {"output": tmp_path / "all.jsonl"}):
        with pytest.raises(RuntimeError, match="lost"):
            write(fails=True, **options)
        assert steps(capsys.readouterr().out) == ([] if options else [2, 3, 1])
    assert not [*tmp_path.iterdir()]


class Cleared:
    count = 0

    def note(self, message: str) -> None:
        raise AssertionError(message)

    def clear(self) -> None:
        self.count += 1


def test_failed_jobs_are_counted_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    display = Cleared()
    failures = ToleratedFailures(display)
    for number in (1, 2):
        failures(JobFailure("ftjob-1", ValueError(f"no\njob {number}")))
    assert (failures.count, display.count) == (2, 2)
    assert capsys.readouterr().err == "asyncckpt: no job 1\nasyncckpt: no job 2\n"


def test_the_examples_of_a_sandbox_are_two_jobs_that_have_succeeded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    box = Sandbox()
    print_next_example(box, "events")
    first, second = example_of(box), capsys.readouterr().err.split()[-1]
    chosen = [job for job in box.jobs if job["id"] in {first, second}]
    assert len(chosen) == 2
    assert all(job["status"] == "succeeded" for job in chosen)
    assert all(job["method"]["type"] == "supervised" for job in chosen)
