"""The figure of mask sweeps, by the properties of its artists."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bglab.errors import BadInput
from bglab.figures import plot_mask_sweep, theme


@pytest.fixture(scope="module")
def table():
    rows = [
        {
            "mask": mask,
            "radius": radius,
            "feather": float(radius + 8),
            "n": 87,
            "original": 0.8,
            "gap": gap + radius / 100,
        }
        for mask, gap in (("stored", 0.05), ("grabcut", 0.1), ("box", 0.2))
        for radius in (8, -8, -4, 0, 4)
    ]
    table = pd.DataFrame(rows)
    table = table.assign(gap_low=table.gap - 0.1, gap_high=table.gap + 0.1, on_own_tiled=0.7)
    return table.assign(on_own_tiled_low=0.6, on_own_tiled_high=0.8)


def curve(ax, color):
    (line,) = [line for line in ax.lines if line.get_color() == color and line.get_marker() == "o"]
    return line.get_xydata()


def test_one_column_per_source_with_its_band(table):
    figure = plot_mask_sweep(table)
    above, below = np.reshape(figure.axes, (2, 3))
    assert [ax.get_title() for ax in above] == ["Stored", "GrabCut", "Box"]
    for ax, first in zip(above, (0.05, 0.1, 0.2), strict=True):
        assert curve(ax, "#0072B2")[:, 0].tolist() == [-8, -4, 0, 4, 8]
        assert curve(ax, "#0072B2")[2, 1] == pytest.approx(first)
        (band,) = ax.collections
        assert band.get_paths()[0].get_extents().bounds == pytest.approx((-8, first - 0.18, 16, 0.36))
        assert len([line for line in ax.lines if line.get_color() == "#C4C4C4"]) == 2
    assert curve(below[0], "#009E73")[:, 1].tolist() == [0.7] * 5
    assert figure.legends[0].get_title().get_text() == "Bands: 95 % intervals; n = 87"


def test_over_the_feather_and_with_one_source(table):
    figure = plot_mask_sweep(table[table["mask"] == "box"], change="feather")
    assert figure.get_supxlabel() == "Standard deviation of the soft edge (pixels)"
    assert "Other masks" not in [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("venue", ["notebook", "cvpr2024", "iclr2024"])
def test_no_text_overlaps_or_is_cut_off(table, venue):
    with theme(venue):
        figure = plot_mask_sweep(table)
        figure.draw_without_rendering()
    shown = [ax.title for ax in figure.axes[:3]] + [ax.yaxis.label for ax in figure.axes if ax.get_ylabel()]
    shown += [label for ax in figure.axes[3:] for label in ax.get_xticklabels()]
    shown += [*figure.legends[0].get_texts(), figure.legends[0].get_title(), *figure.texts]
    boxes = [text.get_window_extent() for text in shown if text.get_text()]
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.padded(-1).overlaps(b.padded(-1))]
    edge = figure.bbox
    assert all(b.x0 >= -1 and b.y0 >= -1 and b.x1 <= edge.x1 + 1 and b.y1 <= edge.y1 + 1 for b in boxes)


def test_errors(table, unchecked):
    with pytest.raises(BadInput, match="expected one row for each mask and radius, got several"):
        plot_mask_sweep(pd.concat([table, table]))
    with pytest.raises(BadInput, match="expected radius or feather on the horizontal axis, got 'seed'"):
        plot_mask_sweep(table, change="seed")
