"""One page, and the rule by which one page leads to the next."""

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from itertools import pairwise

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncckpt import Page, PageInfo, PaginationError
from asyncckpt.records.base import HasId
from asyncckpt.streams.page import MAX_EMPTY_PAGES, LazyRecords, OnWire, PageWalk, ignore

from support.pagers import RESPONSE, Item
from support.strategies import thorough


async def no_fetch(cursor: str) -> Page[Item]:
    raise AssertionError(f"asked for the page after {cursor}")


def page(
    ids: str = "",
    has_more: bool | None = True,
    last_id: str | None = None,
    first_id: str | None = None,
) -> Page[Item]:
    """A page of records that are called by one letter each."""
    data = [Item(letter) for letter in ids]
    return Page(data, has_more, first_id, last_id, "list", response=RESPONSE, fetch=no_fetch)


def with_empty_id(last_id: str | None) -> Page[Item]:
    """A page whose last record has an empty id."""
    return attrs.evolve(page(last_id=last_id), data=[Item("a"), Item("")])


class TestNextCursor:
    @pytest.mark.parametrize(
        ("current", "cursor"),
        [
            # Rule 1: `has_more: false` ends the list, whatever else there is.
            (page("abc", False), None),
            (page("abc", False, last_id="c"), None),
            (page("", False, last_id="c"), None),
            (page("", False), None),
            # Rule 2: the last record, then `last_id`.
            (page("abc"), "c"),
            (page("abc", last_id="z"), "c"),
            (page("a", first_id="z"), "a"),
            (page("", last_id="z"), "z"),
            # Rule 3: without `has_more`, a page without records is the end.
            (page("abc", None), "c"),
            (page("", None), None),
            (page("", None, last_id="z"), None),
        ],
    )
    def test_rules(self, current: Page[Item], cursor: str | None) -> None:
        assert current.next_cursor() == cursor
        assert current.has_next_page() == (cursor is not None)

    @pytest.mark.parametrize(
        ("current", "cursor"),
        [
            (page("abc"), "c"),
            (page("abc", last_id="z"), "c"),
            (page("abc", False), "c"),
            (page("", False, last_id="z"), "z"),
            (page("", False), None),
            (page("", None), None),
        ],
    )
    async def test_info_is_there_for_the_last_page_as_well(
        self, current: Page[Item], cursor: str | None
    ) -> None:
        assert current.next_page_info() == (None if cursor is None else PageInfo({"after": cursor}))
        if cursor is None:
            with pytest.raises(RuntimeError, match="no page after this one"):
                await current.get_next_page()

    @pytest.mark.parametrize(
        "current",
        [page(""), page("", last_id=""), page("", first_id="a"), with_empty_id(last_id="")],
    )
    async def test_a_missing_cursor_raises_at_the_next_step(self, current: Page[Item]) -> None:
        assert current.next_page_info() is None  # rule 4
        for ask in (current.next_cursor, current.has_next_page):
            with pytest.raises(PaginationError, match="may be incomplete") as caught:
                ask()
            assert (caught.value.cursor, caught.value.request) == (None, RESPONSE.request)
        with pytest.raises(PaginationError, match="may be incomplete"):
            await current.get_next_page()

    def test_an_empty_id_is_not_a_cursor(self) -> None:  # rule 2
        assert with_empty_id(last_id="z").next_cursor() == "z"


