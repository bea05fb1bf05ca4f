"""One measurement in a fresh process: takes its orders as an argument, prints its samples."""

from __future__ import annotations

import json
import sys

from .origin import RunningOrigin
from .workloads import run

if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    origin = RunningOrigin(order["origin"])
    samples = run(origin, order["workload"], order["peer"], order["params"])
    sys.stdout.write(json.dumps(samples))
