"""Lists whose cursor expires."""

from collections.abc import Sequence
from typing import Any

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from asyncckpt import (
    APIStatusError,
    BadRequestError,
    CursorExpiredError,
    NotFoundError,
    Page,
    Pager,
    Request,
    Response,
)
from asyncckpt.protocol.failures import status_error
from asyncckpt.streams.page import OnWire
from asyncckpt.streams.restarts import REMEMBERED, OnExpiredCursor, expired_cursor

from support.pagers import RESPONSE, Item, run
from support.strategies import thorough

REQUEST = Request("GET", "https://h/v1/fine_tuning/jobs/j/checkpoints?limit=3&after=ckpt-1")


def failed(status: int, body: str) -> APIStatusError:
    return status_error(Response(status, CIMultiDict(), body.encode(), REQUEST))


class TestExpiredCursor:
    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (404, '{"error": {"message": "No checkpoint with id ckpt-1 found", "param": null}}'),
            (400, '{"error": {"message": "Invalid", "param": "after"}}'),
            (400, '{"error": {"message": "The cursor has expired"}}'),
            (410, '{"detail": "unknown value of `after`"}'),
            (422, '{"detail": [{"loc": ["query", "after"], "msg": "unknown"}]}'),
            (404, "no object 'ckpt-1'"),
        ],
    )
    def test_is_named_by_the_server(self, status: int, body: str) -> None:
        error = failed(status, body)
        error.add_note("asyncckpt tried 2 times")
        expired = expired_cursor(error, "ckpt-1")
        assert isinstance(expired, CursorExpiredError)
        assert expired.cursor == "ckpt-1"
        assert expired.status_code == status
        assert expired.response is error.response
        assert (expired.param, expired.body) == (error.param, error.body)
        assert "does not know the cursor 'ckpt-1'" in str(expired)
        assert error.message in str(expired)
        assert expired.__notes__ == ["asyncckpt tried 2 times"]

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (404, '{"error": {"message": "No such job: ftjob-1", "param": "fine_tuning_job_id"}}'),
            (404, '{"error": {"message": "No such job: ckpt-10"}}'),
            (400, '{"error": {"message": "limit is too large for ckpt-1", "param": "limit"}}'),
            (404, ""),
            (404, "<html>The URL /v1/fine_tuning/jobs/j?after=ckpt-1 was not found</html>"),
            (404, "<html><style>a {cursor: pointer}</style>Not found</html>"),
            (500, '{"error": {"message": "The cursor has expired"}}'),
            (401, '{"error": {"message": "The cursor has expired"}}'),
            (429, '{"error": {"message": "Try again after ckpt-1"}}'),
        ],
    )
    def test_other_errors_are_left_alone(self, status: int, body: str) -> None:
        assert expired_cursor(failed(status, body), "ckpt-1") is None

    def test_a_secret_that_the_server_sent_as_a_cursor_is_not_shown(self) -> None:
        error = failed(400, '{"error": {"param": "after"}}')
        request = Request("GET", "https://h/v1/jobs?after=***&limit=1")
        error.response = attrs.evolve(error.response, request=request)
        expired = expired_cursor(error, "sk-planted-1")
        assert expired is not None
        assert expired.cursor == "***"
        assert "sk-planted-1" not in str(expired)

    def test_without_a_cursor_nothing_expires(self) -> None:
        assert expired_cursor(failed(400, '{"error": {"param": "after"}}'), None) is None
        assert expired_cursor(ConnectionError("cursor"), "ckpt-1") is None


