"""What asyncckpt is to reach, and whether it does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import attrs

from . import plan
from .harness import Measurement, Summary, ratio
from .results import Results

Sense = Literal["at least", "at most"]

SDK: Final = "sdk-httpx"


@attrs.frozen
class Target:
    """One bound, and what was measured.

    Attributes:
        what: What is bounded.
        sense: Whether the bound is a lower or an upper one.
        bound: The target.
        alarm: What no noise explains: the short suite fails there.
        measured: What was measured.
        unit: Of all of them.
        at_best: What nobody can pass: the same without a client.
    """

    what: str
    sense: Sense
    bound: float
    alarm: float
    measured: Summary
    unit: str = "x"
    at_best: Summary | None = None

    @property
    def is_met(self) -> bool:
        """Whether the target is reached."""
        return self._keeps(self.measured.median, self.bound)

    @property
    def rounds_that_meet(self) -> int:
        """How many rounds reach the target, each by itself."""
        return sum(self._keeps(value, self.bound) for value in self.measured.values)

    @property
    def is_alarming(self) -> bool:
        """Whether something must be wrong."""
        return not self._keeps(self.measured.median, self.alarm)

    def _keeps(self, value: float, bound: float) -> bool:
        return value >= bound if self.sense == "at least" else value <= bound


def targets(results: Results) -> list[Target]:
    """All targets for which there are measurements."""
    return [
        *_speed(results),
        *_overlap(results),
        *_alone(results),
        *_memory(results),
        *_hostile(results),
        *_growth(results),
    ]


def _speed(results: Results) -> Iterator[Target]:
    for group, what, by_hand, sdk in (
        (plan.ONE_JOB, "one job", 1.2, 30.0),
        (plan.MANY_JOBS, "many jobs", 1.0, 25.0),
        (plan.FAR, "many jobs, 20 ms away", 1.0, 25.0),
    ):
        if not results.of(group):
            continue
        ours, none = results.one(group, "asyncckpt"), results.one(group, plan.FLOOR)
        for peer, name, bound in (
            ("handwritten", "the hand-written loop", by_hand),
            (SDK, "the official SDK (httpx)", sdk),
            ("sdk-aiohttp", "the official SDK (aiohttp)", sdk),
        ):
            if results.of(group, peer):
                theirs = results.one(group, peer)
                yield Target(
                    f"{what}: speed over {name}",
                    "at least",
                    bound,
                    bound / 3,
                    ratio(theirs, ours),
                    at_best=ratio(theirs, none),
                )


def _overlap(results: Results) -> Iterator[Target]:
    for measurement in results.of(plan.OVERLAP, "asyncckpt"):
        over = measurement.over_ideal()
        what = f"{measurement.variant}: time over ideal"
        none = results.one(plan.OVERLAP, plan.FLOOR, measurement.variant)
        yield Target(what, "at most", 1.03, 1.5, over, at_best=none.over_ideal())


def fastest_decoder(results: Results) -> Measurement:
    """The fastest of those that are not asyncckpt's."""
    others = [one for one in results.of(plan.DECODING) if not one.peer.startswith("asyncckpt")]
    return min(others, key=lambda one: one.summary("per_record").median)


def _alone(results: Results) -> Iterator[Target]:
    decoding = results.one(plan.DECODING, "asyncckpt").summary("per_record").scaled(1e6)
    fastest = fastest_decoder(results).summary("per_record").scaled(1e6)
    yield Target("decoding", "at most", 2.0, 6 * fastest.median, decoding, "µs a record", fastest)
    alone, needed = (
        results.one(plan.IMPORT, name) for name in (plan.IMPORT_AIOHTTP, plan.IMPORT_NEEDED)
    )
    for statement, what, at_best in (
        (plan.IMPORT_ASYNCCKPT, "import", None),
        (plan.IMPORT_AND_USE, "import, and a first client", ratio(needed, alone)),
    ):
        over = ratio(results.one(plan.IMPORT, statement), alone)
        yield Target(
            f"{what}: time over `{plan.IMPORT_AIOHTTP}`",
            "at most",
            1.15,
            1.6,
            over,
            at_best=at_best,
        )


def _memory(results: Results) -> Iterator[Target]:
    stream = results.of(plan.STREAM)[0]
    growth = Summary((growth_of(stream) / 2**20,))
    # A fifth of what the process has anyway.
    alarm = stream.rounds[0][0]["resident"] / 2**20 / 5
    yield Target("growth over the last nine tenths of a stream", "at most", 1, alarm, growth, "MiB")
    share = ratio(results.one(plan.HELD, "asyncckpt"), results.one(plan.HELD, SDK), "bytes")
    yield Target("memory of a record held, over the official SDK's", "at most", 0.5, 0.7, share)


def growth_of(stream: Measurement) -> float:
    """Bytes that the process had at most above those after the first tenth of a stream."""
    resident = [sample["resident"] for sample in stream.rounds[0]]
    settled = len(resident) // 10
    return max(resident[settled:]) - resident[settled]


def _growth(results: Results) -> Iterator[Target]:
    for group, size in ((plan.BY_RECORDS, "records"), (plan.BY_JOBS, "jobs")):
        measured = results.of(group)
        if not measured:
            continue
        base, most = measured[2], measured[-1]
        factor = most.params[size] / base.params[size]
        longer = ratio(most, base).scaled(1 / factor)
        sizes = f"{most.params[size]:,} {size} over {base.params[size]:,}"
        yield Target(f"{sizes}: time of each", "at most", 1.1, 2.0, longer)
        more = ratio(most, base, "peak")
        yield Target(f"{sizes}: peak memory", "at most", 1.1, 2.0, more)


def _hostile(results: Results) -> Iterator[Target]:
    for measurement in results.of(plan.LIMITED, "asyncckpt"):
        hint = measurement.variant
        over = measurement.over_ideal()
        refused = measurement.summary("refused").scaled(100)
        lost = Summary((max(measurement.medians("lost")),))
        yield Target(
            f"rate limit, {hint}: time over the least it allows", "at most", 1.10, 1.6, over
        )
        yield Target(f"rate limit, {hint}: refused", "at most", 3.0, 10.0, refused, "%")
        yield Target(f"rate limit, {hint}: jobs lost", "at most", 0, 0, lost, "jobs")
    faulty = results.one(plan.FAULTY, "asyncckpt")
    wrong = [
        sum(one) for one in zip(faulty.medians("missing"), faulty.medians("doubled"), strict=True)
    ]
    what = f"{faulty.variant}: missing or doubled"
    yield Target(what, "at most", 0, 0, Summary((max(wrong),)), "records")
