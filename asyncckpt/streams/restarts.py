"""Continues a list whose cursor has expired: recognizes the error, and skips what is known.

The API reference does not say how long a cursor is valid. A server may forget it in the middle of a
list, because the record was deleted or its snapshot of the list has expired.

The records delivered last are remembered, `REMEMBERED` of them, and the list is fetched again from
its beginning. Everything before the first of them, and they themselves, are skipped. This assumes
that the server lists records in the same order each time; which order does not matter. If none of
them is found, the list cannot be continued, and the error is raised.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from asyncckpt.errors import APIStatusError, CursorExpiredError
from asyncckpt.records.base import HasId
from asyncckpt.streams.text import safe_text

__all__ = [
    "REMEMBERED",
    "OnExpiredCursor",
    "Restarts",
    "check_on_expired_cursor",
    "expired_cursor",
]

OnExpiredCursor: TypeAlias = Literal["raise", "restart"]
"""What to do if a cursor has expired; see `AsyncCheckpoints.list`."""

REMEMBERED: Final = 1000
"""The number of ids that are kept for each list, to find the place where it continues."""

_MAX_IDLE_RESTARTS: Final = 3
"""The highest number of consecutive restarts that lead to no new record."""

_STATUSES: Final = frozenset({400, 404, 410, 422})
_PARAMETERS: Final = frozenset({"after", "cursor"})
_NAMES_CURSOR: Final = re.compile(r"\bcursor\b|[\"'`]after[\"'`]", re.IGNORECASE)


def check_on_expired_cursor(value: object) -> None:
    """Raise ValueError unless a value is an `OnExpiredCursor`."""
    if value not in ("raise", "restart"):
        raise ValueError(f"on_expired_cursor must be 'raise' or 'restart', not {value!r}")


def expired_cursor(error: Exception, cursor: str | None) -> CursorExpiredError | None:
    """Return the error to raise if the server rejected a cursor; None if it rejected anything else.

    Args:
        error: The error of the request.
        cursor: The cursor of the request; None if it had none.
    """
    if cursor is None or not isinstance(error, APIStatusError) or not _is_about(error, cursor):
        return None
    cursor = _masked(cursor, error)
    expired = CursorExpiredError(
        f"The server does not know the cursor {safe_text(cursor, repr)}; it may have expired, and "
        f"the list may be incomplete: {error.message}",
        response=error.response,
        body=error.body,
        cursor=cursor,
    )
    expired.request_id = error.request_id
    for note in getattr(error, "__notes__", ()):
        expired.add_note(note)
    return expired


def _masked(cursor: str, error: APIStatusError) -> str:
    """Return the cursor without the secrets of its request, which the server may have sent."""
    # They are masked in the request of an error.
    query = dict(parse_qsl(urlsplit(error.response.request.url).query))
    shown = query.get("after", cursor)
    return shown if "***" in shown else cursor


def _is_about(error: APIStatusError, cursor: str) -> bool:
    if error.status_code not in _STATUSES:
        return False
    if error.param is not None:
        return error.param in _PARAMETERS
    # The page of a web server may repeat the URL of the request, which has the cursor in it.
    if re.search(rf"(?<![=/\w]){re.escape(cursor)}(?!\w)", error.message):
        return True
    return isinstance(error.body, dict) and bool(_NAMES_CURSOR.search(error.response.text))


class Restarts:
    """Starts a list again after its cursor has expired, and skips the records delivered before."""

    def __init__(self) -> None:
        self._delivered: deque[str] = deque(maxlen=REMEMBERED)
        self._skipped: frozenset[str] = frozenset()
        self._is_searching = False
        self._idle_restarts = 0
        self._error: CursorExpiredError | None = None

    def begin(self, error: CursorExpiredError) -> None:
        """Prepare to skip records in a new list.

        Args:
            error: Why the list is started again.

        Raises:
            CursorExpiredError: The list was started again too often without a new record.
        """
        if self._idle_restarts == _MAX_IDLE_RESTARTS:
            error.add_note(
                f"asyncckpt started the list again {_MAX_IDLE_RESTARTS} times, but the cursor "
                "expired before a new record arrived"
            )
            raise error
        self._idle_restarts += 1
        self._error = error
        self._skipped = frozenset(self._delivered)
        self._is_searching = bool(self._skipped)

    def new_among(self, records: Sequence[HasId]) -> Sequence[HasId]:
        """Return the records of the next page that were not delivered before."""
        if not self._skipped:
            return records
        known = [place for place, record in enumerate(records) if record.id in self._skipped]
        if not known:
            if self._is_searching:
                return []
            self._skipped = frozenset()
            return records
        first, self._is_searching = known[0] if self._is_searching else 0, False
        return [record for record in records[first:] if record.id not in self._skipped]

    def deliver(self, records: Sequence[HasId]) -> None:
        """Remember records that are delivered."""
        if records:
            self._idle_restarts = 0
            self._delivered.extend(record.id for record in records[-REMEMBERED:])

    def check_end(self) -> None:
        """Check that the end of the list is not reached before the place where it continues.

        Raises:
            CursorExpiredError: None of the remembered records was found.
        """
        if self._is_searching and self._error is not None:
            self._error.add_note(
                "asyncckpt started the list again, but the records that were delivered last are no "
                "longer in it"
            )
            raise self._error
