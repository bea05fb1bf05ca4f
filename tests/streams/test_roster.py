"""The arguments of a watch, and its jobs."""

from typing import Any

import pytest

from asyncckpt import FineTuningJob
from asyncckpt.streams.roster import Roster, WatchSettings


def roster(jobs: Any) -> Roster:
    return Roster("updates", jobs, {})


@pytest.mark.parametrize("name", ["interval", "timeout", "max_silence"])
@pytest.mark.parametrize(
    ("value", "kind"), [(0, ValueError), (-1.0, ValueError), ("5", TypeError), (True, TypeError)]
)
def test_a_number_of_seconds_is_more_than_zero(
    name: str, value: Any, kind: type[Exception]
) -> None:
    options: dict[str, Any] = {"interval": None, "timeout": 1, "max_silence": 0.5}
    WatchSettings(**options)
    with pytest.raises(kind, match=f"^{name} "):
        WatchSettings(**{**options, name: value})


def test_a_collection_says_which_jobs_may_come() -> None:
    jobs = roster(["ftjob-a", FineTuningJob("ftjob-b", 1, "m", "running", "file-1")])
    assert jobs.may_have("ftjob-a")
    assert jobs.may_have("ftjob-b")
    assert not jobs.may_have("ftjob-c")


def test_an_iterator_may_yield_any_job_until_its_end() -> None:
    jobs = roster(iter(["ftjob-a"]))
    assert jobs.may_have("ftjob-c")
    jobs.is_complete = True
    assert not jobs.may_have("ftjob-c")


def test_a_job_that_came_is_known() -> None:
    jobs = roster(iter(["ftjob-a"]))
    jobs.known.add("ftjob-a")
    jobs.is_complete = True
    assert jobs.may_have("ftjob-a")
