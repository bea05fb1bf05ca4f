"""The best checkpoints of a stream, compared with sorting all of them."""

import gc
import itertools
import math
import pickle
import random
import weakref
from collections.abc import Iterator, Sequence

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncckpt import FineTuningJobCheckpoint, NoCheckpointError, Ranked, streams
from asyncckpt.streams.criteria import KNOWN_METRICS, Mode
from asyncckpt.streams.ranking import PREFERRED_METRICS, Selection

from support.checkpoints import checkpoint
from support.strategies import thorough


def selected(
    checkpoints: Sequence[FineTuningJobCheckpoint],
    n: int = 100,
    metric: str | None = None,
    mode: Mode | None = None,
) -> list[Ranked]:
    selection = Selection(n, metric, mode)
    for one in checkpoints:
        selection.add(one)
    return selection.result()


def steps(ranking: Sequence[Ranked]) -> list[int]:
    return [ranked.checkpoint.step_number for ranked in ranking]


# Few different values, so that there are ties.
_numbers = st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.5]) | st.floats(0, 10)
_values = st.none() | _numbers | st.sampled_from([-1.0, math.nan, math.inf, -math.inf])


@st.composite
def jobs_of(draw: st.DrawFn) -> list[list[FineTuningJobCheckpoint]]:
    """Jobs with checkpoints in the order of steps; each job lacks some of the metrics."""
    jobs: list[list[FineTuningJobCheckpoint]] = []
    for number in range(draw(st.integers(0, 4))):
        has = draw(st.sets(st.sampled_from(KNOWN_METRICS)))
        rows = draw(
            st.lists(
                st.fixed_dictionaries(dict.fromkeys(sorted(has), _values))
                | st.fixed_dictionaries({}, optional=dict.fromkeys(sorted(has), _values)),
                max_size=8,
            )
        )
        jobs.append(
            [
                checkpoint(
                    f"ftjob-{number}",
                    step,
                    created_at=draw(st.integers(0, 2)),
                    extra={"new_reward": draw(_values | st.floats(-5, 0))},
                    **row,
                )
                for step, row in enumerate(rows, start=1)
            ]
        )
    return jobs


def interleaved(
    jobs: list[list[FineTuningJobCheckpoint]], choose: random.Random
) -> list[FineTuningJobCheckpoint]:
    """Mix the jobs as pages arrive: each job in the server's order, oldest or newest first."""
    queues = [[*(job if choose.random() < 0.5 else reversed(job))] for job in jobs if job]
    mixed: list[FineTuningJobCheckpoint] = []
    while queues:
        queue = choose.choice(queues)
        page = choose.randint(1, 3)
        mixed += queue[:page]
        del queue[:page]
        queues = [queue for queue in queues if queue]
    return mixed


def value_by_hand(one: FineTuningJobCheckpoint, metric: str) -> float | None:
    value = {**attrs.asdict(one.metrics), **one.metrics.extra}.get(metric)
    if value is None or not math.isfinite(value):
        return None
    return None if value < 0 and metric in KNOWN_METRICS else value


def ranked_by_hand(
    jobs: list[list[FineTuningJobCheckpoint]], metric: str, mode: Mode
) -> list[tuple[FineTuningJobCheckpoint, float]]:
    measured = [
        (one, value)
        for one in itertools.chain(*jobs)
        if (value := value_by_hand(one, metric)) is not None
    ]
    sign = -1 if mode == "min" else 1
    return sorted(
        measured,
        key=lambda pair: (
            sign * pair[1],
            pair[0].step_number,
            pair[0].created_at,
            pair[0].id,
        ),
        reverse=True,
    )


def has(job: list[FineTuningJobCheckpoint], metric: str) -> bool:
    return any(value_by_hand(one, metric) is not None for one in job)


def pairs(ranking: Sequence[Ranked]) -> list[tuple[FineTuningJobCheckpoint, float]]:
    # By identity: a checkpoint with a NaN in it is not equal to itself.
    return [(id(ranked.checkpoint), ranked.value) for ranked in ranking]  # type: ignore[misc]


@given(jobs_of(), st.randoms(use_true_random=False), st.integers(1, 40))
@settings(thorough)
def test_the_default_metric_is_the_first_that_every_job_has(
    jobs: list[list[FineTuningJobCheckpoint]], choose: random.Random, n: int
) -> None:
    with_checkpoints = [job for job in jobs if job]
    expected = next(
        (name for name in PREFERRED_METRICS if all(has(job, name) for job in with_checkpoints)),
        None,
    )
    if expected is None or not with_checkpoints:
        with pytest.raises(NoCheckpointError):
            selected(interleaved(jobs, choose), n)
        return
    ranking = selected(interleaved(jobs, choose), n)
    mode: Mode = "min" if expected.endswith("loss") else "max"
    best = ranked_by_hand(jobs, expected, mode)[:n]
    assert pairs(ranking) == [(id(one), value) for one, value in best]
    assert {ranked.metric for ranked in ranking} == {expected}
    assert {ranked.mode for ranked in ranking} == {mode}
    assert [ranked.rank for ranked in ranking] == [*range(1, len(best) + 1)]
    assert all(ranked.unranked == () for ranked in ranking)


