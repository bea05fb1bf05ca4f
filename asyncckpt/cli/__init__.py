"""The `asyncckpt` command. It needs the extra: ``pip install "asyncckpt[cli]"``."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: What follows the command's name; those of the process by default.

    Returns:
        The exit code: 0 when all went well, 1 when the API or the connection failed, 2 when the
        command was used wrongly, 130 when it was interrupted, 141 when the reader of its output
        went away.
    """
    if not all(find_spec(name) for name in ("cyclopts", "rich")):
        sys.stderr.write('asyncckpt: the command needs: pip install "asyncckpt[cli]"\n')
        return 1
    try:
        from asyncckpt.cli.app import run

        return run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        return 130
