"""The background gap and its cut-and-paste control over changes of the mask, one column of plots per kind of mask."""

from __future__ import annotations

from typing import Literal

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator

from bglab.errors import BadInput
from bglab.figures.axes import GREY, MARKER, ShownFigure, count_range, points, require, tidy
from bglab.figures.theme import COLORS
from bglab.names import display_name

Change = Literal["radius", "feather"]

_LABELS: dict[str, str] = {
    "radius": "Mask eroded (−) or dilated (+) by (pixels)",
    "feather": "Standard deviation of the soft edge (pixels)",
}
_TITLES = {"stored": "Stored", "grabcut": "GrabCut", "ellipse": "Ellipse", "box": "Box"}
_CONTROL = "#009E73"
_OTHERS = "#C4C4C4"
_DASHES = (0, (4, 2))


def plot_mask_sweep(table: pd.DataFrame, *, change: Change = "radius") -> Figure:
    """Plot the background gap, and the accuracy of its control, over erosion and dilation or the softness of the edge.

    Above, the gap of each source of masks with its interval as a band, and those of the other sources as thin lines;
    below, the accuracy on On-Own-Tiled, where the object is cut and pasted but keeps its background, and on Original.

    Args:
        table: From `bglab.analysis.gap_by_mask`, of one model and either one feather or one radius: one row per source
            and value of ``change``.
        change: Column of the horizontal axes, ``radius`` or ``feather``.

    Raises:
        BadInput: If a column is missing, or a source and value have several rows.
    """
    if change not in _LABELS:
        raise BadInput(f"expected radius or feather on the horizontal axis, got '{change}'")
    limits = [f"{name}{end}" for name in ("gap", "on_own_tiled") for end in ("", "_low", "_high")]
    require(table, ("mask", change, "n", "original", *limits), once=["mask", change])
    sources, table = list(dict.fromkeys(table["mask"])), table.sort_values(change, kind="stable")
    width, height = matplotlib.rcParams["figure.figsize"]
    figure = ShownFigure(figsize=(width, max(1.25 * height, 0.62 * width)), layout="constrained")
    grid = figure.subplots(2, len(sources), sharex=True, sharey="row", squeeze=False)
    for source, (above, below) in zip(sources, grid.T, strict=True):
        rows = table.loc[table["mask"] == source]
        above.set_title(_TITLES.get(source, source.capitalize()), fontsize="medium")
        above.axhline(0, color=COLORS["chance"], linewidth=0.8, zorder=1.2)
        for _, curve in table.loc[table["mask"] != source].groupby("mask", sort=False):
            above.plot(curve[change], curve["gap"], color=_OTHERS, linewidth=0.8, zorder=1.5)
        _draw_band(above, rows, change, "gap", COLORS["ours"])
        below.plot(rows[change], rows["original"], color=COLORS["original"], linestyle=_DASHES, zorder=2)
        _draw_band(below, rows, change, "on_own_tiled", _CONTROL)
    _label(figure, grid, change, sorted(set(table[change])))
    _explain(figure, table, several=len(sources) > 1)
    return figure


def _draw_band(ax: Axes, rows: pd.DataFrame, change: str, name: str, color: str) -> None:
    """Draw a curve with its interval as a band."""
    ax.fill_between(
        rows[change], rows[f"{name}_low"], rows[f"{name}_high"], color=color, alpha=0.18, linewidth=0, zorder=1.4
    )
    ax.plot(
        rows[change], rows[name], "o-", color=color, markersize=MARKER * points("medium"), markeredgecolor="white",
        markeredgewidth=0.4, zorder=3,
    )  # fmt: skip


def _label(figure: Figure, grid: np.ndarray, change: str, values: list[float]) -> None:
    """Label the outer axes; the ticks are the values of the sweep, fewer where they would touch."""
    room = 0.8 * figure.get_size_inches()[0] * 72 / grid.shape[1] / (2 * points(matplotlib.rcParams["xtick.labelsize"]))
    shown = values if len(values) <= room else [values[0], values[len(values) // 2], values[-1]]
    signed = change == "radius"
    for ax in grid.flat:
        tidy(ax, "y")
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        ax.margins(x=0.1)
        ax.xaxis.set_major_locator(FixedLocator(shown))
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:{'+g' if signed and value else 'g'}}".replace("-", "−"))
    grid[0, 0].set_ylabel("BG-Gap (points)")
    grid[1, 0].set_ylabel("Accuracy (%)")
    figure.align_ylabels(grid[:, 0])
    figure.supxlabel(_LABELS[change], fontsize=matplotlib.rcParams["axes.labelsize"])


def _explain(figure: Figure, table: pd.DataFrame, *, several: bool) -> None:
    """Place the legend above the plots; its last entry says what the bands are."""
    entries = {
        "Mixed-Same − Mixed-Rand": Line2D([], [], color=COLORS["ours"], marker="o", markersize=4),
        "Other masks": Line2D([], [], color=_OTHERS, linewidth=0.8),
        display_name("on_own_tiled"): Line2D([], [], color=_CONTROL, marker="o", markersize=4),
        "Original": Line2D([], [], color=COLORS["original"], linestyle=_DASHES),
    }
    if not several:
        del entries["Other masks"]
    columns = len(entries) if figure.get_size_inches()[0] > 5 else 2
    legend = figure.legend(
        list(entries.values()), list(entries), loc="outside upper center", ncols=columns, frameon=False,
        handlelength=1.6, columnspacing=1.4, title=f"Bands: 95 % intervals; n = {count_range(table)}",
    )  # fmt: skip
    legend.get_title().set(fontsize="small", color=GREY)
