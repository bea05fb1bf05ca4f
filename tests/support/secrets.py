"""A secret to plant, and every place where it could show."""

import asyncio
import pickle
import traceback
from collections.abc import Iterator
from pathlib import Path

from asyncckpt import APIError

_TESTS = Path(__file__).parents[1]

KEY = "sk-planted/9f8e7d6c+5b4a="


class Keys:
    """An api_key callable that returns one key after another, and counts its calls."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys
        self.asked = 0

    async def __call__(self) -> str:
        key = self.keys[min(self.asked, len(self.keys) - 1)]
        self.asked += 1
        await asyncio.sleep(0)
        return key


def locals_of_the_package(error: BaseException) -> Iterator[str]:
    """What an error report shows that prints the variables of each frame."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if _TESTS not in Path(frame.f_code.co_filename).parents:
            yield f"{frame.f_code.co_qualname}: {frame.f_locals!r}"


def all_that_shows(error: BaseException) -> Iterator[str]:
    """What can be seen of an error: its text, its traceback, its attributes, its pickle."""
    yield from traceback.format_exception(error)
    seen: BaseException | None = error
    while seen is not None:
        yield from locals_of_the_package(seen)
        yield f"{seen!s} {seen!r} {seen.args!r} {getattr(seen, '__notes__', [])!r}"
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    if isinstance(error, APIError):
        yield repr(vars(error))
        yield repr((error.request, error.body, error.code, error.param, error.type))
        copy = pickle.loads(pickle.dumps(error))
        yield repr(vars(copy))
        yield pickle.dumps(error).decode("latin-1")
        response = getattr(error, "response", None)
        if response is not None:
            yield repr((dict(response.headers), response.text, response.request_id, response))