@attrs.define
class Forgetful:
    """A server whose cursors are valid until `expire` drops them.

    Args:
        ids: The list.
        size: Records in a page.
        lifetimes: After how many pages all cursors expire, one number after the other; after the
            last one, they do not expire.
        has_more: Whether the server sends `has_more`.
        after_expiry: The lists that it has after each expiry; default: the same.
    """

    ids: Sequence[str]
    size: int = 2
    lifetimes: Sequence[int] = ()
    has_more: bool = True
    after_expiry: Sequence[Sequence[str]] = ()
    asked: list[str | None] = attrs.field(factory=list[str | None])
    _expired: int = 0
    _pages: int = 0

    async def fetch(self, cursor: str | None, on_wire: OnWire) -> Page[Item]:
        self.asked.append(cursor)
        on_wire()
        if cursor is not None and (
            cursor not in self.ids
            or (
                self._expired < len(self.lifetimes) and self._pages >= self.lifetimes[self._expired]
            )
        ):
            self._pages = 0
            if self._expired < len(self.after_expiry):
                self.ids = self.after_expiry[self._expired]
            self._expired += 1
            raise failed(404, f'{{"error": {{"message": "no object {cursor}"}}}}')
        self._pages += 1
        start = 0 if cursor is None else self.ids.index(cursor) + 1
        data = [Item(id_) for id_ in self.ids[start : start + self.size]]
        more = start + self.size < len(self.ids) if self.has_more else None
        return Page(data, more, None, None, "list", response=RESPONSE, fetch=self._after)

    async def _after(self, cursor: str) -> Page[Item]:
        return await self.fetch(cursor, lambda: None)

    def pager(self, on_expired_cursor: OnExpiredCursor = "restart", **options: Any) -> Pager[Item]:
        return Pager(self.fetch, on_expired_cursor=on_expired_cursor, **options)


async def listed(pager: Pager[Item]) -> tuple[list[str], BaseException | None]:
    came: list[str] = []
    try:
        async for item in pager:
            came.append(item.id)
            assert len(came) < 10_000, "goes on for ever"
    except APIStatusError as error:
        return came, error
    return came, None


class TestRaising:
    async def test_the_records_so_far_come_first(self) -> None:
        pager = Forgetful("abcdef", lifetimes=[2]).pager("raise")
        came, error = await listed(pager)
        assert came == list("abcd")
        assert isinstance(error, CursorExpiredError)
        assert (error.cursor, pager.cursor) == ("d", "d")

    async def test_an_unknown_cursor_of_the_caller_is_the_error_of_the_server(self) -> None:
        for choice in ("raise", "restart"):
            server = Forgetful("abcdef")
            came, error = await listed(server.pager(choice, after="z"))  # type: ignore[arg-type]
            assert (came, type(error)) == ([], NotFoundError)
            assert server.asked == ["z"]

    async def test_pages_raise_it_too(self) -> None:
        server = Forgetful("abcdef", lifetimes=[1])
        page = await server.pager()
        with pytest.raises(CursorExpiredError) as caught:
            await page.get_next_page()
        assert caught.value.cursor == "b"
        server = Forgetful("abcdef", lifetimes=[1])
        page = await server.pager()
        with pytest.raises(CursorExpiredError):
            _ = [later async for later in page.iter_pages()]

    async def test_another_error_stays_as_it_is(self) -> None:
        async def fetch(cursor: str | None, on_wire: OnWire) -> Page[Item]:
            if cursor is None:
                return await Forgetful("abcdef").fetch(None, on_wire)
            raise failed(400, '{"error": {"message": "no", "param": "limit"}}')

        came, error = await listed(Pager(fetch, on_expired_cursor="restart"))
        assert (came, type(error)) == (["a", "b"], BadRequestError)

    def test_the_choice_is_checked(self) -> None:
        with pytest.raises(ValueError, match="must be 'raise' or 'restart', not 'again'"):
            Pager(Forgetful("a").fetch, on_expired_cursor="again")  # type: ignore[arg-type]


