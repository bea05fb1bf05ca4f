"""What a stream over several jobs does if one of them fails."""

import pytest

from asyncckpt import APIConnectionError, JobFailure
from asyncckpt.streams.failures import Failures, failure_of


def failed() -> JobFailure:
    return failure_of("ftjob-a", APIConnectionError("no"))


def test_the_error_of_a_failure_names_its_job() -> None:
    assert str(failed().error) == "no (job ftjob-a)"
    assert failure_of(5, OSError()).fine_tuning_job_id == "5"


async def test_a_failure_is_raised() -> None:
    failures = Failures("raise")
    assert failures.end_the_stream
    with pytest.raises(APIConnectionError):
        await failures.handle(failed())
    assert (failures.count, failures.collected) == (1, [])


async def test_a_failure_is_collected() -> None:
    failures = Failures("collect")
    assert not failures.end_the_stream
    await failures.handle(failed())
    assert failures.count == len(failures.collected) == 1


async def test_a_failure_is_passed_on() -> None:
    passed: list[JobFailure] = []
    failures = Failures(passed.append)
    await failures.handle(failed())
    assert failures.count == len(passed) == 1
    assert failures.collected == []


def test_what_to_do_is_checked() -> None:
    with pytest.raises(ValueError, match="on_error must be 'raise', 'collect' or a callable"):
        Failures("skip")  # type: ignore[arg-type]
