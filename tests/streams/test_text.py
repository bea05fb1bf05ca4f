"""Text for error messages that is short and printable, whatever it is the text of."""

import itertools
from typing import Any, NoReturn

import pytest

from asyncckpt.streams.text import safe_text


class Hostile(str):
    """A string whose methods raise."""

    def fail(self, *_: object) -> NoReturn:
        raise LookupError("mine")

    __str__ = __repr__ = __len__ = __getitem__ = __iter__ = __format__ = fail  # type: ignore[assignment]
    isprintable = fail  # type: ignore[assignment]


class Unreadable:
    def __str__(self) -> str:
        raise LookupError("mine")

    __repr__ = __str__


class Misleading:
    def __str__(self) -> str:
        return Hostile("ftjob-1")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("ftjob-abc123", "ftjob-abc123"),
        ("größe \U0001f600", "größe \U0001f600"),
        ("", ""),
        (7, "7"),
        ("a\nb\x1b[2J\udc80\u202e", "a\\nb\\x1b[2J\\udc80\\u202e"),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 200 + "…"),
        (Misleading(), "ftjob-1"),
    ],
    ids=itertools.count(),
)
def test_short_printable_text_is_unchanged(value: object, text: str) -> None:
    assert safe_text(value) == text


@pytest.mark.parametrize(
    "value",
    ["\udc80" * 2**20, Hostile("ftjob-1"), Unreadable()],
    ids=["long", "hostile", "unreadable"],
)
@pytest.mark.parametrize("convert", [str, repr])
def test_the_text_of_anything_is_short_and_printable(value: object, convert: Any) -> None:
    text = safe_text(value, convert)
    assert type(text) is str
    assert text.isprintable()
    assert 0 < len(text) < 1500


def test_an_object_that_cannot_be_shown_is_named_by_its_type() -> None:
    assert "Unreadable object" in safe_text(Unreadable())


def test_a_base_exception_is_not_caught() -> None:
    def convert(_: object) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        safe_text("a", convert)
