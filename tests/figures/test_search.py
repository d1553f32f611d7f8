"""Figures of the background search, by their artists; and our numbers next to the published ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bglab import analysis, figures
from bglab.analysis import Estimate
from bglab.errors import BadInput, UnknownName
from bglab.figures.search import _readable_ticks
from bglab.papers.noise_or_signal import printed_totals, vulnerability_with_published
from fixtures.matrices import make_pairs
from fixtures.plots import texts

LABELS = [0, 0, 1, 2]
# the background of class 1 fools the first foreground, that of class 2 all others
PAIRS = make_pairs([[0, 0, 1, 0], [0, 0, 0, 2], [1, 1, 1, 2], [2, 2, 2, 2]], LABELS, model="lite:efficientnet_lite0")


def test_both_definitions_stand_next_to_what_is_printed():
    table = vulnerability_with_published(PAIRS)
    assert table.columns.tolist() == [
        "efficientnet_lite0",
        "printed: ResNet-50, ImageNet",
        "printed: ResNet-50, IN-9L",
    ]
    ours, imagenet, in9l = table.loc["Challenge accuracy: fooled by no background"]
    known = analysis.vulnerability(PAIRS).iloc[0]
    assert ours == Estimate(0.25, known.challenge_accuracy_low, known.challenge_accuracy_high)
    assert (imagenet, in9l) == (0.223, 0.12)
    ours, imagenet, in9l = table.loc["Vulnerable: taken for the class of some background"]
    assert ours == Estimate(0.75, known.vulnerable_targeted_low, known.vulnerable_targeted_high)
    assert in9l == 0.875
    assert np.isnan(imagenet)


def test_printed_totals_are_of_nine_classes():
    table = printed_totals().set_index("label")["value"]
    assert len(table) == 9
    assert (table["insect"], table["dog"]) == (0.6655, 0.6177)


def test_top_backgrounds_show_image_and_rate():
    best = analysis.top_backgrounds(PAIRS, k=2)
    plates = {scene: np.full((3, 4, 4), 10 * place, np.uint8) for place, scene in enumerate(PAIRS.backgrounds.ids)}
    with figures.theme():
        ax = figures.plot_top_backgrounds(best, plates, totals=analysis.per_class_totals(PAIRS))
    assert texts(ax) == ["Dog\ntotal 0 %", "0 %", "0 %", "Bird\ntotal 33 %", "33 %", "Vehicle\ntotal 67 %", "67 %"]
    shown = {int(image.get_array()[0, 0, 0]): image.get_extent()[0] for image in ax.images}
    assert sorted(shown) == [0, 10, 20, 30]
    assert shown[10] - shown[0] == pytest.approx(1)  # second rank, one cell to the right
    assert shown[20] == shown[30] == shown[0]
    assert texts(figures.plot_top_backgrounds(best, plates))[0] == "Dog"


def test_a_background_without_an_image_is_named():
    best = analysis.top_backgrounds(PAIRS, k=1)
    with pytest.raises(UnknownName) as caught:
        figures.plot_top_backgrounds(best, {"s0": np.zeros((3, 4, 4), np.uint8)})
    assert str(caught.value) == "no image of background 's2' among the 1 given; pass all images"


def test_the_histogram_stacks_classes():
    table = analysis.rate_histogram(PAIRS, width=0.25)
    ax = figures.plot_rate_histogram(table)
    bars = [(bar.get_x(), bar.get_y(), bar.get_height()) for bar in ax.patches if bar.get_height()]
    assert bars == [(0, 0, 2), (0.25, 0, 1), (0.5, 0, 1)]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["Dog", "Bird", "Vehicle"]
    assert ax.get_xlim() == (0, 0.75)
    both = pd.concat([table, table.assign(**{"class": "other " + table["class"]})])
    tops = [bar.get_y() for bar in figures.plot_rate_histogram(both).patches if bar.get_height()]
    assert tops == [0, 0, 0, 2, 1, 1]


def test_no_background_makes_no_histogram():
    with pytest.raises(BadInput, match="and at least one row, got no rows$"):
        figures.plot_rate_histogram(analysis.rate_histogram(PAIRS).assign(count=0))


def test_the_heat_map_writes_every_cell_but_the_empty_ones():
    ax = figures.plot_class_heat_map(analysis.class_heat_map(PAIRS))
    cells = {(round(t.get_position()[0]), round(t.get_position()[1])): t.get_text() for t in ax.texts if t.get_text()}
    # columns are backgrounds; the diagonal is empty
    assert cells.pop((1, 0)) == "50"
    assert cells.pop((2, 0)) == "50"
    assert cells.pop((2, 1)) == "100"
    assert "Fooled pairs (%); 1 to 2 pairs per cell" in cells.values()
    drawn = np.ma.getmaskarray(ax.images[0].get_array())
    assert drawn.tolist() == np.eye(3, dtype=bool).tolist()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Dog", "Bird", "Vehicle"]


def test_the_curve_has_a_line_and_a_band_per_criterion():
    criteria = ("any", "targeted")
    table = pd.concat(
        analysis.vulnerability_curve(PAIRS, criterion=criterion).assign(criterion=criterion) for criterion in criteria
    )
    ax = figures.plot_vulnerability_curve(table)
    for line, criterion in zip(ax.lines, criteria, strict=True):
        rows = table.loc[table["criterion"] == criterion]
        assert line.get_xdata().tolist() == rows["candidates"].tolist()
        assert line.get_ydata().tolist() == rows["vulnerable"].tolist()
    assert len(ax.collections) == 2
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "Any misclassification",
        "Predicted as the background's class",
    ]
    assert "Expectation over random draws; bands: 95 % intervals over 4 foregrounds" in texts(ax)


def test_ticks_that_would_run_into_each_other_are_left_out():
    assert _readable_ticks([1, 2, 5, 10, 20, 22]) == [1, 2, 5, 10, 22]
    assert _readable_ticks([7]) == [7]


def test_transfer_draws_a_point_per_background():
    other = make_pairs(np.zeros((4, 4)), LABELS, model="lite:efficientnet_lite2")
    first, second = (analysis.fooling_rates(pairs, criterion="any") for pairs in (PAIRS, other))
    ax = figures.plot_transfer(first, second, (PAIRS.model, other.model))
    marks = {line.get_label(): line.get_xydata().tolist() for line in ax.lines if line.get_linestyle() == "None"}
    assert marks == {"Dog": [[0.0, 0.5], [0.0, 0.5]], "Bird": [[0.25, 0.5]], "Vehicle": [[0.5, 0.5]]}
    assert ax.get_xlabel() == "efficientnet_lite0: foregrounds fooled (%)"
    assert ax.get_ylabel() == "efficientnet_lite2: foregrounds fooled (%)"


def test_models_on_other_backgrounds_cannot_be_compared():
    first = analysis.fooling_rates(PAIRS)
    with pytest.raises(BadInput) as caught:
        figures.plot_transfer(first, first.assign(background="elsewhere" + first["background"]), ("a", "b"))
    assert str(caught.value) == (
        "expected rates of the same backgrounds for both models, got none in common; search one set"
    )
