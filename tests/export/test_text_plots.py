"""Plots as text: what can be read in them, at any size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncckpt.export import JobPlot, Plot
from asyncckpt.export.thinning import Point

from support.plots import plot_of, valley

finite = st.floats(allow_nan=False, allow_infinity=False)


def test_an_overfitting_curve_has_its_best_checkpoint_labelled() -> None:
    shown = plot_of(valley("ftjob-a")).text()
    title, *lines = shown.splitlines()
    assert title == "valid_loss of ftjob-a"
    (row,) = [line for line in lines[:-2] if "★" in line]
    (labelled,) = [n for n, line in enumerate(lines[:-2]) if "best 0.5 at step 500" in line]
    assert abs(lines.index(row) - labelled) <= 3
    assert lines[-1].endswith("○ checkpoint   ★ best 0.5 at step 500")
    # It is in the middle, at the bottom.
    assert 38 <= row.index("★") <= 47
    assert lines.index(row) >= len(lines) - 6


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("jobs", [1, 10, 20])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_it_fits(width: int, jobs: int, ascii_only: bool) -> None:
    names = [f"ftjob-{'x' * 80}{n}" for n in range(jobs)]
    plot = plot_of(*map(valley, names))
    shown = plot.text(width=width, height=50, ascii_only=ascii_only)
    lines = shown.splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) <= 50
    assert shown.isascii() == ascii_only
    assert shown.endswith("\n")


@pytest.mark.parametrize("height", [24, 40])
def test_it_fills_the_height(height: int) -> None:
    assert len(plot_of(valley("ftjob-a")).text(width=200, height=height).splitlines()) == height


def test_ten_jobs_have_a_letter_each() -> None:
    names = [f"ftjob-{n}" for n in range(10)]
    jobs = [valley(name, lowest=0.5 + n) for n, name in enumerate(names)]
    lines = plot_of(*jobs).text(width=120, height=60).splitlines()
    assert lines[0] == "valid_loss of 10 jobs"
    shown = "\n".join(lines)
    plotted = "\n".join(line for line in lines if "│" in line or "┤" in line)
    for letter, name in zip("abcdefghij", names, strict=True):
        assert f"{letter} " in shown
        assert name in shown
        assert letter in plotted
        assert letter.upper() in plotted
    assert "A: best 0.5 at step 500" in plotted


def test_values_are_where_the_axes_say() -> None:
    points = ((0, 0.0), (100, 10.0))
    plot = plot_of(JobPlot("ftjob-a", {"valid_loss": (points,)}, points, None))
    lines = plot.text(width=60, height=20).splitlines()
    top = next(line for line in lines if line.lstrip().startswith("10 ┤"))
    bottom = next(line for line in lines if line.lstrip().startswith("0 ┤"))
    assert top.endswith("○")
    assert bottom.index("○") == bottom.index("┤") + 1
    labels = next(line for line in lines if line.startswith("step"))
    assert labels.split()[-1] == "100"
    assert len(labels) == len(top)


def rows_of(plot: Plot) -> list[str]:
    """The cells between the axes."""
    lines = plot.text().splitlines()
    return [line[6:] for line in lines if line[5:6] in {"│", "┤"} and line[6:].strip()]


def test_a_gap_is_empty() -> None:
    segments = (tuple((n, 1.0) for n in range(40)), tuple((n, 1.0) for n in range(60, 100)))
    (row,) = rows_of(plot_of(JobPlot("ftjob-a", {"valid_loss": segments}, (), None)))
    first, second = row.split()
    # Every column has a dot, except for half a cell at each end.
    assert len({*first[1:-1], *second[1:-1]}) == 1
    assert len(row) - len(first) - len(second) == pytest.approx(len(row) / 5, abs=2)


def test_curves_of_one_job_are_told_apart_without_colour() -> None:
    line = tuple((n, 0.5) for n in range(100))
    other = tuple((n, 1.5) for n in range(100))
    plot = plot_of(JobPlot("ftjob-a", {"valid_loss": (line,), "train_loss": (other,)}, (), None))
    upper, lower = rows_of(plot)
    assert lower == lower[0] * len(lower)
    assert upper != upper[0] * len(upper)
    assert plot.text().splitlines()[-1] == "⠤⠤⠤⠤ valid_loss   ⠄⠠ ⠄ train_loss"


@pytest.mark.parametrize(
    "points",
    [
        [(1, 0.5)],
        [(0, 0.0)],
        [(1, 0.5), (2, 0.25), (3, 0.4)],
        [(n, 0.7) for n in range(10)],
        [(1, -1e308), (2, 1e308)],
        [(1, 1e16), (2, 1e16 + 2)],
        [(1, 5e-324), (2, 0.0)],
        [(10**30, 1.0), (2 * 10**30, 2.0)],
    ],
)
def test_any_values_can_be_drawn(points: list[Point]) -> None:
    marks = tuple(points)
    best = min(points, key=lambda point: point[1])
    plot = plot_of(JobPlot("ftjob-a", {"valid_loss": (marks,)}, marks, best))
    for width in (20, 80):
        lines = plot.text(width=width).splitlines()
        assert max(map(len, lines)) <= width
        drawn = [line for line in lines if "│" in line or "┤" in line]
        assert "★" in "".join(drawn)


@given(st.dictionaries(st.integers(0, 10**9), finite, min_size=1, max_size=20))
def test_nothing_makes_it_fail(values: dict[int, float]) -> None:
    points = tuple(sorted(values.items()))
    plot = plot_of(JobPlot("ftjob-a", {"valid_loss": (points,)}, points, points[0]))
    lines = plot.text(width=40, height=12).splitlines()
    assert max(map(len, lines)) <= 40
    assert len(lines) <= 15


def test_names_are_escaped() -> None:
    plot = plot_of(valley("ftjob-\x1b[2J\nü漢"), metric="größe\x07")
    assert "\x1b" not in plot.text()
    assert "\\x1b[2J\\n" in plot.text()
    assert plot.text(ascii_only=True).isascii()


def test_the_title_names_the_curves_if_they_are_of_another_metric() -> None:
    jobs = [valley(name, curve="valid_loss") for name in ("ftjob-a", "ftjob-b")]
    plot = plot_of(*jobs, metric="full_valid_loss")
    assert plot.text().splitlines()[0] == "full_valid_loss of 2 jobs, curves of valid_loss"


def test_a_plot_without_points_is_an_error() -> None:
    for jobs in ((), (JobPlot("ftjob-a", {}, (), None),)):
        with pytest.raises(ValueError, match="there is nothing to draw"):
            plot_of(*jobs)


def test_str_is_the_text() -> None:
    plot = plot_of(valley("ftjob-a"))
    assert str(plot) == plot.text(width=80, height=24)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"width": 19}, "width must be at least 20, not 19"),
        ({"height": 0}, "height must be at least 1, not 0"),
    ],
)
def test_sizes_are_checked(options: dict[str, int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        plot_of(valley("ftjob-a")).text(**options)
    with pytest.raises(TypeError, match="width must be an integer"):
        plot_of(valley("ftjob-a")).text(width=80.0)  # type: ignore[arg-type]
