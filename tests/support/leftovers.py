"""Tasks that are left when everything should have ended."""

import asyncio
from typing import Any


def belongs_to_sandbox(task: asyncio.Task[Any]) -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and (
        "web_protocol" in code.co_filename or code.co_name == "_accept_connection2"
    )


def strays() -> list[asyncio.Task[Any]]:
    """All tasks but the current one and those of a sandbox."""
    return [
        task
        for task in asyncio.all_tasks()
        if task is not asyncio.current_task() and not belongs_to_sandbox(task)
    ]
