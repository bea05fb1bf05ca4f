"""Archives an account, and kills itself with SIGKILL at one of its operations on the disk.

Arguments: the base URL, the key, the directory, and the number of the operation; 0 for none. It
prints how many operations there were.
"""

import asyncio
import itertools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from asyncckpt import AsyncClient
from asyncckpt.export import archive
from asyncckpt.protocol import retries

base_url, key, directory, fatal = *sys.argv[1:4], int(sys.argv[4])
operations = itertools.count(1)


def counted(name: str) -> Callable[..., Any]:
    operation = getattr(os, name)

    def act(*args: Any, **kwargs: Any) -> Any:
        if next(operations) == fatal:
            if name == "write":
                operation(args[0], bytes(args[1])[: len(args[1]) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return operation(*args, **kwargs)

    return act


async def main() -> None:
    async with AsyncClient(base_url=base_url, api_key=key, retry_budget=None) as client:
        await archive(client, directory, concurrency=3, parquet=False)


for name in ("write", "replace", "rename", "unlink", "mkdir", "rmdir"):
    setattr(os, name, counted(name))
with patch.object(retries, "_FIRST_BACKOFF", 0.001):
    asyncio.run(main())
sys.stdout.write(str(next(operations) - 1))
