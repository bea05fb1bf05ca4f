"""Run a coroutine that is interrupted, once or twice, and write what happens.

Argument: "once", "twice", "before" the coroutine starts, or "cancelled" without an interrupt.
"""

import asyncio
import signal
import sys
from unittest.mock import patch

from asyncckpt.cli import exit_at_once
from asyncckpt.cli.interrupts import run_until_interrupted

how = sys.argv[1]


def write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def main() -> None:
    try:
        if how == "cancelled":
            raise asyncio.CancelledError
        signal.raise_signal(signal.SIGINT)
        await asyncio.get_running_loop().create_future()
    finally:
        write("cleaning up")
        if how == "twice":
            signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(0)
        write("cleaned up")


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


signal.signal(signal.SIGINT, exit_at_once)
try:
    if how == "before":
        with patch("asyncio.events.new_event_loop", side_effect=interrupt):
            run_until_interrupted(main)
    else:
        run_until_interrupted(main)
except BaseException as error:
    write(type(error).__name__)
write("last words")
