"""What is kept of a job: the steps of its checkpoints, and the nearest of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncckpt.streams.summary import JobSummary

steps = st.integers(-5, 40) | st.integers(-(2**70), 2**70)


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
    st.integers(-50, 50),
    st.integers(1, 9) | st.integers(-9, -1),
    st.integers(1, 30),
    st.integers(-400, 400),
)
def test_the_nearest_of_regular_steps(first: int, stride: int, count: int, wanted: int) -> None:
    regular = [first + stride * number for number in range(count)]
    assert summary(*regular).nearest_to(wanted) == nearest(regular, wanted)


@pytest.mark.parametrize("stride", [100, -100])
def test_regular_steps_need_the_same_memory_however_many_they_are(stride: int) -> None:
    assert len(summary(*range(0, 100_000 * stride, stride))._runs) == 1


def test_two_steps_equally_near_mean_the_later() -> None:
    for counted in ((100, 200), (200, 100), (100, 300, 200)):
        assert summary(*counted).nearest_to(150) == 200


def test_without_checkpoints_nothing_is_nearest() -> None:
    with pytest.raises(ValueError, match="empty"):
        summary().nearest_to(5)
