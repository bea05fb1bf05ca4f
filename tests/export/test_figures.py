"""Plots as PNG and SVG."""

import importlib.util
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.image
import pytest

from asyncckpt.export import JobPlot, Plot
from asyncckpt.export.figures import COLOURS, INK

from support.plots import plot_of, valley
from support.programs import run_program

SVG = "{http://www.w3.org/2000/svg}"


def labels_of(plot: Plot) -> list[str]:
    (legend,) = plot.figure().legends
    return [text.get_text() for text in legend.get_texts()]


@pytest.mark.parametrize("jobs", [1, 10])
def test_svg_and_png_are_written(tmp_path: Path, jobs: int) -> None:
    plot = plot_of(*(valley(f"ftjob-{n}") for n in range(jobs)))
    plot.save(tmp_path / "plot.svg")
    plot.save(str(tmp_path / "plot.PNG"))
    assert ET.parse(tmp_path / "plot.svg").getroot().tag == f"{SVG}svg"
    assert (tmp_path / "plot.PNG").read_bytes().startswith(b"\x89PNG\r\n")
    assert {path.name for path in tmp_path.iterdir()} == {"plot.svg", "plot.PNG"}


def test_the_background_is_transparent(tmp_path: Path) -> None:
    with mpl.rc_context({"savefig.facecolor": "white", "axes.facecolor": "white"}):
        plot_of(valley("ftjob-a")).save(tmp_path / "plot.png")
    pixels: Any = matplotlib.image.imread(tmp_path / "plot.png")
    corners = [pixels[y, x, 3] for y in (0, -1) for x in (0, -1)]
    assert corners == [0, 0, 0, 0]
    assert pixels[:, :, 3].max() == 1


def luminance(colour: str) -> float:
    """Return the relative luminance (WCAG 2.2)."""
    channels = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    ]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colour", [INK, *COLOURS])
def test_colours_have_contrast_on_white_and_on_black(colour: str) -> None:
    of_colour = luminance(colour)
    assert (luminance("#ffffff") + 0.05) / (of_colour + 0.05) >= 3
    assert (of_colour + 0.05) / (luminance("#000000") + 0.05) >= 3


def test_the_legend_of_one_job_names_its_curves_and_its_best_checkpoint() -> None:
    labels = labels_of(plot_of(valley("ftjob-a")))
    assert labels == ["best 0.5 at step 500", "checkpoint", "valid_loss"]


def test_the_legend_of_several_names_the_jobs_the_best_first() -> None:
    plot = plot_of(valley("ftjob-a"), valley("_ftjob-$b$", lowest=0.75))
    assert labels_of(plot) == [
        "ftjob-a: best 0.5 at step 500",
        "_ftjob-$b$: best 0.75 at step 500",
    ]


def test_jobs_differ_in_more_than_colour() -> None:
    (axes,) = plot_of(*(valley(f"ftjob-{n}") for n in range(20))).figure().axes
    handles, _ = axes.get_legend_handles_labels()
    shapes = {(line.get_linestyle(), line.get_marker(), line.get_color()) for line in handles}  # type: ignore[attr-defined]
    assert len(shapes) == 20
    without_colour = {(line.get_linestyle(), line.get_marker()) for line in handles[-10:]}  # type: ignore[attr-defined]
    assert len(without_colour) == 10


def test_the_best_checkpoint_is_labelled() -> None:
    (axes,) = plot_of(valley("ftjob-a")).figure().axes
    assert [text.get_text() for text in axes.texts] == ["best 0.5 at step 500"]


def test_there_may_be_no_best_checkpoint_and_no_place_for_a_label() -> None:
    line = tuple((n, n % 2 * 1.0) for n in range(1000))
    full = JobPlot("ftjob-a", {"valid_loss": (line,)}, (), (0, 0.0))
    none = JobPlot("ftjob-a", {"valid_loss": (((1, 0.5),),)}, (), None)
    for plot in (plot_of(full), plot_of(none)):
        (axes,) = plot.figure().axes
        assert not axes.texts


def test_names_are_not_mathematics(tmp_path: Path) -> None:
    # In matplotlib, text between dollar signs is a formula, and this one is malformed.
    names = ["$\\frac$", "$_$"]
    plot_of(*map(valley, names), metric="$^$").save(tmp_path / "plot.svg")
    plot_of(valley("$\\frac$", curve="$_$"), metric="$^$").save(tmp_path / "one.svg")
    assert labels_of(plot_of(*map(valley, names)))[1] == "$_$: best 0.5 at step 500"


def test_a_gap_is_not_bridged() -> None:
    segments = (((1, 1.0), (2, 1.0)), ((5, 1.0),))
    (axes,) = plot_of(JobPlot("ftjob-a", {"valid_loss": segments}, (), None)).figure().axes
    lines = [list(map(float, line.get_xdata())) for line in axes.lines]  # type: ignore[arg-type]
    assert repr(lines[0]) == "[1.0, 2.0, nan, 5.0, nan]"
    assert lines[1] == [5.0]


def test_pyplot_is_not_used() -> None:
    code = (
        "import sys; from support.plots import plot_of, valley\n"
        "plot_of(valley('a')).figure(); assert 'matplotlib.pyplot' not in sys.modules"
    )
    ran = run_program([sys.executable, "-c", code])
    assert (ran.code, ran.err) == (0, "")


def test_another_suffix_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"saved as \.png or \.svg, not as 'plot\.jpg'"):
        plot_of(valley("ftjob-a")).save(tmp_path / "plot.jpg")


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "plot.svg"
    target.write_text("old")

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no space left"):
        plot_of(valley("ftjob-a")).save(target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_new_file_has_the_usual_mode(tmp_path: Path) -> None:
    plot_of(valley("ftjob-a")).save(tmp_path / "plot.svg")
    usual = tmp_path / "usual"
    usual.touch()
    assert (tmp_path / "plot.svg").stat().st_mode == usual.stat().st_mode


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "asyncckpt.export.extras.find_spec",
        lambda name: None if name == "matplotlib" else find(name),
    )
    plot = plot_of(valley("ftjob-a"))
    for use in (plot.figure, lambda: plot.save("plot.svg")):
        with pytest.raises(ImportError, match=r"asyncckpt\[plots\]"):
            use()
    assert plot.text()
