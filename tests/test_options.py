"""What a caller may set, checked where it is given."""

import copy
import inspect
import math
import pickle
from typing import Any

import pytest

from asyncckpt import NOT_GIVEN, CallOptions, Timeout, omit
from asyncckpt.options import (
    DEFAULT_TIMEOUT,
    RequestOptions,
    check_count,
    check_cursor,
    check_number,
    given,
    show_call_options,
)

NO_NUMBERS = [True, "5", [5], 5j]
NO_SECONDS = [0, -1, -0.0, math.nan, math.inf, -math.inf, pytest.param(10**400, id="vast")]


class TestTimeout:
    def test_defaults(self) -> None:
        assert (Timeout().total, Timeout().connect) == (60.0, 5.0)
        assert Timeout() == DEFAULT_TIMEOUT

    @pytest.mark.parametrize("clock", ["total", "connect", "read"])
    @pytest.mark.parametrize("value", NO_NUMBERS)
    def test_a_limit_must_be_a_number(self, clock: str, value: Any) -> None:
        with pytest.raises(TypeError, match=f"^{clock} must be a number .*seconds"):
            Timeout(**{clock: value})

    @pytest.mark.parametrize("clock", ["total", "connect", "read"])
    @pytest.mark.parametrize("value", NO_SECONDS)
    def test_a_limit_must_be_positive_and_finite(self, clock: str, value: Any) -> None:
        with pytest.raises(ValueError, match=f"^{clock} must be"):
            Timeout(**{clock: value})

    def test_none_sets_no_limit(self) -> None:
        assert Timeout.of(None) == Timeout(total=None, connect=None, read=None)

    def test_of_a_timeout_is_itself(self) -> None:
        timeout = Timeout(total=3)
        assert Timeout.of(timeout) is timeout

    @pytest.mark.parametrize(("seconds", "connect"), [(0.5, 0.5), (10, 5.0), (100.0, 5.0)])
    def test_of_a_number_is_the_total_and_bounds_the_rest(
        self, seconds: float, connect: float
    ) -> None:
        timeout = Timeout.of(seconds)
        assert (timeout.total, timeout.connect) == (seconds, connect)
        assert timeout.read is None or timeout.read <= seconds

    @pytest.mark.parametrize("value", NO_NUMBERS)
    def test_of_something_other_than_a_number(self, value: Any) -> None:
        with pytest.raises(TypeError, match="^timeout must be a number"):
            Timeout.of(value)

    @pytest.mark.parametrize("value", NO_SECONDS)
    def test_of_an_invalid_number(self, value: Any) -> None:
        with pytest.raises(ValueError, match="must be"):
            Timeout.of(value)

    def test_is_frozen(self) -> None:
        with pytest.raises(AttributeError):
            Timeout().total = 3  # type: ignore[misc]


class TestRequestOptions:
    def options(self, **changes: Any) -> RequestOptions:
        fields: dict[str, Any] = {
            "timeout": Timeout(),
            "max_retries": 2,
            "max_wait": 10.0,
            "max_body_bytes": 1000,
            "headers": {"x-secret": "sk-hidden"},
            "query": {"token": "sk-hidden"},
        }
        return RequestOptions(**{**fields, **changes})

    @pytest.mark.parametrize(
        ("field", "value", "kind"),
        [
            ("max_retries", -1, ValueError),
            ("max_retries", 1.0, TypeError),
            ("max_retries", True, TypeError),
            ("max_retries", None, TypeError),
            ("max_wait", 0, ValueError),
            ("max_wait", math.inf, ValueError),
            ("max_wait", "1", TypeError),
            ("max_wait", None, TypeError),
            ("max_body_bytes", 0, ValueError),
            ("max_body_bytes", 1e6, TypeError),
        ],
    )
    def test_are_checked(self, field: str, value: Any, kind: type[Exception]) -> None:
        with pytest.raises(kind, match=f"^{field} must be"):
            self.options(**{field: value})

    def test_the_least_that_goes(self) -> None:
        options = self.options(max_retries=0, max_wait=0.001, max_body_bytes=1)
        assert (options.max_retries, options.max_wait, options.max_body_bytes) == (0, 0.001, 1)

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"timeout": 3}, {"timeout": Timeout.of(3)}),
            ({"timeout": None}, {"timeout": Timeout.of(None)}),
            ({"max_retries": 0}, {"max_retries": 0}),
            ({"max_wait": 2.5}, {"max_wait": 2.5}),
            ({"timeout": NOT_GIVEN, "max_retries": None, "max_wait": None}, {}),
            ({"timeout": omit}, {}),
        ],
    )
    def test_only_what_is_given_is_changed(
        self, changes: dict[str, Any], expected: dict[str, Any]
    ) -> None:
        assert self.options().changed(**changes) == self.options(**expected)

    def test_show_neither_headers_nor_query(self) -> None:
        assert "sk-hidden" not in repr(self.options())


class TestChecks:
    def test_count(self) -> None:
        check_count("limit", 1, least=1)
        with pytest.raises(ValueError, match="^limit must be at least 1, not 0$"):
            check_count("limit", 0, least=1)
        with pytest.raises(TypeError, match="^limit must be an integer, not bool$"):
            check_count("limit", True, least=1)

    def test_number(self) -> None:
        check_number("rate", 0.1, "requests", above=0)
        with pytest.raises(ValueError, match=r"^rate must be more than 0 \(requests\), not 0$"):
            check_number("rate", 0, "requests", above=0)

    def test_cursor(self) -> None:
        check_cursor(None)
        check_cursor("ftckpt_1")
        with pytest.raises(ValueError, match="not an empty string"):
            check_cursor("")
        for no_id in (1, b"ftckpt_1", ["ftckpt_1"]):
            with pytest.raises(TypeError, match="id of a record"):
                check_cursor(no_id)


@pytest.mark.parametrize(("value", "shown"), [(NOT_GIVEN, "NOT_GIVEN"), (omit, "omit")])
def test_a_value_that_is_left_out_shows_as_its_name_and_is_false(value: Any, shown: str) -> None:
    assert repr(value) == shown
    assert not value
    assert copy.deepcopy(value) is value
    assert pickle.loads(pickle.dumps(value)) is value
    assert given(value) is None
    assert given(5) == 5


def test_a_method_without_a_docstring_shows_the_options_in_its_signature() -> None:
    # As every method is under `python -OO`.
    def method(job: str, **options: Any) -> None: ...

    shown = inspect.signature(show_call_options(method))
    assert [*shown.parameters] == ["job", *CallOptions.__annotations__]
    assert method.__doc__ is None
