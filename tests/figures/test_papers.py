"""Figures of Noise or Signal, by the properties of their artists, and linear fits over models."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from bglab.analysis import published, share_interval, trends
from bglab.errors import BadInput, UnknownName
from bglab.figures import COLORS, color_of, papers, theme
from bglab.variants import variant_table

VENUES = ("notebook", "cvpr2024", "neurips2024")


def scored(table, n=900):
    low, high = share_interval((table["top1"] * n).round().astype(int).to_numpy(), np.full(len(table), n))
    return table.assign(n=n, top1_low=low, top1_high=high)


@pytest.fixture(scope="module")
def bars():
    return scored(published("nos-figure-2").rename(columns={"value": "top1"}))


@pytest.fixture(scope="module")
def matrix():
    return scored(published("nos-table-5").rename(columns={"value": "top1"}))


@pytest.fixture(scope="module")
def points():
    """Build models whose accuracies lie exactly on two lines."""
    rows = []
    for number, x in enumerate((0.5, 0.6, 0.8)):
        rows += [(f"timm:model_{number}.a1_in1k", "mixed_rand", x, 0.1 + 0.5 * x)]
        rows += [(f"timm:model_{number}.a1_in1k", "mixed_same", x, 0.2 + 0.9 * x)]
    return scored(pd.DataFrame(rows, columns=["model", "variant", "reference", "top1"]))


def texts(ax):
    return [text.get_text() for text in ax.texts]


def clashes(ax):
    """List texts of a drawn plot that overlap each other or the edge of the figure."""
    ax.figure.draw_without_rendering()
    shown = [t for t in [*ax.texts, ax.xaxis.label, ax.yaxis.label] if t.get_text()]
    boxes = [(t.get_text(), t.get_window_extent()) for t in shown]
    # neighbouring cells of a table may touch by the rounding of a pixel
    over = [(a, b) for i, (a, x) in enumerate(boxes) for b, y in boxes[:i] if x.padded(-1).overlaps(y.padded(-1))]
    edge = ax.figure.bbox
    outside = [a for a, x in boxes if x.x0 < -1 or x.y0 < -1 or x.x1 > edge.x1 + 1 or x.y1 > edge.y1 + 1]
    return over, outside


# Figure 2


def test_each_training_set_has_its_own_bar_and_the_one_on_original(bars):
    ax = papers.plot_own_and_original(bars)
    drawn = [bar for bar in ax.patches if bar.get_width() > 0]
    places = [round(bar.get_x() + bar.get_width() / 2) for bar in drawn]
    colours = [to_hex(bar.get_facecolor()) for bar in drawn]
    heights = {(x, c): bar.get_height() for x, c, bar in zip(places, colours, drawn, strict=True)}
    expected = {}
    for place, train in enumerate(("only_bg_b", "only_bg_t", "no_fg")):
        for test in (train, "original"):
            row = bars.query("train == @train and test == @test")
            expected[place, color_of(test).lower()] = row["top1"].item()
    assert heights == expected
    assert ax.lines[0].get_ydata()[0] == 1 / 9
    assert texts(ax)[-1] == "Error bars: 95 % Wilson intervals; n = 900"
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["Own test set", "Original", "Chance (1/9)"]


def test_other_test_sets_are_left_out_of_the_bars(bars, matrix):
    more = pd.concat([bars, matrix.query("train == 'no_fg' and test == 'mixed_rand'")])
    assert len([b for b in papers.plot_own_and_original(more).patches if b.get_width() > 0]) == 6
    with pytest.raises(BadInput) as caught:
        papers.plot_own_and_original(more.query("test == 'mixed_rand'"))
    assert str(caught.value) == (
        "expected a table with train, test, n, top1, top1_low, top1_high and at least one row, got no rows"
    )


# Figure 4


def rates(values, name="insect"):
    return pd.DataFrame({"class": name, "n": 3600, "rate": values})


def test_the_histogram_counts_every_background_once():
    values = np.random.default_rng(0).beta(2, 12, 450)
    ax = papers.plot_fooling_rates(rates(values))
    assert sum(bar.get_height() for bar in ax.patches) == 450
    assert {to_hex(bar.get_facecolor()) for bar in ax.patches} == {color_of("insect").lower()}
    assert ax.patches[0].get_width() == pytest.approx(0.01)
    assert ax.lines[0].get_xdata()[0] == np.median(values)
    assert texts(ax) == [f"median {100 * np.median(values):.1f}", "450 backgrounds, 3,600 foregrounds each"]


def test_a_few_backgrounds_get_wide_bars_and_even_the_strongest_is_drawn():
    ax = papers.plot_fooling_rates(rates([0.0, 0.1, 0.97, 1.0]))
    assert sum(bar.get_height() for bar in ax.patches) == 4
    assert ax.patches[0].get_width() == pytest.approx(0.05)
    assert ax.get_xlim()[1] > 1


def test_a_histogram_is_of_one_class():
    with pytest.raises(BadInput) as caught:
        papers.plot_fooling_rates(pd.concat([rates([0.1]), rates([0.2], "dog")]))
    assert str(caught.value) == "expected backgrounds of one class, got insect, dog; select one"


# Figure 8


def test_points_stand_at_their_reference_and_lines_go_through_them(points):
    ax = papers.plot_trends(points, bands=trends.trend_bands(points), reference="ImageNet top-1 accuracy")
    dots = {line.get_label(): line for line in ax.lines if line.get_marker() == "o"}
    rows = points.query("variant == 'mixed_same'")
    assert dots["Mixed-Same"].get_xydata().tolist() == rows[["reference", "top1"]].to_numpy().tolist()
    fits = [line for line in ax.lines if line.get_marker() != "o" and len(line.get_xdata()) > 2]
    assert [line.get_color() for line in fits] == [COLORS["mixed_rand"], COLORS["mixed_same"]]
    assert fits[0].get_ydata() == pytest.approx(0.1 + 0.5 * fits[0].get_xdata())
    assert ax.get_xlabel() == "ImageNet top-1 accuracy (%)"
    assert texts(ax)[:3] == ["model_0", "model_1", "model_2"]
    assert texts(ax)[-1] == "Error bars: 95 % Wilson intervals; lines: least squares with 95 % bands; n = 900"


def test_names_of_models_that_are_alike_stand_side_by_side(points):
    close = points.assign(reference=points["reference"] * 0.001 + 0.7)
    over, outside = clashes(papers.plot_trends(close))
    assert (over, outside) == ([], [])


def test_fits_know_the_line_and_their_own_uncertainty(points):
    fits = trends.fit_trends(points).set_index("variant")
    assert fits.loc["mixed_rand", ["slope", "slope_low", "slope_high", "intercept"]].tolist() == pytest.approx(
        [0.5, 0.5, 0.5, 0.1]
    )
    noisy = points.assign(top1=points["top1"] + [0.02, 0, -0.03, 0.01, 0.01, -0.02])
    fit = trends.fit_trends(noisy).set_index("variant").loc["mixed_same"]
    x, y = (noisy.query("variant == 'mixed_same'")[c].to_numpy() for c in ("reference", "top1"))
    slope, intercept = np.polyfit(x, y, 1)
    residual = y - intercept - slope * x
    error = np.sqrt((residual**2).sum() / 1 / ((x - x.mean()) ** 2).sum())
    assert fit["slope"] == pytest.approx(slope)
    # Student's t with one degree of freedom, 97.5 %
    assert fit["slope_high"] - fit["slope"] == pytest.approx(12.7062 * error, rel=1e-4)


def test_two_models_give_a_line_without_an_interval_and_one_gives_none(points):
    two = points.query("reference < 0.7")
    fits = trends.fit_trends(two)
    assert fits["models"].tolist() == [2, 2]
    assert fits["slope"].tolist() == pytest.approx([0.5, 0.9])
    assert fits[["slope_low", "slope_high"]].isna().all(axis=None)
    assert trends.trend_bands(two)[["top1_low", "top1_high"]].isna().all(axis=None)
    one = points.query("reference == 0.5")
    assert trends.fit_trends(one)["slope"].isna().all()
    assert trends.trend_bands(one).empty


def test_a_trend_without_its_columns_is_refused(points):
    with pytest.raises(UnknownName) as caught:
        trends.fit_trends(points, by="varaint")
    assert str(caught.value) == (
        "unknown column 'varaint'; did you mean 'variant'? Known: model, variant, reference, top1, n, top1_low, "
        "top1_high"
    )
    with pytest.raises(BadInput) as caught:
        trends.trend_bands(points.iloc[:0])
    assert str(caught.value) == (
        "expected one row per model and group, got an empty table; predict with two models or more"
    )


# Figures 10 and 11


def test_curves_go_through_their_points_in_rising_order():
    rows = [(k, v, 0.5 + 0.01 * i) for i, k in enumerate((144, 9, 36)) for v in ("mixed_same", "mixed_rand")]
    table = scored(pd.DataFrame(rows, columns=["classes", "variant", "top1"]))
    ax = papers.plot_curves(table)
    assert [line.get_xdata().tolist() for line in ax.lines] == [[9, 36, 144]] * 2
    assert ax.lines[0].get_ydata().tolist() == pytest.approx([0.51, 0.52, 0.5])
    ax.figure.draw_without_rendering()
    assert [t.get_text() for t in ax.get_xticklabels()] == ["9", "36", "144"]
    assert ax.get_xscale() == "log"
    with pytest.raises(BadInput) as caught:
        papers.plot_curves(pd.concat([table, table]))
    assert str(caught.value) == (
        "expected one row for each classes and variant, got several; select one data set or space first"
    )


# Table 5


def test_the_matrix_writes_every_cell_in_a_readable_colour(matrix):
    ax = papers.plot_train_test(matrix)
    assert texts(ax)[:9] == ["78.1", "53.3", "48.5", "16.2", "11.2", "8.2", "59.6", "52.3", "46.4"]
    bold = [t.get_text() for t in ax.texts if t.get_fontweight() == "bold"]
    assert bold == ["78.1", "71.5", "74.4", "70.9", "54.3", "50.2", "84.2", "86.0", "94.6"]
    assert [t.get_text() for t in ax.get_yticklabels()][:2] == ["Mixed-Next", "Mixed-Rand"]
    assert [t.get_text() for t in ax.get_xticklabels()][-1] == "IN-9L"
    colours = {t.get_text(): t.get_color() for t in ax.texts}
    assert (colours["8.2"], colours["96.3"]) == ("black", "white")


def test_a_missing_cell_is_a_dash(matrix):
    ax = papers.plot_train_test(matrix.query("not (train == 'mixed_next' and test == 'no_fg')"))
    assert "–" in texts(ax)[:9]


# tables in type


def test_a_table_in_type_holds_every_cell_in_its_place():
    ax = papers.plot_table(pd.DataFrame({"class": ["dog", "fish"], "count": ["116", "16"]}))
    written = [(t.get_text(), t.get_ha()) for t in ax.texts]
    assert written == [
        ("Class", "left"), ("Count", "right"), ("dog", "left"), ("116", "right"), ("fish", "left"), ("16", "right"),
    ]  # fmt: skip
    assert [t.get_fontweight() for t in ax.texts][:2] == ["bold", "bold"]
    with pytest.raises(BadInput, match="got no rows"):
        papers.plot_table(pd.DataFrame({"class": []}))


@pytest.mark.parametrize("venue", VENUES)
def test_no_text_is_cut_or_written_over(venue, bars, matrix, points):
    with theme(venue):
        drawn = [
            papers.plot_own_and_original(bars),
            papers.plot_fooling_rates(rates(np.linspace(0, 0.5, 60))),
            papers.plot_trends(points, bands=trends.trend_bands(points)),
            papers.plot_train_test(matrix),
            papers.plot_table(variant_table().drop(columns="Defined in")),
        ]
        for ax in drawn:
            assert clashes(ax) == ([], []), ax
