"""`python -m benchmarks`: measure, and write the page of the docs and the table of the README."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import attrs

from . import against, agreement, plan, report
from .comparison import Comparison
from .measure import measure
from .results import Results, gathered

DATA = Path("docs/benchmarks/results.json")


def main() -> int:
    """Run the suite; the exit code is 1 if the short run finds what noise does not explain."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--short", action="store_true", help="check ratios, write nothing")
    mode.add_argument("--report", action="store_true", help="write the page from the data file")
    mode.add_argument("--against", metavar="REV", help="compare with a commit, write nothing")
    parser.add_argument("--only", metavar="NAME", help="only comparisons whose name starts so")
    parser.add_argument("--rounds", type=int, help="rounds of each, for a try that writes nothing")
    given = parser.parse_args()
    if given.report:
        report.write(Results.load(DATA))
        return 0
    comparisons = plan.short() if given.short else plan.comparisons()
    chosen = [one for one in comparisons if one.name.startswith(given.only or "")]
    if not chosen:
        parser.error(f"no name starts so; there are: {', '.join(one.name for one in comparisons)}")
    if given.against:
        return _compare(given.against, chosen, given.rounds or against.ROUNDS)
    if given.rounds:
        chosen = _with_rounds(chosen, given.rounds)
    results = gathered(measure(chosen, sys.stderr.write), asyncio.run(agreement.check()))
    failed = _tell_targets(chosen, results)
    if given.short or given.rounds:
        return int(failed)
    if given.only:
        results = Results.load(DATA).with_newer(results)
    results.save(DATA)
    # From the file, so that it contains all that the page shows.
    report.write(Results.load(DATA))
    return 0


def _with_rounds(chosen: list[Comparison], rounds: int) -> list[Comparison]:
    return [attrs.evolve(one, rounds=rounds) for one in chosen]


def _compare(revision: str, chosen: list[Comparison], rounds: int) -> int:
    with against.checkout(revision) as before:
        chosen = _with_rounds(against.side_by_side(chosen, before, Path.cwd()), rounds)
        results = gathered(measure(chosen, sys.stderr.write), agreed=0)
    sys.stdout.writelines(f"{line}\n" for line in against.table(results, chosen))
    return 0


def _tell_targets(chosen: list[Comparison], results: Results) -> bool:
    """Print each target; return whether one is missed by more than noise explains."""
    failed = False
    for comparison in chosen:
        for target in comparison.targets:
            measured = target.measured(results, comparison.name).median
            fails = not target.is_met(measured, target.slack)
            verdict = "FAILED" if fails else "met" if target.is_met(measured) else "missed"
            what = f"{comparison.title}: {target.what}"
            sys.stdout.write(f"{verdict:6} {what}: {measured:.3g} ({target.bound})\n")
            failed = failed or fails
    return failed


if __name__ == "__main__":
    sys.exit(main())
