"""Run the command, and interrupt it while it imports a certain module.

Arguments: the name of the module, and the arguments of the command.
"""

import signal
import sys

from asyncckpt.cli import main

name, *arguments = sys.argv[1:]


def interrupt(event: str, args: tuple[object, ...]) -> None:
    if event == "import" and args[0] == name:
        signal.raise_signal(signal.SIGINT)


sys.addaudithook(interrupt)
sys.exit(main(arguments))
