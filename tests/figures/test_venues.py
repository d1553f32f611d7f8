"""Widths, text sizes and fonts of venues, and the sentence that names the font which stands in."""

from __future__ import annotations

import matplotlib
import pytest
from matplotlib import font_manager
from tueplots import bundles

from bglab import figures
from bglab.errors import UnknownName
from bglab.figures import venues

PLACES = [(name, width) for name in figures.VENUES for width in ("column", "full")]


@pytest.mark.parametrize(("name", "width"), PLACES)
def test_no_text_is_smaller_than_seven_points(name, width):
    with figures.theme(name, width):
        sizes = [matplotlib.rcParams[f"{key}size"] for key in ("xtick.label", "ytick.label", "axes.label")]
        sizes += [figures.axes.points(size) for size in ("small", "medium", matplotlib.rcParams["legend.fontsize"])]
    assert min(sizes) >= 7 - 1e-9


def test_widths_are_those_of_tueplots():
    assert figures.find_venue("cvpr", "full").inches == bundles.cvpr2024(column="full")["figure.figsize"][0]
    assert figures.find_venue("icml").inches == bundles.icml2024(column="half")["figure.figsize"][0]
    with figures.theme("eccv"):
        assert matplotlib.rcParams["figure.figsize"][0] == bundles.eccv2024()["figure.figsize"][0]


def test_a_venue_is_found_without_its_year_and_with_its_width_in_the_name():
    assert figures.find_venue("CVPR") == figures.find_venue("cvpr2024")
    assert figures.find_venue("cvpr2024-full") == figures.find_venue("cvpr", "full")
    assert figures.find_venue().name == "notebook"
    for name in figures.venue_names():
        assert figures.find_venue(name).venue in figures.VENUES.values()
    with pytest.raises(UnknownName, match="unknown venue 'cvpr2023'; did you mean 'cvpr2024'"):
        figures.find_venue("cvpr2023-full")


def test_only_two_column_pages_have_two_widths():
    two = {name for name in figures.VENUES if f"{name}-full" in figures.venue_names()}
    assert two == {"cvpr2024", "icml2024"}
    assert figures.find_venue("cvpr", "full").spans_columns
    assert not figures.find_venue("neurips", "full").spans_columns


def test_fonts_are_truetype_and_the_one_that_stands_in_is_named(monkeypatch):
    for name, venue in figures.VENUES.items():
        font = venues.font_of(venue)
        assert font_manager.findfont(font).endswith(".ttf"), name
    bare = frozenset({"STIXGeneral", "DejaVu Sans"})  # those that come with matplotlib
    monkeypatch.setattr(venues, "_embeddable", lambda: bare)
    placed = figures.find_venue("cvpr")
    assert figures.font_note(placed) == (
        "Figures and tables are as wide as one column of CVPR 2024 (3.25 inches); text is drawn in STIXGeneral in "
        "place of Times New Roman, which is not installed, embedded in the PDF files."
    )
    assert figures.font_note(figures.find_venue("")) == ""
    monkeypatch.setattr(venues, "_embeddable", lambda: bare | {"Times New Roman"})
    assert "drawn in Times New Roman, embedded" in figures.font_note(placed)


def test_a_long_note_and_a_long_title_are_broken_into_lines_of_similar_width():
    with figures.theme("cvpr"):
        text = "Mixed-Same − Mixed-Rand; error bars: 95 % Newcombe intervals, paired; n = 4,050"
        lines = figures.axes.in_lines(text, 3).split("\n")
        widths = [figures.axes.width_of(line) for line in lines]
    assert " ".join(lines) == text
    assert len(lines) == 2
    assert max(widths) <= 3
    assert min(widths) > 0.6 * max(widths)
    assert "n = 4,050" in lines[-1]