class TestLazyRecords:
    def made_by(self, make: Callable[[Sequence[HasId]], list[Item]]) -> Page[Item]:
        lazy = LazyRecords([Item("a"), Item("b")], make)
        return Page(lazy, True, "a", "b", "list", response=RESPONSE, fetch=no_fetch)

    def test_the_cursor_is_known_without_creating_them(self) -> None:
        def make(parsed: Sequence[HasId]) -> list[Item]:
            raise AssertionError("nobody asked for them")

        current = self.made_by(make)
        assert (current.next_cursor(), current.has_next_page()) == ("b", True)
        assert current.next_page_info() == PageInfo({"after": "b"})
        assert (current.has_more, current.first_id, current.last_id) == (True, "a", "b")

    def test_once(self) -> None:
        calls: list[Sequence[HasId]] = []

        def make(parsed: Sequence[HasId]) -> list[Item]:
            calls.append(parsed)
            return [Item(one.id.upper()) for one in parsed]

        current = self.made_by(make)
        assert current.data is current.data
        assert current.data == [Item("A"), Item("B")]
        assert len(calls) == 1

    def test_a_changed_page_is_one_of_the_records_it_was_given(self) -> None:
        current = self.made_by(lambda parsed: [Item("z")])
        given = [Item("q")]
        assert attrs.evolve(current, data=given).data is given
        assert attrs.evolve(current, has_more=False).data is current.data
        assert copy.copy(current).data is current.data

    def test_a_deep_copy_has_records_of_its_own(self) -> None:
        current = self.made_by(lambda parsed: [Item("z")])
        copied = copy.deepcopy(current)
        assert copied.data == current.data
        assert copied.data is not current.data

    def test_it_can_be_matched_by_its_fields(self) -> None:
        match self.made_by(lambda parsed: [Item("z")]):
            case Page([Item(id_)], has_more):
                assert (id_, has_more) == ("z", True)
            case _:
                raise AssertionError("it did not match")

    def test_a_page_shows_its_records(self) -> None:
        assert repr(self.made_by(lambda parsed: [Item("z")])) == (
            "Page(data=[Item(id='z')], has_more=True, first_id='a', last_id='b', object='list')"
        )


async def pour(pages: AsyncIterator[Page[Item]], into: list[str]) -> None:
    async for current in pages:
        into.append("".join(item.id for item in current.data))
        assert len(into) < 5000, "goes on for ever"


async def follow(pages: Mapping[str | None, Page[Item]], start: str | None = None) -> list[str]:
    """The pages that come out, and the cursor that they went astray at as the last, if they did."""

    async def fetch(cursor: str) -> Page[Item]:
        return attrs.evolve(pages[cursor], fetch=fetch)

    came: list[str] = []
    try:
        await pour(attrs.evolve(pages[start], fetch=fetch).iter_pages(), came)
    except PaginationError as error:
        came.append(f"astray at {error.cursor}")
    return came


def walk_over(
    pages: Mapping[str | None, Page[Item]], max_records: int | None = None
) -> PageWalk[Item]:
    async def fetch(cursor: str | None, on_wire: OnWire) -> Page[Item]:
        return pages[cursor]

    return PageWalk(fetch, after=None, max_records=max_records)


class TestFollowing:
    async def test_get_next_page(self) -> None:
        asked: list[str] = []

        async def fetch(cursor: str) -> Page[Item]:
            asked.append(cursor)
            return attrs.evolve(page("cd" if cursor == "b" else "", False), fetch=fetch)

        following = await attrs.evolve(page("ab"), fetch=fetch).get_next_page()
        assert (asked, following.data) == (["b"], [Item("c"), Item("d")])
        assert not following.has_next_page()
        assert (await following.get_next_page()).data == []
        assert asked == ["b", "d"]

    async def test_pages_and_records_in_order(self) -> None:
        pages = {
            None: page("ab"),
            "b": page("", last_id="x"),
            "x": page("c"),
            "c": page("de", False),
        }
        assert await follow(pages) == ["ab", "", "c", "de"]
        fetched = {cursor: pages[cursor] for cursor in pages if cursor is not None}

        async def fetch(cursor: str) -> Page[Item]:
            return attrs.evolve(fetched[cursor], fetch=fetch)

        records = attrs.evolve(pages[None], fetch=fetch)
        assert [item.id async for item in records] == list("abcde")

    async def test_a_server_without_has_more_ends_with_a_page_without_records(self) -> None:
        pages = {None: page("ab", None), "b": page("c", None), "c": page("", None)}
        assert await follow(pages) == ["ab", "c", ""]

    @pytest.mark.parametrize(
        ("again", "came"),
        [
            # The cursor is ignored, and the list is the same.
            (["abc"], ["abc", ""]),
            # It has grown at its end, at its start, or in between.
            (["abcd", "abcd"], ["abc", "d", ""]),
            (["zabc"], ["abc", ""]),
            (["axbc"], ["abc", ""]),
            # It has shrunk, so that the cursor is not in it.
            (["ab"], ["abc", ""]),
            (["zab", "zab"], ["abc", "z", ""]),
            # The cursor is understood, but its record is repeated.
            (["cde", "ef", "f"], ["abc", "de", "f", ""]),
        ],
    )
    async def test_a_server_without_has_more_may_repeat_records(
        self, again: list[str], came: list[str]
    ) -> None:
        following = iter(again)

        async def fetch(cursor: str) -> Page[Item]:
            return attrs.evolve(page(next(following), None), fetch=fetch)

        pages = attrs.evolve(page("abc", None), fetch=fetch)
        listed = ["".join(item.id for item in one.data) async for one in pages.iter_pages()]
        assert listed == came

    async def test_the_page_after_a_repeated_one_has_no_records(self) -> None:
        async def fetch(cursor: str) -> Page[Item]:
            return attrs.evolve(page("ab", None, last_id="b"), fetch=fetch)

        following = await attrs.evolve(page("ab", None), fetch=fetch).get_next_page()
        assert (following.data, following.first_id, following.last_id) == ([], None, None)
        assert not following.has_next_page()

    async def test_with_has_more_a_repeated_page_is_an_error(self) -> None:
        assert await follow({None: page("ab"), "b": page("ab")}) == ["ab", "astray at b"]

    async def test_a_page_without_a_cursor_is_handed_out_before_the_error(self) -> None:
        assert await follow({None: page("ab"), "b": page("")}) == ["ab", "", "astray at None"]
        assert await follow({None: with_empty_id(last_id=None)}) == ["a", "astray at None"]

    async def test_the_next_page_must_not_lead_to_itself(self) -> None:
        async def fetch(cursor: str) -> Page[Item]:
            return page("ab")

        with pytest.raises(PaginationError, match="pages repeat") as caught:
            await attrs.evolve(page("ab"), fetch=fetch).get_next_page()
        assert caught.value.cursor == "b"

    async def test_a_failure_comes_after_the_pages_before_it(self) -> None:
        async def fetch(cursor: str) -> Page[Item]:
            raise ConnectionError(cursor)

        came: list[str] = []
        with pytest.raises(ConnectionError, match="^b$"):
            await pour(attrs.evolve(page("ab"), fetch=fetch).iter_pages(), came)
        assert came == ["ab"]


