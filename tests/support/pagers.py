"""Lists in pages for a pager, without HTTP."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

import attrs
from hypothesis import strategies as st
from multidict import CIMultiDict

from asyncckpt import Page, Pager, Request, Response

from support.leftovers import nothing_left
from support.turns import turns

T = TypeVar("T")


RESPONSE = Response(200, CIMultiDict(), b"{}", Request("GET", "https://h/v1"))


@attrs.frozen
class Item:
    id: str


class FailedError(Exception):
    pass


def at_once(on_wire: Callable[[], None]) -> None:
    on_wire()


@attrs.define
class Server:
    """A list of records in pages, which counts the requests for them.

    A request takes `turns` turns of the event loop to be sent and as many until its response, and
    waits for `open` in between.
    """

    sizes: Sequence[int]
    turns: int = 1
    failing: int | None = None
    """The number of the page that fails, if any."""
    holding: str | None = None
    """The cursor whose next page never arrives, if any."""
    resisting: int = 0
    """Turns for which a request goes on after it is cancelled."""
    report: Callable[[Callable[[], None]], None] = at_once
    asked: list[str | None] = attrs.field(factory=list)
    on_wire: int = 0
    under_way: int = 0
    cancelled: int = 0
    open: asyncio.Event = attrs.field(factory=asyncio.Event)

    def __attrs_post_init__(self) -> None:
        self.open.set()

    @property
    def ids(self) -> list[str]:
        return [str(number) for number in range(sum(self.sizes))]

    def starts(self) -> list[int]:
        return [sum(self.sizes[:number]) for number in range(len(self.sizes))]

    def pager(self, **options: Any) -> Pager[Item]:
        return Pager(self.fetch, **options)

    async def fetch(self, cursor: str | None, on_wire: Callable[[], None]) -> Page[Item]:
        self.asked.append(cursor)
        self.under_way += 1
        try:
            for _ in range(self.turns):
                await asyncio.sleep(0)
            self.on_wire += 1
            self.report(on_wire)
            await self.open.wait()
            if cursor is not None and cursor == self.holding:
                await asyncio.Event().wait()
            for _ in range(self.turns):
                await asyncio.sleep(0)
            return self.page_after(cursor)
        except asyncio.CancelledError:
            self.cancelled += 1
            for _ in range(self.resisting):
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)
            raise
        finally:
            self.under_way -= 1

    def page_after(self, cursor: str | None) -> Page[Item]:
        start = 0 if cursor is None else int(cursor) + 1
        end = next((end for end in [*self.starts()[1:], sum(self.sizes)] if end > start), start)
        if self.failing is not None and start >= self.starts()[self.failing]:
            raise FailedError(self.failing)
        data = [Item(name) for name in self.ids[start:end]]
        return Page(
            data,
            end < sum(self.sizes),
            data[0].id if data else None,
            data[-1].id if data else None,
            "list",
            response=RESPONSE,
            fetch=lambda after: self.fetch(after, lambda: None),
        )


def scripted(
    pages: dict[str | None, tuple[list[str], bool | None, str | None]],
    asked: list[str | None] | None = None,
) -> Callable[..., Awaitable[Page[Item]]]:
    """A fetch of the given pages: records, `has_more`, `last_id`."""

    async def fetch(cursor: str | None, on_wire: Callable[[], None]) -> Page[Item]:
        if asked is not None:
            asked.append(cursor)
        on_wire()
        await asyncio.sleep(0)
        ids, has_more, last_id = pages[cursor]
        data = [Item(name) for name in ids]
        return Page(data, has_more, None, last_id, "list", response=RESPONSE, fetch=fetch_next)

    async def fetch_next(cursor: str) -> Page[Item]:
        return await fetch(cursor, lambda: None)

    return fetch


async def pour(items: AsyncIterator[Item], into: list[str], *, pause: int = 0) -> None:
    async for item in items:
        into.append(item.id)
        await turns(pause)


def run(main: Callable[[], Awaitable[T]]) -> T:
    """Run one of the many examples of a test in an event loop of its own."""

    async def watched() -> T:
        async with nothing_left():
            return await main()

    return asyncio.run(watched())


sizes = st.lists(st.integers(1, 4), min_size=1, max_size=8)


prefetches = st.integers(0, 3)


latencies = st.integers(0, 3)
