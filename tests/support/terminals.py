"""Running programs on a terminal, as a person does."""

import contextlib
import os
import pty
import re
import subprocess
import termios
from collections.abc import Iterator, Mapping, Sequence

import attrs

_STYLE = re.compile(r"\x1b\[[0-9;]*m")


@attrs.define
class Terminal:
    """A program that runs on a terminal, and what it has shown."""

    process: subprocess.Popen[bytes]
    descriptor: int
    shown: bytes = b""
    _position: int = 0

    def read_until(self, text: str) -> None:
        """Read until the program has shown a text, after those that were read before."""
        while (found := self.shown.find(text.encode(), self._position)) < 0:
            assert self._read(), f"the output ended without {text!r}: {self.shown!r}"
        self._position = found + len(text.encode())

    def read_to_end(self) -> str:
        """Read until the program has ended, and return all that it has shown."""
        while self._read():
            pass
        self.process.wait()
        return self.shown.decode().replace("\r\n", "\n")

    def _read(self) -> bool:
        with contextlib.suppress(OSError):  # Linux reports the closed far end as EIO
            chunk = os.read(self.descriptor, 65536)
            self.shown += chunk
            return bool(chunk)
        return False


@contextlib.contextmanager
def on_a_terminal(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    columns: int = 80,
    term: str = "dumb",
) -> Iterator[Terminal]:
    """Start a program on a terminal without colours; end it at the end of the block."""
    outside, inside = pty.openpty()
    termios.tcsetwinsize(inside, (24, columns))
    process = subprocess.Popen(
        command,
        stdin=inside,
        stdout=inside,
        stderr=inside,
        env={
            **environment,
            "COLUMNS": str(columns),
            "LINES": "24",
            "NO_COLOR": "1",
            "TERM": term,
        },
    )
    os.close(inside)
    try:
        with process:
            try:
                yield Terminal(process, outside)
            finally:
                process.kill()
    finally:
        os.close(outside)


def run_on_a_terminal(
    command: Sequence[str], environment: Mapping[str, str], *, columns: int = 80
) -> tuple[int, str]:
    """Run a program on a terminal without colours; return its exit code and what it showed."""
    with on_a_terminal(command, environment, columns=columns) as terminal:
        shown = terminal.read_to_end()
    return terminal.process.returncode, shown


def screen(shown: str) -> list[str]:
    """Return the lines that a text leaves on a terminal, where ``\\r`` returns to the start."""
    lines: list[str] = []
    for line in _STYLE.sub("", shown).split("\n"):
        cells: list[str] = []
        for part in line.split("\r"):
            cells[: len(part)] = part
        lines.append("".join(cells).rstrip())
    return lines
