"""Running programs on a terminal, as a person does."""

import contextlib
import io
import os
import pty
import re
import subprocess
import termios
from collections.abc import Iterator, Mapping, Sequence

import attrs

_STYLE = re.compile(r"\x1b\[[0-9;]*m")


class TerminalOutput(io.StringIO):
    """An output that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


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


@attrs.define
class Screen:
    """What a text leaves on a terminal that is wide enough or wraps, with a long memory.

    It knows the escape sequences that `asyncckpt.cli.live` writes: up some rows, and erase what is
    below.
    """

    columns: int
    rows: list[str] = attrs.field(factory=lambda: [""])
    row: int = 0
    column: int = 0

    @classmethod
    def of(cls, text: str, columns: int) -> "Screen":
        screen = cls(columns)
        for part in re.findall(r"\x1b\[\d*[AJ]|\n|\r|[^\x1b\n\r]", _STYLE.sub("", text)):
            screen._write(part)
        return screen

    @property
    def lines(self) -> list[str]:
        return [row.rstrip() for row in self.rows]

    def _write(self, part: str) -> None:
        if part == "\n":
            self.row, self.column = self.row + 1, 0
            self.rows += [""] * (self.row + 1 - len(self.rows))
        elif part == "\r":
            self.column = 0
        elif part.endswith("A") and len(part) > 1:
            self.row -= int(part[2:-1])
            assert self.row >= 0, "above the first line"
        elif part.endswith("J") and len(part) > 1:
            self.rows[self.row :] = [self.rows[self.row][: self.column]]
        else:
            if self.column == self.columns:
                self._write("\n")
            row = self.rows[self.row].ljust(self.column)
            self.rows[self.row] = row[: self.column] + part + row[self.column + 1 :]
            self.column += 1
