"""Figures of Noise or Signal: ``(table, *, ax=None) -> Axes``, as in `bglab.figures.accuracy`.

Bars per training set (Figure 2), histogram of fooling rates (Figure 4), trends over models (Figure 8), curves over
the number of classes or images (Figures 10 and 11), matrix of training and test sets (Table 5), and typeset tables.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from types import MappingProxyType

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from bglab.errors import BadInput
from bglab.figures.axes import (
    GREY,
    MARKER,
    count_range,
    count_text,
    draw_error_bars,
    height_of_lines,
    legend_above,
    new_axes,
    note,
    one_line_names,
    points,
    readable_on,
    require,
    tidy,
    width_of,
)
from bglab.figures.theme import COLORS, color_of, figure_of
from bglab.figures.venues import SMALLEST_PT
from bglab.names import display_name

#: Printed names of training and test sets that are not variants.
_PRINTED: Mapping[str, str] = MappingProxyType({"in9l": "IN-9L", "imagenet": "ImageNet"})
# cells that are right-aligned: numbers, with an interval or not, and dashes
_NUMBER = re.compile(r"^(–|(< )?[−\d][\d,.]*( \[.*\])?)$")
#: More models than this are not named in a plot of trends.
_MOST_NAMED = 12
# from white to the palette's blue, on which the number of a cell is always legible
_BLUES = LinearSegmentedColormap.from_list("bglab-blues", ["#FFFFFF", "#9CC9E6", "#0072B2", "#003A5C"])


def set_name(identifier: str) -> str:
    """Name a training or test set as the papers print it.

    Example:
        >>> set_name("in9l"), set_name("mixed_rand")
        ('IN-9L', 'Mixed-Rand')
    """
    return _PRINTED.get(identifier) or display_name(identifier)


def plot_own_and_original(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Plot for each training set the accuracy on its own test set and on Original (Noise or Signal, Figure 2).

    Args:
        table: One row per bar: ``[train, test, n, top1, top1_low, top1_high]``; rows of other test sets are left out.
        ax: Axes to plot on; None creates a figure.

    Raises:
        BadInput: If a column is missing, a bar has several rows, or no row is left.
    """
    columns = ("train", "test", "n", "top1", "top1_low", "top1_high")
    require(table, columns, once=["train", "test"])
    own, other = table["test"] == table["train"], (table["test"] == "original") & (table["train"] != "original")
    require(table.loc[own | other], columns)
    ax = ax or new_axes(matplotlib.rcParams["figure.figsize"][1])
    trains = list(dict.fromkeys(table.loc[own | other, "train"]))
    for chosen, shift, hatch, label in ((own, -0.2, "", "Own test set"), (other, 0.2, "//", "Original")):
        bars = table.loc[chosen]
        x = np.array([trains.index(train) for train in bars["train"]]) + shift
        colors = [color_of(name) for name in bars["test"]]
        legend = color_of("original") if label == "Original" else "#BBBBBB"
        ax.bar(x, bars["top1"], 0.37, color=colors, hatch=hatch, edgecolor="white", linewidth=0, zorder=2)
        ax.bar([0], [0], 0, color=legend, hatch=hatch, edgecolor="white", linewidth=0, label=label)
        draw_error_bars(ax, x, bars, "top1", vertical=True, color="#111111")
        for place, row in zip(x, bars.to_dict("records"), strict=True):
            ax.annotate(
                f"{100 * row['top1']:.1f}", (place, row["top1_high"]), (0, 2), textcoords="offset points",
                ha="center", va="bottom", fontsize="small",
            )  # fmt: skip
    chance = {"color": COLORS["chance"], "linestyle": (0, (1, 2)), "linewidth": 1.2}
    ax.axhline(1 / 9, **chance, zorder=2.2, label="Chance (1/9)")
    ax.set_xticks(range(len(trains)), [set_name(train) for train in trains])
    ax.set(xlim=(-0.6, len(trains) - 0.4), ylim=(0, 1), xlabel="Trained on", ylabel="Accuracy (%)")
    note(ax, f"Error bars: 95 % Wilson intervals{count_text(table.loc[own | other])}")
    tidy(ax, "y")
    legend_above(ax)
    return ax


