"""The measurements of a run: looked up, compared, saved and loaded."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

from asyncckpt import __version__

Rounds = dict[str, dict[str, list[dict[str, float]]]]
"""The samples of each round, by comparison and entry."""

_COMPARED: Final = (
    *("aiohttp", "attrs", "cattrs", "msgspec", "openai", "httpx", "httpx2"),
    *("orjson", "pydantic", "pycurl", "ry", "uvloop"),
)


@attrs.frozen
class Summary:
    """One value for each round, at least one."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        """The lower quartile."""
        return self._quartile(0)

    @property
    def high(self) -> float:
        """The upper quartile."""
        return self._quartile(2)

    def _quartile(self, which: int) -> float:
        if len(self.values) == 1:
            return self.values[0]
        return statistics.quantiles(self.values, n=4, method="inclusive")[which]

    def with_each(self, other: Summary, combine: Callable[[float, float], float]) -> Summary:
        """Combine the values of the rounds that both have: what disturbs a round cancels out."""
        return Summary(tuple(map(combine, self.values, other.values)))

    def over(self, other: Summary) -> Summary:
        """Divide by another, round by round."""
        return self.with_each(other, lambda one, two: one / two)

    def minus(self, other: Summary) -> Summary:
        """Subtract another, round by round."""
        return self.with_each(other, lambda one, two: one - two)

    def map(self, change: Callable[[float], float]) -> Summary:
        """Change each value, to another unit for example."""
        return Summary(tuple(map(change, self.values)))


@attrs.frozen
class Results:
    """All measurements, and what they were made with.

    Attributes:
        machine: Cores, processor and system.
        versions: Of Python and of every package that takes part.
        agreed: How many values were equal for asyncckpt and the official SDK.
        rounds: The samples.
    """

    machine: str
    versions: dict[str, str]
    agreed: int
    rounds: Rounds

    def has(self, comparison: str, *labels: str) -> bool:
        """Return whether these entries of a comparison were measured."""
        return set(labels) <= set(self.rounds.get(comparison, ()))

    def of(self, comparison: str, label: str, quantity: str = "wall") -> Summary:
        """Return one quantity of one entry of a comparison."""
        return Summary(tuple(one[quantity] for one in self.rounds[comparison][label]))

    def with_newer(self, newer: Results) -> Results:
        """Replace the comparisons that were measured again.

        Raises:
            ValueError: They were measured on another machine, or with other versions.
        """
        if (self.machine, self.versions) != (newer.machine, newer.versions):
            raise ValueError("the machine or the versions have changed: measure everything again")
        return attrs.evolve(newer, rounds=self.rounds | newer.rounds)

    def save(self, path: Path) -> None:
        """Write them to a file, with a line for each entry so that changes can be read."""
        path.parent.mkdir(parents=True, exist_ok=True)
        facts = attrs.asdict(self)
        comparisons = ",\n".join(
            f"{json.dumps(name)}: {{\n{_lines(entries)}\n}}"
            for name, entries in facts.pop("rounds").items()
        )
        path.write_text(f'{json.dumps(facts)[:-1]}, "rounds": {{\n{comparisons}\n}}}}\n')

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read them from a file."""
        return cls(**json.loads(path.read_text()))


def _lines(entries: dict[str, list[dict[str, float]]]) -> str:
    # Five digits are more than any of the values is good for.
    return ",\n".join(
        f"{json.dumps(label)}: "
        + json.dumps([{name: float(f"{one[name]:.5g}") for name in one} for one in rounds])
        for label, rounds in entries.items()
    )


def gathered(rounds: Rounds, agreed: int) -> Results:
    """Describe this machine and its packages beside the measurements."""
    versions = {platform.python_implementation(): platform.python_version()}
    versions["asyncckpt"] = __version__
    for name in _COMPARED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0))
    return Results(f"{cores} cores, {_processor()}, {platform.system()}", versions, agreed, rounds)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
