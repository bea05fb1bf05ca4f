"""A sandbox in the environment, and the command in this process."""

from collections.abc import Iterator

import pytest

from asyncckpt.cli import main
from asyncckpt.testing import Sandbox

from support.programs import Ran, Run


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Six jobs of 30 checkpoints, served from a thread: the command has its own event loop."""
    with Sandbox(jobs=6, checkpoints=30, statuses=["succeeded"]) as sandbox:
        monkeypatch.setenv("OPENAI_BASE_URL", sandbox.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", sandbox.api_key)
        yield sandbox


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process: `run("list", job_id)`."""

    def run_command(*arguments: str) -> Ran:
        code = main(arguments)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run_command