@given(
    jobs_of(),
    st.randoms(use_true_random=False),
    st.integers(1, 40),
    st.sampled_from([*KNOWN_METRICS, "new_reward"]),
    st.sampled_from(["min", "max"]),
)
@settings(thorough)
def test_a_chosen_metric_ranks_as_sorting_does(
    jobs: list[list[FineTuningJobCheckpoint]],
    choose: random.Random,
    n: int,
    metric: str,
    mode: Mode,
) -> None:
    best = ranked_by_hand(jobs, metric, mode)
    if not best:
        with pytest.raises(NoCheckpointError):
            selected(interleaved(jobs, choose), n, metric, mode)
        return
    ranking = selected(interleaved(jobs, choose), n, metric, mode)
    assert pairs(ranking) == [(id(one), value) for one, value in best[:n]]
    lacking = {job[0].fine_tuning_job_id for job in jobs if job and not has(job, metric)}
    assert all(set(ranked.unranked) == lacking for ranked in ranking)


def test_ties_go_to_the_later_step_then_creation_then_id() -> None:
    tied = [
        checkpoint(step=2, created_at=5, id="b", train_loss=1.0),
        checkpoint(step=2, created_at=5, id="c", train_loss=1.0),
        checkpoint(step=2, created_at=6, id="a", train_loss=1.0),
        checkpoint(step=3, created_at=1, id="a", train_loss=1.0),
        checkpoint(step=9, created_at=9, id="z", train_loss=1.5),
    ]
    expected = [tied[3], tied[2], tied[1], tied[0]]
    for order in itertools.permutations(tied):
        assert [ranked.checkpoint for ranked in selected(order, 4)] == expected


def test_a_checkpoint_that_comes_twice_counts_once() -> None:
    ranking = selected([checkpoint(step=step, train_loss=step) for step in (1, 2, 1, 2, 3, 1)], 3)
    assert steps(ranking) == [1, 2, 3]


def test_a_job_without_the_metric_is_reported_and_not_ranked() -> None:
    records = [
        checkpoint("ftjob-a", 1, valid_loss=0.5),
        checkpoint("ftjob-b", 1, train_loss=0.1, full_valid_loss=-1.0),
        checkpoint("ftjob-c", 1, full_valid_loss=math.nan),
        checkpoint("ftjob-d", 1, full_valid_loss=0.9),
        checkpoint("ftjob-d", 2, valid_loss=0.1),
    ]
    (ranked,) = selected(records, metric="full_valid_loss")
    assert (ranked.checkpoint, ranked.value) == (records[3], 0.9)
    assert ranked.unranked == ("ftjob-a", "ftjob-b", "ftjob-c")


def test_a_later_job_can_change_the_default_metric() -> None:
    records = [
        checkpoint("ftjob-a", 1, full_valid_loss=0.1, valid_mean_token_accuracy=0.7),
        checkpoint("ftjob-a", 2, full_valid_loss=0.2, valid_mean_token_accuracy=0.8),
        checkpoint("ftjob-b", 1, valid_mean_token_accuracy=0.75),
    ]
    assert steps(selected(records[:2])) == [1, 2]
    ranking = selected(records)
    assert [ranked.metric for ranked in ranking] == ["valid_mean_token_accuracy"] * 3
    assert [ranked.value for ranked in ranking] == [0.8, 0.75, 0.7]


def test_a_metric_that_this_version_does_not_know() -> None:
    records = [checkpoint(step=step, extra={"mean_reward": step - 5}) for step in range(4)]
    assert steps(selected(records, 2, "mean_reward")) == [3, 2]
    assert steps(selected(records, 2, "mean_reward", "min")) == [0, 1]


def test_no_checkpoints() -> None:
    with pytest.raises(NoCheckpointError, match="no checkpoint to rank$") as caught:
        selected([])
    error = caught.value
    assert (error.jobs, error.checkpoints, error.metrics, error.failed) == (0, 0, (), 0)


def test_no_checkpoint_with_the_metric() -> None:
    records = [
        checkpoint("ftjob-a", 1, valid_loss=1.0, extra={"kl": 0.5, "note": "x"}),
        checkpoint("ftjob-a", 2, train_loss=-1.0),
        checkpoint("ftjob-b", 1, full_valid_loss=2.0),
    ]
    with pytest.raises(NoCheckpointError) as caught:
        selected(records, metric="mean_reward")
    error = caught.value
    assert str(error) == (
        "none of 3 checkpoints of 2 jobs has a measured 'mean_reward'; "
        "they have: valid_loss, full_valid_loss, kl"
    )
    assert (error.jobs, error.checkpoints) == (2, 3)
    assert error.metrics == ("valid_loss", "full_valid_loss", "kl")


