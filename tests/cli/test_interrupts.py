"""Ctrl-C while an event loop runs, and just before."""

import asyncio

import pytest

from asyncckpt.cli.interrupts import run_until_interrupted

from support.programs import Ran, program, run_program


@pytest.mark.parametrize(
    ("how", "code", "lines"),
    [
        ("once", 0, ["cleaning up", "cleaned up", "KeyboardInterrupt", "last words"]),
        ("twice", 130, ["cleaning up"]),
        ("before", 130, []),
        ("cancelled", 0, ["cleaning up", "cleaned up", "CancelledError", "last words"]),
    ],
)
def test_ctrl_c_cancels_and_a_second_one_exits(how: str, code: int, lines: list[str]) -> None:
    ran = run_program([*program("interrupted_loop.py"), how])
    assert ran == Ran(code, "".join(f"{line}\n" for line in lines), "")


def test_another_handler_of_sigint_is_respected() -> None:
    seen: list[bool] = []

    async def main() -> None:
        seen.append(asyncio.current_task() is not None)

    run_until_interrupted(main)
    assert seen == [True]
