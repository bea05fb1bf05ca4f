"""What is kept of a job: the steps of its checkpoints, and the nearest of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncckpt.records.checkpoints import UNKNOWN_STEP
from asyncckpt.streams.summary import JobSummary

steps = st.integers(0, 40) | st.integers(0, 2**70)


def summary(*steps: int) -> JobSummary:
    job = JobSummary()
    for step in steps:
        job.count(step)
    return job


def nearest(steps: list[int], wanted: int) -> int:
    return min(steps, key=lambda step: (abs(step - wanted), -step))


@given(st.lists(steps, min_size=1), steps)
def test_the_nearest_step_in_any_order(counted: list[int], wanted: int) -> None:
    assert summary(*counted).nearest_to(wanted) == nearest(counted, wanted)


@given(
    st.integers(300, 500),
    st.integers(1, 9) | st.integers(-9, -1),
    st.integers(1, 30),
    st.integers(0, 900),
)
def test_the_nearest_of_regular_steps(first: int, stride: int, count: int, wanted: int) -> None:
    regular = [first + stride * number for number in range(count)]
    assert summary(*regular).nearest_to(wanted) == nearest(regular, wanted)


@pytest.mark.parametrize("stride", [100, -100])
def test_regular_steps_need_the_same_memory_however_many_they_are(stride: int) -> None:
    assert len(summary(*[10_000_000 + stride * n for n in range(100_000)])._runs) == 1


def test_two_steps_equally_near_mean_the_later() -> None:
    for counted in ((100, 200), (200, 100), (100, 300, 200)):
        assert summary(*counted).nearest_to(150) == 200


def test_checkpoints_without_a_step_are_not_near_to_anything() -> None:
    assert summary().nearest_to(5) is None
    assert summary(UNKNOWN_STEP).nearest_to(5) is None
    assert summary(UNKNOWN_STEP, 300, UNKNOWN_STEP, 200).nearest_to(5) == 200
    assert summary(UNKNOWN_STEP, 300).checkpoints == 2
