"""Runs measurements: each in fresh processes, the peers of a comparison in turn."""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import attrs

from .origin import RunningOrigin, running_origin

Tell = Callable[[str], object]


@attrs.frozen
class Case:
    """One workload for one peer.

    Attributes:
        group: Which comparison it belongs to; the cases of a group take turns.
        variant: What of the comparison; measurements of one variant stand side by side.
        peer: Who.
        workload: What to run, a name in `workloads.WORKLOADS`.
        params: Its parameters.
        rounds: In how many fresh processes.
        per_round: Whether each round is a run of its own to the origin.
    """

    group: str
    variant: str
    peer: str
    workload: str
    params: dict[str, Any]
    rounds: int = 5
    per_round: bool = False


@attrs.define
class Measurement:
    """The samples of a case, one list for each fresh process."""

    group: str
    variant: str
    peer: str
    params: dict[str, Any]
    rounds: list[list[dict[str, float]]] = attrs.field(factory=list)

    def medians(self, quantity: str) -> list[float]:
        """The median of each process."""
        return [statistics.median(sample[quantity] for sample in round_) for round_ in self.rounds]

    def summary(self, quantity: str) -> Summary:
        """The medians of the processes."""
        return Summary(tuple(self.medians(quantity)))

    def share(self, part: str, whole: str) -> Summary:
        """One quantity over another, process by process."""
        pairs = zip(self.medians(part), self.medians(whole), strict=True)
        return Summary(tuple(one / other for one, other in pairs))

    def over_ideal(self) -> Summary:
        """Wall time over the ideal time."""
        return self.share("wall", "ideal")


@attrs.frozen
class Summary:
    """What the rounds came to: one value each, at least one."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        """Where the middle half of the values begins."""
        return self._quartile(0)

    @property
    def high(self) -> float:
        """Where the middle half of the values ends."""
        return self._quartile(2)

    def _quartile(self, which: int) -> float:
        if len(self.values) == 1:
            return self.values[0]
        return statistics.quantiles(self.values, n=4, method="inclusive")[which]

    def scaled(self, factor: float) -> Summary:
        """The same in another unit."""
        return Summary(tuple(value * factor for value in self.values))

    def inverse(self, amount: float) -> Summary:
        """Seconds for an amount, as an amount a second."""
        return Summary(tuple(amount / value for value in self.values))


def ratio(above: Measurement, below: Measurement, quantity: str = "wall") -> Summary:
    """One measurement over another, round by round: what slows both down cancels out.

    Where one has more rounds than the other, those that both have are compared.
    """
    pairs = zip(above.medians(quantity), below.medians(quantity), strict=False)
    return Summary(tuple(one / other for one, other in pairs))


def difference(more: Measurement, less: Measurement, quantity: str) -> Summary:
    """What one measurement takes more than another, round by round."""
    pairs = zip(more.medians(quantity), less.medians(quantity), strict=True)
    return Summary(tuple(one - other for one, other in pairs))


def measure(cases: Iterable[Case], tell: Tell) -> list[Measurement]:
    """Run cases, each group against an origin that has answered nobody else."""
    measurements: list[Measurement] = []
    for group in _groups(cases):
        tell(f"{group[0].group}\n")
        with running_origin() as origin:
            measurements += _measure_group(origin, group, tell)
    return measurements


def _groups(cases: Iterable[Case]) -> Iterator[list[Case]]:
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.group, []).append(case)
    yield from groups.values()


def _measure_group(origin: RunningOrigin, cases: list[Case], tell: Tell) -> list[Measurement]:
    measured = [Measurement(case.group, case.variant, case.peer, case.params) for case in cases]
    for turn in range(max(case.rounds for case in cases)):
        # So that nobody is always first, or always behind the same neighbour.
        for index in random.Random(turn).sample(range(len(cases)), len(cases)):
            case = cases[index]
            if turn >= case.rounds:
                continue
            params = dict(case.params)
            if case.per_round:
                params["run"] = f"{index}.{turn}"
            samples = _in_fresh_process(origin, case, params)
            measured[index].rounds.append(samples)
            tell(f"  {case.variant}, {case.peer}: {_brief(samples[-1])}\n")
    return measured


def _in_fresh_process(
    origin: RunningOrigin, case: Case, params: dict[str, Any]
) -> list[dict[str, float]]:
    order = {
        "origin": origin.url,
        "workload": case.workload,
        "peer": case.peer,
        "params": params,
    }
    worker = f"{__package__}.worker"
    done = subprocess.run(
        [sys.executable, "-m", worker, json.dumps(order)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    samples: list[dict[str, float]] = json.loads(done.stdout)
    return samples


def _brief(sample: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in sample.items())
