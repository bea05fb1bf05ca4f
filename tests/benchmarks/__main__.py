"""`python -m benchmarks`: measure, and write what the docs show."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from . import agreement, plan
from .harness import measure
from .report import write
from .results import Results, gathered
from .targets import Target, targets

DATA = Path("docs/benchmarks/results.json")


def main() -> int:
    """Run the suite; the exit code says whether something must be wrong."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--short", action="store_true", help="check ratios, write nothing")
    parser.add_argument("--report", action="store_true", help="write the docs from the data file")
    parser.add_argument("--only", metavar="GROUP", help="measure one group again, keep the rest")
    given = parser.parse_args()
    if given.report:
        write(Results.load(DATA))
        return 0
    cases = plan.short() if given.short else plan.full()
    groups = dict.fromkeys(case.group for case in cases)
    if given.only and given.only not in groups:
        parser.error(f"there is no group {given.only!r}; there are: {', '.join(groups)}")
    if given.only:
        cases = [case for case in cases if case.group == given.only]
    agreed = asyncio.run(agreement.check())
    results = gathered(measure(cases, sys.stderr.write), agreed)
    if given.only:
        results = Results.load(DATA).with_group(given.only, results, order=list(groups))
    found = targets(results)
    for target in found:
        sys.stdout.write(f"{_line(target)}\n")
    if not given.short:
        results.save(DATA)
        # From the file, so that it holds all that the page shows.
        write(Results.load(DATA))
        return 0
    return int(any(target.is_alarming for target in found))


def _line(target: Target) -> str:
    verdict = "met" if target.is_met else "ALARM" if target.is_alarming else "missed"
    measured = f"{target.measured.median:.3g} {target.unit}"
    return f"{verdict:6} {target.what}: {measured} ({target.sense} {target.bound:g})"


if __name__ == "__main__":
    sys.exit(main())
