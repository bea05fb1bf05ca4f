"""Sends the records of a stream as JSON lines."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from typing import TypeVar

from asyncckpt.records import converter

__all__ = ["json_lines", "started"]

_T = TypeVar("_T")


async def json_lines(records: AsyncIterable[object]) -> AsyncGenerator[bytes, None]:
    """Yield each record as a line of JSON, as the API sends it: ``application/jsonl``.

    The next record is taken when the reader has taken the line, so a slow reader slows the requests
    down. If the records raise, so does this. Break the connection off then, so that the reader does
    not take it for the end of the list.

    Args:
        records: A pager, a fan-in or another async iterable of records.

    Raises:
        Exception: Whatever the records raise.
    """
    iterator = aiter(records)
    try:
        async for record in iterator:
            yield converter.dumps(record) + b"\n"
    finally:
        await _close(iterator)


async def started(records: AsyncIterable[_T]) -> AsyncGenerator[_T, None]:
    """Wait for the first record, and return all of them.

    So an error of the first request is raised here, when the app can still send a status.

    Args:
        records: A pager, a fan-in or another async iterable.

    Returns:
        The records, including the first.

    Raises:
        Exception: Whatever the records raise.
    """
    iterator = aiter(records)
    try:
        first = [await anext(iterator)]
    except StopAsyncIteration:
        first = []
    return _chained(first, iterator)


async def _chained(first: list[_T], rest: AsyncIterator[_T]) -> AsyncGenerator[_T, None]:
    try:
        for record in first:
            yield record
        async for record in rest:
            yield record
    finally:
        await _close(rest)


async def _close(iterator: AsyncIterator[object]) -> None:
    if isinstance(iterator, AsyncGenerator):
        await iterator.aclose()
