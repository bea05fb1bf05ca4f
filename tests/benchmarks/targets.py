"""What asyncckpt is to reach, and whether it does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import attrs

from . import plan
from .harness import Measurement, Summary, ratio
from .results import Results

Sense = Literal["at least", "at most"]
Verdict = Literal["met", "even", "missed"]

WITH_AIOHTTP: Final = "asyncckpt, aiohttp"
SDK: Final = "sdk-httpx"
FASTEST_DECODER: Final = "msgspec structs"


@attrs.frozen
class Target:
    """One bound, and what was measured.

    Attributes:
        workload: Number of the workload.
        what: What is bounded.
        sense: Whether the bound is a lower or an upper one.
        bound: The target.
        alarm: What no noise explains: the short suite fails there.
        measured: What was measured.
        unit: Of all of them.
        floor: What stops everybody: the same without a client.
    """

    workload: int
    what: str
    sense: Sense
    bound: float
    alarm: float
    measured: Summary
    unit: str = "x"
    floor: Summary | None = None

    @property
    def verdict(self) -> Verdict:
        """Whether the target is reached; "even" if it lies among the middle half of the rounds."""
        if self.measured.low < self.bound < self.measured.high:
            return "even"
        return "met" if self._keeps(self.bound) else "missed"

    @property
    def is_alarming(self) -> bool:
        """Whether something must be wrong."""
        return not self._keeps(self.alarm)

    def _keeps(self, bound: float) -> bool:
        value = self.measured.median
        return value >= bound if self.sense == "at least" else value <= bound


def targets(results: Results) -> list[Target]:
    """All targets for which there are measurements."""
    return [
        *_speed(results),
        *_overlap(results),
        *_alone(results),
        *_memory(results),
        *_hostile(results),
    ]


def _speed(results: Results) -> Iterator[Target]:
    for number, group, what, by_hand, sdk in (
        (1, plan.ONE_JOB, "one job: speed over", 1.2, 30.0),
        (3, plan.MANY_JOBS, "many jobs: speed over", 1.0, 25.0),
        (3, f"{plan.MANY_JOBS}, far", "many jobs at 20 ms: speed over", 1.0, 25.0),
    ):
        if not results.of(group):
            continue
        ours = results.one(group, "asyncckpt")
        for peer, name, bound in (
            ("handwritten", "the hand-written loop", by_hand),
            (SDK, "the official SDK (httpx)", sdk),
            ("sdk-aiohttp", "the official SDK (aiohttp)", sdk),
        ):
            if results.of(group, peer):
                faster = ratio(results.one(group, peer), ours)
                yield Target(number, f"{what} {name}", "at least", bound, bound / 3, faster)


def _overlap(results: Results) -> Iterator[Target]:
    for measurement in results.of(plan.OVERLAP, "asyncckpt"):
        over = measurement.over_ideal()
        what = f"{measurement.variant}: time over ideal"
        bare = results.one(plan.OVERLAP, plan.FLOOR, measurement.variant)
        yield Target(2, what, "at most", 1.03, 1.5, over, floor=bare.over_ideal())


def _alone(results: Results) -> Iterator[Target]:
    decoding = results.one(plan.DECODING, "asyncckpt").summary("per_record").scaled(1e6)
    fastest = results.one(plan.DECODING, FASTEST_DECODER).summary("per_record").scaled(1e6)
    yield Target(4, "decoding", "at most", 2.0, 6.0, decoding, "µs a record", fastest)
    aiohttp = results.one(plan.IMPORT, "aiohttp")
    for module, what in (("asyncckpt", "import"), (WITH_AIOHTTP, "import and a first client")):
        over = ratio(results.one(plan.IMPORT, module), aiohttp)
        yield Target(5, f"{what}: time over `import aiohttp`", "at most", 1.15, 1.6, over)


def _memory(results: Results) -> Iterator[Target]:
    growth = Summary.of([growth_of(results.of(plan.STREAM)[0]) / 2**20])
    yield Target(6, "growth over the last nine tenths of a stream", "at most", 1, 8, growth, "MiB")
    ours = results.one(plan.HELD, "asyncckpt")
    share = ratio(ours, results.one(plan.HELD, SDK), "bytes")
    yield Target(6, "memory of a record held, over the official SDK's", "at most", 0.5, 0.7, share)


def growth_of(stream: Measurement) -> float:
    """Bytes that the process grew by after the first tenth of a stream."""
    resident = [sample["resident"] for sample in stream.rounds[0]]
    settled = resident[len(resident) // 10]
    return max(resident[-1] - settled, 0)


def _hostile(results: Results) -> Iterator[Target]:
    for measurement in results.of(plan.LIMITED, "asyncckpt"):
        hint = measurement.variant
        over = measurement.over_ideal()
        refused = measurement.summary("refused").scaled(100)
        lost = measurement.summary("lost")
        yield Target(7, f"rate limit, {hint}: time over its own", "at most", 1.10, 1.6, over)
        yield Target(7, f"rate limit, {hint}: refused", "at most", 3.0, 10.0, refused, "%")
        yield Target(7, f"rate limit, {hint}: jobs lost", "at most", 0, 0, lost, "jobs")
    faulty = results.one(plan.FAULTY, "asyncckpt")
    wrong = [
        sum(one) for one in zip(faulty.medians("missing"), faulty.medians("doubled"), strict=True)
    ]
    what = f"{faulty.variant}: missing or doubled"
    yield Target(7, what, "at most", 0, 0, Summary.of(wrong), "records")