class TestRestarting:
    @pytest.mark.parametrize("prefetch", [0, 1, 3])
    async def test_every_record_comes_once(self, prefetch: int) -> None:
        server = Forgetful("abcdefgh", lifetimes=[1, 2, 3])
        assert await listed(server.pager(prefetch=prefetch)) == (list("abcdefgh"), None)
        assert server.asked.count(None) == 4

    @thorough
    @given(
        st.integers(0, 30),
        st.integers(1, 4),
        st.lists(st.integers(0, 4), max_size=3),
        st.booleans(),
        st.none() | st.integers(1, 30),
    )
    @example(30, 1, [9, 1, 1], True, None)
    def test_wherever_it_expires(
        self, length: int, size: int, lifetimes: list[int], has_more: bool, most: int | None
    ) -> None:
        ids = [str(number) for number in range(length)]
        server = Forgetful(ids, size, lifetimes, has_more)

        async def main() -> None:
            assert await listed(server.pager(max_records=most)) == (ids[:most], None)

        run(main)

    async def test_starts_at_the_cursor_of_the_caller(self) -> None:
        server = Forgetful("abcdefgh", lifetimes=[2])
        assert await listed(server.pager(after="b")) == (list("cdefgh"), None)
        assert server.asked.count("b") == 2
        assert None not in server.asked

    async def test_the_last_record_may_be_gone(self) -> None:
        server = Forgetful("abcdefgh", lifetimes=[2], after_expiry=["abcefgh"])
        assert await listed(server.pager()) == (list("abcdefgh"), None)

    async def test_new_records_at_the_start_are_skipped(self) -> None:
        server = Forgetful("abcdefgh", lifetimes=[2], after_expiry=["zyabcdefgh"])
        assert await listed(server.pager()) == (list("abcdefgh"), None)

    async def test_new_records_among_the_last_are_delivered(self) -> None:
        server = Forgetful("abcdefgh", 3, lifetimes=[1], after_expiry=["abxcdefgh"])
        assert await listed(server.pager()) == (list("abcxdefgh"), None)

    async def test_the_rest_of_the_list_may_be_gone(self) -> None:
        server = Forgetful("abcdefgh", lifetimes=[2], after_expiry=["abcd"])
        assert await listed(server.pager()) == (list("abcd"), None)

    async def test_a_place_that_is_not_found_is_an_error(self) -> None:
        server = Forgetful("abcdefgh", lifetimes=[2], after_expiry=["stuvwxyz"])
        came, error = await listed(server.pager())
        assert came == list("abcd")
        assert isinstance(error, CursorExpiredError)
        assert error.cursor == "d"
        assert "no longer in it" in error.__notes__[0]

    async def test_a_place_further_back_than_remembered_is_an_error(self) -> None:
        ids = [str(number) for number in range(REMEMBERED + 200)]
        left = [*ids[:100], *ids[REMEMBERED + 100 :]]
        server = Forgetful(ids, 100, lifetimes=[REMEMBERED // 100 + 1], after_expiry=[left])
        came, error = await listed(server.pager())
        assert came == ids[: REMEMBERED + 100]
        assert isinstance(error, CursorExpiredError)

    async def test_restarts_without_a_new_record_come_to_an_end(self) -> None:
        server = Forgetful("abcdefgh", lifetimes=[2] * 10)
        came, error = await listed(server.pager())
        assert came == list("abcd")
        assert isinstance(error, CursorExpiredError)
        assert "started the list again 3 times" in error.__notes__[0]
        assert server.asked.count(None) == 4

    async def test_any_number_of_restarts_with_new_records_is_allowed(self) -> None:
        server = Forgetful("abcdefghijklmn", lifetimes=[1, 2, 3, 4, 5, 6])
        assert await listed(server.pager()) == (list("abcdefghijklmn"), None)
        assert server.asked.count(None) == 7

    async def test_pages_without_new_records_are_left_out(self) -> None:
        server = Forgetful("abcdefgh", lifetimes=[2])
        pages = [[item.id for item in page.data] async for page in server.pager().pages()]
        assert pages == [["a", "b"], ["c", "d"], ["e", "f"], ["g", "h"]]
