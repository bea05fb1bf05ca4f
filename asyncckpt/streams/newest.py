"""Finds the newest checkpoint of a list, whatever the order of the list."""

from __future__ import annotations

import attrs

from asyncckpt.records.checkpoints import FineTuningJobCheckpoint, age_key
from asyncckpt.streams.page import Fetch, OnWire, Page, PageWalk

__all__ = ["only_newest"]


def only_newest(fetch: Fetch[FineTuningJobCheckpoint]) -> Fetch[FineTuningJobCheckpoint]:
    """Return a fetch whose only page has the newest checkpoint of a list.

    It reads the whole list, and keeps one page and one checkpoint of it. A list without checkpoints
    becomes a page without records.
    """

    async def fetch_newest(cursor: str | None, on_wire: OnWire) -> Page[FineTuningJobCheckpoint]:
        walk = PageWalk(fetch, after=cursor, max_records=None, restarts=True)
        newest: list[FineTuningJobCheckpoint] = []
        while True:
            page = await walk.next_page(on_wire)
            newest = sorted([*newest, *page.data], key=age_key)[-1:]
            if walk.is_over:
                id_ = newest[0].id if newest else None
                return attrs.evolve(page, data=newest, has_more=False, first_id=id_, last_id=id_)

    return fetch_newest
