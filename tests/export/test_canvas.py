"""Dots become Braille, or ASCII."""

from asyncckpt.export.canvas import DASHED, DOTTED, Canvas


def test_a_line_is_made_of_dots() -> None:
    canvas = Canvas(3, 1)
    canvas.line((0, 0), (5, 3))
    assert canvas.lines() == ["⠑⠢⢄"]


def test_the_order_of_the_ends_does_not_matter() -> None:
    there, back = Canvas(4, 2), Canvas(4, 2)
    there.line((0, 7), (7, 1))
    back.line((7, 1), (0, 7))
    assert there.lines()[0].strip()
    assert [line.strip() for line in there.lines()] == [line.strip() for line in back.lines()]


def test_lines_look_different_in_any_direction() -> None:
    shown = set[tuple[str, ...]]()
    for end in ((39, 2), (0, 39)):
        for dashes in ((1, 0), DASHED, DOTTED):
            canvas = Canvas(20, 10)
            canvas.line((0, 2), end, dashes)
            shown.add(tuple(canvas.lines()))
    assert len(shown) == 6


def test_ascii_shows_the_upper_and_the_lower_half() -> None:
    canvas = Canvas(3, 1, ascii_only=True)
    canvas.line((0, 0), (1, 0))
    canvas.line((2, 3), (3, 3))
    canvas.line((4, 0), (4, 3))
    assert canvas.lines() == ["'.:"]


def test_text_covers_dots_and_is_cut_at_the_edge() -> None:
    canvas = Canvas(4, 2)
    canvas.line((0, 0), (7, 0))
    canvas.text(2, 0, "abc")
    canvas.text(-1, 1, "xy")
    canvas.text(0, 5, "z")
    assert canvas.lines() == ["⠉⠉ab", "y   "]


def test_cells_are_free_without_dots_and_text() -> None:
    canvas = Canvas(6, 1)
    canvas.line((0, 0), (1, 0))
    canvas.text(5, 0, "a")
    assert canvas.is_free(1, 0, 4)
    assert not canvas.is_free(0, 0, 2)
    assert not canvas.is_free(4, 0, 2)
    assert not canvas.is_free(-1, 0, 1)
    assert not canvas.is_free(5, 0, 2)
    assert not canvas.is_free(1, 1, 1)
