"""Run the command, and interrupt it while it imports a certain module.

The interrupt comes in a finalizer, from which an exception does not propagate.

Arguments: the name of the module, and the arguments of the command.
"""

import signal
import sys

from asyncckpt.cli import main

name, *arguments = sys.argv[1:]


class Interrupting:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def interrupt(event: str, args: tuple[object, ...]) -> None:
    if event == "import" and args[0] == name:
        Interrupting()


sys.addaudithook(interrupt)
sys.exit(main(arguments))
