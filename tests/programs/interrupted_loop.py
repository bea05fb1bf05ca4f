"""Run a coroutine that is interrupted, once or twice, and write what happens.

Argument: "once", "twice", "before" the coroutine starts, or "cancelled" without an interrupt.
"""

import asyncio
import signal
import sys

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


class InterruptingPolicy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        signal.raise_signal(signal.SIGINT)
        return super().new_event_loop()


signal.signal(signal.SIGINT, exit_at_once)
if how == "before":
    asyncio.set_event_loop_policy(InterruptingPolicy())
try:
    run_until_interrupted(main)
except BaseException as error:
    write(type(error).__name__)
write("last words")
