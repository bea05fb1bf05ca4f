"""Finds the newest checkpoint of a list, whatever the order of the list."""

from __future__ import annotations

import attrs

from asyncckpt.records.checkpoints import FineTuningJobCheckpoint, newer_of
from asyncckpt.streams.page import Fetch, OnWire, Page, PageWalk

__all__ = ["only_newest"]


def only_newest(fetch: Fetch[FineTuningJobCheckpoint]) -> Fetch[FineTuningJobCheckpoint]:
    """Return a fetch whose only page has the newest checkpoint of a list.

    It reads the whole list, and keeps one page and one checkpoint of it. A list without checkpoints
    becomes a page without records.
    """

    async def fetch_newest(cursor: str | None, on_wire: OnWire) -> Page[FineTuningJobCheckpoint]:
        walk = PageWalk(fetch, after=cursor, max_records=None, restarts=True)
        newest: FineTuningJobCheckpoint | None = None
        while True:
            page = await walk.next_page(on_wire)
            for checkpoint in page.data:
                newest = checkpoint if newest is None else newer_of(newest, checkpoint)
            if walk.is_over:
                return _only(newest, page)

    return fetch_newest


def _only(
    checkpoint: FineTuningJobCheckpoint | None, page: Page[FineTuningJobCheckpoint]
) -> Page[FineTuningJobCheckpoint]:
    data, id_ = ([], None) if checkpoint is None else ([checkpoint], checkpoint.id)
    return attrs.evolve(page, data=data, has_more=False, first_id=id_, last_id=id_)
