"""Runs comparisons: each measurement in a fresh process, the entries of a comparison in turn."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs

from .comparison import Comparison
from .origin import HOST
from .results import Rounds
from .workloads import Sample, Server

Tell = Callable[[str], object]


def measure(comparisons: Iterable[Comparison], tell: Tell) -> Rounds:
    """Run comparisons, each against a server that has had no other client."""
    rounds: Rounds = {}
    for comparison in comparisons:
        tell(f"{comparison.name}\n")
        with running_server() as (server, ca_file):
            # The default of all of the clients that use TLS here.
            environment = os.environ | {"SSL_CERT_FILE": str(ca_file)}
            rounds[comparison.name] = _measure(comparison, server, environment, tell)
    return rounds


def _measure(
    comparison: Comparison, server: Server, environment: dict[str, str], tell: Tell
) -> dict[str, list[Sample]]:
    measured: dict[str, list[Sample]] = {label: [] for label in comparison.entries}
    for turn in range(comparison.rounds):
        # A new order each time: nobody is always first, or always behind the same neighbour.
        for label in random.Random(turn).sample(list(measured), len(measured)):
            if turn >= comparison.rounds_of(label):
                continue
            params = comparison.params | comparison.entries[label]
            package = params.pop("package", None)
            variables = environment if package is None else _with_package(package, environment)
            task = {
                "server": attrs.asdict(server),
                "workload": comparison.workload,
                "peer": params.pop("peer", label),
                "params": params,
            }
            sample = _in_fresh_process(task, variables)
            measured[label].append(sample)
            tell(f"  {label}: {', '.join(f'{n} {v:.4g}' for n, v in sample.items())}\n")
    return measured


def _with_package(package: str, environment: dict[str, str]) -> dict[str, str]:
    """Return the environment in which `import asyncckpt` finds the package in a folder."""
    benchmarks = str(Path(__file__).parents[1])
    return environment | {"PYTHONPATH": os.pathsep.join([package, benchmarks])}


def _in_fresh_process(task: dict[str, Any], environment: dict[str, str]) -> Sample:
    # `-P`: the package does not come from the current folder, but from where the path says.
    worker = [sys.executable, "-P", "-m", f"{__package__}.workloads", json.dumps(task)]
    done = subprocess.run(worker, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    sample: Sample = json.loads(done.stdout)
    return sample


@contextlib.contextmanager
def running_server() -> Iterator[tuple[Server, Path]]:
    """Run a server in a process of its own; yield its addresses and the file of its CA."""
    with tempfile.TemporaryDirectory() as folder:
        ca_file = Path(folder, "ca.pem")
        command = [sys.executable, "-m", f"{__package__}.origin", str(ca_file)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            port, tls_port = (process.stdout.readline().strip() for _ in range(2))
            if not tls_port:
                raise RuntimeError("the server did not start")
            yield Server(f"http://{HOST}:{port}", f"https://{HOST}:{tls_port}"), ca_file
            assert process.stdin is not None
            process.stdin.close()
