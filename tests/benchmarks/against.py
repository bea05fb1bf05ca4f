"""Two versions of asyncckpt side by side: the commit that `--against` names, and this tree."""

from __future__ import annotations

import contextlib
import math
import operator
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from .comparison import Comparison
from .results import Results

BEFORE: Final = "before"
AFTER: Final = "after"
ROUNDS: Final = 9
_QUANTITIES: Final = {"wall", "cpu", "bytes", "peak", "refused"}
# A row is slower if chance explains its rounds less often than this, and by more than this factor.
_CHANCE: Final = 0.01
_NOTICEABLE: Final = 1.02


@contextlib.contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """Extract the package of a commit into a temporary folder."""
    archive = subprocess.run(
        ["git", "archive", revision, "asyncckpt"], stdout=subprocess.PIPE, check=True
    )
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        yield Path(folder)


def side_by_side(comparisons: list[Comparison], before: Path, after: Path) -> list[Comparison]:
    """Replace the entries of each comparison by two of each that runs asyncckpt."""
    packages = ((BEFORE, before), (AFTER, after))
    return [
        attrs.evolve(
            comparison,
            entries={
                f"{version}: {label}": {"peer": label} | entry | {"package": str(folder)}
                for label, entry in comparison.entries.items()
                if "asyncckpt" in entry.get("peer", label)
                for version, folder in packages
            },
        )
        for comparison in comparisons
    ]


def table(results: Results, comparisons: list[Comparison]) -> Iterator[str]:
    """Yield a row for each quantity of each comparison, and whether it became worse."""
    yield "| | | before | after | ratio | rounds worse | |"
    yield "|---|---|--:|--:|--:|--:|---|"
    for comparison in comparisons:
        for label in comparison.entries:
            version, _, what = label.partition(": ")
            if version == BEFORE:
                yield from _rows(results, comparison, what)


def _rows(results: Results, comparison: Comparison, what: str) -> Iterator[str]:
    title = comparison.name if what == "asyncckpt" else f"{comparison.name}, {what}"
    labels = [f"{version}: {what}" for version in (BEFORE, AFTER)]
    sample = results.rounds[comparison.name][labels[0]][0]
    # Decoding has no other.
    measured = set(sample) & _QUANTITIES or {"per_record"}
    for quantity in sorted(measured):
        before, after = (results.of(comparison.name, label, quantity) for label in labels)
        worse = sum(map(operator.gt, after.values, before.values))
        rounds = len(after.values)
        ratio = after.median / before.median if before.median else 1.0
        is_slower = ratio > _NOTICEABLE and _chance(worse, rounds) < _CHANCE
        yield (
            f"| {title} | {quantity} | {before.median:.4g} | {after.median:.4g} | {ratio:.3f} "
            f"| {worse} of {rounds} | {'**worse**' if is_slower else ''} |"
        )


def _chance(worse: int, rounds: int) -> float:
    """Return how often a fair coin would fall so at least: the sign test."""
    return sum(math.comb(rounds, n) for n in range(worse, rounds + 1)) * 0.5**rounds
