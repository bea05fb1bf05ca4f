"""Following one list: what is requested, and what becomes of cursors that fail."""

import pytest

from asyncckpt import (
    BadRequestError,
    FineTuningJobEvent,
    InternalServerError,
    NotFoundError,
    PaginationError,
)
from asyncckpt.streams import follower as module
from asyncckpt.streams.follower import Follower, TooManyRecordsError
from asyncckpt.streams.reading import Place
from asyncckpt.streams.resumption import ListState

from support.watched import Served, drive, not_found, server_error, status_error


def served(count: int, order: str = "newest first") -> Served[FineTuningJobEvent]:
    records = [FineTuningJobEvent(f"ftevent-{n}", n, "info", "") for n in range(count)]
    return Served(order, records=records)  # type: ignore[arg-type]


def follow(
    source: Served[FineTuningJobEvent], state: ListState | None = None
) -> Follower[FineTuningJobEvent]:
    return Follower(source, lambda event: Place(event.created_at), state or ListState())


def read(follower: Follower[FineTuningJobEvent], *, thorough: bool = False) -> list[int]:
    records = drive(follower.read(thorough=thorough))
    for record in records:
        follower.hand_out(record)
    follower.commit()
    follower.settle()
    return [record.created_at for record in records]


def add(source: Served[FineTuningJobEvent], *times: int) -> None:
    source.records += [FineTuningJobEvent(f"ftevent-{n}", n, "info", "") for n in times]


@pytest.mark.parametrize("order", ["newest first", "oldest first", "none"])
def test_new_records_are_read_in_ascending_order(order: str) -> None:
    source = served(250, order)
    follower = follow(source)
    assert read(follower, thorough=True) == [*range(250)]
    add(source, *range(250, 280))
    assert read(follower) == [*range(250, 280)]
    assert read(follower) == []


def test_a_reading_that_is_not_committed_is_repeated() -> None:
    source = served(50, "oldest first")
    follower = follow(source)
    read(follower, thorough=True)
    add(source, *range(50, 100))
    drive(follower.read(thorough=False))
    assert read(follower) == [*range(50, 100)]


@pytest.mark.parametrize("order", ["newest first", "oldest first", "none"])
def test_records_that_vanish_after_a_reading_that_is_not_committed_come_with_the_next(
    order: str,
) -> None:
    source = served(50, order)
    follower = follow(source)
    read(follower, thorough=True)
    add(source, *range(50, 60))
    drive(follower.read(thorough=False))
    del source.records[50:55]
    add(source, *range(60, 70))
    assert read(follower) == [*range(50, 70)]
    assert read(follower) == []


def test_records_that_vanish_after_a_later_page_has_failed_come_with_the_next_reading() -> None:
    source = served(250)
    source.failing = lambda: server_error() if len(source.asked) == 3 else None
    follower = follow(source)
    with pytest.raises(InternalServerError):
        drive(follower.read(thorough=True))
    follower.commit()
    del source.records[200:]
    assert read(follower, thorough=True) == [*range(250)]


def test_a_cursor_that_is_gone_leads_back_to_the_beginning() -> None:
    source = served(50, "oldest first")
    follower = follow(source)
    read(follower, thorough=True)
    del source.records[:45]
    add(source, 50)
    source.asked.clear()
    assert read(follower) == [50]
    assert source.asked == [("ftevent-30", True), (None, True)]


def test_a_restored_cursor_is_used() -> None:
    source, state = served(250, "oldest first"), ListState()
    read(follow(source, state), thorough=True)
    source.asked.clear()
    add(source, 250)
    assert read(follow(source, state), thorough=True) == [250]
    assert source.asked == [("ftevent-230", False)]


def test_a_record_that_vanishes_between_two_pages_restarts_the_reading() -> None:
    source = served(250)

    def vanish() -> None:
        if len(source.asked) == 2:
            source.records = [one for one in source.records if one.id != source.asked[1][0]]

    source.failing = vanish  # type: ignore[assignment]
    assert read(follow(source), thorough=True) == [*range(250)]
    assert [cursor for cursor, _ in source.asked] == [
        None,
        "ftevent-150",
        None,
        "ftevent-149",
        "ftevent-49",
    ]


def test_records_without_an_id_are_told_apart() -> None:
    source = Served(
        "oldest first",
        records=[FineTuningJobEvent("", n, "info", "") for n in range(50)],
    )
    follower = follow(source)
    assert read(follower, thorough=True) == [*range(50)]
    source.records.append(FineTuningJobEvent("", 50, "info", ""))
    source.large = source.small = 1000
    assert read(follower) == [50]


def test_cursors_that_never_work_are_an_error() -> None:
    source = served(250)
    source.failing = lambda: status_error(BadRequestError, 400) if source.asked[-1][0] else None
    with pytest.raises(PaginationError, match="rejects the cursors that it sent"):
        read(follow(source), thorough=True)
    assert len(source.asked) == 6


def test_a_missing_list_is_an_error() -> None:
    source = served(5)
    source.failing = not_found
    with pytest.raises(NotFoundError):
        read(follow(source), thorough=True)
    assert len(source.asked) == 1


def test_too_many_new_records_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_NEW", 150)
    with pytest.raises(TooManyRecordsError, match="more than 150 new records"):
        read(follow(served(300)), thorough=True)


@pytest.mark.parametrize("is_restored", [False, True])
def test_the_order_that_a_list_has_shown_holds_for_records_of_one_time(is_restored: bool) -> None:
    records = [FineTuningJobEvent(f"ftevent-{n}", min(n, 25), "info", "") for n in range(60)]
    source, state = Served("oldest first", records=records), ListState()
    follower = follow(source, state)
    read(follower, thorough=True)
    names = ["ftevent-new-c", "ftevent-new-a", "ftevent-new-b"]
    records += [FineTuningJobEvent(name, 25, "info", "") for name in names]
    if is_restored:
        follower = follow(source, state)
    for _ in range(2):
        found = drive(follower.read(thorough=False))
        assert [record.id for record in found] == names
