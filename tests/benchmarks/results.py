"""The measurements of one run, as a file and as a place to look them up."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from asyncckpt import __version__

from .harness import Measurement

_COMPARED: Final = (
    "aiohttp",
    "attrs",
    "cattrs",
    "msgspec",
    "multidict",
    "yarl",
    "openai",
    "httpx",
    "httpx2",
    "orjson",
    "pydantic",
    "uvloop",
)


@attrs.frozen
class Results:
    """All measurements, and what they were made on.

    Attributes:
        machine: Cores, processor, system, Python.
        versions: Of everything that takes part.
        measurements: In the order of the plan.
        agreed: How many values were the same for asyncckpt and the official SDK.
    """

    machine: dict[str, str]
    versions: dict[str, str]
    measurements: list[Measurement]
    agreed: int = 0

    def of(self, group: str, peer: str | None = None) -> list[Measurement]:
        """The measurements of a group, and perhaps of one peer."""
        return [
            measurement
            for measurement in self.measurements
            if measurement.group == group and peer in (None, measurement.peer)
        ]

    def one(self, group: str, peer: str, variant: str = "") -> Measurement:
        """The only measurement of a group, a peer and a variant that begins so."""
        found = [one for one in self.of(group, peer) if one.variant.startswith(variant)]
        if len(found) != 1:
            raise LookupError(f"{len(found)} measurements of {group}, {peer}, {variant}")
        return found[0]

    def with_group(self, group: str, newer: Results, order: Sequence[str]) -> Results:
        """The same with one group measured again.

        Raises:
            ValueError: They were made on another machine, or with other versions.
        """
        if (self.machine, self.versions) != (newer.machine, newer.versions):
            raise ValueError("machine or versions have changed: measure all groups again")
        kept = [one for one in self.measurements if one.group in order and one.group != group]
        merged = sorted([*kept, *newer.of(group)], key=lambda one: order.index(one.group))
        return attrs.evolve(newer, measurements=merged)

    def save(self, path: Path) -> None:
        """Write them to a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        # A line for each measurement keeps the file small, and a change of it readable.
        lines = ",\n".join(_as_json(_rounded(attrs.asdict(one))) for one in self.measurements)
        path.write_text(
            f'{{"machine": {_as_json(self.machine)},\n"versions": {_as_json(self.versions)},\n'
            f'"agreed": {self.agreed},\n"measurements": [\n{lines}\n]}}\n'
        )

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read them from a file."""
        kept = json.loads(path.read_text())
        kept["measurements"] = [Measurement(**one) for one in kept["measurements"]]
        return cls(**kept)


def _as_json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _rounded(value: Any) -> Any:
    """The same with five digits to each number, which is more than any of them is good for."""
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def gathered(measurements: list[Measurement], agreed: int) -> Results:
    """The measurements with a description of this machine."""
    versions = {"asyncckpt": __version__}
    for name in _COMPARED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return Results(_machine(), versions, measurements, agreed)


def _machine() -> dict[str, str]:
    facts: dict[str, Any] = {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "system": platform.system(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }
    return {name: str(fact) for name, fact in facts.items() if fact}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
