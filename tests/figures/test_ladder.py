"""The waterfall of two runs: bars from before to after, the ends as points, nothing cut."""

from __future__ import annotations

import pandas as pd
import pytest

from bglab.errors import BadInput
from bglab.figures import plot_ladder, theme
from fixtures.plots import overlaps, texts

STEPS = pd.DataFrame(
    [
        ("weights", "timm:resnet50.tv_in1k", "timm:resnet50.a1_in1k", 0.789, 0.843, 5.4, 5.4, 0.0, 260),
        ("protocol", "as-is", "model", 0.843, 0.801, -4.2, -3.0, -1.2, 1),
    ],
    columns=[
        "field", "a", "b", "top1_before", "top1_after", "points", "points_alone", "interaction", "images_changed",
    ],
)  # fmt: skip


def test_bars_lead_from_the_first_accuracy_to_the_second():
    ax = plot_ladder(STEPS)
    bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches]
    assert [pytest.approx(bar) for bar in bars] == [(0.789, 0.843), (0.843, 0.801)]
    assert texts(ax)[:4] == ["78.9 %", "80.1 %", "+5.4  (260 images)", "−4.2  (1 image)"]
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "first file", "weights\n→ resnet50.a1_in1k", "protocol\nas-is → model", "second file",
    ]  # fmt: skip
    assert ax.patches[0].get_facecolor() != ax.patches[1].get_facecolor(), "gain and loss differ in colour"


@pytest.mark.parametrize("venue", ["notebook", "cvpr2024", "neurips2024"])
def test_no_text_is_cut_or_written_over(venue):
    with theme(venue):
        assert overlaps(plot_ladder(STEPS)) == ([], [])


def test_without_steps_there_is_nothing_to_plot():
    with pytest.raises(BadInput):
        plot_ladder(STEPS.iloc[:0])