def plot_fooling_rates(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Plot a histogram of the fooling rates of one class's backgrounds (Noise or Signal, Figure 4).

    Args:
        table: From `bglab.analysis.fooling_rates`, one row per background of a single class: ``[class, n, rate]``, with
            the number of foregrounds of other classes and the share of these predicted as the class.
        ax: Axes to plot on; None creates a figure.

    Raises:
        BadInput: If a column is missing, or the backgrounds are of several classes.
    """
    require(table, ("class", "n", "rate"))
    targets = list(dict.fromkeys(table["class"]))
    if len(targets) > 1:
        raise BadInput(f"expected backgrounds of one class, got {', '.join(targets)}; select one")
    ax = ax or new_axes(matplotlib.rcParams["figure.figsize"][1])
    rates = table["rate"].to_numpy(float)
    # narrow enough to show the tail, wide enough for several backgrounds per bar
    step = 0.01 if len(rates) >= 200 else 0.025 if len(rates) >= 60 else 0.05
    edges = np.arange(0, max(rates.max(), 0.45) + 2 * step, step).tolist()
    ax.hist(rates, edges, color=color_of(targets[0]), edgecolor="white", linewidth=0.4, zorder=2)
    ax.axvline(float(np.median(rates)), color="#111111", linewidth=0.9, linestyle=(0, (4, 3)), zorder=3)
    ax.annotate(
        f"median {100 * np.median(rates):.1f}", (float(np.median(rates)), 1), (4, -2),
        xycoords=("data", "axes fraction"), textcoords="offset points", va="top", fontsize="small", color=GREY,
    )  # fmt: skip
    ax.set_xlabel(f"Foregrounds of other classes predicted as {targets[0]} (%)")
    tidy(ax, "x")
    ax.set_ylabel(f"{targets[0].capitalize()} backgrounds")
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.set_xlim(0, edges[-1])
    note(ax, f"{len(rates):,} backgrounds, {count_range(table)} foregrounds each")
    return ax


def plot_trends(
    table: pd.DataFrame,
    *,
    bands: pd.DataFrame | None = None,
    reference: str = "Accuracy on Original",
    ax: Axes | None = None,
) -> Axes:
    """Plot accuracy on variants against a reference accuracy (Noise or Signal, Figure 8).

    Each model is a column of points.

    Args:
        table: One row per point: ``[model, variant, n, reference, top1, top1_low, top1_high]``.
        bands: Lines from `bglab.analysis.trend_bands`; None plots points only.
        reference: Label of the horizontal axis.
        ax: Axes to plot on; None creates a figure.

    Raises:
        BadInput: If a column is missing, or a model and variant have several rows.
    """
    require(table, ("model", "variant", "n", "reference", "top1", "top1_low", "top1_high"), once=["model", "variant"])
    ax = ax or new_axes(1.35 * matplotlib.rcParams["figure.figsize"][1] + 0.5 * _names_height(table))
    for variant, rows in table.groupby("variant", sort=False):
        color = color_of(str(variant))
        draw_error_bars(ax, rows["reference"].to_numpy(float), rows, "top1", vertical=True, color=color)
        ax.plot(
            rows["reference"], rows["top1"], "o", color=color, markersize=1.2 * MARKER * points("medium"),
            markeredgecolor="white", markeredgewidth=0.5, label=display_name(str(variant)), zorder=3,
        )  # fmt: skip
        line = bands.loc[bands["variant"] == variant] if bands is not None else table.iloc[:0]
        if len(line):
            ax.plot(line["reference"], line["top1"], color=color, linewidth=1, zorder=2)
            # an accuracy is bounded, a straight line is not
            low, high = (line[end].to_numpy(float).clip(0, 1) for end in ("top1_low", "top1_high"))
            ax.fill_between(line["reference"], low, high, color=color, alpha=0.12, linewidth=0, zorder=1)
    ax.set_ylim(0, 1)
    ax.margins(x=0.08)
    ax.set(xlabel=f"{reference} (%)", ylabel="Accuracy (%)")
    tidy(ax, "x")
    tidy(ax, "y")
    _name_columns(ax, table)
    ax.yaxis.set_major_locator(FixedLocator([0, 0.2, 0.4, 0.6, 0.8, 1]))
    ax.grid(visible=True, axis="both", color="#E4E4E4", linewidth=0.6, zorder=0)
    banded = bands is not None and bool(np.isfinite(bands["top1_low"].to_numpy(float)).any())
    fitted = "; lines: least squares with 95 % bands" if banded else "; lines: least squares"
    lines = fitted if bands is not None and len(bands) else ""
    note(ax, f"Error bars: 95 % Wilson intervals{lines}{count_text(table)}")
    legend_above(ax)
    return ax


def plot_curves(
    table: pd.DataFrame, *, x: str = "classes", label: str = "Number of training classes", ax: Axes | None = None
) -> Axes:
    """Plot accuracy on several variants over the number of classes or images (Noise or Signal, Figures 10 and 11).

    Args:
        table: One row per point: ``[<x>, variant, n, top1, top1_low, top1_high]``.
        x: Column of the horizontal axis, positive numbers on a logarithmic scale.
        label: Label of the horizontal axis.
        ax: Axes to plot on; None creates a figure.

    Raises:
        BadInput: If a column is missing, or a point has several rows.
    """
    require(table, (x, "variant", "n", "top1", "top1_low", "top1_high"), once=[x, "variant"])
    ax = ax or new_axes(1.1 * matplotlib.rcParams["figure.figsize"][1])
    for variant, rows in table.sort_values(x, kind="stable").groupby("variant", sort=False):
        color = color_of(str(variant))
        draw_error_bars(ax, rows[x].to_numpy(float), rows, "top1", vertical=True, color=color)
        ax.plot(
            rows[x], rows["top1"], "o-", color=color, markersize=1.2 * MARKER * points("medium"), linewidth=1.2,
            markeredgecolor="white", markeredgewidth=0.5, label=display_name(str(variant)), zorder=3,
        )  # fmt: skip
    steps = sorted(set(table[x]))
    ax.set_xscale("log", base=2)
    ax.set(xlabel=label, ylabel="Accuracy (%)", ylim=(0, 1))
    tidy(ax, "y")
    ax.xaxis.set_major_locator(FixedLocator(steps))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    note(ax, f"Error bars: 95 % Wilson intervals{count_text(table)}")
    legend_above(ax)
    return ax


def plot_train_test(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Plot accuracy for each pair of training and test set as a matrix (Noise or Signal, Table 5).

    Args:
        table: One row per cell: ``[train, test, top1]``; missing pairs are shown as a dash.
        ax: Axes to plot on; None creates a figure.

    Raises:
        BadInput: If a column is missing, or a cell has several rows.
    """
    require(table, ("train", "test", "top1"), once=["train", "test"])
    wide = table.pivot_table(index="train", columns="test", values="top1", sort=False)
    wide = wide.reindex(index=list(dict.fromkeys(table["train"])), columns=list(dict.fromkeys(table["test"])))
    ax = ax or new_axes(height_of_lines(6 + 1.9 * len(wide)))
    values = wide.to_numpy(float)
    ax.imshow(np.ma.masked_invalid(values), cmap=_BLUES, vmin=0, vmax=1, aspect="auto", zorder=1)
    for (row, column), value in np.ndenumerate(values):
        text = "–" if np.isnan(value) else f"{100 * value:.1f}"
        color = GREY if np.isnan(value) else readable_on(to_hex(_BLUES(value)))
        weight = "bold" if wide.index[row] == wide.columns[column] else "normal"
        ax.text(column, row, text, ha="center", va="center", color=color, fontsize="small", fontweight=weight)
    ax.set_xticks(range(len(wide.columns)), [set_name(str(test)) for test in wide.columns], rotation=30, ha="right",
                  rotation_mode="anchor")  # fmt: skip
    ax.set_yticks(range(len(wide)), [set_name(str(train)) for train in wide.index])
    ax.set(xlabel="Tested on", ylabel="Trained on")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    note(ax, f"Accuracy (%); bold: same training and test set{count_text(table)}")
    return ax


def plot_table(text: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Typeset a table, with the three rules of the booktabs package.

    Args:
        text: Table of text, e.g. from `bglab.analysis.as_percent`; a named index becomes the first column.
        ax: Axes to plot on; None creates a figure.

    Raises:
        BadInput: If the table is empty.
    """
    whole = text.reset_index() if text.index.name is not None else text
    require(whole, ())
    headings = [str(name)[:1].upper() + str(name)[1:] for name in whole.columns]
    cells = [headings, *whole.astype(str).to_numpy().tolist()]
    wrapped = _wrap(cells)
    numbers = [all(_NUMBER.match(row[k]) for row in cells[1:]) for k in range(len(whole.columns))]
    heights = [max(cell.count("\n") + 1 for cell in row) + 0.45 for row in wrapped]
    widths, share = _column_widths(wrapped)
    ax = ax or new_axes(height_of_lines(sum(heights) + 1))
    top = 0.0
    for place, (row, height) in enumerate(zip(wrapped, heights, strict=True)):
        for left, width, cell, right in zip(np.cumsum([0, *widths[:-1]]), widths, row, numbers, strict=True):
            weight = "bold" if place == 0 else "normal"
            x = left + (0.96 * width if right else 0.04 * width)
            side = "right" if right else "left"
            ax.text(x, top + height / 2, cell, ha=side, va="center", fontsize="small", fontweight=weight)
        top += height
        if place == 0:
            ax.hlines(top, 0, 1, color="black", linewidth=0.6)
    ax.hlines([0, top], 0, 1, color="black", linewidth=1.2)
    # center a narrow table at its own width
    ax.set(xlim=(0.5 - 0.5 / share, 0.5 + 0.5 / share), ylim=(top + 0.1, -0.1))
    ax.set_axis_off()
    return ax


def _column_widths(wrapped: list[list[str]]) -> tuple[list[float], float]:
    """Return column widths in proportion to the longest lines, and the share of the theme's width that is needed."""
    # headings are bold and therefore wider
    widest = [[1.15 * len(wrapped[0][k]), *(len(n) for row in wrapped for n in row[k].split("\n"))]
              for k in range(len(wrapped[0]))]  # fmt: skip
    longest = [max(lengths) + 3 for lengths in widest]
    return [length / sum(longest) for length in longest], min(1.0, sum(longest) / _room())


def _room() -> float:
    """Estimate how many characters fit in the width of the theme."""
    return matplotlib.rcParams["figure.figsize"][0] * 72 / (0.53 * points("small"))


def _wrap(cells: list[list[str]]) -> list[list[str]]:
    """Wrap long cells so that all columns fit in the width of the theme."""
    room = _room()
    longest = [max(len(row[k]) for row in cells) for k in range(len(cells[0]))]
    limits = list(longest)
    while sum(limits) + 2 * len(limits) > room and max(limits) > 8:
        limits[limits.index(max(limits))] -= 1
    return [["\n".join(textwrap.wrap(cell, limit) or [""]) for cell, limit in zip(row, limits, strict=True)]
            for row in cells]  # fmt: skip


def _names_height(table: pd.DataFrame) -> float:
    """Return the height of the names above the columns of points in inches; 0 if they are too many."""
    names = one_line_names(list(dict.fromkeys(table["model"])))
    return max(width_of(name, "x-small") for name in names) if len(names) <= _MOST_NAMED else 0.0


def _name_columns(ax: Axes, table: pd.DataFrame) -> None:
    """Write the name of each model vertically above its column of points, for up to twelve models."""
    models = table.drop_duplicates("model")
    if not 0 < len(models) <= _MOST_NAMED:
        return
    size = max(points("x-small"), min(SMALLEST_PT, points("small")))
    models = models.sort_values("reference", kind="stable")
    at = models["reference"].to_numpy(float)
    width = 0.8 * figure_of(ax).get_size_inches()[0] * 72
    left, right = ax.get_xlim()
    line, end = 1.3 * size, -np.inf
    height = 0.66 * figure_of(ax).get_size_inches()[1]
    above = min((_names_height(table) + 6 / 72) / height, 0.6)
    ax.set_ylim(0, 1 / (1 - above))
    ax.spines["left"].set_bounds(0, 1)
    ax.yaxis.label.set_y((1 - above) / 2)
    for name, x in zip(one_line_names(models["model"].tolist()), at, strict=True):
        ax.vlines(x, 0, 1.02, color="#D0D0D0", linewidth=0.6, zorder=0.5)
        place = (x - left) / (right - left) * width
        end = max(end + line, place)  # keep the names of similar models apart
        ax.annotate(
            name, (x, 1.03), (end - place, 0), xycoords="data", textcoords="offset points", rotation=90,
            ha="center", va="bottom", fontsize=size, color=GREY,
        )  # fmt: skip
