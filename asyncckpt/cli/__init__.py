"""Provides the `asyncckpt` command. It needs an extra: ``pip install "asyncckpt[cli]"``.

This module imports as little as possible. `main` sets a handler for Ctrl-C before it imports the
rest, so that Ctrl-C during an import ends the command without a traceback.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

__all__ = ["main"]

FAILED, INTERRUPTED = 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: The arguments without the name of the command; default: those of the process.

    Returns:
        The exit code: 0 for success; 1 if the API, the connection or the output failed; 2 for wrong
        usage; 130 after Ctrl-C; 141 if the reader of the output has closed the pipe.
    """
    has_default_handler = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    try:
        if has_default_handler:
            _set_sigint(exit_at_once)
        return _main(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        if has_default_handler:
            _set_sigint(signal.default_int_handler)


def exit_at_once(signum: int, frame: FrameType | None) -> None:
    """Handle SIGINT by ending the process, while no cleanup is needed."""
    os._exit(INTERRUPTED)


def _set_sigint(handler: Callable[[int, FrameType | None], object]) -> None:
    try:
        signal.signal(signal.SIGINT, handler)
    except ValueError:
        # Python raises this outside of the main thread.
        return


def _main(arguments: Sequence[str]) -> int:
    from importlib.util import find_spec

    if not all(find_spec(name) for name in ("cyclopts", "rich")):
        from asyncckpt.cli.terminal import print_to_stderr

        print_to_stderr('asyncckpt: the command needs: pip install "asyncckpt[cli]"\n')
        return FAILED
    from asyncckpt.cli.app import run

    return run(arguments)