def test_no_metric_that_every_job_has() -> None:
    records = [
        checkpoint("ftjob-a", 1, full_valid_loss=1.0, valid_loss=1.0),
        checkpoint("ftjob-b", 1, train_loss=1.0),
        checkpoint("ftjob-c", 1, train_loss=1.0),
    ]
    with pytest.raises(NoCheckpointError) as caught:
        selected(records)
    assert str(caught.value) == (
        "no metric is in every job of 3 checkpoints of 3 jobs (full_valid_loss in 1 of 3, "
        "valid_loss in 1 of 3, train_loss in 2 of 3): choose a metric"
    )


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ({}, "1 checkpoint of 1 job have no metric to rank by$"),
        ({"kl": 1}, r"have no metric to rank by, but other metrics \(kl\): choose one"),
    ],
)
def test_no_metric_at_all(extra: dict[str, object], says: str) -> None:
    with pytest.raises(NoCheckpointError, match=says):
        selected([checkpoint(extra=extra)])


def test_a_name_that_the_server_chose_is_shown_safely_and_their_number_is_bounded() -> None:
    records = [
        checkpoint(step=step, extra={f"\x1b[2J{step}{'x' * 1000}": 1.0}) for step in range(5000)
    ]
    with pytest.raises(NoCheckpointError) as caught:
        selected(records)
    assert len(caught.value.metrics) == 100
    assert str(caught.value).isprintable()
    assert all(len(name) < 300 for name in caught.value.metrics)


@pytest.mark.parametrize(
    ("n", "metric", "mode", "error", "says"),
    [
        (0, None, None, ValueError, "n must be at least 1"),
        ("3", None, None, TypeError, "n must be an integer"),
        (True, None, None, TypeError, "n must be an integer"),
        (1, "kl", None, ValueError, "mode"),
        (1, None, "min", ValueError, "pass metric= as well"),
        (1, "train_loss", "lowest", ValueError, "'min' or 'max'"),
    ],
)
def test_wrong_arguments(
    n: int, metric: str | None, mode: Mode | None, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        Selection(n, metric, mode)


def counted(
    records: Iterator[FineTuningJobCheckpoint],
    alive: weakref.WeakSet[FineTuningJobCheckpoint],
) -> Iterator[FineTuningJobCheckpoint]:
    for record in records:
        alive.add(record)
        yield record


@pytest.mark.parametrize("metric", [None, "full_valid_loss"])
def test_memory_is_for_n_checkpoints_of_each_candidate(metric: str | None) -> None:
    # Each checkpoint is better than all before, so that each one is kept for a while.
    records = (
        checkpoint(
            f"ftjob-{step % 7}",
            step,
            full_valid_loss=1 / step,
            valid_loss=1 / step,
            full_valid_mean_token_accuracy=1 - 1 / step,
            valid_mean_token_accuracy=1 - 1 / step,
            train_loss=1.0 - (step % 5) / 10,
        )
        for step in range(1, 3000)
    )
    alive: weakref.WeakSet[FineTuningJobCheckpoint] = weakref.WeakSet()
    selection = Selection(3, metric)
    most = 0
    gc.disable()
    try:
        for record in counted(records, alive):
            selection.add(record)
            most = max(most, len(alive))
    finally:
        gc.enable()
    # The last one is still referred to by the loop and by the generators.
    assert most <= 3 * (len(PREFERRED_METRICS) if metric is None else 1) + 2
    assert steps(selection.result()) == [2999, 2998, 2997]


def test_a_job_needs_the_same_memory_however_many_checkpoints_it_has() -> None:
    def size(checkpoints: int) -> int:
        selection = Selection(1)
        for step in range(checkpoints):
            selection.add(
                checkpoint(step=step, train_loss=1 + step, valid_loss=1 + step, extra={"kl": step})
            )
        summary = selection._jobs["ftjob-a"]
        return len(summary.metrics) + len(selection._jobs) + len(selection._unknown)

    assert size(1) == size(1000)


def test_what_ranked_shows() -> None:
    (ranked,) = selected([checkpoint(train_loss=0.5)])
    assert "unranked" not in repr(ranked)
    assert "JobSummary" not in repr(ranked)
    again = pickle.loads(pickle.dumps(ranked))
    assert again == ranked
    assert again.explain() == ranked.explain()


def test_rankings_are_imported_on_first_use() -> None:
    assert streams.Ranked is Ranked
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = streams.nothing  # type: ignore[attr-defined]