def astray(tail: int, cycle: int) -> list[int]:
    """The pages that come out of a list that, after `tail` pages, goes round and round."""
    following = [*range(1, tail + cycle), tail]

    async def fetch(cursor: str) -> Page[Item]:
        return numbered(following[int(cursor)])

    def numbered(number: int) -> Page[Item]:
        return attrs.evolve(page(), data=[Item(str(number))], fetch=fetch)

    async def main() -> list[int]:
        came: list[str] = []
        with pytest.raises(PaginationError) as caught:
            await pour(numbered(0).iter_pages(), came)
        assert int(caught.value.cursor or "") >= tail
        assert caught.value.request == RESPONSE.request
        return [int(number) for number in came]

    return asyncio.run(main())


class TestEmptyPages:  # rule 6
    def pages(self, *has_record: bool) -> dict[str | None, Page[Item]]:
        """Pages with one record or none, each with a new cursor, and without an end."""
        pages: dict[str | None, Page[Item]] = {}
        cursor = None
        for number, has in enumerate(has_record):
            following = str(number)
            data = [Item(following)] if has else []
            pages[cursor] = attrs.evolve(page(last_id=following), data=data)
            cursor = following
        return pages

    async def test_too_many_in_a_row_are_an_error(self) -> None:
        pages = self.pages(True, *[False] * (MAX_EMPTY_PAGES + 5))
        came = await follow(pages)
        assert came == ["0", *[""] * MAX_EMPTY_PAGES, f"astray at {MAX_EMPTY_PAGES}"]

    async def test_the_error_names_the_number(self) -> None:
        walk = walk_over(self.pages(*[False] * (MAX_EMPTY_PAGES + 5)))
        for _ in range(MAX_EMPTY_PAGES):
            assert (await walk.next_page(ignore)).data == []
        with pytest.raises(PaginationError, match=f"{MAX_EMPTY_PAGES} consecutive pages") as caught:
            await walk.next_page(ignore)
        assert caught.value.request == RESPONSE.request

    async def test_a_page_with_records_ends_the_count(self) -> None:
        some = [False] * (MAX_EMPTY_PAGES - 1)
        pages = self.pages(*some, True, *some, True, *some)
        walk = walk_over(pages)
        for _ in range(len(pages)):
            await walk.next_page(ignore)
        assert not walk.is_over

    async def test_as_many_as_are_allowed_can_come_before_the_end(self) -> None:
        pages = self.pages(*[False] * MAX_EMPTY_PAGES)
        pages[str(MAX_EMPTY_PAGES - 2)] = page("", False)
        assert await follow(pages) == [""] * MAX_EMPTY_PAGES


