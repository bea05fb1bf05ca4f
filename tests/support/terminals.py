"""Running programs on a terminal, as a person does."""

import contextlib
import os
import pty
import subprocess
from collections.abc import Mapping, Sequence


def run_on_a_terminal(
    command: Sequence[str], environment: Mapping[str, str] | None = None, *, columns: int = 80
) -> tuple[int, str]:
    """Run a program on a terminal without colours; return its exit code and what it showed."""
    outside, inside = pty.openpty()
    process = subprocess.Popen(
        command,
        stdin=inside,
        stdout=inside,
        stderr=inside,
        env={
            **(os.environ if environment is None else environment),
            "COLUMNS": str(columns),
            "LINES": "24",
            "NO_COLOR": "1",
            "TERM": "dumb",
        },
    )
    os.close(inside)
    shown = b""
    with process, contextlib.suppress(OSError):  # Linux reports the closed far end as EIO
        while chunk := os.read(outside, 65536):
            shown += chunk
    os.close(outside)
    return process.returncode, shown.decode().replace("\r\n", "\n")
