"""Lines that are drawn again and again at the bottom of a terminal."""

import io

import attrs

from asyncckpt.cli.live import Line, LiveLines

from support.terminals import Screen


@attrs.define
class Window:
    """A terminal and its width."""

    columns: int = 20
    out: io.StringIO = attrs.field(factory=io.StringIO)

    def live(self) -> LiveLines:
        return LiveLines(self.out, lambda: self.columns)

    @property
    def lines(self) -> list[str]:
        return Screen.of(self.out.getvalue(), self.columns).lines


def lines(*texts: str) -> list[Line]:
    return [Line(text, len(text)) for text in texts]


def test_lines_replace_each_other() -> None:
    window = Window()
    live = window.live()
    live.draw(lines("a", "b"))
    live.draw(lines("c"))
    live.draw(lines("d", "e", "f"))
    assert window.lines == ["d", "e", "f", ""]


def test_lines_above_stay() -> None:
    window = Window()
    live = window.live()
    live.draw(lines("1 running"), above=lines("titles"))
    live.draw(lines("0 running"), above=lines("first ended"))
    live.draw((), above=lines("all ended"))
    assert window.lines == ["titles", "first ended", "all ended", ""]


def test_other_text_can_be_written_after_a_clear() -> None:
    window = Window()
    live = window.live()
    live.draw(lines("a", "b"), above=lines("titles"))
    live.clear()
    window.out.write("an error\n")
    live.draw(lines("c"))
    assert window.lines == ["titles", "an error", "c", ""]


def test_a_clear_without_lines_writes_nothing() -> None:
    window = Window()
    window.live().clear()
    assert window.out.getvalue() == ""


def test_lines_that_a_narrower_window_wraps_are_removed_completely() -> None:
    window = Window()
    live = window.live()
    live.draw(lines("x" * 19, "y"), above=lines("titles"))
    window.columns = 10
    live.draw(lines("z"))
    assert window.lines == ["titles", "z", ""]


def test_what_the_terminal_echoes_below_is_removed() -> None:
    window = Window()
    live = window.live()
    live.draw(lines("a"), above=lines("titles"))
    window.out.write("^C")
    live.draw((), above=lines("b"))
    assert window.lines == ["titles", "b", ""]
