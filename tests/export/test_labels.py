"""The words of a plot."""

import pytest

from asyncckpt.export.labels import best_label, cut, shown_name, shown_value


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (200.0, "200"),
        (-9_999_999.0, "-9999999"),
        (1e7, "1e+07"),
        (0.123456, "0.1235"),
        (1234.5, "1234"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
    ],
)
def test_numbers(value: float, shown: str) -> None:
    assert shown_value(value) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("valid_loss", "valid_loss"),
        ("größe\n\x1b[2J", r"gr\xf6\xdfe\n\x1b[2J"),
        ("a" * 60, "a" * 60),
        ("a" * 50 + "b" * 50, "a" * 38 + "..." + "b" * 19),
    ],
)
def test_names(name: str, shown: str) -> None:
    assert shown_name(name) == shown


def test_a_long_name_is_not_read_to_its_end() -> None:
    assert len(shown_name("\x00" * 10**6)) == 60


@pytest.mark.parametrize(
    ("width", "shown"),
    [(6, "abcdef"), (5, "abc~f"), (4, "ab~f"), (2, "a~"), (1, "~"), (0, "")],
)
def test_text_loses_its_middle(width: int, shown: str) -> None:
    assert cut("abcdef", width, "~") == shown


def test_the_best_checkpoint() -> None:
    assert best_label((200.0, 0.123456)) == "best 0.1235 at step 200"