class TestWalk:
    async def test_a_cut_page_keeps_the_records_that_were_created(self) -> None:
        lazy = LazyRecords([Item("a"), Item("b")], lambda parsed: [Item("z"), Item("y")])
        current = attrs.evolve(page(), data=lazy)
        made = current.data
        first = await walk_over({None: current}, max_records=1).next_page(ignore)
        assert first.data == [Item("z")]
        assert first.data[0] is made[0]

    @pytest.mark.parametrize("length", [1, 2])
    async def test_a_cut_page_creates_no_records(self, length: int) -> None:
        def make(parsed: Sequence[HasId]) -> list[Item]:
            made.append(len(parsed))
            return [Item(record.id) for record in parsed]

        made: list[int] = []
        lazy = LazyRecords([Item("a"), Item("b"), Item("c")], make)
        walk = walk_over({None: attrs.evolve(page(), data=lazy)}, max_records=length)
        current = await walk.next_page(ignore)
        assert walk.is_over
        assert made == []
        assert (current.last_id, current.has_more) == ("abc"[length - 1], True)
        assert current.data == [Item(letter) for letter in "abc"[:length]]
        assert made == [length]

    async def test_a_limit_that_is_reached_comes_before_an_error(self) -> None:
        walk = walk_over({None: with_empty_id(last_id=None)}, max_records=2)
        await walk.next_page(ignore)
        assert walk.is_over

    @pytest.mark.parametrize("cursor", ["x" * 2**20, "\udc80\n\x1b[2J", "\u202e" * 500])
    async def test_a_cursor_in_a_message_is_short_and_printable(self, cursor: str) -> None:
        cycle = attrs.evolve(page(), data=[Item(cursor)])
        walk = walk_over({None: cycle, cursor: cycle})
        await walk.next_page(ignore)
        with pytest.raises(PaginationError) as caught:
            await walk.next_page(ignore)
        assert caught.value.cursor == cursor
        assert len(str(caught.value)) < 2000
        assert str(caught.value).isprintable()


class TestCycles:  # rule 5
    async def test_a_page_that_leads_to_itself_is_not_handed_out_again(self) -> None:
        assert await follow({None: page("ab"), "b": page("ab")}) == ["ab", "astray at b"]
        assert await follow({None: page("ab"), "b": page("cb")}) == ["ab", "astray at b"]

    async def test_an_empty_page_that_leads_to_itself(self) -> None:
        pages = {None: page("ab"), "b": page("", last_id="b")}
        assert await follow(pages) == ["ab", "astray at b"]

    @pytest.mark.parametrize("length", range(1, 20))
    async def test_the_last_page_of_a_list_over_and_over(self, length: int) -> None:
        # As sent by a server that forgets to say `has_more: false`, however long the list is.
        letters = "abcdefghijklmnopqrstuvwxyz"[:length]
        pages: dict[str | None, Page[Item]] = {None: page("a"), letters[-1]: page(letters[-1])}
        pages |= {letter: page(after) for letter, after in pairwise(letters)}
        assert await follow(pages) == [*letters, f"astray at {letters[-1]}"]

    @pytest.mark.parametrize(("tail", "cycle"), [(0, 1), (1, 1), (3, 2), (200, 1), (100, 60)])
    def test_every_cycle_is_found(self, tail: int, cycle: int) -> None:
        came = astray(tail, cycle)
        assert came[: tail + cycle] == list(range(tail + cycle))

    @thorough
    @given(st.integers(1, 200))
    def test_a_list_that_continues_is_not_a_cycle(self, length: int) -> None:
        async def fetch(cursor: str) -> Page[Item]:
            number = int(cursor) + 1
            return attrs.evolve(page("", number < length), data=[Item(str(number))], fetch=fetch)

        async def main() -> list[int]:
            first = attrs.evolve(page("", length > 1), data=[Item("1")], fetch=fetch)
            return [int(item.id) async for item in first]

        assert asyncio.run(main()) == list(range(1, length + 1))
