"""A comparison of several clients by one workload, and the bounds on what it measures."""

from __future__ import annotations

from typing import Any

import attrs

from .peers import OURS, SDK
from .results import Results, Summary


@attrs.frozen(kw_only=True)
class Target:
    """A bound on one quantity of asyncckpt, or on a ratio of two.

    Attributes:
        what: A name for what is bounded.
        of: The entry whose quantity is bounded.
        over: The entry by whose quantity it is divided.
        quantity: The name of the quantity in the samples.
        at_most: The upper bound.
        at_least: The lower bound, where there is no upper one.
        slack: The factor beyond the bound that noise does not explain: there the short run fails.
        scale: The factor from the unit of the quantity to that of the bound.
        unit: The unit of the bound.
    """

    what: str
    of: str = OURS
    over: str | None = None
    quantity: str = "wall"
    at_most: float | None = None
    at_least: float = 0.0
    slack: float = 2.0
    scale: float = 1.0
    unit: str = "\N{MULTIPLICATION SIGN}"

    @property
    def labels(self) -> tuple[str, ...]:
        """The entries that it needs."""
        return (self.of,) if self.over is None else (self.of, self.over)

    def measured(self, results: Results, comparison: str) -> Summary:
        """Return what was measured, in the unit of the bound."""
        value = results.of(comparison, self.of, self.quantity)
        if self.over is not None:
            value = value.over(results.of(comparison, self.over, self.quantity))
        return value.map(lambda one: one * self.scale)

    def is_met(self, value: float, slack: float = 1.0) -> bool:
        """Return whether a value keeps within the bound, times some slack."""
        if self.at_most is not None:
            return value <= self.at_most * slack
        return value >= self.at_least / slack

    @property
    def bound(self) -> str:
        """The bound in words."""
        if self.at_most is not None:
            return f"at most {self.at_most:g}{self.unit}"
        return f"at least {self.at_least:g}{self.unit}"


@attrs.frozen
class Comparison:
    """One workload for several peers, which take turns.

    Attributes:
        name: Its name for `--only`.
        title: Its name on the page.
        workload: The name of a function in `workloads`.
        params: Its parameters.
        entries: Further parameters, by label; a label is a peer if they name none.
        rounds: In how many fresh processes each entry runs.
        targets: The bounds on its results.
        short: The parameters that the short run replaces; None leaves the comparison out.
    """

    name: str
    title: str
    workload: str
    params: dict[str, Any]
    entries: dict[str, dict[str, Any]]
    rounds: int
    targets: tuple[Target, ...] = ()
    short: dict[str, Any] | None = None

    def rounds_of(self, label: str) -> int:
        """Return the rounds of one entry."""
        return min(self.rounds, 3) if _is_slow(label) else self.rounds

    def shortened(self) -> Comparison:
        """Keep what the quick targets need, in few rounds and a smaller size."""
        quick = [target for target in self.targets if not any(map(_is_slow, target.labels))]
        needed = {label for target in quick for label in target.labels}
        return attrs.evolve(
            self,
            params=self.params | (self.short or {}),
            entries={label: self.entries[label] for label in self.entries if label in needed},
            rounds=min(self.rounds, 3),
            targets=tuple(quick),
        )


def _is_slow(label: str) -> bool:
    """Return whether an entry takes seconds, of which a few rounds are enough."""
    return label.startswith(SDK)
