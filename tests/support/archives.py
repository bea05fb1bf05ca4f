"""What the tests of archives share."""

import json
from pathlib import Path
from typing import Any

from asyncckpt import AsyncClient
from asyncckpt.testing import Sandbox


def records(path: Path) -> list[dict[str, Any]]:
    """Read a file of JSON lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def files_below(directory: Path) -> dict[str, bytes]:
    """Return the files of a directory, by their names relative to it."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def contents(directory: Path) -> dict[str, bytes]:
    """Return what an archive contains, without the times of the run."""
    found = {
        name: content
        for name, content in files_below(directory).items()
        if not name.startswith(".asyncckpt") and name != "manifest.json"
    }
    manifest = json.loads((directory / "manifest.json").read_bytes())
    return {**found, "counts": json.dumps(manifest["counts"]).encode()}


def small_sandbox(**options: Any) -> Sandbox:
    """A sandbox whose jobs have ended and are small."""
    options = {"jobs": 6, "checkpoints": 2, "statuses": ["succeeded", "failed"], **options}
    return Sandbox(**options)


def paths(sandbox: Sandbox) -> list[str]:
    """Return the paths that were requested, without the jobs' list."""
    return [
        request.path.removeprefix("/v1/")
        for request in sandbox.requests
        if not request.path.endswith("/fine_tuning/jobs")
    ]


def impatient(sandbox: Sandbox, **options: Any) -> AsyncClient:
    """A client that does not retry."""
    return sandbox.client(**{"max_retries": 0, **options})
